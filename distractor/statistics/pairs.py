"""Differences between all pairs of sizes of a curve, with simultaneous confidence bounds, and the label they give.

The bounds hold for all pairs at once, so they stay valid for a peak that is picked from the data. All functions take
any number of ladders along the leading axes `*rest`, so that a calibration judges many ladders in one call.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.statistics import standard_errors
from distractor.statistics.standard_errors import ALPHA, CRITICAL_AT_LEAST, studentized_range_quantile, t_quantile

Label = Literal["positive", "inverse", "U-shaped", "inverted-U", "flat", "undetermined"]
PerSize = Float[ndarray, "*rest size"]
PerPair = Float[ndarray, "*rest size size"]
Maxima = Float[ndarray, "*rest draw"]
PIECE = 60_000  # values in memory at once
MOST_DISTANCES = 2_000_000_000  # draws × sizes², so that 3,000 sizes take seconds
LEAST_DRAWS = 500


@dataclass(frozen=True, eq=False)
class Pairs:
    """A curve over size, and the differences between all pairs of its sizes.

    `error[i, j]` is the standard error of the difference between sizes i and j. `bound[i, j]` is its simultaneous bound
    over all pairs, and `pointwise[i, j]` the bound of that pair alone. Pointwise bounds are enough to exclude a turn:
    it has two fixed legs, and is wrongly excluded only if one of their bounds fails (at most 5 %).
    """

    curve: PerSize
    error: PerPair
    bound: PerPair
    pointwise: PerPair

    @property
    def rise(self) -> PerPair:
        """[i, j]: the value at size j minus that at size i."""
        return self.curve[..., None, :] - self.curve[..., :, None]


def pairs_of_weights(
    values: Float[ndarray, "*rest size group"], *, seed: int = 0, draws: int = 2000
) -> tuple[Pairs, Maxima]:
    """Level 1, these weights: a max-t cluster bootstrap over groups. Also returns its sorted maxima.

    The standard error is itself estimated from the groups, so differences are read on the t scale with groups − 1
    degrees of freedom. A difference that is equal in all groups has no standard error; only its sign counts.
    """
    values = standard_errors.sort_groups(values)
    n_groups = values.shape[-1]
    curve = values.mean(-1)
    centred = values - curve[..., None]
    error = np.sqrt(standard_errors.variance_of_differences(standard_errors.covariance(values)))
    error = np.maximum(error, standard_errors.rounding_error(values, 2)[..., None, None])
    drawn = standard_errors.bootstrap_means(centred, _affordable(draws, values.shape[-2]), seed)
    drawn = drawn.swapaxes(-1, -2)
    maxima = _sorted_maxima(drawn, error) * np.sqrt(n_groups / (n_groups - 1))
    bound = standard_errors.critical_value(maxima, n_groups)[..., None, None] * error
    return Pairs(curve, error, bound, t_quantile(n_groups - 1) * error), maxima


def pairs_of_models(values: Float[ndarray, "*rest seed size group"]) -> Pairs:
    """Level 2, models like these: studentized range over seeds plus the cluster variance of the items.

    At each of K sizes, m is the mean and v the variance over S seeds. u = max(v, mean v), because few seeds can agree
    by chance. g is the cluster variance of the seed-averaged difference. The bound is q · √((u_j + u_k) / 2S
    + g_jk / 2), where q is the .90 quantile of the studentized range of K means with K(S − 1) degrees of freedom (Tukey
    1949): 5 % in each direction. Item noise that differs between seeds is already in v, so its share is removed from g
    (two-way ANOVA).
    """
    n_seeds, _, n_groups = values.shape[-3:]
    per_seed = values.mean(-1)
    spread = standard_errors.at_least_mean(per_seed.var(-2, ddof=1))
    of_groups = standard_errors.variance_of_differences(standard_errors.shared_covariance(values))
    return _over_seeds(
        per_seed.mean(-2), spread, of_groups, n_seeds, n_groups - 1, standard_errors.rounding_error(values, 3)
    )


def pairs_of_means(means: PerSize, errors: PerSize, *, seed: int = 0, draws: int = 20_000) -> tuple[Pairs, Maxima]:
    """Level 1 from means and independent normal errors; conservative if all models get the same items. Also returns
    maxima.
    """
    error = np.sqrt(errors[..., None, :] ** 2 + errors[..., :, None] ** 2)
    error = np.maximum(error, standard_errors.rounding_error(means, 1)[..., None, None])
    drawn = (
        np.random.default_rng(seed).normal(size=(_affordable(draws, means.shape[-1]), means.shape[-1]))
        * errors[..., None, :]
    )
    maxima = _sorted_maxima(drawn, error)
    bound = np.maximum(standard_errors.upper_quantile(maxima), CRITICAL_AT_LEAST)[..., None, None] * error
    return Pairs(means, error, bound, CRITICAL_AT_LEAST * error), maxima


def pairs_of_seed_means(means: Float[ndarray, "seed size"], errors: Float[ndarray, "seed size"]) -> Pairs:
    """Level 2 from each seed's means and standard errors alone, as if all seeds shared one error over items."""
    of_items = (errors**2).mean(0)
    spread = standard_errors.at_least_mean(means.var(0, ddof=1))
    of_groups = of_items[:, None] + of_items
    return _over_seeds(means.mean(0), spread, of_groups, len(means), np.inf, standard_errors.rounding_error(means, 2))


