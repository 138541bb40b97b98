"""Order: the onsets of simulated curves are found, a planted lag is found, and without a lag no order is found."""

import json

import numpy as np
import pytest

from distractor.statistics.ordering import MIN_SIZES, Lag, Order, _declines, _onsets, order

pytestmark = pytest.mark.quick

SIZES = np.geomspace(1e3, 1e6, 13)
X = np.log(SIZES)


def rise(at: float, top: float = 4.0, width: float = 0.3) -> np.ndarray:
    """A smooth rise that reaches half of its height at index `at` of the grid."""
    return np.asarray(top / (1 + np.exp(-(np.arange(13) - at) / width)))


def made(curve: np.ndarray, *, seed: int, seeds: int = 1, groups: int = 60, noise: float = 0.4) -> np.ndarray:
    random = np.random.default_rng(seed)
    return curve[None, :, None] + noise * random.normal(size=(seeds, len(curve), groups))


def rise_and_fall() -> np.ndarray:
    return made(rise(5) - rise(9), seed=2, noise=0.05)


def test_the_onset_of_a_straight_line_is_exact() -> None:
    x = np.arange(5.0)
    y = np.array([0.0, 1.0, 2.0, 2.0, 2.0])
    assert _onsets(x, y, 0.0, (0.25, 0.5, 0.75)).tolist() == [0.5, 1.0, 1.5]
    assert _declines(x, np.array([0.0, 4.0, 2.0, 0.0, 0.0]), 0.0, (0.5,)).tolist() == [2.0]


@pytest.mark.parametrize(
    ("y", "why"),
    [
        ([0, 0.01, 0.02, 0.01, 0], "below noise"),
        ([0, 1, 2, 3, 4], "still rising at the edge"),
        ([4, 3, 2, 1, 0], "at its maximum from the start"),
        ([3, 4, 4, 4, 4], "there already at the smallest size"),
    ],
)
def test_a_curve_without_an_onset_gives_nan(y: list[float], why: str) -> None:
    assert np.isnan(_onsets(np.arange(5.0), np.array(y, dtype=float), 0.1, (0.5,))).all(), why


@pytest.mark.parametrize(
    ("true", "other", "falling", "why"),
    [
        (rise(6), np.zeros(13), False, "D does not exceed noise"),
        (np.linspace(0, 4, 13), rise(3), False, "T is highest at the last size and may rise further"),
        (rise(6), np.linspace(4, 0, 13), False, "D is highest at the first size"),
        (rise(6), 3 + rise(6, top=1.0), False, "D has 25% of its maximum already at the first size"),
        (rise(6), np.linspace(0, 4, 13), True, "D is highest at the last size and may rise further"),
        (rise(6), rise(3) - rise(9, top=0.8), True, "D does not lose 25% of its maximum"),
        (
            np.linspace(0, 4, 13),
            np.zeros(13),
            False,
            "T is highest at the last size and may rise further; D does not exceed noise",
        ),
    ],
)
def test_the_sentence_says_why_an_order_is_not_defined(
    true: np.ndarray, other: np.ndarray, falling: bool, why: str
) -> None:
    curves = (made(curve, seed=seed, noise=0.05) for seed, curve in enumerate((true, other)))
    found = order(*curves, SIZES, names=("T", "D"), falling=falling, draws=50)
    assert found.call == "not defined"
    assert found.sentence.endswith(f"not defined at 25% ({why})")


def test_a_lag_of_three_steps_is_found_either_way() -> None:
    early, late = made(rise(4), seed=1), made(rise(7), seed=2)
    found = order(late, early, SIZES, names=("T", "D"), draws=300)
    assert found.call == "second"
    assert [lag.lag / np.diff(X)[0] for lag in found.lags] == pytest.approx([3, 3, 3], abs=0.4)
    assert "T moves after D" in found.sentence
    assert "these weights" in found.sentence
    assert order(early, late, SIZES, names=("T", "D"), draws=300).call == "first"


