"""Bounds of all pairs of sizes equal slow loops, and fail as often as they should."""

import numpy as np
import pytest
from numpy import ndarray
from scipy import stats

from distractor.statistics import pairs as pairs_module
from distractor.statistics import standard_errors
from distractor.statistics.pairs import (
    _sorted_maxima,
    labels,
    pairs_of_means,
    pairs_of_models,
    pairs_of_seed_means,
    pairs_of_weights,
    turning_set,
    weaker_leg,
)
from distractor.statistics.shape_test import Level, judge_models, judge_weights
from ladders import CURVES, SIZES, at_most, ladder, shared_by_seeds

pytestmark = pytest.mark.quick


def half_width_1(values: ndarray, draws: int, seed: int = 0) -> ndarray:
    """Level 1's bounds again, one draw, one pair and one group at a time."""
    n_sizes, n_groups = values.shape
    values = values[:, np.lexsort(values)]
    counts = np.random.default_rng(seed).multinomial(n_groups, [1 / n_groups] * n_groups, draws)
    error = np.zeros((n_sizes, n_sizes))
    for j in range(n_sizes):
        for k in range(n_sizes):
            error[j, k] = np.std(values[k] - values[j], ddof=1) / n_groups**0.5
    most = []
    for count in counts:
        resampled = np.repeat(values, count, axis=1)
        off = [
            abs((resampled[k] - resampled[j]).mean() - (values[k] - values[j]).mean()) / error[j, k]
            for j in range(n_sizes)
            for k in range(j + 1, n_sizes)
        ]
        most.append(max(off) * (n_groups / (n_groups - 1)) ** 0.5)
    normal = max(sorted(most, reverse=True)[int(0.1 * (draws + 1)) - 1], float(stats.norm.isf(0.05)))
    return float(stats.t.isf(stats.norm.sf(normal), degrees(values))) * error


def half_width_2(values: ndarray) -> ndarray:
    """Level 2's bounds again, pair by pair, with scipy's studentized range."""
    normal = float(stats.studentized_range.ppf(0.9, values.shape[1], np.inf)) / 2**0.5
    half = np.zeros((values.shape[1],) * 2)
    for j, k in np.ndindex(half.shape):
        variance, freedom = difference_2(values, j, k, shared_by_seeds(values[:, k] - values[:, j]))
        half[j, k] = float(stats.t.isf(stats.norm.sf(normal), freedom)) * variance**0.5
    return half


def difference_2(values: ndarray, j: int, k: int, g: float) -> tuple[float, float]:
    """The variance of a difference at level 2 and Satterthwaite's degrees of freedom, with the items' variance `g`."""
    n_seeds, n_sizes, _ = values.shape
    v = [float(np.var([values[s, size].mean() for s in range(n_seeds)], ddof=1)) for size in range(n_sizes)]
    mean = sum(v) / n_sizes
    excesses = [max(v[size] - mean, 0) / n_seeds for size in (j, k)]
    total = 2 * mean / n_seeds + sum(excesses) + g
    squares = (2 * mean / n_seeds) ** 2 / (n_sizes * (n_seeds - 1)) + g**2 / degrees(values.mean(0))
    return total, total**2 / (squares + sum(one**2 for one in excesses) / (n_seeds - 1))


def two_more(variance: float, n_groups: int) -> float:
    """The variance of a mean difference over groups, with one more group that rose by 1 and one that fell by 1."""
    squares = variance * n_groups * (n_groups - 1)
    return (squares + 2) / ((n_groups + 2) * (n_groups + 1))


def degrees(values: ndarray) -> float:
    """The degrees of freedom of the spread over groups, group by group, without each group's own level."""
    n_sizes, n_groups = values.shape
    clean = values - values.mean(0) - values.mean(1)[:, None] + values.mean()
    squares = [float((clean[:, g] ** 2).sum()) for g in range(n_groups)]
    found = (1 + 2 / (n_sizes - 1)) * sum(squares) ** 2 / sum(one**2 for one in squares)
    return min(found, n_groups - 1)


def alone_1(values: ndarray) -> ndarray:
    """The bound of each single pair at level 1: a paired t interval over groups and two more."""
    n_groups = values.shape[-1]
    variance = stats.sem(values[None, :] - values[:, None], axis=-1) ** 2
    return float(stats.t.ppf(0.975, degrees(values))) * two_more(variance, n_groups) ** 0.5 * (1 - np.eye(len(values)))


