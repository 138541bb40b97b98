"""The effects of one map of sites: means with intervals, p-values, significance marks, and shares of a gap.

A *map* holds one kind of site by layer and position (or head), for one pair of prompts and one direction. The sites of
a map are one family of tests: marks control the false discovery rate over the map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.intervals import group_sums, mean_interval, mean_intervals, two_groups
from distractor.statistics.ratios import ratio_of_sums
from distractor.statistics.sign_flips import Sites, benjamini_hochberg, sign_flip_p

LEAST_SHARE = 0.05  # a marked effect is at least this share of the pair's gap


@dataclass(frozen=True, eq=False)
class Effects:
    """The effects of one map, each array of the map's shape.

    `mean` with its 95 % interval `low` to `high` over groups is in nats; `p` is the sign-flip p-value. `is_marked`
    sites are significant after Benjamini–Hochberg at 5 % over the map and have at least 5 % of the pair's gap.
    `recovery` is the mean effect as a share of the mean gap between the two conditions, with its interval. If the gap's
    interval contains 0, recovery is NaN and no site is marked; `why_no_recovery` then gives the reason.
    """

    mean: Sites
    low: Sites
    high: Sites
    p: Sites
    is_marked: Bool[ndarray, "*site"]
    recovery: Sites
    recovery_low: Sites
    recovery_high: Sites


def judge(values: Float[ndarray, "*site item"], groups: Sequence[str], pair_gap: Float[ndarray, " item"]) -> Effects:
    """Judge the sites of one map from each item's effect, in nats; NaN where an item lacks the site.

    `pair_gap` is the change of each item's gap if everything is exchanged: gap(source) − gap(receiver). A site that only
    one group has gets no interval and p = 1. Raises ScalingError if all items are of one group, or a value is infinite.
    """
    rows = values.reshape(-1, values.shape[-1])
    if np.isinf(rows).any() or not np.isfinite(pair_gap).all():
        raise ScalingError("an effect or a gap is not finite; the weights are damaged, or the dtype is too narrow")
    numbers = two_groups(groups)
    sums, counts = group_sums(rows, numbers)
    n_groups = (counts > 0).sum(-1)
    mean, low, high = mean_intervals(rows, numbers)
    is_single = n_groups == 1
    mean[is_single] = sums[is_single].sum(-1) / counts[is_single].sum(-1)
    p = sign_flip_p(rows, numbers)

    # The gap of the items that have the site.
    gaps = np.stack([group_sums(np.where(np.isnan(row), np.nan, pair_gap), numbers)[0] for row in rows])
    recovery = ratio_of_sums(sums, gaps, n_groups)
    if not (is_defined := why_no_recovery(pair_gap, groups) is None):
        recovery = np.full_like(recovery, np.nan)
    least = LEAST_SHARE * abs(mean_interval(pair_gap, groups).mean)
    is_marked = benjamini_hochberg(p) & (np.abs(np.nan_to_num(mean)) >= least) & is_defined
    return Effects(*(table.reshape(values.shape[:-1]) for table in (mean, low, high, p, is_marked, *recovery)))


def why_no_recovery(pair_gap: Float[ndarray, " item"], groups: Sequence[str]) -> str | None:
    """Why effects cannot be given as a share of a pair's gap; None if they can. Raises ScalingError like `judge`."""
    mean, low, high = mean_interval(pair_gap, groups)
    sums, counts = group_sums(pair_gap[None], groups)
    ratio, _, _ = ratio_of_sums(sums, sums, np.array([counts.shape[-1]]))
    if not (low <= 0 <= high or np.isnan(ratio[0])):
        return None
    return (
        f"the two conditions' gaps do not differ (mean difference {mean:.2g} nats, 95 % {low:.2g} to {high:.2g}), so "
        "the share of recovery is not defined"
    )