def test_with_three_seeds_the_lag_is_judged_at_level_2() -> None:
    found = order(made(rise(7), seed=2, seeds=3), made(rise(4), seed=1, seeds=3), SIZES, names=("T", "D"), draws=200)
    assert found.call == "second"
    assert found.lags[0].models is not None
    assert "models like these" in found.sentence
    for lag in found.lags:
        low, high = np.exp(lag.models)
        assert f"{np.exp(lag.lag):.2f} [{low:.2f}, {high:.2f}]" in found.sentence, "the sentence shows another interval"


def test_a_seed_without_an_onset_moves_all_thresholds_to_level_1() -> None:
    late, early = made(rise(7), seed=2, seeds=3, noise=0.1), made(rise(4), seed=1, seeds=3, noise=0.1)
    late[0, 0] = 0.35 * 4  # this seed is beyond a quarter at the smallest size
    found = order(late, early, SIZES, names=("T", "D"), draws=100)
    assert all(lag.models is None for lag in found.lags)
    assert "models like these" not in found.sentence


@pytest.mark.parametrize("falling", [False, True])
def test_the_lag_by_chance_is_that_of_the_noisier_curve(falling: bool) -> None:
    quiet, loud = made(rise(5), seed=1, noise=0.05), made(rise(5) - rise(9), seed=2, noise=2.0)
    alone, both = (
        order(quiet, one, SIZES, names=("T", "D"), falling=falling, draws=50) for one in (rise_and_fall(), loud)
    )
    assert both.lags, both.sentence
    assert all(noisy.by_chance > 3 * still.by_chance for noisy, still in zip(both.lags, alone.lags, strict=True))


def test_an_infinite_lag_by_chance_is_null_in_json() -> None:
    lag = Lag(0.5, 1.0, 0.5, 1.5, by_chance=np.inf, step=0.2, models=None)
    summary = json.loads(json.dumps(Order("not separable", (lag,), "sentence").as_dict(), allow_nan=False))
    assert summary["lags"][0]["by_chance"] is None
    assert summary["lags"][0]["high"] == 1.5


def test_curves_that_move_together_are_not_separable() -> None:
    calls = [
        order(made(rise(5.3), seed=2 * k), made(rise(5.3), seed=2 * k + 1), SIZES, names=("T", "D"), draws=100).call
        for k in range(8)
    ]
    assert set(calls) <= {"not separable", "not defined"}


def test_a_lag_within_one_step_of_the_grid_is_not_separable() -> None:
    found = order(
        made(rise(5.6), seed=2, noise=0.05), made(rise(5), seed=1, noise=0.05), SIZES, names=("T", "D"), draws=200
    )
    assert found.call == "not separable"
    assert all(lag.low > 0 for lag in found.lags), "the lag is there, but the grid is too coarse to trust it"


def test_an_onset_is_compared_with_a_decline() -> None:
    hump = rise(3) - rise(9)
    found = order(made(rise(6), seed=2), made(hump, seed=1), SIZES, names=("T", "D"), falling=True, draws=300)
    assert found.call == "first"
    assert "T moves before D's decline" in found.sentence
    never = order(
        made(rise(6), seed=2), made(rise(3), seed=1, noise=0.01), SIZES, names=("T", "D"), falling=True, draws=50
    )
    assert never.call in ("not defined", "not separable")


def test_noise_alone_and_too_few_sizes_are_not_defined() -> None:
    nothing = made(np.zeros(13), seed=1)
    assert order(made(rise(6), seed=2), nothing, SIZES, names=("T", "D"), draws=50).call == "not defined"
    few = MIN_SIZES - 1
    found = order(nothing[:, :few], nothing[:, :few], SIZES[:few], names=("T", "D"))
    assert found.call == "not defined"
    assert "3 sizes are too few" in found.sentence
