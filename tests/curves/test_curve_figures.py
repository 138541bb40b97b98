"""The figures of `distractor shape` can be read for any number of sizes, on any axis, with published curves and parts."""

from dataclasses import replace

import numpy as np
import pytest

from distractor.curves import figures as plot
from distractor.curves.judge_curve import JudgedCurve, judge_curve
from distractor.published.curves import find_published
from distractor.published.placement import OwnCurve, References
from distractor.runs.item_parts import parts_of
from distractor.runs.parts_figure import parts
from distractor.statistics.curve import Curve
from shown import COUNTS, check_texts

GROUPS = tuple(f"a group with a long name {k}" for k in range(8))


def curve(count: int, quantity: str = "accuracy", axis: str = "parameters", seeds: int = 3) -> Curve:
    """A curve of random values over sizes from 70M to 12B, or steps from 0."""
    sizes = tuple(np.geomspace(70e6, 12e9, count).round().tolist())
    if axis == "step":
        sizes = (0, *(2**k for k in range(count - 1))) if count < 20 else tuple(range(0, 1000 * count, 1000))
    values = np.random.default_rng(0).uniform(0, 1, (seeds, count, len(GROUPS)))
    return Curve(
        quantity, axis, sizes, tuple(range(seeds)), values.mean(-1), values=values, groups=GROUPS, task="a_task"
    )


def judged(count: int, quantity: str = "accuracy", axis: str = "parameters") -> JudgedCurve:
    return judge_curve(curve(count, quantity, axis))


@pytest.mark.parametrize("count", [count for count in COUNTS if count >= 3])  # fewer sizes have no shape
@pytest.mark.parametrize(("quantity", "axis"), [("accuracy", "parameters"), ("logit_gap", "step")])
def test_curves_can_be_read(count: int, quantity: str, axis: str) -> None:
    check_texts(plot.shape(judged(count, quantity, axis)))


@pytest.mark.parametrize(
    "names",
    [["opt"], ["gpt3"], ["opt", "gpt3"], ["gpt2", "opt", "gpt3", "gpt3-text", "cohere", "jurassic", "gpt3-parts"]],
)
def test_published_curves_can_be_read(names: list[str]) -> None:
    found = replace(judged(4), references=References(OwnCurve(), find_published("negation_qa", names)))
    figure = plot.shape(found)
    check_texts(figure, str(names))
    same = found.references.same
    legend = figure.axes[0].get_legend()
    assert legend is not None
    shown = {" ".join(text.get_text().split()) for text in legend.get_texts()}
    assert {one.legend for one in same} <= shown
    assert len(same) + sum(len(panel.curves) for panel in found.references.panels) == len(found.references.curves)
    assert figure.axes[0].get_xlim()[1] >= max([1e9, *(p.size for one in same for p in one.points)])


def test_published_curves_over_parameters_have_their_own_panel_if_the_curve_is_over_steps() -> None:
    own = OwnCurve(axis="step")
    found = replace(judged(4, axis="step"), references=References(own, find_published("negation_qa", ["opt"])))
    figure = plot.shape(found)
    check_texts(figure)
    assert [axes.get_xlabel() for axes in figure.axes] == ["training step", "parameters (published)"]


@pytest.mark.parametrize("count", COUNTS[1:])
@pytest.mark.parametrize("cut", ["difficulty", "group"])
def test_parts_can_be_read(count: int, cut: str) -> None:
    one = curve(count)
    check_texts(parts(one, parts_of(one, cut)))  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_bands_of_parts_have_the_level_of_the_curve_and_stay_between_0_and_1(seeds: int) -> None:
    one = curve(4, seeds=seeds)
    found = parts_of(replace(one, values=np.where(one.values > 0.05, 1.0, 0.0)), "difficulty")  # type: ignore[operator]
    assert found.level == (2 if seeds == 3 else 1)
    assert found.low is not None
    assert found.high is not None
    assert (found.low < found.means).all()
    assert (found.low >= 0).all()
    assert (found.high <= 1).all()
    assert f"level {found.level}" in parts(one, found).get_suptitle()