def _over_seeds(
    curve: PerSize,
    spread: PerSize,
    of_groups: PerPair,
    n_seeds: int,
    group_degrees: float,
    least: Float[ndarray, "*rest"],
) -> Pairs:
    n_sizes = curve.shape[-1]
    degrees = n_sizes * (n_seeds - 1)
    error = np.maximum(error_over_seeds(spread, of_groups, n_seeds), least[..., None, None])
    bound = studentized_range_quantile(1 - 2 * ALPHA, n_sizes, degrees) * error
    # Pointwise bounds use Welch and Satterthwaite's degrees of freedom: pooled ones fail at a single noisy size.
    a, b = spread[..., :, None], spread[..., None, :]
    weight = (a**2 + b**2) / n_seeds**2 / (n_seeds - 1) + of_groups**2 / group_degrees
    freedom = np.minimum((2 * error**2) ** 2 / np.maximum(weight, 1e-300), degrees)
    return Pairs(curve, error, bound, t_quantile(freedom) * np.sqrt(2) * error)


def error_over_seeds(
    spread: PerSize, of_groups: Float[ndarray, "*more size size"], n_seeds: int
) -> Float[ndarray, "..."]:
    """The standard error of one mean, in the unit of the studentized range, for each pair of sizes."""
    both = spread[..., :, None] + spread[..., None, :]
    return np.sqrt(both / (2 * n_seeds) + of_groups / 2)


def weaker_leg(ahead: PerPair) -> Float[ndarray, "*rest inner"]:
    """The smaller of the two legs at each interior size; `ahead[i, j]` is the value at size j minus that at size i."""
    n_sizes = ahead.shape[-1]
    before = np.triu(np.ones((n_sizes, n_sizes), bool), 1)
    left, right = (np.where(side, ahead, -np.inf).max(-2) for side in (before, before.T))
    return np.minimum(left, right)[..., 1:-1]


def turning_set(pairs: Pairs, sign: int) -> Bool[ndarray, "*rest inner"]:
    """Which interior sizes no other size exceeds beyond the bound, as the highest (`sign` 1) or lowest (−1) point."""
    exceeds = -sign * pairs.rise > pairs.bound  # [i, j]: i exceeds j
    return np.logical_and.reduce(~exceeds, axis=-2)[..., 1:-1]


def labels(pairs: Pairs, delta: float) -> ndarray:
    """The label of each curve.

    Flat: every difference is within δ, bounds included. A turn counts if it is significant and not excluded at δ; of
    two turns that count, one must be twice as deep. Positive or inverse: no turn, and the two ends differ beyond the
    bound. Also, no pair differs significantly in the other direction, or both kinds of turn are excluded at δ.
    """
    rise = pairs.rise
    n_sizes = rise.shape[-1]
    off, above = ~np.eye(n_sizes, dtype=bool), np.triu(np.ones((n_sizes, n_sizes), bool))
    counts, depths, excluded = [], [], []
    for sign in (-1, 1):
        at_most = weaker_leg(sign * rise + pairs.pointwise).max(-1)
        counts.append((weaker_leg(sign * rise - pairs.bound).max(-1) > 0) & (at_most >= delta))
        depths.append(weaker_leg(sign * rise).max(-1))
        excluded.append(at_most < delta)
    (is_u, is_inverted), (u, inverted) = counts, depths
    is_clear = (np.abs(rise) > pairs.bound) & above
    goes_both_ways = ((rise > 0) & is_clear).any((-2, -1)) & ((rise < 0) & is_clear).any((-2, -1))
    is_one_way = (excluded[0] & excluded[1]) | ~goes_both_ways
    do_ends_differ = ~is_u & ~is_inverted & is_clear[..., 0, -1] & is_one_way
    is_flat = np.where(off, np.abs(rise) + pairs.pointwise, 0).max((-2, -1)) < delta
    return np.select(
        [
            is_flat,
            is_u & (~is_inverted | (u >= 2 * inverted)),
            is_inverted & (~is_u | (inverted >= 2 * u)),
            do_ends_differ & (rise[..., 0, -1] > 0),
            do_ends_differ,
        ],
        ["flat", "U-shaped", "inverted-U", "positive", "inverse"],
        "undetermined",
    )


def _affordable(draws: int, n_sizes: int) -> int:
    """The number of draws, less than `draws` for more than about a thousand sizes."""
    return min(draws, max(LEAST_DRAWS, MOST_DISTANCES // n_sizes**2))


def _sorted_maxima(drawn: Float[ndarray, "*rest draw size"], error: PerPair) -> Maxima:
    """The largest absolute difference between two sizes in each draw, in standard errors, in ascending order."""
    *_, draws, n_sizes = drawn.shape
    maxima = np.zeros(drawn.shape[:-1])
    # In pieces that fit into the processor's cache.
    piece = max(1, PIECE // n_sizes)
    for start in range(0, draws, piece):
        some, largest = drawn[..., start : start + piece, :], maxima[..., start : start + piece]
        for first in range(n_sizes - 1):
            distance = some[..., first + 1 :] - some[..., first, None]
            np.abs(distance, out=distance)
            distance /= error[..., None, first, first + 1 :]
            np.maximum(largest, distance.max(-1), out=largest)
    maxima.sort(axis=-1)
    return maxima
