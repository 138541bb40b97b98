"""The minimum detectable dip is detected with its power."""

import numpy as np
import pytest

from distractor.errors import ScalingError
from distractor.statistics.power import smallest_detectable_dip
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
    assert 0.66 <= found / 80 <= 0.93
    assert after == pytest.approx(depth, rel=0.15)


def test_more_groups_and_seeds_detect_smaller_dips() -> None:
    assert smallest_detectable_dip(9, 5, 400) < smallest_detectable_dip(9, 5, 100)
    assert smallest_detectable_dip(9, 5, 100) < smallest_detectable_dip(9, 3, 100)
    assert smallest_detectable_dip(9, 5, 100, seed_sd=0.01) < smallest_detectable_dip(9, 5, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 1, 100, seed_sd=0.01) == smallest_detectable_dip(9, 1, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 5, 100, power=0.5) < smallest_detectable_dip(9, 5, 100, power=0.9)
    with pytest.raises(ScalingError, match="at least 3 sizes, 1 seed and 2 item groups; asked for 2 sizes"):
        smallest_detectable_dip(2, 5, 100)
