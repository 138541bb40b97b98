"""Differences between all pairs of sizes of a curve, with simultaneous confidence bounds, and the label they give.

The bounds hold for all pairs at once, so they stay valid for a peak that is picked from the data. All functions take
any number of ladders along the leading axes `*rest`, so that a calibration judges many ladders in one call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.statistics import critical_values, standard_errors
from distractor.statistics.critical_values import Part, combine
from distractor.statistics.standard_errors import (
    ALPHA,
    cautious,
    number_of_answers,
    t_quantile,
    variance_of_differences,
)

Label = Literal["positive", "inverse", "U-shaped", "inverted-U", "flat", "undetermined"]
PerSize = Float[ndarray, "*rest size"]
PerPair = Float[ndarray, "*rest size size"]
Maxima = Float[ndarray, "*rest draw"]
PIECE = 60_000  # values in memory at once
MOST_DISTANCES = 2_000_000_000  # draws × sizes², so that 3,000 sizes take seconds
LEAST_DRAWS = 500
ENOUGH_DEGREES = 11  # of freedom of the groups, for a bootstrap of all pairs of sizes


@dataclass(frozen=True, eq=False)
class Pairs:
    """A curve over size, and the differences between all pairs of its sizes.

    `error[i, j]` is the standard error of the difference between sizes i and j, with `freedom[i, j]` degrees of freedom.
    `critical` is the normal deviate that the largest false difference exceeds with probability 5 % in each direction.
    `pointwise[i, j]` is the two-sided 95 % bound of that pair alone. Pointwise bounds are enough to exclude a turn: it
    has two fixed legs, and is wrongly excluded only if one of their bounds fails (at most 5 %).
    """

    curve: PerSize
    error: PerPair
    freedom: Float[ndarray, "..."]
    critical: Float[ndarray, "..."]
    pointwise: PerPair

    @property
    def rise(self) -> PerPair:
        """[i, j]: the value at size j minus that at size i."""
        return self.curve[..., None, :] - self.curve[..., :, None]

    @cached_property
    def bound(self) -> PerPair:
        """[i, j]: the bound of the difference between sizes i and j that holds for all pairs at once."""
        critical = np.asarray(self.critical)[..., None, None]
        return np.asarray(critical_values.t_at(critical, self.freedom) * self.error)

    def deviates(self, sign: int, at: int) -> PerSize:
        """How far size `at` is above (`sign` 1) or below (−1) each size, as a normal deviate."""
        freedom = np.broadcast_to(self.freedom, self.error.shape)[..., at]
        return np.asarray(critical_values.normal_at(sign * self.rise[..., at] / self.error[..., at], freedom))


def pairs_of_weights(
    values: Float[ndarray, "*rest size group"],
    *,
    is_share: bool = True,
    n_effective: float | None = None,
    seed: int = 0,
    draws: int = 2000,
) -> tuple[Pairs, Maxima]:
    """Level 1, these weights: a max-t cluster bootstrap over groups. Also returns its sorted maxima.

    The standard error is itself estimated from the groups, so differences are read on the t scale with the groups'
    degrees of freedom (see `group_degrees`). Few groups do not show how sizes vary together, so they count as
    independent, which is conservative. A difference that is equal in all groups has no standard error; only its
    sign counts. `n_effective` is the number of groups to exclude a difference with, if groups differ in size.
    """
    values = standard_errors.sort_groups(values)
    n_groups = values.shape[-1]
    curve = values.mean(-1)
    centred = values - curve[..., None]
    covariance = standard_errors.covariance(values)
    least = standard_errors.rounding_error(values, 2)
    error = _error(covariance, least)
    drawn = standard_errors.bootstrap_means(centred, _affordable(draws, values.shape[-2]), seed)
    drawn = drawn.swapaxes(-1, -2)
    maxima = _sorted_maxima(drawn, error) * np.sqrt(n_groups / (n_groups - 1))
    degrees = standard_errors.group_degrees(values)
    maxima = np.where(
        degrees[..., None] < ENOUGH_DEGREES, _range_maxima(curve.shape[-1], maxima.shape[-1], seed), maxima
    )
    freedom = degrees[..., None, None]
    seen = cautious(covariance, n_effective or n_groups, is_share)
    pointwise = t_quantile(freedom) * _error(seen, least)
    return Pairs(curve, error, freedom, critical_values.maxima_deviate(maxima, 2 * ALPHA), pointwise), maxima


def pairs_of_means(
    means: PerSize, errors: PerSize, *, is_share: bool = True, seed: int = 0, draws: int = 20_000
) -> tuple[Pairs, Maxima]:
    """Level 1 from means and independent normal errors; conservative if all models get the same items. Also returns
    maxima.
    """
    covariance = errors[..., None] ** 2 * np.eye(errors.shape[-1])
    least = standard_errors.rounding_error(means, 1)
    error = _error(covariance, least)
    rng, n_sizes = np.random.default_rng(seed), means.shape[-1]
    drawn = rng.normal(size=(_affordable(draws, n_sizes), n_sizes)) * errors[..., None, :]
    maxima = _sorted_maxima(drawn, error)
    freedom = np.asarray(np.inf)
    pointwise = t_quantile(freedom) * _error(cautious(covariance, number_of_answers(means, errors), is_share), least)
    return Pairs(means, error, freedom, critical_values.maxima_deviate(maxima, 2 * ALPHA), pointwise), maxima


def pairs_of_models(
    values: Float[ndarray, "*rest seed size group"], *, is_share: bool = True, n_effective: float | None = None
) -> Pairs:
    """Level 2, models like these: the variance over seeds plus the cluster variance of the items that all seeds share.

    At each of K sizes, m is the mean and v the variance over S seeds; u = max(v, mean v), because few seeds can agree by
    chance. g is the cluster variance of the seed-averaged difference over G groups. Item noise that differs between
    seeds is already in v, so its share is removed from g (two-way ANOVA). A difference m_k − m_j has the variance
    (u_j + u_k) / S + g_jk. It is compared with Student's t, whose degrees of freedom follow Satterthwaite (1946): mean v
    has K(S − 1), the excess of u over it S − 1, g has those of `group_degrees`. `n_effective` as in `pairs_of_weights`.
    """
    of_items = standard_errors.shared_covariance(values)
    seen = cautious(of_items, n_effective or values.shape[-1], is_share)
    degrees = standard_errors.group_degrees(values.mean(-3))[..., None, None]
    return _over_seeds(values.mean(-1), of_items, seen, degrees, standard_errors.rounding_error(values, 3))


def pairs_of_seed_means(
    means: Float[ndarray, "seed size"], errors: Float[ndarray, "seed size"], *, is_share: bool = True
) -> Pairs:
    """Level 2 from each seed's means and standard errors alone, as if all seeds shared one error over items."""
    of_items = np.diag((errors**2).mean(0))
    seen = cautious(of_items, number_of_answers(means, errors).min(-1), is_share)
    return _over_seeds(means, of_items, seen, np.inf, standard_errors.rounding_error(means, 2))


