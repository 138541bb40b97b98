"""Warnings about item groups of unequal size."""

import numpy as np
import pytest
from numpy import ndarray

from distractor.statistics.group_values import group_values
from distractor.statistics.weighting import weighting_notes

pytestmark = pytest.mark.quick
SIZES = (1000, 2000, 4000, 8000, 16000)
RISE, U = np.array([0.3, 0.4, 0.5, 0.6, 0.7]), np.array([0.8, 0.5, 0.2, 0.5, 0.8])


def notes(of_large: ndarray, of_small: ndarray, large: int, *, n_large: int = 1, noise: float = 0.1) -> list[str]:
    """Of `n_large` groups of `large` items and 60 groups of one item, each kind with its own curve."""
    names = [f"large{group}" for group in range(n_large) for _ in range(large)] + [f"small{item}" for item in range(60)]
    levels = np.where([name.startswith("large") for name in names], of_large[:, None], of_small[:, None])
    values = levels + noise * np.random.default_rng(0).normal(size=levels.shape)
    counts = np.array([large] * n_large + [1] * 60, dtype=float)
    return list(weighting_notes(group_values(values, names)[None], counts, SIZES, delta=0.05))


def test_groups_of_equal_size_need_no_warning() -> None:
    assert notes(U, RISE, 1, n_large=60) == []


def test_a_group_with_most_items_is_named() -> None:
    assert notes(RISE, RISE, 90)[0] == (
        "the largest of 61 item groups has 60% of the items, so that errors are as uncertain as from 2.8 groups of equal "
        "size; more groups help, more items in it do not"
    )


def test_another_turn_or_trend_is_named() -> None:
    (turn,) = notes(U, RISE, 3, n_large=60)
    assert "all items count the same (0.67 to 0.77, a fall and rise of 0.40)" in turn
    assert "the curve would be another (0.54 to 0.75, a fall and rise of 0.19), at 1,000 with 0.54 instead of" in turn
    (trend,) = notes(RISE, RISE[::-1], 3, n_large=60)
    assert "(0.40 to 0.60, no turn of 0.05); if all groups counted the same" in trend
    (level,) = notes(RISE + 0.2, RISE, 3, n_large=60)
    assert "counted the same, the curve would be another (0.39 to 0.80" in level
    assert notes(RISE, RISE, 3, n_large=60) == []