def alone_2(values: ndarray) -> ndarray:
    """The bound of each single pair at level 2, with two more groups."""
    n_seeds, n_sizes, n_groups = values.shape
    half = np.zeros((n_sizes, n_sizes))
    for j, k in np.ndindex(n_sizes, n_sizes):
        g = two_more(shared_by_seeds(values[:, k] - values[:, j], clip=False), n_groups)
        variance, freedom = difference_2(values, j, k, g)
        half[j, k] = stats.t.ppf(0.975, min(freedom, n_sizes * (n_seeds - 1))) * variance**0.5
    return half


def width(level: Level) -> float:
    return level.end[2] - level.end[0]


def test_level_1_bounds_equal_a_slow_loop() -> None:
    values = ladder(CURVES["inverted-U"], seeds=1, groups=25)[0]
    judged = judge_weights(values, SIZES, draws=200, is_share=False)
    assert width(judged) == pytest.approx(half_width_1(values, 200)[0, -1], rel=1e-9)


def test_level_2_bounds_equal_the_formula() -> None:
    values = ladder(CURVES["inverted-U"], noise=0.05)
    values[:, 3] += 0.3 * np.random.default_rng(1).normal(
        size=(5, 1)
    )  # one size has a much larger spread than the others
    assert width(judge_models(values, SIZES)) == pytest.approx(half_width_2(values)[0, -1], rel=1e-6)


def test_bounds_of_means_with_equal_errors_are_tukeys() -> None:
    pairs, _ = pairs_of_means(np.array([0.1, 0.4, 0.2]), np.full(3, 0.01))
    assert pairs.bound[0, 2] == pytest.approx(stats.studentized_range.ppf(0.9, 3, np.inf) * 0.01, rel=0.02)


