"""How the distractor is overcome over size: the figure shows what summary.json says, and nothing that is not defined."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

import wired
from distractor.attribution import report
from distractor.attribution.attribute import attribute
from distractor.attribution.overcome_over_size import AtSize
from distractor.attribution.overcoming_figure import LIMITS, SHARES, overcoming_over_size
from distractor.attribution.size_trends import mean_over_models
from distractor.probing.probe_results import ProbeResults
from distractor.probing.strengths import ChosenSites, Strength
from distractor.runs import colours, style
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.intervals import Mean
from distractor.statistics.overcoming import Overcome
from distractor.text.task import Condition
from probes import PROBES
from shown import check_page

NAMES = [f"{width}x{layers}" for width in (8, 16, 32, 64) for layers in (1, 2, 3)]
SEEDS = 3
ALONE = Condition.DISTRACTOR_ONLY


def at(size: int, name: str = "16x1", label: Any = "override", seeds: Any = (), **shares: Mean) -> AtSize:
    """A size with these shares; T, D and the gap grow with it."""
    pull = float(np.log(size))
    true, distractor, gap = (Mean(mean, mean - 0.5, mean + 0.5) for mean in (pull, 2 * pull, -pull))
    return AtSize(name, size, Overcome(label, "", Mean(1, 0, 2), **shares), true, distractor, gap, seeds)


def panels(figure: Figure) -> tuple[Axes, Axes, Axes, Axes]:
    pulls, alone, shares, names = figure.axes
    return pulls, alone, shares, names


def drawn(axes: Axes, marker: str, colour: str) -> list[float]:
    """The heights of all markers of a kind, except dots of a legend."""
    lines = [line for line in axes.lines if line.get_marker() == marker and same_color(line.get_color(), colour)]
    return [float(y) for line in lines for y in np.asarray(line.get_ydata())]


def whiskers(axes: Axes, colour: str) -> list[list[float]]:
    """The ends of all whiskers of a colour."""
    of_colour = [one for one in axes.collections if same_color(one.get_edgecolor()[0], colour)]
    segments = [segment for one in of_colour for segment in one.get_segments()]  # type: ignore[attr-defined]
    return [[float(y) for _, y in segment] for segment in segments if len(segment) and np.isfinite(segment).all()]


@pytest.mark.quick
def test_what_is_not_defined_is_left_out_and_what_is_beyond_the_axis_ends_in_a_triangle() -> None:
    points = [
        at(1_000, omega=Mean(0.5, -3, 1), kappa=Mean(1, 0.5, 1.5)),
        at(2_000, label="not learned"),
        at(4_000, omega=Mean(5, 1, 9)),
        at(8_000, omega=Mean(-4, -5, -3)),
    ]
    figure = overcoming_over_size("tiny", points)
    check_page(figure, "clipped")
    pulls, alone, shares, _ = panels(figure)
    black, kappa = SHARES["omega"][1], SHARES["kappa"][1]
    assert drawn(shares, "o", black) == [0.5]
    assert drawn(shares, "s", kappa) == [1.0]
    assert drawn(shares, "v", black) == [-2, -2], "the first interval and the last one go on below"
    assert drawn(shares, "^", black) == [2]
    assert drawn(shares, "^", kappa) == drawn(shares, "v", kappa) == []
    legend = shares.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 2, "ρ is not defined"
    assert whiskers(shares, black) == [[-2, 1], [1, 2], [-2, -2]]
    assert shares.get_ylim() == LIMITS
    assert "triangles" in figure.get_suptitle()
    for (label, colour, marker), pull in zip(style.PULL_STYLES.values(), ("true_pull", "distractor_pull"), strict=True):
        assert_allclose(drawn(pulls, marker, colour), [getattr(point, pull).mean for point in points], err_msg=label)
    assert drawn(alone, style.MARKERS[ALONE], colours.DISTRACTOR) == [p.gap_alone.mean for p in points if p.gap_alone]


@pytest.mark.quick
@pytest.mark.parametrize("span", [3.0, 0.2])
@pytest.mark.parametrize("count", [2, 12, 154])
def test_names_and_answers_do_not_overlap(count: int, span: float) -> None:
    sizes = (1e4 * 10 ** np.linspace(0, span, count)).astype(int).tolist()
    labels = ("suppression at the source", "shared, undetermined", "override")
    points = [at(size, NAMES[i % 12], labels[i % 3], omega=Mean(1, 0, 2)) for i, size in enumerate(sizes)]
    figure = overcoming_over_size("tiny in ladder/tiny", points)
    check_page(figure, str(count))
    named = panels(figure)[-1].texts
    boxes = [text.get_window_extent() for text in named]
    assert len(named) == count if count < 50 else len(named) > 50
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
    assert named[0].get_text() == "8x1: suppression at the source"
    parameters = panels(figure)[2].xaxis.label.get_window_extent()
    assert all(box.y1 < parameters.y0 for box in boxes)
    if count == 2:  # names below their sizes need no lines, and no space for them
        assert min(parameters.y0 - box.y1 for box in boxes) < parameters.height


@pytest.mark.quick
def test_a_model_that_has_not_overcome_the_distractor_says_so() -> None:
    first = at(1_000)
    cautious = replace(first, found=replace(first.found, cautions=("the distractor is not overcome",)))
    figure = overcoming_over_size("tiny", [cautious, at(2_000)])
    assert [text.get_text() for text in panels(figure)[-1].texts] == ["16x1: override; not yet", "16x1: override"]
    assert "Not yet: the distractor's answer still wins" in " ".join(figure.get_supxlabel().split())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ProbeResults:
    """Three seeds of two sizes of additive heads: the distractor's answer is overridden in the larger size."""
    folder, task = tmp_path_factory.mktemp("over_size"), wired.task(8)
    sources = [
        replace(wired.source(folder, f"{name}-{seed}", **more), family="mine", model=name, seed=seed)  # type: ignore[arg-type]
        for seed in range(SEEDS)
        for name, more in (
            ("small", {"first": 2.0 + 0.1 * seed, "second": 0.5}),
            ("large", {"first": 1.0, "second": 2.0 + 0.2 * seed, "at": 1, "layers": 2}),
        )
    ]
    probes = {"overcoming": PROBES["overcoming"]}
    return attribute(task, sources, probes, store=Store(folder / "cells"), settings=Settings(device="cpu"))


