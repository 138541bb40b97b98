"""The agreement of an approximation with exact effects."""

import numpy as np
import pytest
from scipy import stats

from distractor.statistics import agreement as agreement_module
from distractor.statistics.agreement import Agreement, agreement, at_most, rank_correlation, sample

pytestmark = pytest.mark.quick


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(12)
    for _ in range(10):
        a, b = rng.integers(0, 6, (2, 30)).astype(float)
        assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(rank_correlation(np.zeros(5), np.arange(5.0)))


@pytest.mark.parametrize(("found", "tries"), [(0, 400), (3, 100), (7, 8), (8, 8)])
def test_the_upper_bound_of_a_share_is_clopper_and_pearsons(found: int, tries: int) -> None:
    expected = stats.binomtest(found, tries, alternative="less").proportion_ci(0.95, method="exact").high
    assert at_most(found, tries) == pytest.approx(expected)


def test_an_estimate_that_is_exact_agrees_and_one_that_is_shuffled_does_not() -> None:
    rng = np.random.default_rng(13)
    exact = rng.normal(size=200) ** 3
    same = agreement(exact, exact, gap=3.0, sites=200)
    assert (same.rank_correlation, same.recall, same.missed, same.fails) == (1.0, 1.0, 0.0, ())
    shuffled = agreement(exact, rng.permutation(exact), gap=3.0, sites=200)
    assert abs(shuffled.rank_correlation) < 0.25
    assert len(shuffled.fails) >= 3
    assert agreement(exact, 0.3 * exact, gap=3.0, sites=200).fails == ("0.3 times the size",)
    blind = agreement(exact, np.zeros(200), gap=0.0, sites=200)
    assert blind.missed == (np.abs(exact) >= 0.05 * np.abs(exact).max()).mean()
    assert np.isnan(blind.rank_correlation)
    assert blind.as_dict()["rank_correlation"] is None
    assert blind.fails


def test_a_single_missed_site_counts_and_a_sample_bounds_the_missed_share() -> None:
    exact = np.zeros(50)
    exact[7] = 1.0
    every = agreement(exact, np.zeros(50), gap=1.0, sites=50)
    assert every.missed == every.missed_at_most == 1 / 50
    some = agreement(exact, exact, gap=1.0, sites=5000)
    assert some.missed == 0
    assert some.missed_at_most == at_most(0, 50) > 0.05
    assert some.fails == ("up to 6% of the sites missed",)


def test_the_order_of_negligible_effects_is_ignored() -> None:
    rng = np.random.default_rng(15)
    exact, noise = np.zeros(60), rng.normal(0, 1e-3, (2, 60))
    exact[[3, 30]] = 2.0, -1.0
    found = agreement(exact + noise[0], exact + noise[1], gap=2.0, sites=60)
    assert found.rank_correlation == pytest.approx(1)
    assert found.fails == ()


def test_a_map_without_effects_gives_no_warning() -> None:
    noise = 1e-7 * np.random.default_rng(14).normal(size=(2, 60))
    assert isinstance(nothing := agreement(*noise, gap=2.0, sites=60, rounding=1e-5), Agreement)
    assert nothing.fails == ()


def test_a_sample_holds_all_of_few_sites_and_some_of_each_stratum_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
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