def test_bounds_of_seed_means_add_the_item_variances_of_both_sizes() -> None:
    means = np.array([[0.1, 0.2, 0.6], [0.3, 0.2, 0.7], [0.2, 0.2, 0.8]])  # variances 0.01, 0 and 0.01 over seeds
    pairs = pairs_of_seed_means(means, np.tile([0.1, 0.2, 0.3], (3, 1)))
    raised = 0.02 / 3  # the mean of the three variances
    variance = (0.01 + raised) / 3 + 0.1**2 + 0.2**2
    # Known errors of the items have no degrees of freedom; the excess of the first size over the mean has 2.
    squares = (2 * raised / 3) ** 2 / 6 + ((0.01 - raised) / 3) ** 2 / 2
    normal = stats.studentized_range.ppf(0.9, 3, np.inf) / 2**0.5
    assert pairs.error[0, 1] == pytest.approx(variance**0.5)
    assert pairs.freedom[0, 1] == pytest.approx(variance**2 / squares)
    expected = stats.t.isf(stats.norm.sf(normal), variance**2 / squares) * variance**0.5
    assert pairs.bound[0, 1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_turn_is_clear_iff_some_triple_of_sizes_shows_both_legs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = ladder(tuple(0.5 + 0.12 * rng.normal(size=6)), seed, seeds=3, groups=40, items=0.3, noise=0.02)
    sizes = SIZES[:6]
    one = values[0]
    of_level_1 = (judge_weights(one, sizes, draws=300), one.mean(-1), half_width_1(one, 300), alone_1(one))
    of_level_2 = (judge_models(values, sizes), values.mean((0, 2)), half_width_2(values), alone_2(values))
    for level, m, half, alone in (of_level_1, of_level_2):
        for turn, sign in ((level.inverted_u, 1), (level.u, -1)):
            shown = any(
                sign * (m[j] - m[i]) > half[i, j] and sign * (m[j] - m[k]) > half[j, k]
                for i in range(6)
                for j in range(i + 1, 6)
                for k in range(j + 1, 6)
            )
            assert turn.is_clear == shown == (max(turn.p_left, turn.p_right) <= 0.05)
            beaten = [any(sign * (m[i] - m[j]) > half[i, j] for i in range(6) if i != j) for j in range(1, 5)]
            assert turn.turning_set == tuple(sizes[j] for j in range(1, 5) if not beaten[j - 1])
            for found, bound in ((turn.high, half), (turn.at_most, alone)):
                most = max(
                    min(
                        max(sign * (m[j] - m[i]) + bound[i, j] for i in range(j)),
                        max(sign * (m[j] - m[k]) + bound[k, j] for k in range(j + 1, 6)),
                    )
                    for j in range(1, 5)
                )
                assert found == pytest.approx(most, rel=1e-6)


def test_many_ladders_at_once_give_the_same_as_one_at_a_time() -> None:
    ladders = np.stack([ladder(CURVES[label], noise=0.05, groups=40) for label in CURVES])
    together, (weights, _) = pairs_of_models(ladders), pairs_of_weights(ladders[:, 0])
    for place, values in enumerate(ladders):
        alone = judge_models(values, SIZES)
        assert labels(together, 0.05)[place] == alone.label
        one = judge_weights(values[0], SIZES)
        assert labels(weights, 0.05)[place] == one.label
        assert turning_set(weights, 1)[place].sum() == len(one.inverted_u.turning_set)


def test_seeds_that_differ_item_by_item_are_counted_once() -> None:
    """Every seed tosses new coins, so their noise is between seeds, and the level 2 error is that of all coins."""
    coins = np.random.default_rng(0).normal(size=(400, 4, 3, 50))
    pairs = pairs_of_models(coins)
    truth = (2 / (4 * 50)) ** 0.5
    assert 0.98 <= float(np.sqrt((pairs.error[:, 0, 2] ** 2).mean()) / truth) <= 1.35  # the larger variance is believed
    shared = np.broadcast_to(coins[:, :1], coins.shape)
    assert float(np.sqrt((pairs_of_models(shared).error[:, 0, 2] ** 2).mean())) == pytest.approx(
        (2 / 50) ** 0.5, rel=0.03
    )


def test_simultaneous_bounds_have_their_nominal_coverage() -> None:
    """On flat curves any difference beyond its bound is false: at both levels 5 % in each direction."""
    flat = [(ladder((0.5,) * 5, seed, groups=40, items=0.05, noise=0.05)) for seed in range(200)]
    weights, _ = pairs_of_weights(
        np.stack([ladder((0.5,) * 5, s, seeds=1, groups=40)[0] for s in range(200)]), draws=500
    )
    for pairs in (weights, pairs_of_models(np.stack(flat))):
        for sign in (1, -1):
            wrong = int(np.triu(sign * pairs.rise > pairs.bound).any((-2, -1)).sum())
            assert 1 <= wrong <= at_most(0.05, 200)


def test_a_turn_of_delta_is_seldom_excluded() -> None:
    """The true curve turns by exactly δ at one size; this turn is wrongly excluded in at most 5 % of cases."""
    curve = (0.5, 0.5, 0.55, 0.5, 0.5)
    one = pairs_of_weights(np.stack([ladder(curve, s, seeds=1, groups=60)[0] for s in range(200)]), draws=300)[0]
    three = pairs_of_models(np.stack([ladder(curve, s, seeds=3, groups=60, noise=0.01) for s in range(200)]))
    for pairs in (one, three):
        assert int((weaker_leg(pairs.rise + pairs.pointwise).max(-1) < 0.05).sum()) <= at_most(0.05, 200)


def test_many_groups_are_drawn_from_the_normal_limit_of_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).exponential(size=(5, 3000)).cumsum(0)
    resampled = pairs_of_weights(values)[0]
    monkeypatch.setattr(standard_errors, "MANY_GROUPS", 2999)
    drawn = pairs_of_weights(values)[0]
    assert not np.array_equal(drawn.bound, resampled.bound)
    np.testing.assert_allclose(drawn.bound, resampled.bound, rtol=0.03)
    samples = standard_errors.bootstrap_means(values, 20_000)
    np.testing.assert_allclose(samples.mean(-1), values.mean(-1), rtol=0.001)
    np.testing.assert_allclose(np.cov(samples), standard_errors.covariance(values), rtol=0.05)


def test_the_largest_distance_is_found_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    drawn, error = rng.normal(size=(2, 30, 6)), 1 + rng.random((2, 6, 6))
    error += error.swapaxes(-1, -2)
    distances = np.abs(drawn[..., None, :] - drawn[..., :, None]) / error[:, None]
    expected = np.sort(distances.max((-2, -1)), axis=-1)
    for piece in (1, 60, 60_000):
        monkeypatch.setattr(pairs_module, "PIECE", piece)
        np.testing.assert_allclose(_sorted_maxima(drawn, error), expected)