def only_first_seeds(results: ProbeResults) -> ProbeResults:
    kept = results.readings["overcoming"][::SEEDS]
    return replace(results, scores=results.scores[::SEEDS], readings={"overcoming": kept})


@pytest.mark.parametrize("seeds", [1, SEEDS])
def test_the_figure_shows_what_the_summary_says(results: ProbeResults, seeds: int) -> None:
    made = results if seeds > 1 else only_first_seeds(results)
    entries = json.loads(json.dumps(report.summary(made), allow_nan=False))["overcoming"]["over_size"]
    assert [(one["size"], one["label"]) for one in entries] == [
        (name if seeds > 1 else f"{name}/seed0", "override") for name in ("small", "large")
    ]
    figure = next(iter(report.plan_figures(made).values())).draw()
    check_page(figure, "over_size")
    pulls, alone, shares, names = panels(figure)
    marks = [(shares, share, *SHARES[share][1:]) for share in ("omega", "kappa")]
    marks += [(pulls, pull, *style.PULL_STYLES[pull][1:]) for pull in style.PULL_STYLES]
    marks += [(alone, "gap_alone", colours.DISTRACTOR, style.MARKERS[ALONE])]  # type: ignore[list-item]
    for axes, quantity, colour, marker in marks:
        means = [one[quantity] for one in entries]
        assert_allclose(drawn(axes, marker, colour), [mean["mean"] for mean in means], err_msg=quantity)
        assert_allclose(whiskers(axes, colour), [[mean["low"], mean["high"]] for mean in means], err_msg=quantity)
        of_seeds = [seed[quantity]["mean"] for one in entries for seed in one.get("seeds", [])]
        assert_allclose(drawn(axes, ".", colour), of_seeds, err_msg=quantity)
        assert len(of_seeds) == (2 * SEEDS if seeds > 1 else 0)
    assert all(one["rho"] is None for one in entries), "no site of these models serves both tasks"
    assert drawn(shares, SHARES["rho"][2], SHARES["rho"][1]) == []
    over = "seeds and item groups" if seeds > 1 else "item groups"
    assert f"95 % over {over}" in " ".join(figure.get_suptitle().split())
    assert [text.get_text().split(": ")[1] for text in names.texts] == ["override; not yet", "override"]


