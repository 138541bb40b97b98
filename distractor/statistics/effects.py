"""Which of a map's effects are there: intervals, p-values and marks over groups of items, and effects as a share of a gap.

A *map* is one picture: the same kind of site by layer and position or head, for one pair and direction. Its sites are one
family: looking at many of them and naming the striking ones is accounted for. Items of a group are not independent,
so signs are flipped, and errors taken, by groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.groups import interval

ALPHA = 0.05


LEAST_SHARE = 0.05
"""A mark needs an effect of at least this share of the pair's gap."""


EXACT_GROUPS = 12
"""Up to so many groups all signs are tried, above a random sample of them."""


Sites = Float[ndarray, "*site"]


@dataclass(frozen=True, eq=False)
class Effects:
    """The effects of one map, each of the map's shape.

    `mean` with `low` and `high` (95 %, over groups) in nats; `p` by sign flips; `is_marked`: Benjamini–Hochberg at 5 % over
    the map, and at least 5 % of the pair's gap. `recovery` is the mean effect as a share of the mean gap between the two
    conditions, with its interval; NaN where that gap's own interval holds 0 (`why_no_recovery` says so), and then nothing is
    marked.
    """

    mean: Sites
    low: Sites
    high: Sites
    p: Sites
    is_marked: Bool[ndarray, "*site"]
    recovery: Sites
    recovery_low: Sites
    recovery_high: Sites


def judge(
    values: Float[ndarray, "*site item"], groups: Sequence[str], pair_gap: Float[ndarray, " item"], *, seed: int = 0
) -> Effects:
    """Judge the sites of one map from each item's effect, in nats; NaN where an item has no such site.

    `pair_gap` is what each item's gap would change by if everything were exchanged: gap(source) − gap(receiver). A site
    that fewer than two groups have has no interval and p = 1.

    Raises:
        ScalingError: all items are of one group, or a value is infinite.

    """
    rows = values.reshape(-1, values.shape[-1])
    if np.isinf(rows).any() or not np.isfinite(pair_gap).all():
        raise ScalingError("an effect or a gap is not finite; the weights are damaged, or the dtype is too narrow")
    number = _numbers(groups)
    sums, counts = _by_group(rows, number)
    has = (counts > 0).sum(-1)

    mean, low, high = (np.full(len(rows), np.nan) for _ in range(3))
    for present in np.unique(counts[has > 1], axis=0):
        here = (counts == present).all(-1)
        used = present > 0
        mean[here], low[here], high[here] = interval(sums[here][:, used] / present[used], counts=present[used])
    only = has == 1
    mean[only] = sums[only].sum(-1) / counts[only].sum(-1)

    p = sign_flip_p(rows, groups, seed=seed)
    # The gap over the same items that have the site, group by group.
    gaps = np.stack([_by_group(np.where(np.isnan(row), np.nan, pair_gap)[None], number)[0][0] for row in rows])
    recovery, recovery_low, recovery_high = _ratio(sums, gaps, has)
    is_there = why_no_recovery(pair_gap, groups) is None
    if not is_there:
        recovery, recovery_low, recovery_high = (np.full(len(rows), np.nan) for _ in range(3))
    least = LEAST_SHARE * abs(mean_interval(pair_gap, groups)[0])
    is_marked = benjamini_hochberg(p) & (np.abs(np.nan_to_num(mean)) >= least) & is_there

    shape = values.shape[:-1]
    return Effects(
        mean=mean.reshape(shape),
        low=low.reshape(shape),
        high=high.reshape(shape),
        p=p.reshape(shape),
        is_marked=is_marked.reshape(shape),
        recovery=recovery.reshape(shape),
        recovery_low=recovery_low.reshape(shape),
        recovery_high=recovery_high.reshape(shape),
    )


def why_no_recovery(pair_gap: Float[ndarray, " item"], groups: Sequence[str]) -> str | None:
    """Why effects cannot be told as a share of a pair's gap; None where they can.

    Raises:
        ScalingError: all items are of one group.

    """
    sums, counts = _by_group(pair_gap[None], _numbers(groups))
    mean, low, high = mean_interval(pair_gap, groups)
    alone, _, _ = _ratio(sums, sums, np.array([len(counts[0])]))
    if not (low <= 0 <= high or np.isnan(alone[0])):
        return None
    return (
        f"the two conditions' gaps do not differ (mean difference {mean:.2g} nats, 95 % {low:.2g} to {high:.2g}), so "
        "there is nothing to recover a share of"
    )


