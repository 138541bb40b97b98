"""The printed page and the figures show the peak and the rise and fall, and nothing that the curve does not have."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.special import logit

import oracles
import tiny
from distractor.ablation import figures as plot
from distractor.ablation.ablate import AblationResult, SizeCurves, peak_and_largest
from distractor.ablation.formats.curve import format_curve
from distractor.ablation.formats.figures import formats
from distractor.ablation.formats.tables import FormatsTable
from distractor.ablation.report import summary
from distractor.ablation.tables import models_table, notes, verdict_table
from distractor.scoring.behaviour import models_at_peak
from distractor.scoring.settings import Settings
from distractor.statistics.curve import peak
from distractor.statistics.intervals import interval_of_models
from distractor.statistics.shape_test import judge
from distractor.statistics.verdict import PARTS, verdict
from distractor.text.task import Condition
from printed_rules import answer, read
from shown import check_widths, printed
from simulated_runs import simulated
from tasks import TASKS

pytestmark = pytest.mark.quick


def unequal() -> AblationResult:
    """A run on one large group, whose preference falls and rises, and small groups, whose preference rises."""
    task = TASKS["negation_qa"]().take(240)
    large = task.items[0].group
    items = tuple(replace(item, group=large) if index < 150 else item for index, item in enumerate(task.items))
    task = replace(task, items=items)
    is_large = np.array([item.group == large for item in items])
    scores = []
    for size, (of_large, of_small) in enumerate(zip([0.8, 0.5, 0.2, 0.5, 0.8], [0.3, 0.4, 0.5, 0.6, 0.7], strict=True)):
        ahead = np.random.default_rng(size).normal(0, 0.1, (len(task.conditions), len(items)))
        ahead[task.conditions.index(Condition.CONFLICT)] += logit(np.where(is_large, of_large, of_small))
        scores.append(oracles.scored(task, np.stack([np.full_like(ahead, -5.0), ahead - 5], -1), 10 * 2**size, 0))
    curves = SizeCurves.over(task, scores, np.ones(len(items), dtype=bool))
    shapes = {"distractor_preference": judge(curves.of("distractor_preference"), curves.sizes)}
    return AblationResult(task, Settings(), tuple(scores), shapes, verdict(curves.evidence(task)))


def page(curve: list[float], of_seed: dict[int, list[float]] | None = None) -> str:
    """The sentences that are printed about the verdict."""
    return "\n".join(str(line) for line in verdict_table(simulated(curve, of_seed)).renderables)


def test_the_interior_peak_is_neither_the_smallest_nor_the_largest_size() -> None:
    assert [peak(np.array([0.1, 0.9, 0.2, 0.8]), interior=interior) for interior in (False, True)] == [1, 1]
    assert [peak(np.array([0.9, 0.1, 0.2, 0.8]), interior=interior) for interior in (False, True)] == [0, 2]
    assert peak(np.array([0.1, 0.9, 0.9])) == 1


def test_the_peak_is_that_of_the_mean_over_seeds_on_the_page_and_for_knock_outs() -> None:
    task = tiny.task()
    preferences = {
        (1, 0): 0.5,
        (2, 0): 0.9,
        (3, 0): 0.8,
        (4, 0): 0.1,
        (1, 1): 0.5,
        (2, 1): 0.2,
        (3, 1): 0.8,
        (4, 1): 0.1,
    }
    shape = (len(task.conditions), len(task.items), 2)
    scores = [
        oracles.scored(task, np.broadcast_to(np.log([[[1 - preference, preference]]]), shape), *size_and_seed)
        for size_and_seed, preference in preferences.items()
    ]
    complete = np.ones(len(task.items), dtype=bool)
    assert models_at_peak(task, scores, complete) == (2, 6)
    assert [source.name for source in peak_and_largest(task, scores, complete)] == [
        "oracles/3/seed0",
        "oracles/4/seed0",
    ]
    first, last = verdict_table(AblationResult(task, Settings(), tuple(scores), {}, None, "no reason")).renderables
    assert re.search(r"3 \(3 parameters\).* 0\.80", str(first))
    assert "no reason" in str(last)


@pytest.mark.parametrize(
    "curve",
    [[0.5, 0.495, 0.6, 0.8], [0.5, 0.3, 0.2, 0.205], [0.5, 0.2, 0.5, 0.8]],
    ids=["rises", "falls", "U"],
)
def test_a_curve_that_does_not_rise_and_fall_has_one_p_value_and_no_turning_point(curve: list[float]) -> None:
    text = page(curve)
    assert float(re.search(r"rise and then fall: p ([\d.]+);", text)[1]) > 0.05  # type: ignore[index]
    assert "rise p" not in text
    assert "turning point" not in text


def test_a_curve_that_rises_and_falls_has_two_p_values_and_a_turning_point() -> None:
    text = page([0.5, 0.7, 0.8, 0.3])
    assert "rise p < .001, fall p < .001; turning point between 40 and 40 parameters" in text
    assert "rows below" not in text


def test_the_interior_peak_of_the_verdict_is_named_if_it_is_another() -> None:
    assert re.search(r"rows below .*: 40, and", page([0.5, 0.6, 0.7, 0.8]))


def test_seeds_that_differ_are_counted() -> None:
    text = page([0.5, 0.8, 0.7, 0.3], {1: [0.5, 0.8, 0.4, 0.8], 2: [0.5, 0.5, 0.5, 0.3]})
    assert re.search(r"Of the 3 seeds' own curves, 1 .*; 1 turns more than once[;.]", " ".join(text.split()))


def test_intervals_over_size_are_of_level_2_where_every_size_has_three_seeds() -> None:
    three = simulated([0.5, 0.7, 0.8, 0.3], {1: [0.5, 0.7, 0.6, 0.3]})
    two = simulated([0.5, 0.7, 0.8, 0.3], {1: [0.5, 0.7, 0.6, 0.3]}, seeds=2)
    assert (three.interval_level, two.interval_level) == (2, 1)
    values = SizeCurves.over(three.task, three.scores, three.complete).of("distractor_preference")
    _, low, high = interval_of_models(values, limits=(0.0, 1.0))
    for size, models in enumerate(three.sizes):
        mean = three.mean(models, "distractor_preference", Condition.CONFLICT)
        assert mean == pytest.approx((values[:, size].mean(), low[size], high[size]))
        record = summary(three)["sizes"][size]
        assert (record["level"], record["distractor_preference"]) == (2, mean._asdict())
    wide, narrow = (
        result.mean(result.sizes[2], "distractor_preference", Condition.CONFLICT) for result in (three, two)
    )
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)
    for result in (three, two):
        level = f"level {result.interval_level}"
        assert level in str(models_table(result).renderables[0])
        assert level in plot.curves(result).get_suptitle()
        assert level in plot.distractor_alone(result).get_suptitle()


def test_seeds_in_two_modes_are_shown_with_the_level_of_each() -> None:
    curve = [0.5, 0.7, 0.5, 0.3]
    result = simulated(curve, {0: [0.5, 0.7, 0.8, 0.3], 1: [0.5, 0.7, 0.9, 0.3], 2: [0.5, 0.7, 0.1, 0.3]})
    found = [each["modes"] for each in summary(result)["sizes"]]
    assert [each["above"] for each in found[1:]] == [3, 2, 0]
    assert [each["two_modes"] for each in found] == [False, False, True, False]
    assert found[2]["share_above"] == pytest.approx(2 / 3)
    assert (found[2]["level_above"], found[2]["level_below"]) == pytest.approx((0.85, 0.1), abs=0.02)
    text = " ".join(printed([models_table(result), verdict_table(result)]).split())
    assert "Two modes at 40: 2 of 3 seeds prefer the distractor (mean 0.85), 1 does not (0.10)." in text
    assert re.search(r"40 .* 2/3 .* >\.5 .* 0\.85 2 .* ≤\.5 .* 0\.10 1 ", text)
    assert "is the level of neither" in text


def test_tables_fit_every_width() -> None:
    result = simulated([0.5, 0.7, 0.8, 0.6, 0.3], {1: [0.5, 0.5, 0.5, 0.52, 0.47], 2: [0.5, 0.6, 0.55, 0.9, 0.503]})
    curves = [format_curve(result)] * 4
    check_widths(lambda: [models_table(result), *notes(result), verdict_table(result), FormatsTable(curves)])


def test_seeds_near_one_half_are_not_two_modes_and_two_seeds_have_none() -> None:
    assert "Two modes" not in page([0.5, 0.7, 0.5, 0.3], {0: [0.5, 0.7, 0.53, 0.3], 1: [0.5, 0.7, 0.46, 0.3]})
    two = simulated([0.5, 0.7, 0.9, 0.3], {1: [0.5, 0.7, 0.1, 0.3]}, seeds=2)
    assert summary(two)["sizes"][2]["modes"] is None
    assert "seeds" not in " ".join(models_table(two).renderables[-2].headings)


@pytest.mark.parametrize("width", [130, 200])
@pytest.mark.parametrize(
    "of_seed", [{}, {1: [0.5, 0.8, 0.4, 0.8, 0.3]}, {1: [0.5, 0.5, 0.5, 0.52, 0.47], 2: [0.5, 0.6, 0.55, 0.9, 0.503]}]
)
def test_each_printed_row_follows_its_printed_rule(of_seed: dict[int, list[float]], width: int) -> None:
    text = printed([verdict_table(simulated([0.5, 0.7, 0.8, 0.6, 0.3], of_seed))], width)
    table = text.partition("claim of the hypothesis")[2].partition("yes: the whole")[0]
    cell = r"((?:-?[\d.]+ \[.*?\])|[\d.]+|–) +(yes|no|unclear|\d of \d)"
    rows = re.findall(
        rf"^(?:{'|'.join(map(re.escape, PARTS.values()))})  +(.*?)  +{cell}  +{cell}$", table, re.MULTILINE
    )
    assert len(rows) == 9
    for rule, *cells in rows:
        for numbers, shown in zip(cells[::2], cells[1::2], strict=True):
            given = answer(rule, read(numbers))
            assert given == shown or (given != "yes" and " of " in shown), (rule, numbers, shown)


def two_formats(result: AblationResult) -> Figure:
    return formats([format_curve(result)] * 2, "negation_qa")


@pytest.mark.parametrize("draw", [plot.curves, plot.distractor_alone, plot.by_difficulty, two_formats])
def test_everything_in_a_figure_is_on_the_page_and_tick_labels_do_not_overlap(
    draw: Callable[[AblationResult], Figure | None],
) -> None:
    figure = draw(simulated([0.5, 0.7, 0.8, 0.3]))
    assert figure is not None
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert box.x0 > -0.1
    assert box.x1 < width + 0.1
    assert box.y0 > -0.1
    assert box.y1 < height + 0.1
    for axes in figure.axes:
        ticks = [*axes.xaxis.get_ticklabels(), *axes.xaxis.get_ticklabels(minor=True)]
        boxes = sorted((t.get_window_extent() for t in ticks if t.get_text() and t.get_visible()), key=lambda b: b.x0)
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_the_verdict_weights_items_as_the_table_does_and_the_page_names_the_difference() -> None:
    result = unequal()
    for models, judged in zip(result.sizes, result.shapes["distractor_preference"].means[0], strict=True):
        shown = result.mean(models, "distractor_preference", Condition.CONFLICT)
        assert shown is not None
        assert judged == pytest.approx(shown.mean)
    few, other = result.weighting
    assert "item groups has 62% of the items" in few
    assert "a fall and rise of 0." in other
    assert [f"Distractor preference in conflict: {text}." for text in result.weighting] == list(notes(result))[-2:]
    assert summary(result)["weighting"] == [few, other]
    assert simulated([0.5, 0.7, 0.8, 0.3]).weighting == ()
