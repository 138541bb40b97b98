"""The figures of `distractor compare` can be read for any number of sides, sites and steps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import oracles
from distractor.comparison import figures as plot
from distractor.comparison.map_changes import MapChange
from distractor.comparison.result import ComparisonResult, Pair, Transfer
from distractor.comparison.sides import Side
from distractor.comparison.steps import PATHS, PULLS, SHARES, TrainingCurves
from distractor.models.source import Source
from distractor.probing.strengths import ChosenSites, Strength
from distractor.runs import colours, style
from distractor.scoring.settings import Settings
from distractor.statistics.changes import Change
from distractor.statistics.intervals import Mean
from distractor.text.task import Condition
from shown import COUNTS, check_texts
from tasks import TASKS

TASK = TASKS["negation_qa"]().take(12)
SHORT = "m{}"
STEP = "24x2/seed780@{}000"
LONG = "an-organisation/a-model-with-a-long-name-{}b-instruct"


def result(names: str, sides: int, seeds: int = 1, *, transfers: bool = False) -> ComparisonResult:
    """A comparison of this number of sides, each with the first; `names` holds a place for a number."""
    rng = np.random.default_rng(0)
    scores = []
    for side in range(sides):
        for seed in range(seeds):
            one = oracles.scored(TASK, rng.normal(-3, 1, (len(TASK.conditions), len(TASK.items), 2)), 10**side, seed)
            source = Source("family", names.format(side), Path("x"), n_params=10**side, seed=seed)
            scores.append(replace(one, source=source))
    members = [tuple(range(side * seeds, (side + 1) * seeds)) for side in range(sides)]
    named = tuple(Side(f"family/{names.format(side)}", of_side) for side, of_side in enumerate(members))
    plain = ComparisonResult(TASK, Settings(), tuple(scores), named)
    change = Change(0.3, 0.2, 0.4, 0.01, 0.01, 0.1)
    mean = Mean(1.0, 0.5, 1.5)
    of_pair = [
        Transfer(path, named[a].name, named[b].name, ("L0H0.z",), ("L0H1.z",), mean, mean, change)
        for a, b in ((0, 1), (1, 0))
        for path in PATHS
    ]
    pairs = tuple(
        Pair(0, other, dict.fromkeys(plain.rows, change), {}, (), transfers=tuple(of_pair) if transfers else ())
        for other in range(1, sides)
    )
    loss = np.arange(12.0)
    strengths = tuple(
        Strength(one.source, ChosenSites(("L0H1.z",), ("L0H0.z",)), tuple(map(str, range(12))), loss, loss)
        for one in scores
    )
    return ComparisonResult(TASK, Settings(), tuple(scores), named, pairs, strengths=strengths)


def change(n_sites: int, size: float = 1.0, name: str = "conflict") -> MapChange:
    """A map of random effects, some of which changed."""
    rng = np.random.default_rng(n_sites)
    first, second = size * rng.normal(size=(2, n_sites))
    mean, marked = second - first, rng.random(n_sites) < 0.5
    sites = tuple(f"L{k // 16}H{k % 16}.z" for k in range(n_sites))
    return MapChange(
        {"condition": name}, sites, first, second, mean, mean - 0.1, mean + 0.1, np.full(n_sites, 0.01), marked, marked,
        marked, 0.5, 0.5, (0.5, 0.5), True,
    )  # fmt: skip


def training(count: int, seeds: int = 1, first: int = 0) -> TrainingCurves:
    """Random curves of all quantities over this number of steps, from step 0 or later."""
    steps = (first, *(2**k for k in range(7, 6 + count))) if count < 20 else tuple(range(first, 1000 * count, 1000))
    rng = np.random.default_rng(0)
    curves = {name: rng.random((seeds, count, 4)) for name in (*SHARES, *PULLS, *PATHS)}
    return TrainingCurves("family/m", steps, tuple(range(seeds)), curves)


@pytest.mark.parametrize("names", [SHORT, STEP, LONG])
@pytest.mark.parametrize(("sides", "seeds"), [(2, 1), (2, 5), (3, 1), (11, 1)])
def test_behaviour_and_paths_can_be_read(names: str, sides: int, seeds: int) -> None:
    check_texts(plot.behaviour(result(names, sides, seeds)))
    check_texts(plot.paths(result(names, sides, seeds)))
    check_texts(plot.paths(result(names, sides, seeds, transfers=True)))


@pytest.mark.parametrize("names", [SHORT, STEP, LONG])
@pytest.mark.parametrize("sides", [2, 3, 11])
@pytest.mark.parametrize("draw", [plot.levels_panel, plot.changes_panel])
def test_panels_of_a_page_can_be_read(names: str, sides: int, draw: Callable[..., None]) -> None:
    one = result(names, sides)
    for quantity in plot.PANELS:
        with mpl.rc_context(style.STYLE):
            figure = Figure(figsize=plot.panel_size(one), layout="constrained")
            draw(figure.subplots(), one, [row for row in one.rows if row[0] == quantity])
        check_texts(figure)


def test_rows_of_behaviour_are_in_line_and_a_change_has_another_colour_than_the_sides() -> None:
    figure = plot.behaviour(result(SHORT, 2))
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == [condition.value for condition in TASK.conditions]
    for row in (figure.axes[:3], figure.axes[3:]):
        assert len({axes.get_ylim() for axes in row}) == 1
        heights = [{y for line in axes.lines for y in np.atleast_1d(line.get_ydata()).tolist()} for axes in row]
        assert heights[0] <= heights[2]
        assert heights[1] <= heights[0], "accuracy has no value in neutral"
    *sides, change = figure.legends[0].get_lines()
    assert change.get_color() not in {side.get_color() for side in sides}


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("names", [SHORT, LONG])
def test_sites_can_be_read(count: int, names: str) -> None:
    one = result(names, 2)
    maps = [change(count, name="conflict/congruent, noising"), change(max(1, count // 2), 0.01)]
    check_texts(plot.sites(one, one.pairs[0], "head_patching", maps))


def test_changes_within_noise_are_not_zoomed() -> None:
    one = result(SHORT, 2)
    small = Change(0.001, -0.001, 0.003, 0.5, 0.5, 0.002)
    pair = replace(one.pairs[0], rows=dict.fromkeys(one.rows, small))
    *shares, gap = plot.behaviour(replace(one, pairs=(pair,))).axes[3:]
    for axes, least in ((shares[0], 0.25), (shares[1], 0.25), (gap, 1)):
        low, high = axes.get_xlim()
        assert low <= -least
        assert high >= least


def test_effects_within_noise_are_not_zoomed() -> None:
    one = result(SHORT, 2)
    for axes in plot.sites(one, one.pairs[0], "ablation", [change(11, 0.001), change(3, 0.001)]).axes:
        low, high = axes.get_xlim()
        assert low <= -style.LEAST_EFFECT
        assert high >= style.LEAST_EFFECT


@pytest.mark.parametrize("first", [0, 100])
@pytest.mark.parametrize(("count", "seeds"), [(3, 1), (11, 3), (24, 3), pytest.param(154, 1, marks=pytest.mark.slow)])
def test_training_can_be_read(count: int, seeds: int, first: int) -> None:
    figure = plot.training(result(SHORT, 2), training(count, seeds, first))
    check_texts(figure)
    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is not None
        assert (style.SEEDS in [text.get_text() for text in legend.get_texts()]) == (seeds > 1)
        assert bool(dots(axes)) == (seeds > 1)


def dots(axes: Axes) -> list[str]:
    return [str(line.get_color()) for line in axes.lines if line.get_marker() == "."]


def test_a_condition_has_its_colour_along_training() -> None:
    behaviour, *_ = plot.training(result(SHORT, 2), training(3, 3)).axes
    assert colours.CONDITIONS[Condition.CONFLICT] in dots(behaviour)
