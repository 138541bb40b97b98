"""Ratios of two means over item groups, with intervals that stay honest if the denominator is near 0 (Fieller 1954)."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from distractor.statistics.intervals import Groups, Mean, group_sums
from distractor.statistics.standard_errors import ALPHA


def ratio_of_sums(
    above: Float[ndarray, "row group"], below: Float[ndarray, "row group"], n_groups: Int[ndarray, " row"]
) -> Float[ndarray, "three row"]:
    """Ratio of two sums over groups and its 95 % interval (Fieller 1954); NaN where the denominator could be 0.

    The interval contains each ratio R for which a t-test over groups finds no difference of above − R · below from 0.
    It is bounded if and only if the denominator's own t interval excludes 0. `n_groups` counts the groups with values.
    """
    from scipy.special import stdtrit

    n = np.maximum(n_groups, 2).astype(float)
    x, y = above.sum(-1) / n, below.sum(-1) / n
    # Groups without values have sums of 0: their squares do not count.
    spread = stdtrit(n - 1, ALPHA / 2) ** 2 / (n * (n - 1))
    xx = spread * ((above**2).sum(-1) - n * x**2)
    xy = spread * ((above * below).sum(-1) - n * x * y)
    yy = spread * ((below**2).sum(-1) - n * y**2)
    a, b, c = y**2 - yy, x * y - xy, x**2 - xx
    is_known = (n_groups > 1) & (a > 1e-18 * np.maximum(y**2, 1e-300))
    a = np.where(is_known, a, np.nan)
    half = np.sqrt(np.maximum(b**2 - a * c, 0))
    return np.stack([np.where(is_known, x / np.where(is_known, y, 1), np.nan), (b - half) / a, (b + half) / a])


def ratio_interval(above: Float[ndarray, " item"], below: Float[ndarray, " item"], groups: Groups) -> Mean | None:
    """The ratio of two means over the same items, with its 95 % interval; None where the denominator could be 0."""
    (sums, of_below), _ = group_sums(np.stack([above, below]), groups)
    mean, low, high = ratio_of_sums(sums[None], of_below[None], np.array([sums.size]))[:, 0]
    return None if np.isnan(mean) else Mean(float(mean), float(low), float(high))
