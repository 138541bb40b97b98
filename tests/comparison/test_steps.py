"""Along training, the path planted to move first is found, and nothing is found if nothing is planted."""

import numpy as np
import pytest
from numpy import ndarray
from numpy.testing import assert_allclose

from distractor.comparison.steps import TrainingCurves, curve
from distractor.statistics.group_values import weigh
from distractor.statistics.intervals import interval, interval_of_models

pytestmark = pytest.mark.quick

STEPS = (0, 100, 200, 400, 800, 1600, 3200, 6400)
N_GROUPS = 40


def rising(at: float, *, falls: bool = False) -> ndarray:
    """A curve from 0 to about 2 around a step, on a logarithmic axis; with `falls` it falls again two grid steps later."""
    x = np.log(np.array([step or 50 for step in STEPS], dtype=float))
    up = 1 / (1 + np.exp(-4 * (x - np.log(at))))
    down = 1 / (1 + np.exp(-4 * (x - np.log(at) - 2.2))) if falls else 0.02 * np.arange(len(STEPS))
    return 2 * (up - down)


def course(
    true: ndarray, distractor: ndarray, *, seeds: int = 1, noise: float = 0.2, random: int = 0
) -> TrainingCurves:
    rng = np.random.default_rng(random)

    def noisy(row: ndarray) -> ndarray:
        return row[None, :, None] + noise * rng.normal(size=(seeds, len(STEPS), N_GROUPS))

    pulls = {"true_pull": noisy(true), "distractor_pull": noisy(distractor)}
    paths = {"true_path": noisy(true), "distractor_path": noisy(distractor)}
    shares = {"distractor_preference": 0.5 + 0.2 * noisy(distractor - true), "distractor_only": 0.5 + 0.2 * noisy(true)}
    curves = {**shares, **pulls, **paths}
    return TrainingCurves("wired", STEPS, tuple(range(seeds)), curves)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_path_that_moves_first_is_named(seeds: int) -> None:
    result = course(rising(1200), rising(150), seeds=seeds)
    assert result.orders["sites"]["onset"].call == "second"
    assert result.orders["behaviour"]["onset"].call == "second"
    level = "models like these" if seeds == 3 else "these weights"
    assert any(
        line.startswith("sites: the true path moves after the distractor's path, by factors of") and level in line
        for line in result.sentences()
    )
    assert "in step at 25" in result.sentences()[0]


def test_paths_that_move_together_are_not_separable() -> None:
    result = [course(rising(400), rising(400), random=random).orders["sites"]["onset"].call for random in range(3)]
    assert set(result) == {"not separable"}


def test_a_true_path_that_rises_before_the_distractors_decline_comes_first() -> None:
    result = course(rising(300), rising(300, falls=True))
    assert result.orders["sites"]["decline"].call == "first"


def test_noise_has_no_order() -> None:
    nothing = np.zeros(len(STEPS))
    assert course(nothing, nothing).orders["sites"]["onset"].call == "not defined"


def test_preference_over_steps_has_a_shape() -> None:
    # It rises with the distractor and falls with the true task.
    shape = course(1.4 * rising(1200), rising(150)).shape
    assert shape is not None
    assert shape.label_level_1 == "inverted-U"


@pytest.mark.parametrize("seeds", [2, 3])
def test_intervals_are_of_level_2_with_three_seeds(seeds: int) -> None:
    result = course(rising(1200), rising(150), seeds=seeds)
    values = result.curves["true_pull"]
    expected = interval_of_models(values) if seeds == 3 else interval(values.mean(0))
    assert_allclose(result.means("true_pull"), expected)
    assert f"level {2 if seeds == 3 else 1}" in result.interval_name


def test_means_are_over_items_and_curves_keep_the_groups_with_values_everywhere() -> None:
    values = np.arange(12.0).reshape(1, 2, 6)
    values[0, 1, 5] = np.nan
    laid = curve([list(seed) for seed in values], ["a", "a", "a", "b", "b", "c"])
    assert laid is not None
    assert_allclose(laid[0], weigh(np.array([[1, 3.5], [7, 9.5]]), np.array([3.0, 2.0])))
    result = TrainingCurves("x", (1, 2), (0,), {"true_pull": laid})
    assert_allclose(result.means("true_pull")[0], values[0, :, :5].mean(1))
    assert result.orders == {}
    assert result.shape is None
    assert curve([list(seed) for seed in values], ["a"] * 6) is None
