"""Formats side by side: each has its quantity, and a dip is chosen and measured on different data."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from distractor.ablation.formats import figures as plot
from distractor.ablation.formats.curve import format_curve, task_parts
from distractor.ablation.formats.dip import dip, dip_sentences
from distractor.ablation.formats.page import page as page_of_formats
from distractor.ablation.written.answers import WrittenResult
from distractor.ablation.written.page import page as page_of_written
from distractor.runs.page.render import render_page
from distractor.scoring.settings import Settings
from distractor.statistics.intervals import Mean
from distractor.text.format import Format
from page_outline import Outline
from simulated_replies import many_items, over_sizes, replies
from simulated_runs import MANIFEST

pytestmark = pytest.mark.quick

DEEP, RISING, LEVEL = [0.1, 0.5, 0.9, 0.4, 0.1], [0.9, 0.7, 0.5, 0.3, 0.1], [0.1] * 5
"""The distractor's share at each size: accuracy dips, rises, or stays high."""


def test_a_planted_dip_is_found_with_its_depth_and_sizes_and_a_rising_curve_has_none() -> None:
    deep = dip(over_sizes(many_items(200), DEEP, [1] * 5))
    assert deep is not None
    assert_allclose(deep.depth.mean, 0.8, atol=0.1)
    assert deep.depth.low > 0.6
    assert deep.spans == (("m10", "m1000"), ("m10", "m1000"))
    rising = dip(over_sizes(many_items(200), RISING, [1] * 5))
    assert rising is not None
    assert rising.depth.low < 0


def test_chance_alone_makes_no_dip() -> None:
    """Measured on the same half on which it is chosen, each of these flat curves would have a dip."""
    depths, naive = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        task = many_items(40)
        given = [["distractor" if rng.random() < 0.5 else "true" for _ in task.items] for _ in range(6)]
        models = tuple(replies(task, row, 10 ** (size + 1)) for size, row in enumerate(given))
        flat = dip(WrittenResult(task, Settings(), models))
        assert flat is not None
        depths.append(flat.depth)
        right = np.array([[g == "true" for g in row] for row in given]).mean(1)
        naive.append(max(right[k] - right[k + 1 :].min() for k in range(5)))
    assert min(naive) > 0
    assert abs(np.mean([depth.mean for depth in depths])) < 0.06
    assert sum(depth.low > 0 for depth in depths) <= 3


def test_sizes_with_too_few_answers_do_not_count_for_a_dip() -> None:
    half = dip(over_sizes(many_items(200), [0.1, 0.9, 0.4, 0.1], [1, 0.5, 1, 1]))
    assert half is not None
    assert {name for span in half.spans for name in span}.isdisjoint({"m100"})
    assert dip(over_sizes(many_items(200), [0.1, 0.9, 0.1], [1, 0.5, 1])) is None


def test_models_of_one_size_that_are_not_seeds_make_no_curve() -> None:
    made = over_sizes(many_items(200), DEEP, [1] * 5).replies
    alone = [
        replace(each, source=replace(each.source, seed=None, family=each.source.model)) for each in (*made, made[0])
    ]
    alone[-1] = replace(alone[-1], source=replace(alone[-1].source, family="other", n_params=10))
    ordered = sorted(alone, key=lambda each: each.source.n_params or 0)
    result = WrittenResult(many_items(200), Settings(), tuple(ordered))
    assert [len(models) for models in result.sizes] == [1] * 6
    assert result.judged.shape is None
    assert "same number of parameters" in str(result.judged.why)
    assert dip(result) is None


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        (DEEP, LEVEL, "flatter, by 0.8"),
        (LEVEL, DEEP, "no dip to flatten"),
        (DEEP, DEEP, "not clearly flatter"),
        (DEEP, [0.1, 0.2, 0.3, 0.4, 0.6], "falls less, by 0.3"),
        (DEEP, [0.1, 0.2, 0.6, 0.4, 0.2], "flatter, by 0.3"),
        ([0.1, 0.2, 0.4, 0.2, 0.1], DEEP, "deeper, by 0.5"),
    ],
)
def test_the_dip_of_a_chain_of_thought_is_compared_with_that_of_direct_answers(
    before: list[float], after: list[float], fact: str
) -> None:
    direct = over_sizes(many_items(200, Format("generate")), before, [1] * 5)
    reasoned = over_sizes(many_items(200, Format("cot")), after, [1] * 5)
    first, second, comparison = dip_sentences([direct, reasoned])
    assert first.startswith("generate: ")
    assert second.startswith("cot: ")
    assert comparison.startswith("cot against generate: ")
    assert fact in comparison


def test_a_written_format_has_its_own_quantity_and_parts_and_is_drawn() -> None:
    result = over_sizes(many_items(60), [0.1, 0.5, 0.9], [1, 0.9, 1])
    curve = format_curve(result)
    assert curve.quantity == "distractor_share"
    assert set(task_parts(result.task)) == {"part0", "part1"}
    assert {axes.get_ylabel().split("\n")[0] for axes in plot.formats([curve], "many").axes} == {
        "distractor share",
        "accuracy",
    }
    by_part = plot.by_part([result])
    assert by_part is not None
    assert [axes.get_title() for axes in by_part.axes] == ["part0", "part1"]


def test_parts_are_drawn_if_rounding_puts_a_mean_outside_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = Mean(0.20000000000000004, 0.2, 0.2)  # from two groups with one right item of five in each
    monkeypatch.setattr(plot, "part_accuracy", lambda result, part: (rounded,) * 3)
    assert plot.by_part([over_sizes(many_items(60), [0.1, 0.5, 0.9], [1] * 3)]) is not None


def written_page(result: WrittenResult) -> Outline:
    return Outline(render_page(page_of_written(result, [], {})))


def test_the_page_of_a_written_format_has_its_share_and_every_text() -> None:
    made = over_sizes(many_items(60), [0.1, 0.5, 0.9], [1, 0.9, 1])
    hostile = "<script>alert(1)</script>"
    first, *others = made.replies
    texts = {c: tuple(text and text._replace(text=hostile) for text in row) for c, row in first.texts.items()}
    outline = written_page(replace(made, replies=(replace(first, texts=texts), *others)))
    assert f"Distractor share: {made.judged.label}" in outline.text
    rows = [row["data-marks"] for row in outline.all("tr") if "data-marks" in row]
    assert len(rows) == 60
    assert sum("distractor-0" in str(row).split() for row in rows) == 6
    assert sum("distractor-1" in str(row).split() for row in rows) == 54
    assert outline.text.count(hostile) == 60
    assert len(outline.all("script")) == 1
    assert "first its reasoning" not in outline.text
    silent = written_page(over_sizes(many_items(60), [0.5] * 3, [0.1] * 3))
    assert "No shape over size: only 0 sizes have an answer" in silent.text


def test_the_page_of_formats_warns_of_unequal_shots_first_and_links_to_each_format() -> None:
    results = [
        over_sizes(many_items(60, form), [0.1, 0.5, 0.9], [1] * 3) for form in (Format("generate", 1), Format("cot"))
    ]
    curves = [format_curve(result) for result in results]
    outline = Outline(render_page(page_of_formats(results, curves, dip_sentences(results), ["formats"], MANIFEST)))
    caution = outline.text.index(
        "Caution: the formats differ in the number of worked examples (generate, 1 shot 1, cot 0)"
    )
    assert caution < outline.text.index("The shape over size")
    assert {"generate-1-shot/report.html", "cot/report.html"} <= {link["href"] for link in outline.all("a")}
    assert all(sentence in outline.text for sentence in dip_sentences(results))
    assert len(outline.all("svg")) == 3
