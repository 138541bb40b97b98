"""The stage at which two conditions diverge."""

import numpy as np
import pytest

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


def test_conditions_whose_last_difference_may_be_0_do_not_diverge() -> None:
    result = divergence(np.random.default_rng(1).normal(size=(4, 40)), COUNTS)
    assert result.stage is result.low is result.high is None