def test_the_numbers_are_those_of_behaviour(results: ProbeResults) -> None:
    for made, level in ((results, 2), (only_first_seeds(results), 1)):
        entries = report.summary(made)["overcoming"]["over_size"]
        assert made.interval_level == level
        for entry, models in zip(entries, made.sizes, strict=True):
            for pull in ("true_pull", "distractor_pull"):
                expected = mean_over_models(made, models, pull, of_sites=False)
                assert_allclose([*entry[pull].values()], expected or (), rtol=1e-6, atol=1e-9)
            gaps = [made.item_values(model, "logit_gap", ALONE) for model in models]
            assert entry["gap_alone"]["mean"] == pytest.approx(np.mean(gaps), abs=1e-4)
            assert entry["gap_alone"]["mean"] < 0, "the distractor's answer wins there"


def test_one_size_and_steps_have_no_figure_over_size(results: ProbeResults) -> None:
    small = replace(
        results, scores=results.scores[:SEEDS], readings={"overcoming": results.readings["overcoming"][:SEEDS]}
    )
    assert report.plan_figures(small) == {}
    assert report.plan_figures(replace(small, strengths=strengths_of(small))) == {}
    source = results.sources[0]
    steps = [
        replace(scores, source=replace(source, step=step, is_final=False))
        for step, scores in enumerate(results.scores[::SEEDS])
    ]
    readings = [replace(one, source=s.source) for one, s in zip(results.readings["overcoming"], steps, strict=False)]
    assert report.plan_figures(replace(results, scores=tuple(steps), readings={"overcoming": tuple(readings)})) == {}


def test_it_comes_right_after_the_sites_over_size(results: ProbeResults) -> None:
    drawn_first = list(report.plan_figures(replace(results, strengths=strengths_of(results))))[:2]
    assert drawn_first == ["across", "overcoming_over_size"]


def strengths_of(results: ProbeResults) -> tuple[Strength, ...]:
    """The same sites and losses in each model."""
    sites, loss = ChosenSites(("L0H1.z",), ("L0H0.z",)), np.arange(len(results.task.items), dtype=float)
    return tuple(Strength(source, sites, results.groups, loss, loss) for source in results.sources)


@pytest.mark.quick
@pytest.mark.parametrize(("mean", "goes_on"), [(1.0, False), (3.0, True)])
def test_triangles_are_named_only_where_one_is_drawn(mean: float, goes_on: bool) -> None:
    """A seed is a dot without an interval, so only its mean can be beyond the axis."""
    points = [at(size, omega=Mean(1, 0.5, 1.5), seeds=(at(size, omega=Mean(mean, -3, 4)),)) for size in (1_000, 4_000)]
    figure = overcoming_over_size("tiny", points)
    shares, black = panels(figure)[2], SHARES["omega"][1]
    assert bool(drawn(shares, "^", black) + drawn(shares, "v", black)) == goes_on
    assert ("triangles" in figure.get_suptitle()) == goes_on
