"""The effects of a map of sites: marks, intervals and shares of the gap."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from distractor.errors import ScalingError
from distractor.statistics.effects import judge, why_no_recovery
from distractor.statistics.intervals import mean_interval
from grouped_items import grouped

pytestmark = pytest.mark.quick


def test_a_large_map_can_still_be_marked() -> None:
    """The smallest p-value of a random sample is small enough for the strictest threshold of the family."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(900, 30))
    values[0] += 5
    marked = judge(values, grouped(30, 1), np.full(30, 5.0)).is_marked
    assert marked[0]
    assert marked.sum() <= 2


def test_a_mark_also_needs_a_share_of_the_pairs_gap() -> None:
    rng = np.random.default_rng(6)
    gap = rng.normal(4, 0.5, 60)
    values = np.stack([0.04 * gap, 0.06 * gap, rng.normal(0, 1, 60), -0.5 * gap])
    found = judge(values, grouped(30), gap)
    assert (found.p[[0, 1, 3]] < 1e-3).all()
    assert list(found.is_marked) == [False, True, False, True]


def test_recovery_is_a_ratio_of_means_and_the_whole_gap_recovers_1() -> None:
    gap = np.random.default_rng(8).normal(3, 2, 40)
    found = judge(np.stack([gap, gap / 2, -gap]), grouped(20), gap)
    for name in ("recovery", "recovery_low", "recovery_high"):
        assert_allclose(getattr(found, name), [1, 0.5, -1], atol=1e-9)
    assert why_no_recovery(gap, grouped(20)) is None
    uneven = judge(np.array([[1.0, 1.0, 1.0, 4.0]]), ["a", "a", "a", "b"], np.array([2.0, 2.0, 2.0, 4.0]))
    assert uneven.mean == pytest.approx(7 / 4)
    assert judge(np.ones((1, 40)), grouped(20), gap).recovery == pytest.approx(1 / gap.mean())


def test_without_a_gap_recovery_is_undefined_and_no_site_is_marked() -> None:
    rng = np.random.default_rng(9)
    values = np.stack([np.full(40, 2.0), rng.normal(size=40)])
    gap = rng.normal(0, 1, 40)
    found = judge(values, grouped(20), gap)
    assert np.isnan([found.recovery, found.recovery_low, found.recovery_high]).all()
    assert "not defined" in (why_no_recovery(gap, grouped(20)) or "")
    assert not found.is_marked.any()
    assert found.mean[0] == 2, "nats are always shown"


def test_a_gap_that_a_t_interval_cannot_separate_from_0_has_no_recovery() -> None:
    gap, groups = np.array([1.0, 2.0, 4.0]), ["a", "b", "c"]
    assert mean_interval(gap, groups).low > 0, "the bootstrap of three groups is narrower than t"
    assert "not defined" in (why_no_recovery(gap, groups) or "")
    assert np.isnan(judge(np.ones((1, 3)), groups, gap).recovery).all()


def test_sites_that_some_items_lack_are_judged_by_the_other_items() -> None:
    rng = np.random.default_rng(11)
    gap, values = rng.normal(3, 1, 40), rng.normal(1, 1, (2, 3, 40))
    has = np.array(grouped(20)).astype(int) < 7
    values[1, 2, ~has] = np.nan
    found = judge(values, grouped(20), gap)
    alone = judge(values[1, 2, has][None], list(np.array(grouped(20))[has]), gap[has])
    for name in ("mean", "low", "high", "recovery", "recovery_low", "recovery_high"):
        assert_allclose(getattr(found, name)[1, 2], getattr(alone, name)[0], atol=1e-12)
    assert found.p[1, 2] == pytest.approx(alone.p[0], abs=0.02)


@pytest.mark.parametrize("groups_with_it", [0, 1])
def test_a_site_with_items_of_one_group_is_never_marked(groups_with_it: int) -> None:
    values = np.ones((2, 40))
    values[1, 2 * groups_with_it :] = np.nan
    found = judge(values, grouped(20), np.ones(40))
    assert list(found.is_marked) == [True, False]
    assert_allclose(found.mean, [1, 1 if groups_with_it else np.nan])
    assert found.p[1] == 1
    assert np.isnan(found.low[1])
    assert np.isnan(found.recovery[1])


def test_a_single_group_and_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ScalingError, match=r"at least 2 are needed, better 30; got 1"):
        judge(np.ones((1, 4)), ["a"] * 4, np.ones(4))
    with pytest.raises(ScalingError, match="not finite"):
        judge(np.array([[1.0, np.inf]]), ["a", "b"], np.ones(2))
    with pytest.raises(ScalingError, match="not finite"):
        judge(np.ones((1, 2)), ["a", "b"], np.array([np.nan, 1]))


def test_the_interval_of_a_mean_over_items_is_by_groups() -> None:
    values = np.repeat([1.0, 2.0, 3.0, 4.0], 5)
    mean, low, high = mean_interval(values, grouped(4, 5))
    assert mean == 2.5
    narrow = mean_interval(values, [str(n) for n in range(20)])
    assert low < narrow[1] < narrow[2] < high
