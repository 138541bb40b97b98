"""The stage at which two conditions diverge."""

import numpy as np
import pytest
from scipy import stats

from distractor.statistics.divergence import divergence

pytestmark = pytest.mark.quick

COUNTS = np.repeat([1.0, 3.0], 20)


@pytest.mark.parametrize("sign", [1, -1])
def test_conditions_diverge_where_half_of_the_last_difference_is_reached_for_good(sign: int) -> None:
    course = np.array([0.0, 0.9, 0.1, 0.45, 0.6, 1.0])[:, None]
    noise = 0.02 * np.random.default_rng(0).normal(size=(6, 40))
    result = divergence(sign * (course + noise), COUNTS)
    assert (result.stage, result.low, result.high) == (4, 4, 4)
    mean, low, high = result.difference
    assert low < mean < high
    assert mean == pytest.approx(sign, abs=0.02)


def test_groups_count_by_their_items_and_spread_the_stage() -> None:
    early, late = np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])
    curves = np.stack([early] * 20 + [late] * 20, 1)
    result = divergence(curves, COUNTS)
    assert (result.stage, result.high) == (3, 3)
    assert divergence(curves, COUNTS[::-1].copy()).stage == 1
    assert divergence(curves, np.ones(40)).low == 1


@pytest.mark.parametrize(("n_late", "low", "high"), [(12, 1, 1), (15, 1, 3), (25, 1, 3), (28, 3, 3)])
def test_the_interval_contains_each_stage_of_more_than_2_5_percent_of_resamples(
    n_late: int, low: int, high: int
) -> None:
    early, late = np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])
    result = divergence(np.stack([late] * n_late + [early] * (40 - n_late), 1), np.ones(40))
    share_late = stats.binom.sf(20, 40, n_late / 40)  # the stage is late if more than half of the groups are
    assert (share_late > 0.975, share_late > 0.025) == (low == 3, high == 3)
    assert (result.low, result.high) == (low, high)


def test_conditions_whose_last_difference_may_be_0_do_not_diverge() -> None:
    result = divergence(np.random.default_rng(1).normal(size=(4, 40)), COUNTS)
    assert result.stage is result.low is result.high is None
