"""What the page of a run says of the curve: its peak, its legs and its turn, and nothing that is not so."""

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.special import logit

import oracles
import tiny
from distractor.ablation import figures as plot
from distractor.ablation.ablate import AblationResult, SizeCurves, models_at_peak, peak_and_largest
from distractor.ablation.tables import verdict_table
from distractor.scoring.settings import Settings
from distractor.statistics.shape_test import judge
from distractor.statistics.verdict import verdict
from distractor.text.task import Condition
from tasks import TASKS


def test_the_peak_is_that_of_the_mean_over_seeds_wherever_it_is_told() -> None:
    task = tiny.task()
    preferred = {(1, 0): 0.5, (2, 0): 0.9, (3, 0): 0.8, (4, 0): 0.1, (1, 1): 0.5, (2, 1): 0.2, (3, 1): 0.8, (4, 1): 0.1}
    shares = {at: np.log([[[1 - share, share]]]) for at, share in preferred.items()}
    scores = [
        oracles.scored(task, np.broadcast_to(share, (len(task.conditions), len(task.items), 2)), *at)
        for at, share in shares.items()
    ]
    complete = np.ones(len(task.items), dtype=bool)
    assert models_at_peak(task, scores, complete) == (2, 6)
    assert [one.name for one in peak_and_largest(task, scores, complete)] == ["oracles/3/seed0", "oracles/4/seed0"]
    first, last = verdict_table(AblationResult(task, Settings(), tuple(scores), {}, None, "no reason")).renderables
    assert re.search(r"3 \(3 parameters\).* 0\.80", str(first))
    assert "no reason" in str(last)


def page(course: list[float], own: dict[int, list[float]] | None = None) -> str:
    """What is said of the verdict."""
    return "\n".join(str(line) for line in verdict_table(made(course, own)).renderables)


def made(course: list[float], own: dict[int, list[float]] | None = None, seeds: int = 3) -> AblationResult:
    """A run in which preference in `conflict` takes this course over sizes, in all seeds but `own`."""
    task = TASKS["negation_qa"]().take(60)
    rng = np.random.default_rng(0)
    scores = []
    for seed in range(seeds):
        for at, share in enumerate((own or {}).get(seed, course)):
            level = {Condition.CONFLICT: logit(share)}
            noise = rng.normal(0, 0.1, (len(task.conditions), len(task.items)))
            ahead = np.array([level.get(c, 0.0) for c in task.conditions])[:, None] + noise
            log_probs = np.stack([np.full_like(ahead, -5.0), ahead - 5], -1)
            scores.append(oracles.scored(task, log_probs, 10 * 2**at, seed))
    scores.sort(key=lambda one: (one.source.n_params or 0, one.source.seed or 0))
    complete = np.ones(len(task.items), dtype=bool)
    curves = SizeCurves.over(task, scores, complete)
    shapes = {"distractor_preference": judge(curves.of("distractor_preference"), curves.sizes)}
    return AblationResult(task, Settings(), tuple(scores), shapes, verdict(curves.evidence(task)))


@pytest.mark.parametrize(
    "course",
    [[0.5, 0.495, 0.6, 0.8], [0.5, 0.3, 0.2, 0.205], [0.5, 0.2, 0.5, 0.8]],
    ids=["rises", "falls", "U"],
)
def test_a_curve_that_does_not_rise_and_fall_has_neither_legs_nor_a_turn(course: list[float]) -> None:
    text = page(course)
    assert float(re.search(r"rise and then fall: p ([\d.]+);", text)[1]) > 0.05  # type: ignore[index]
    assert "rise p" not in text
    assert "turning point" not in text


def test_a_turn_is_told_where_there_is_one() -> None:
    text = page([0.5, 0.7, 0.8, 0.3])
    assert "rise p < .001, fall p < .001; turning point between 40 and 40 parameters" in text
    assert "rows below" not in text


def test_the_size_that_the_rows_take_for_the_peak_is_named_where_it_is_another() -> None:
    assert re.search(r"rows below .*: 40, and", page([0.5, 0.6, 0.7, 0.8]))


def test_seeds_that_differ_are_counted_and_the_reason_says_whose_it_is() -> None:
    told = page([0.5, 0.8, 0.7, 0.3], {1: [0.5, 0.8, 0.4, 0.8], 2: [0.5, 0.5, 0.5, 0.3]})
    assert "these weights (1 of 3 seeds contradicted, 2 of 3 seeds undetermined; first undetermined seed: " in told


@pytest.mark.parametrize("draw", [plot.curves, plot.distractor_alone, plot.pulls, plot.by_difficulty])
def test_nothing_stands_out_of_a_figures_page_and_numbers_do_not_lie_on_each_other(
    draw: Callable[[AblationResult], Figure | None],
) -> None:
    figure = draw(made([0.5, 0.7, 0.8, 0.3]))
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
        boxes = sorted(
            (one.get_window_extent() for one in ticks if one.get_text() and one.get_visible()), key=lambda one: one.x0
        )
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