def mean_interval(values: Float[ndarray, " item"], groups: Sequence[str]) -> tuple[float, float, float]:
    """The mean over items and its 95 % interval over their groups.

    Raises:
        ScalingError: all items are of one group.

    """
    sums, counts = _by_group(values[None], _numbers(groups))
    mean, low, high = interval(sums[0] / counts[0], counts=counts[0])
    return float(mean), float(low), float(high)


def sign_flip_p(values: Float[ndarray, "*site item"], groups: Sequence[str], *, seed: int = 0) -> Sites:
    """Two-sided p-value of each site's mean effect: how often flipping the signs of whole groups gives as large a mean.

    All 2^G signs are tried up to 12 groups; above, a random sample by `seed` (the observed signs among them), large
    enough for the smallest p that Benjamini–Hochberg could ask of the map.
    """
    rows = values.reshape(-1, values.shape[-1])
    sums, _ = _by_group(rows, _numbers(groups))
    found = np.abs(sums.sum(-1)) * (1 - 1e-9)  # ties are ties, whatever rounding says
    n_groups = sums.shape[-1]
    exact = n_groups <= EXACT_GROUPS
    draws = 2 ** (n_groups - 1) if exact else max(9_999, int(2 * len(rows) / ALPHA))
    rng = np.random.default_rng(seed)
    as_large = np.zeros(len(rows), dtype=np.int64)
    for start in range(0, draws, 4096):
        count = min(4096, draws - start)
        if exact:  # the other half of the signs mirrors this one
            bits = np.arange(start, start + count)[None] >> np.arange(n_groups)[:, None]
        else:
            bits = rng.integers(0, 2, (n_groups, count))
        signs = 1.0 - 2 * (bits & 1)
        as_large += (np.abs(sums @ signs) >= found[:, None]).sum(-1)
    p = as_large / draws if exact else (1 + as_large) / (1 + draws)
    return np.asarray(p).reshape(values.shape[:-1])


def benjamini_hochberg(p: Sites) -> Bool[ndarray, "*site"]:
    """Which of a family's p-values are marked, so that at most 5 % of the marked ones are expected to be false."""
    flat = np.sort(p.ravel())
    passed = np.flatnonzero(flat <= ALPHA * np.arange(1, flat.size + 1) / max(flat.size, 1))
    limit = flat[passed[-1]] if passed.size else -1.0
    marked: ndarray = p <= limit
    return marked


def _ratio(
    above: Float[ndarray, "site group"], below: Float[ndarray, "site group"], n_groups: Int[ndarray, " site"]
) -> tuple[Sites, Sites, Sites]:
    """Ratio of two sums over groups and its 95 % interval (Fieller 1954); NaN where the denominator could be 0.

    Those ratios R are in the interval for which the mean of above − R · below is not told from 0 by a t-test over groups.
    It is bounded exactly where the denominator's own t-interval does not hold 0.
    """
    from scipy.special import stdtrit

    n = np.maximum(n_groups, 2).astype(float)
    t = -stdtrit(n - 1, ALPHA / 2)
    x, y = above.sum(-1) / n, below.sum(-1) / n
    # Groups without the site have sums of 0 and do not count: their squares are taken out of the spread.
    spread = (t**2) / (n * (n - 1))
    xx = spread * ((above**2).sum(-1) - n * x**2)
    xy = spread * ((above * below).sum(-1) - n * x * y)
    yy = spread * ((below**2).sum(-1) - n * y**2)
    a, b, c = y**2 - yy, x * y - xy, x**2 - xx
    known = (n_groups > 1) & (a > 1e-18 * np.maximum(y**2, 1e-300))
    a = np.where(known, a, np.nan)
    half = np.sqrt(np.maximum(b**2 - a * c, 0))
    return np.where(known, x / np.where(known, y, 1), np.nan), (b - half) / a, (b + half) / a


def _numbers(groups: Sequence[str]) -> Int[ndarray, " item"]:
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    if numbers.size == 0 or numbers.max() < 1:
        raise ScalingError(
            f"errors come from the spread over item groups: at least 2 are needed, better 30; {len(set(groups))} came"
        )
    return numbers


def _by_group(
    rows: Float[ndarray, "site item"], groups: Int[ndarray, " item"]
) -> tuple[Float[ndarray, "site group"], Float[ndarray, "site group"]]:
    """The sum of each group's values, and how many it has."""
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    return np.nan_to_num(rows) @ member, (~np.isnan(rows)).astype(float) @ member
