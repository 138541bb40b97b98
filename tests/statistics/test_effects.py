"""Effects of a map: p-values by whole groups, one family a map, shares that are refused; and the self-check's figures."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from distractor.errors import ScalingError
from distractor.statistics import agreement as agreement_module
from distractor.statistics.agreement import Agreement, agreement, at_most, rank_correlation, sample
from distractor.statistics.effects import judge, why_no_recovery
from distractor.statistics.groups import mean_interval
from distractor.statistics.sign_flips import benjamini_hochberg, sign_flip_p


def grouped(n_groups: int, each: int = 2) -> list[str]:
    return [str(item // each) for item in range(n_groups * each)]


def clustered(rng: np.random.Generator, sites: int, n_groups: int, each: int = 4, mean: float = 0.0) -> np.ndarray:
    """Effects whose items agree within a group: far fewer than they seem."""
    noise = np.repeat(rng.normal(size=(sites, n_groups)), each, -1) + 0.1 * rng.normal(size=(sites, n_groups * each))
    return mean + noise


# p-values.


def test_a_p_value_is_the_share_of_all_sign_flips_of_groups_that_give_as_large_a_mean() -> None:
    rng = np.random.default_rng(0)
    groups = ["a", "b", "b", "c", "d", "d", "d", "e"]
    values = rng.normal(0.4, 1, (3, len(groups)))
    members = [np.array([g == name for g in groups]) for name in sorted(set(groups))]
    for row, found in zip(values, sign_flip_p(values, groups), strict=True):
        flipped = [
            abs(sum(sign * row[mine].sum() for sign, mine in zip(signs, members, strict=True)))
            for signs in product((1, -1), repeat=len(members))
        ]
        assert found == pytest.approx(np.mean(np.array(flipped) >= abs(row.sum()) - 1e-12))


def test_sampled_signs_give_what_all_signs_give(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(0.3, 1, (20, 24))
    every = sign_flip_p(values, grouped(12))
    monkeypatch.setattr("distractor.statistics.sign_flips.EXACT_GROUPS", 0)
    sampled = sign_flip_p(values, grouped(12), seed=3)
    assert_allclose(sampled, every, atol=0.025)
    assert (sampled == sign_flip_p(values, grouped(12), seed=3)).all()
    assert (sampled != sign_flip_p(values, grouped(12), seed=4)).any()


def test_p_values_keep_their_level_where_items_of_a_group_agree() -> None:
    """The null beside it: flipping items takes noise for effects."""
    values = clustered(np.random.default_rng(2), 1000, 30)
    by_group = sign_flip_p(values, grouped(30, 4))
    by_item = sign_flip_p(values, [str(n) for n in range(120)])
    assert (by_group <= 0.05).mean() <= 0.065
    assert (by_item <= 0.05).mean() > 0.25


def test_a_p_value_knows_neither_sign_nor_unit_and_nothing_is_no_effect() -> None:
    values = np.random.default_rng(3).normal(0.5, 1, (4, 40))
    p = sign_flip_p(values, grouped(20))
    assert (sign_flip_p(-7 * values, grouped(20)) == p).all()
    assert (sign_flip_p(np.zeros((2, 40)), grouped(20)) == 1).all()
    assert sign_flip_p(np.ones((1, 40)), grouped(20)) == pytest.approx(1 / 10_000)


def test_marks_of_a_family_are_those_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        p = np.concatenate([rng.uniform(size=30), rng.uniform(0, 0.01, rng.integers(0, 9))])
        assert (benjamini_hochberg(p) == (stats.false_discovery_control(p) <= 0.05)).all()
    assert not benjamini_hochberg(np.array([[0.5, 0.06], [1, 1]])).any()


def test_a_large_map_can_still_be_marked() -> None:
    """The smallest p-value of a random sample is small enough for the strictest question of the family."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(900, 30))
    values[0] += 5
    marked = judge(values, grouped(30, 1), np.full(30, 5.0)).is_marked
    assert marked[0]
    assert marked.sum() <= 2


# Marks and shares.


def test_a_mark_asks_for_a_share_of_the_pairs_gap_too() -> None:
    rng = np.random.default_rng(6)
    gap = rng.normal(4, 0.5, 60)
    values = np.stack([0.04 * gap, 0.06 * gap, rng.normal(0, 1, 60), -0.5 * gap])
    found = judge(values, grouped(30), gap)
    assert (found.p[[0, 1, 3]] < 1e-3).all()
    assert list(found.is_marked) == [False, True, False, True]


def test_a_map_of_nothing_is_seldom_marked() -> None:
    rng = np.random.default_rng(7)
    marked = [judge(clustered(rng, 40, 20), grouped(20, 4), np.full(80, 1.0)).is_marked.any() for _ in range(60)]
    assert np.mean(marked) <= 0.15  # 5 %, and what 60 draws may add to it


def test_recovery_is_a_ratio_of_means_and_everything_recovers_everything() -> None:
    gap = np.random.default_rng(8).normal(3, 2, 40)
    found = judge(np.stack([gap, gap / 2, -gap]), grouped(20), gap)
    for name in ("recovery", "recovery_low", "recovery_high"):
        assert_allclose(getattr(found, name), [1, 0.5, -1], atol=1e-9)
    assert why_no_recovery(gap, grouped(20)) is None
    uneven = judge(np.array([[1.0, 1.0, 1.0, 4.0]]), ["a", "a", "a", "b"], np.array([2.0, 2.0, 2.0, 4.0]))
    assert uneven.mean == pytest.approx(7 / 4)
    assert judge(np.ones((1, 40)), grouped(20), gap).recovery == pytest.approx(1 / gap.mean())


