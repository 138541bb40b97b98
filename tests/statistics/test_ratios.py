"""Ratios of means: their interval covers the true ratio, also if the denominator is noisy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from distractor.statistics.ratios import ratio_interval
from grouped_items import grouped

pytestmark = pytest.mark.quick


def test_equal_ratios_in_every_item_have_no_error() -> None:
    below = np.arange(1.0, 21.0)
    assert_allclose(ratio_interval(-0.5 * below, below, grouped(10)), (-0.5, -0.5, -0.5), atol=1e-9)


def test_a_denominator_that_could_be_0_has_no_ratio() -> None:
    below = np.random.default_rng(0).normal(size=40)
    assert ratio_interval(below, below, grouped(20)) is None


@pytest.mark.parametrize("signal", [1.0, 4.0])
def test_the_interval_covers_the_ratio_in_95_percent(signal: float) -> None:
    """The ratio is 1.5; undefined intervals say nothing, and so cover it."""
    rng, groups = np.random.default_rng(1), grouped(10)
    covered = 0
    for _ in range(400):
        shared = np.repeat(rng.normal(size=10), 2)
        below, above = signal + shared, 1.5 * signal + 0.5 * shared + rng.normal(size=20)
        found = ratio_interval(above, below, groups)
        covered += found is None or found.low <= 1.5 <= found.high
    assert 365 <= covered <= 398
