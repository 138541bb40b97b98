"""The minimum detectable dip is detected with its power."""

import numpy as np
import pytest

from distractor.errors import ScalingError
from distractor.statistics import power
from distractor.statistics.pairs import pairs_of_models, pairs_of_weights, weaker_leg
from distractor.statistics.power import Noise, detectable_dip, smallest_detectable_dip
from distractor.statistics.shape_test import judge, judge_models, judge_weights
from ladders import SIZES, ladder

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(("seeds", "noise"), [(5, 0.05), (1, 0.0)])
def test_the_minimum_detectable_dip_is_detected_with_power_80_percent(seeds: int, noise: float) -> None:
    depth = smallest_detectable_dip(7, seeds, 50, item_sd=0.2, seed_sd=noise)
    curve = (0.6, 0.6, 0.6, 0.6 - depth, 0.6, 0.6, 0.6)
    found = after = 0.0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        same_for_all = 0.2 * rng.normal(size=(1, 7, 50))
        values = same_for_all + ladder(curve, 1000 + seed, seeds=seeds, groups=50, items=1e-6, noise=noise)
        level = judge_models(values, SIZES) if seeds > 1 else judge_weights(values[0], SIZES, draws=500)
        found += level.u.is_clear
        after += level.smallest_detectable_dip / 80
    assert 0.66 <= found / 80 <= 0.93
    assert after == pytest.approx(depth, rel=0.15)


def test_the_minimum_detectable_dip_accounts_for_the_variance_estimated_from_three_seeds() -> None:
    depth = smallest_detectable_dip(5, 3, 20, item_sd=1e-6, seed_sd=0.1)
    curve = (0.6, 0.6, 0.6 - depth, 0.6, 0.6)
    pairs = pairs_of_models(
        np.stack([ladder(curve, s, seeds=3, groups=20, items=1e-6, noise=0.1) for s in range(1000)])
    )
    is_clear = weaker_leg(-pairs.rise - pairs.bound).max(-1) > 0
    assert is_clear.mean() == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("groups", [30, 100, 300])
@pytest.mark.parametrize("level", [0.5, 1.0])
def test_the_dip_that_is_printed_is_found_in_about_80_percent_also_below_a_ceiling(groups: int, level: float) -> None:
    """Answers of a flat curve. At 1 they show no error, and yet a dip of one answer would not be significant."""
    rng = np.random.default_rng(3)
    flat = (rng.random((40, 5, groups)) < level).astype(float)
    printed = float(np.median([judge_weights(one, SIZES[:5], draws=500).smallest_detectable_dip for one in flat]))
    truth = np.full(5, level)
    truth[2] -= printed
    pairs, _ = pairs_of_weights((rng.random((400, 5, groups)) < truth[:, None]).astype(float), draws=500)
    assert 0.72 <= (weaker_leg(-pairs.rise - pairs.bound).max(-1) > 0).mean() <= 0.98


def test_a_dip_below_a_ceiling_is_not_called_detectable_from_a_single_item() -> None:
    for values in (np.ones((1, 5, 30)), np.ones((3, 5, 30))):
        for is_share in (True, False):
            shape = judge(values, SIZES[:5], is_share=is_share)
            for level in (*shape.weights, *([shape.models] if shape.models else [])):
                assert level.smallest_detectable_dip > 4 / 30 if is_share else level.smallest_detectable_dip < 1e-6


def test_a_dip_needs_one_significant_difference_on_each_side() -> None:
    bound, none = np.array([[1.0, 9.0, 0.0, 2.0, 7.0]]), np.zeros((1, 5))
    for one in (bound, bound[:, ::-1]):
        assert detectable_dip(Noise(none, none, none[0], lambda of_dip, one=one: one), 2) == 2


def test_more_groups_and_seeds_detect_smaller_dips() -> None:
    assert smallest_detectable_dip(9, 5, 400) < smallest_detectable_dip(9, 5, 100)
    assert smallest_detectable_dip(9, 5, 100) < smallest_detectable_dip(9, 3, 100)
    assert smallest_detectable_dip(9, 5, 100, seed_sd=0.01) < smallest_detectable_dip(9, 5, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 1, 100, seed_sd=0.01) == smallest_detectable_dip(9, 1, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 5, 100, power=0.5) < smallest_detectable_dip(9, 5, 100, power=0.9)
    with pytest.raises(ScalingError, match="at least 3 sizes, 1 seed and 2 item groups; asked for 2 sizes"):
        smallest_detectable_dip(2, 5, 100)


@pytest.mark.parametrize("rank", [3, 30])
def test_draws_for_many_sizes_have_the_same_covariance(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    root = np.random.default_rng(1).normal(size=(6, rank))
    covariance = root @ root.T
    monkeypatch.setattr(power, "MANY_SIZES", 5)
    drawn = power.normal_draws(np.random.default_rng(0), covariance, 40_000)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.04 * covariance.max())
