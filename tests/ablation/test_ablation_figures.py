"""The figures of `distractor ablate` can be read for any number of models, any range of sizes, and in any format."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from distractor.ablation import figures as plot
from distractor.ablation.ablate import AblationResult
from distractor.ablation.formats.curve import format_curve
from distractor.ablation.formats.figures import by_part, formats
from distractor.ablation.written import figures as written
from distractor.ablation.written.answers import WrittenResult
from distractor.runs import style
from distractor.text.format import Format
from distractor.text.task import Condition
from shown import COUNTS, check_texts
from simulated_replies import many_items, over_sizes
from simulated_runs import hand_made, html_of, simulated

LARGEST = [(1, 70e6), (2, 100e6), (2, 12e9), (3, 990e6), (3, 70e12), (11, 100e6), (11, 12e9), (11, 70e12), (154, 12e9)]
FIGURES = [plot.curves, plot.conditions, plot.distractor_alone, plot.by_difficulty]
GAPS = [-1.0, 0.5] * 4


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize(("count", "largest"), LARGEST)
def test_no_text_is_cut_or_overlaps(
    count: int, largest: float, draw: Callable[[AblationResult], Figure | None]
) -> None:
    sizes = [round(size) for size in np.geomspace(70e6, largest, count)]
    seeds = 3 if count < 100 else 1
    figure = draw(hand_made([GAPS] * count, sizes, seeds))
    assert (figure is None) == (count == 1 and draw is not plot.curves)
    if figure:
        check_texts(figure)


def test_a_title_with_the_verdict_fits() -> None:
    figure = plot.curves(simulated([0.5, 0.7, 0.9, 0.9, 0.4, 0.1], {2: [0.5, 0.9, 0.2, 0.9, 0.1, 0.8]}))
    assert "models like these" in " ".join(figure.get_suptitle().split())
    check_texts(figure)


@pytest.mark.parametrize("count", [1, 2, 11])
def test_a_task_without_other_conditions_has_accuracy_in_place_of_pulls(count: int) -> None:
    result = hand_made([GAPS] * count, only=[Condition.CONFLICT])
    figure = plot.curves(result)
    check_texts(figure)
    _, right = figure.axes
    assert "accuracy" in (right.get_xlabel() if count == 1 else right.get_ylabel())
    assert right.lines or right.collections
    text = html_of(result)
    assert "Accuracy over model size" in text or count == 1
    assert "True pull" not in text
    assert "T = " not in text


def test_a_single_size_shows_each_seed() -> None:
    figure = plot.curves(hand_made([GAPS], seeds=3))
    assert "10" in figure.get_suptitle().splitlines()[0]
    for axes in figure.axes:
        dots = [line for line in axes.lines if line.get_marker() == "."]
        assert [len(dot.get_xdata()) for dot in dots] == [3] * len(axes.get_yticks())  # type: ignore[arg-type]


@pytest.mark.parametrize("models", [[(1, 1)], [(1, 1), (2, 2)], [(3, 11), (11, 14)], [(2, 2), (30, 9)], [(24, 16)]])
@pytest.mark.parametrize("name", ["1b", "an-organisation/a-model-with-a-long-name-70b-instruct"])
def test_maps_of_knockouts_can_be_read(models: list[tuple[int, int]], name: str) -> None:
    knockouts = [
        {
            "model": f"{name}-{index}",
            "effects": {
                site: {condition: {"mean": -12.5} for condition in ("conflict", "congruent")}
                for layer in range(layers)
                for site in (*(f"L{layer}H{head}.z" for head in range(heads)), f"L{layer}.mlp_out")
            },
        }
        for index, (layers, heads) in enumerate(models)
    ]
    figure = plot.components(hand_made([GAPS]), knockouts)
    check_texts(figure)
    assert len({axes.get_ylim() for axes in figure.axes[: 2 * len(models)]}) == 1, "layers are in line"


def written_in(form: str, count: int) -> WrittenResult:
    """A run in a written format on models of this number of sizes."""
    return over_sizes(many_items(12, Format(form)), [0.5] * count, [0.95] * count)


@pytest.mark.parametrize("count", [count for count in COUNTS if count < 100])
@pytest.mark.parametrize("form", ["generate", "cot"])
def test_figures_of_written_answers_can_be_read(count: int, form: str) -> None:
    check_texts(written.curves(written_in(form, count)))


@pytest.mark.parametrize("count", [count for count in COUNTS if count < 100])
@pytest.mark.parametrize("forms", [("generate",), ("generate", "cot"), ("generate", "cot", "generate", "cot")])
def test_formats_side_by_side_can_be_read(count: int, forms: tuple[str, ...]) -> None:
    results = [written_in(form, count) for form in forms]
    check_texts(formats([format_curve(result) for result in results], "a_task"))
    figure = by_part(results)
    assert figure is not None
    check_texts(figure)


def test_each_lowest_panel_of_parts_has_numbers() -> None:
    task = many_items(12, Format("generate"))
    items = tuple(replace(item, group=f"part{k % 5}/{k}") for k, item in enumerate(task.items))
    figure = by_part([over_sizes(replace(task, items=items), [0.5] * 4, [0.95] * 4)])
    assert figure is not None
    figure.draw_without_rendering()
    shown = [
        any(label.get_visible() and label.get_text() for label in axes.get_xticklabels()) for axes in figure.axes[:5]
    ]
    assert shown == [False, True, True, True, True]
    check_texts(figure)


@pytest.mark.parametrize("least", [0.001, 5.0])
def test_noise_in_nats_looks_like_nothing(least: float) -> None:
    left, right = plot.curves(hand_made([[-least, least] * 4] * 3)).axes
    assert left.get_ylim() == (-0.03, 1.03)
    low, high = right.get_ylim()
    assert low <= -1
    assert high >= 1
    assert style.SEEDS not in [text.get_text() for text in left.get_legend().get_texts()]  # type: ignore[union-attr]
