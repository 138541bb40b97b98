"""The minimum detectable dip is detected with its power."""

import numpy as np
import pytest

from distractor.errors import ScalingError
from distractor.statistics.pairs import pairs_of_models, weaker_leg
from distractor.statistics.power import detectable_dip, smallest_detectable_dip
from distractor.statistics.shape_test import judge_models, judge_weights
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
    assert 0.7 <= found / 80 <= 0.97  # two more groups are counted, which have no part in 50 groups without extremes
    assert after == pytest.approx(depth, rel=0.15)


def test_the_minimum_detectable_dip_accounts_for_the_variance_estimated_from_three_seeds() -> None:
    depth = smallest_detectable_dip(5, 3, 200, item_sd=1e-6, seed_sd=0.1)
    curve = (0.6, 0.6, 0.6 - depth, 0.6, 0.6)
    pairs = pairs_of_models(
        np.stack([ladder(curve, s, seeds=3, groups=200, items=1e-6, noise=0.1) for s in range(1000)])
    )
    is_clear = weaker_leg(-pairs.rise - pairs.bound).max(-1) > 0
    assert is_clear.mean() == pytest.approx(0.8, abs=0.04)


def test_a_dip_below_a_ceiling_is_detectable_only_where_it_exceeds_a_few_items() -> None:
    """Items that are all right at every size show no error, and yet a dip of one item would not be significant."""
    for values in (np.ones((1, 5, 30)), np.ones((3, 5, 30))):
        level = judge_models(values, SIZES[:5]) if len(values) > 1 else judge_weights(values[0], SIZES[:5], draws=500)
        assert level.smallest_detectable_dip > 3 / 30
        in_nats = judge_models(values, SIZES[:5], is_share=False) if len(values) > 1 else None
        assert in_nats is None or in_nats.smallest_detectable_dip < 1e-6


def test_a_dip_needs_one_significant_difference_on_each_side() -> None:
    bound = np.array([[1.0, 9.0, 0.0, 2.0, 7.0]])
    assert detectable_dip(np.zeros((1, 5)), bound, 2) == 2
    assert detectable_dip(np.zeros((1, 5)), bound[:, ::-1].copy(), 2) == 2


def test_more_groups_and_seeds_detect_smaller_dips() -> None:
    assert smallest_detectable_dip(9, 5, 400) < smallest_detectable_dip(9, 5, 100)
    assert smallest_detectable_dip(9, 5, 100) < smallest_detectable_dip(9, 3, 100)
    assert smallest_detectable_dip(9, 5, 100, seed_sd=0.01) < smallest_detectable_dip(9, 5, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 1, 100, seed_sd=0.01) == smallest_detectable_dip(9, 1, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 5, 100, power=0.5) < smallest_detectable_dip(9, 5, 100, power=0.9)
    with pytest.raises(ScalingError, match="at least 3 sizes, 1 seed and 2 item groups; asked for 2 sizes"):
        smallest_detectable_dip(2, 5, 100)