def _error(covariance: PerPair, least: Float[ndarray, "*rest"]) -> PerPair:
    """The standard error of the difference between any two sizes, at least `least`."""
    return np.maximum(np.sqrt(variance_of_differences(covariance)), least[..., None, None])


def _over_seeds(
    means: Float[ndarray, "*rest seed size"],
    of_items: PerPair,
    seen: PerPair,
    group_degrees: Any,
    least: Float[ndarray, "*rest"],
) -> Pairs:
    """Level 2's pairs, with the covariance `of_items` for significance and `seen` to exclude a turn."""
    n_seeds, n_sizes = means.shape[-2:]
    common, excess = standard_errors.of_seeds(means.var(-2, ddof=1), n_seeds)
    first, second = excess[..., :, None], excess[..., None, :]

    def difference(covariance: PerPair) -> tuple[PerPair, PerPair]:
        variance = variance_of_differences(covariance)
        error, freedom = error_over_seeds(common[..., None], (first, second), variance, n_seeds, n_sizes, group_degrees)
        return np.maximum(error, least[..., None, None]), freedom

    error, freedom = difference(of_items)
    seen_error, seen_freedom = difference(seen)
    # Few sizes, one of them noisy: without the limit a turn of δ is wrongly excluded in 6 %.
    pointwise = t_quantile(np.minimum(seen_freedom, n_sizes * (n_seeds - 1))) * seen_error
    return Pairs(means.mean(-2), error, freedom, np.asarray(critical_values.range_deviate(n_sizes)), pointwise)


def error_over_seeds(
    common: Any, excesses: Sequence[Any], of_groups: Any, n_seeds: int, n_sizes: int, group_degrees: Any
) -> tuple[Any, Any]:
    """The standard error at level 2 and its degrees of freedom, of one size or of a difference: one excess a size."""
    seeds = n_seeds - 1
    pooled = Part(len(excesses) * common, n_sizes * seeds)
    return combine(pooled, *(Part(excess, seeds) for excess in excesses), Part(of_groups, group_degrees))


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


def _range_maxima(n_sizes: int, draws: int, seed: int) -> Float[ndarray, " draw"]:
    """The largest difference between two sizes, in standard errors, if sizes are independent; in ascending order."""
    drawn = np.random.default_rng(seed).normal(size=(draws, n_sizes))
    return np.asarray(np.sort(np.ptp(drawn, axis=-1)) / np.sqrt(2))


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
