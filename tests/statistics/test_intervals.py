"""Means and intervals over item groups and seeds: slow versions, coverage, and saturated shares."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from distractor.errors import ScalingError
from distractor.statistics import intervals
from distractor.statistics.group_values import group_values
from distractor.statistics.intervals import (
    group_means,
    group_sums,
    interval,
    interval_of_seed_means,
    known_group_means,
    known_mean_interval,
    mean_interval,
    mean_intervals,
    simultaneous_interval,
)
from distractor.statistics.verdict import _as_share, _models_at_peak, _models_at_size
from ladders import CURVES, at_most, ladder, shared_by_seeds

pytestmark = pytest.mark.quick


def test_interval_equals_a_slow_bootstrap_and_weights_groups_by_their_items() -> None:
    rng = np.random.default_rng(2)
    values, counts = rng.normal(size=(3, 2, 20)), rng.integers(1, 6, 20).astype(float)
    mean, low, high = interval(values, counts=counts, draws=300)
    drawn = np.random.default_rng(0).multinomial(20, [1 / 20] * 20, 300)
    for row in np.ndindex(3, 2):
        items, order = np.repeat(values[row], counts.astype(int)), np.lexsort(np.vstack([values[row], counts]))
        assert mean[row] == pytest.approx(items.mean())
        means = [
            np.repeat(np.repeat(values[row][order], d), np.repeat(counts[order], d).astype(int)).mean() for d in drawn
        ]
        stretched = items.mean() + (np.array(means) - items.mean()) * (20 / 19) ** 0.5
        assert (low[row], high[row]) == pytest.approx(tuple(np.quantile(stretched, [0.025, 0.975])))


def test_an_interval_has_its_nominal_coverage() -> None:
    values = np.random.default_rng(4).exponential(size=(400, 60))
    _, low, high = interval(values)
    assert 0.89 <= ((low < 1) & (high > 1)).mean() <= 0.97


def test_a_saturated_share_still_has_an_interval() -> None:
    _, low, high = interval(np.stack([np.ones(50), np.zeros(50)]), limits=(0.0, 1.0))
    exact = stats.binomtest(50, 50).proportion_ci(method="exact")
    assert (low[0], high[0]) == pytest.approx((exact.low, 1.0))
    assert (low[1], high[1]) == pytest.approx((0.0, 1 - exact.low))
    assert interval(np.ones((1, 50)))[1][0] == pytest.approx(1)


def test_the_order_of_groups_does_not_change_an_interval() -> None:
    values = np.random.default_rng(0).normal(size=(4, 30))
    for one, other in zip(interval(values), interval(values[:, ::-1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_rows_interval_does_not_depend_on_the_other_rows() -> None:
    values, counts = np.random.default_rng(1).normal(size=(4, 30)), np.arange(1.0, 31)
    together = interval(values, counts=counts)
    for row in range(4):
        np.testing.assert_allclose([each[row] for each in together], interval(values[row], counts=counts), atol=1e-12)


def test_the_interval_of_many_groups_is_the_normal_limit_of_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    values, counts = rng.exponential(size=(3, 4000)), rng.integers(1, 6, 4000).astype(float)
    resampled = np.array(interval(values, counts=counts))
    monkeypatch.setattr(intervals, "MANY_GROUPS", 3999)
    normal = np.array(interval(values, counts=counts))
    np.testing.assert_array_equal(normal[0], resampled[0])
    np.testing.assert_allclose(normal[2] - normal[1], resampled[2] - resampled[1], rtol=0.05)
    assert abs(normal - resampled).max() < 0.1 * (normal[2] - normal[1]).min()


def test_a_simultaneous_interval_covers_a_picked_size_and_a_pointwise_one_does_not() -> None:
    """All sizes have a mean of 0 and the highest is picked: the share of intervals that are above 0."""
    at_once = plain = models = 0
    for seed in range(200):
        inner = ladder((0.0,) * 7, seed, seeds=1, groups=40)[0]
        picked = int(inner.mean(-1).argmax())
        at_once += bool(simultaneous_interval(inner, draws=500)[1][picked] > 0)
        plain += bool(interval(inner, draws=500)[1][picked] > 0)
        values = ladder((0.0,) * 9, seed, seeds=3, groups=40, items=0.3, noise=0.05)
        models += _models_at_peak(values, 1 + int(values[:, 1:-1].mean((0, 2)).argmax()))[1] > 0
    assert at_once <= at_most(0.05, 200)
    assert models <= at_most(0.05, 200)
    assert plain > at_most(0.05, 200)


def test_a_simultaneous_interval_equals_a_slow_bootstrap_of_the_largest_deviation() -> None:
    values = np.random.default_rng(3).normal(size=(2, 20))
    mean, error = values.mean(1), stats.sem(values, axis=1)
    ordered = values[:, np.lexsort(values)]
    maxima = [
        (abs(np.repeat(ordered, count, axis=1).mean(1) - mean) / error).max() * (20 / 19) ** 0.5
        for count in np.random.default_rng(0).multinomial(20, [1 / 20] * 20, 300)
    ]
    normal = sorted(maxima, reverse=True)[int(0.05 * 301) - 1]
    squares = (values - mean[:, None]) ** 2
    degrees = np.minimum(
        3 * squares.sum(1) ** 2 / (squares**2).sum(1), 19
    )  # 19 where normal numbers vary as they should
    half = stats.t.isf(stats.norm.sf(normal), degrees) * error
    np.testing.assert_allclose(simultaneous_interval(values, draws=300), [mean, mean - half, mean + half])


def test_level_2_interval_at_a_fixed_size_is_welchs() -> None:
    values = ladder(CURVES["positive"], seeds=4, groups=50, items=0.3, noise=0.1)
    one = values[:, 2]
    a, b = np.var(one.mean(-1), ddof=1) / 4, shared_by_seeds(one)
    half = stats.t.ppf(0.975, (a + b) ** 2 / (a**2 / 3 + b**2 / 49)) * (a + b) ** 0.5
    assert _models_at_size(values, 2, False) == pytest.approx((one.mean(), one.mean() - half, one.mean() + half))


@pytest.mark.parametrize("items", range(1, 13))
def test_the_mean_of_ones_is_exactly_1(items: int) -> None:
    groups = np.repeat(np.arange(30), items)
    means = group_means(np.ones((2, len(groups))), groups)
    assert (means == 1).all()


def test_at_accuracy_1_everywhere_level_2_is_as_wide_as_level_1() -> None:
    values = np.ones((3, 5, 20))
    least = stats.binomtest(20, 20).proportion_ci(method="exact").low
    assert _models_at_size(values, 4, True) == pytest.approx((1.0, least, 1.0))
    assert _models_at_size(1 - values, 4, True) == pytest.approx((0.0, 0.0, 1 - least))
    assert _models_at_size(values, 4, False) == pytest.approx((1.0, 1.0, 1.0))
    at_once = stats.binomtest(20, 20).proportion_ci(1 - 0.05 / 3, method="exact").low
    assert _as_share((1.0, 1.0, 1.0), values) == pytest.approx((1.0, at_once, 1.0))


def test_means_of_groups_leave_out_items_without_a_value_only_where_asked_to() -> None:
    values = np.array([[1.0, 3.0, np.nan, 5.0], [1.0, 2.0, 3.0, 4.0]])
    groups = ["b", "b", "a", "a"]
    np.testing.assert_array_equal(known_group_means(values, groups), [[5.0, 2.0], [3.5, 1.5]])
    np.testing.assert_array_equal(group_means(values[1:], groups), [[3.5, 1.5]])
    assert np.isnan(group_means(values[:1], groups)).any()
    assert np.isnan(known_group_means(np.array([1.0, np.nan]), groups[1:3])[0])
    sums, counts = group_sums(values, groups)
    assert sums.tolist() == [[5.0, 4.0], [7.0, 3.0]]
    assert counts.tolist() == [[1.0, 2.0], [2.0, 2.0]]


def test_the_interval_of_items_is_that_of_their_group_means_weighted_by_items() -> None:
    rng = np.random.default_rng(0)
    groups = ["c", "a", "b", "a", "c", "c"]
    values = rng.normal(size=(3, 6))
    values[1, 3] = np.nan
    values[2, :5] = np.nan
    of_groups = np.array([[values[0, [1, 3]].mean(), values[0, 2], values[0, [0, 4, 5]].mean()]])
    expected = np.ravel(interval(of_groups, counts=np.array([2.0, 1.0, 3.0])))
    np.testing.assert_allclose(mean_interval(values[0], groups), expected)
    ends = mean_intervals(values, groups)
    np.testing.assert_allclose([end[0] for end in ends], expected)
    np.testing.assert_allclose([end[1] for end in ends], mean_interval(values[1, [0, 1, 2, 4, 5]], list("cabcc")))
    assert np.isnan([end[2] for end in ends]).all()
    assert known_mean_interval(values[2], groups) is None
    with pytest.raises(ScalingError, match=r"at least 2 .* got 1"):
        mean_interval(values[2], groups)
    assert mean_interval(np.ones(6), groups, limits=(0.0, 1.0)).low == pytest.approx(0.025 ** (14 / 36))


def test_an_interval_of_seed_means_without_item_errors_is_a_t_interval() -> None:
    means = np.array([[0.1, 0.5], [0.3, 0.9], [0.4, 0.4], [0.2, 0.6]])
    half = stats.t.ppf(0.975, 3) * stats.sem(means, axis=0)
    ends = interval_of_seed_means(means, np.zeros_like(means))
    np.testing.assert_allclose(ends, [means.mean(0), means.mean(0) - half, means.mean(0) + half])


def test_the_known_items_of_seeds_have_the_interval_of_models() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{i // 3}" for i in range(36)]
    values = rng.uniform(size=(4, 36)) + rng.normal(0, 0.2, (4, 1))
    mean = intervals.known_interval_of_models(values, groups)
    assert mean == pytest.approx(
        [float(end[0]) for end in intervals.interval_of_models(group_values(values[:, None], groups))]
    )
    # Items that no seed has, and a seed with items of one group only, do not count.
    more = np.pad(values, ((0, 1), (0, 5)), constant_values=np.nan)
    more[-1, :2] = 0.3
    assert intervals.known_interval_of_models(more, [*groups, *"abcde"]) == pytest.approx(mean)
    assert intervals.known_interval_of_models(values[:2], groups) is None


def test_an_item_that_one_seed_lacks_counts_in_the_others() -> None:
    values = np.tile(np.linspace(0, 1, 24), (3, 1)) + np.array([[0.0], [0.1], [0.2]])
    values[0, :6] = np.nan
    mean = intervals.known_interval_of_models(values, [str(i // 2) for i in range(24)])
    assert mean is not None
    assert mean.mean == pytest.approx(np.nanmean(values, axis=1).mean())
    assert mean.low < mean.mean < mean.high


def test_seeds_that_are_all_at_a_limit_have_an_interval_inwards() -> None:
    groups = [str(i) for i in range(20)]
    mean, low, high = intervals.known_interval_of_models(np.ones((3, 20)), groups, limits=(0.0, 1.0)) or (0, 0, 0)
    assert (mean, high) == (1, 1)
    assert low == pytest.approx(0.025 ** (1 / 20))


def test_means_of_many_items_take_little_more_memory_than_the_items() -> None:
    values, groups = np.random.default_rng(0).random((1, 20_000)), np.arange(20_000)
    mean_intervals(values, groups)
    tracemalloc.start()
    mean_intervals(values, groups)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * values.nbytes