def test_a_share_of_nothing_is_refused_and_nothing_is_marked() -> None:
    rng = np.random.default_rng(9)
    values = np.stack([np.full(40, 2.0), rng.normal(size=40)])
    gap = rng.normal(0, 1, 40)
    found = judge(values, grouped(20), gap)
    assert np.isnan([found.recovery, found.recovery_low, found.recovery_high]).all()
    assert "not defined" in (why_no_recovery(gap, grouped(20)) or "")
    assert not found.is_marked.any()
    assert found.mean[0] == 2, "nats are always shown"


def test_the_interval_of_a_share_covers_it() -> None:
    rng = np.random.default_rng(10)
    covered = []
    for _ in range(250):
        gap = 2 + np.repeat(rng.normal(size=25), 2)
        effect = 0.6 * gap + np.repeat(rng.normal(size=25), 2)
        found = judge(effect[None], grouped(25), gap)
        covered.append(found.recovery_low[0] <= 0.6 <= found.recovery_high[0])
    assert 0.92 <= np.mean(covered) <= 0.98


def test_sites_that_some_items_lack_are_judged_by_the_items_that_have_them() -> None:
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
def test_a_site_that_too_few_have_is_never_marked(groups_with_it: int) -> None:
    values = np.ones((2, 40))
    values[1, 2 * groups_with_it :] = np.nan
    found = judge(values, grouped(20), np.ones(40))
    assert list(found.is_marked) == [True, False]
    assert found.p[1] == 1
    assert np.isnan(found.low[1])
    assert np.isnan(found.recovery[1])


def test_one_group_and_what_is_not_finite_are_refused() -> None:
    with pytest.raises(ScalingError, match=r"at least 2 are needed, better 30; 1 came"):
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


# The self-check's figures.


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(12)
    for _ in range(10):
        a, b = rng.integers(0, 6, (2, 30)).astype(float)
        assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(rank_correlation(np.zeros(5), np.arange(5.0)))


@pytest.mark.parametrize(("found", "tries"), [(0, 400), (3, 100), (7, 8), (8, 8)])
def test_what_a_sample_cannot_rule_out_is_clopper_and_pearsons_bound(found: int, tries: int) -> None:
    wanted = stats.binomtest(found, tries, alternative="less").proportion_ci(0.95, method="exact").high
    assert at_most(found, tries) == pytest.approx(wanted)


def test_an_estimate_that_is_exact_agrees_and_one_that_is_shuffled_does_not() -> None:
    rng = np.random.default_rng(13)
    exact = rng.normal(size=200) ** 3
    same = agreement(exact, exact, pair_gap=3.0, sites=200)
    assert (same.rank_correlation, same.recall, same.missed, same.fails) == (1.0, 1.0, 0.0, ())
    shuffled = agreement(exact, rng.permutation(exact), pair_gap=3.0, sites=200)
    assert abs(shuffled.rank_correlation) < 0.25
    assert len(shuffled.fails) >= 3
    assert agreement(exact, 0.3 * exact, pair_gap=3.0, sites=200).fails == ("0.3 times the size",)
    blind = agreement(exact, np.zeros(200), pair_gap=0.0, sites=200)
    assert blind.missed == (np.abs(exact) >= 0.05 * np.abs(exact).max()).mean()
    assert np.isnan(blind.rank_correlation)
    assert blind.as_dict()["rank_correlation"] is None
    assert blind.fails


def test_a_single_missed_site_counts_and_a_sample_bounds_what_it_did_not_see() -> None:
    exact = np.zeros(50)
    exact[7] = 1.0
    every = agreement(exact, np.zeros(50), pair_gap=1.0, sites=50)
    assert every.missed == every.missed_at_most == 1 / 50
    some = agreement(exact, exact, pair_gap=1.0, sites=5000)
    assert some.missed == 0
    assert some.missed_at_most == at_most(0, 50) > 0.05
    assert some.fails == ("up to 6% of the sites missed",)


def test_the_order_of_what_hardly_matters_is_not_asked_for() -> None:
    rng = np.random.default_rng(15)
    exact, noise = np.zeros(60), rng.normal(0, 1e-3, (2, 60))
    exact[[3, 30]] = 2.0, -1.0
    found = agreement(exact + noise[0], exact + noise[1], pair_gap=2.0, sites=60)
    assert found.rank_correlation == pytest.approx(1)
    assert found.fails == ()


def test_a_map_where_nothing_happens_is_no_reason_for_a_warning() -> None:
    noise = 1e-7 * np.random.default_rng(14).normal(size=(2, 60))
    assert isinstance(nothing := agreement(*noise, pair_gap=2.0, sites=60, rounding=1e-5), Agreement)
    assert nothing.fails == ()


def test_a_sample_is_of_everything_where_that_is_little_else_of_every_stratum(monkeypatch: pytest.MonkeyPatch) -> None:
    strata = [layer for layer in range(24) for _ in range(100)] + [99] * 3
    assert (sample(strata[:2000]) == np.arange(2000)).all()
    picked = sample(strata)
    assert (picked == sample(strata)).all()
    assert (picked != sample(strata, seed=1)).any()
    assert len(set(picked)) == len(picked)
    counts = np.unique(np.array(strata)[picked], return_counts=True)
    assert set(counts[0]) == set(strata)
    assert counts[1].max() - counts[1][:-1].min() == 0, "the strata are of equal size, and so are their samples"
    monkeypatch.setattr(agreement_module, "ALL_UP_TO", 10)
    assert len(sample(["a"] * 11, size=5)) == 5
