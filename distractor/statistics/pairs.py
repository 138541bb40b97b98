"""Every difference between two sizes of a curve, with bounds that hold for all of them at once, and what they show.

A peak picked from the data and then tested on the same data overstates; where every pair of sizes has a bound that
holds for all pairs at once, picking costs nothing. All functions take any number of ladders: the leading axes `*rest`
are none for one ladder, and as many as a calibration judges by this same code.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.statistics.standard_errors import (
    ALPHA,
    CRITICAL_AT_LEAST,
    at_least_mean,
    bootstrap_weights,
    covariance,
    critical_value,
    rounding_error,
    shared_covariance,
    sort_groups,
    t_quantile,
    upper_quantile,
    variance_of_differences,
)
from distractor.statistics.studentized_range import studentized_range_quantile

Label = Literal["positive", "inverse", "U-shaped", "inverted-U", "flat", "undetermined"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """A curve over size, and all its pairs of sizes.

    `error[i, j]` is the standard error of the difference between sizes i and j, `half[i, j]` bounds it for all pairs
    at once. `alone[i, j]` bounds that pair by itself, 97.5 % to each side. It is enough to rule a turn out: a turn of δ
    has two fixed legs, and to miss it one of these two bounds must fail, at most 5 % however many pairs there are.
    """

    curve: Float[ndarray, "*rest size"]
    error: Float[ndarray, "*rest size size"]
    half: Float[ndarray, "*rest size size"]
    alone: Float[ndarray, "*rest size size"]

    @property
    def rise(self) -> Float[ndarray, "*rest size size"]:
        """[i, j]: how far size j is above size i."""
        above: ndarray = self.curve[..., None, :] - self.curve[..., :, None]
        return above


def pairs_of_weights(
    values: Float[ndarray, "*rest size group"], *, seed: int = 0, draws: int = 2000
) -> tuple[Pairs, Float[ndarray, "*rest draw"]]:
    """Level 1, these weights: a max-t cluster bootstrap over groups; also gives the bootstrap's maxima, ascending.

    The bootstrap divides by one fixed standard error, which is itself estimated from the groups: the observed
    differences are therefore read on the t scale with groups − 1 degrees of freedom. A pair of sizes that differs
    by exactly the same amount in every group has no error, and its sign is taken as it is.
    """
    values = sort_groups(values)
    n_groups = values.shape[-1]
    curve = values.mean(-1)
    centred = values - curve[..., None]
    error = np.maximum(np.sqrt(variance_of_differences(covariance(values))), rounding_error(values, 2)[..., None, None])
    most = _maxima(centred, error, seed, draws)
    half = critical_value(most, n_groups)[..., None, None] * error
    return Pairs(curve, error, half, t_quantile(n_groups - 1) * error), most


def pairs_of_models(values: Float[ndarray, "*rest seed size group"]) -> Pairs:
    """Level 2, models like these: studentized range over seeds, with the items' cluster variance, from three seeds on.

    With m the mean over S seeds at each of K sizes, v the variance over seeds, u = max(v, mean v) (a size whose few
    seeds happen to agree is not believed) and g the cluster variance of the seed-averaged difference, the bound is
    q · √((u_j + u_k) / 2S + g_jk / 2), q the studentized range of K means with K(S − 1) degrees of freedom (Tukey
    1949), at .90: 5 % in each direction. Noise of single items that differs from seed to seed is in v; it would count
    again in g, so there its share (seed × group residuals, as in an analysis of variance in two ways) is taken out.
    """
    n_seeds, _, n_groups = values.shape[-3:]
    per_seed = values.mean(-1)
    spread = at_least_mean(per_seed.var(-2, ddof=1))
    of_groups = variance_of_differences(shared_covariance(values))
    return _over_seeds(per_seed.mean(-2), spread, of_groups, n_seeds, n_groups - 1, rounding_error(values, 3))


def pairs_of_means(
    means: Float[ndarray, "*rest size"], errors: Float[ndarray, "*rest size"], *, seed: int = 0, draws: int = 20_000
) -> tuple[Pairs, Float[ndarray, "*rest draw"]]:
    """Level 1 where only means and their standard errors are known: independent normal errors.

    The same items asked of every model agree from size to size, so that real errors of differences are smaller.
    """
    error = np.sqrt(errors[..., None, :] ** 2 + errors[..., :, None] ** 2)
    error = np.maximum(error, rounding_error(means, 1)[..., None, None])
    drawn = np.random.default_rng(seed).normal(size=(draws, means.shape[-1])) * errors[..., None, :]
    most = _sorted_maxima(drawn, error)
    half = np.maximum(upper_quantile(most), CRITICAL_AT_LEAST)[..., None, None] * error
    return Pairs(means, error, half, CRITICAL_AT_LEAST * error), most


def pairs_of_seed_means(means: Float[ndarray, "seed size"], errors: Float[ndarray, "seed size"]) -> Pairs:
    """Level 2 where only means of each seed are known: as if all seeds' errors over items were the same ones."""
    n_seeds = len(means)
    of_items = (errors**2).mean(0)
    spread = at_least_mean(means.var(0, ddof=1))
    of_groups = of_items[:, None] + of_items
    return _over_seeds(means.mean(0), spread, of_groups, n_seeds, np.inf, rounding_error(means, 2))


def _over_seeds(
    curve: Float[ndarray, "*rest size"],
    spread: Float[ndarray, "*rest size"],
    of_groups: Float[ndarray, "*rest size size"],
    n_seeds: int,
    group_degrees: float,
    least: Float[ndarray, "*rest"],
) -> Pairs:
    n_sizes = curve.shape[-1]
    degrees = n_sizes * (n_seeds - 1)
    floor = np.maximum(error_over_seeds(spread, of_groups, n_seeds), least[..., None, None])
    half = studentized_range_quantile(1 - 2 * ALPHA, n_sizes, degrees) * floor
    # Of one pair alone: Welch and Satterthwaite's freedom, since one noisy size would be misjudged by the pooled one.
    a, b = spread[..., :, None], spread[..., None, :]
    known = (a**2 + b**2) / n_seeds**2 / (n_seeds - 1) + of_groups**2 / group_degrees
    freedom = np.minimum((2 * floor**2) ** 2 / np.maximum(known, 1e-300), degrees)
    return Pairs(curve, floor, half, t_quantile(freedom) * np.sqrt(2) * floor)


def error_over_seeds(
    spread: Float[ndarray, "*rest size"], of_groups: Float[ndarray, "*more size size"], n_seeds: int
) -> Float[ndarray, "..."]:
    """The standard error in the unit of the studentized range: of one mean, were all means alike."""
    both = spread[..., :, None] + spread[..., None, :]
    of_pair: ndarray = np.sqrt(both / (2 * n_seeds) + of_groups / 2)
    return of_pair


# What the pairs show.


def weaker_leg(ahead: Float[ndarray, "*rest size size"]) -> Float[ndarray, "*rest inner"]:
    """At each interior size the smaller of its two legs: `ahead[i, j]` is how far j is beyond i."""
    n_sizes = ahead.shape[-1]
    before = np.triu(np.ones((n_sizes, n_sizes), bool), 1)
    left, right = (np.where(side, ahead, -np.inf).max(-2) for side in (before, before.T))
    found: ndarray = np.minimum(left, right)[..., 1:-1]
    return found


def turning_set(pairs: Pairs, sign: int) -> Bool[ndarray, "*rest inner"]:
    """Which interior sizes no other size beats beyond the bound, as the highest (`sign` 1) or lowest (−1) point."""
    beats = -sign * pairs.rise > pairs.half  # [i, j]: i beats j
    stands: ndarray = np.logical_and.reduce(~beats, axis=-2)[..., 1:-1]
    return stands


def labels(pairs: Pairs, delta: float) -> ndarray:
    """The label of each curve.

    Flat: every difference is within δ, bounds included. A turn counts where it is clear and not ruled out at δ; if
    both ways count, the label is the way that is at least twice as deep, else undetermined. Positive or inverse: no
    turn, the two ends differ beyond the bound, and either nothing goes the other way beyond it or both turns are
    ruled out at δ.
    """
    rise = pairs.rise
    n_sizes = rise.shape[-1]
    off, above = ~np.eye(n_sizes, dtype=bool), np.triu(np.ones((n_sizes, n_sizes), bool))
    counts, depths, excluded = [], [], []
    for sign in (-1, 1):
        at_most = weaker_leg(sign * rise + pairs.alone).max(-1)
        counts.append((weaker_leg(sign * rise - pairs.half).max(-1) > 0) & (at_most >= delta))
        depths.append(weaker_leg(sign * rise).max(-1))
        excluded.append(at_most < delta)
    (is_u, is_inverted), (u, inverted) = counts, depths
    clear = (np.abs(rise) > pairs.half) & above
    both_ways = ((rise > 0) & clear).any((-2, -1)) & ((rise < 0) & clear).any((-2, -1))
    one_way = (excluded[0] & excluded[1]) | ~both_ways
    ends_differ = ~is_u & ~is_inverted & clear[..., 0, -1] & one_way
    flat = np.where(off, np.abs(rise) + pairs.alone, 0).max((-2, -1)) < delta
    return np.select(
        [
            flat,
            is_u & (~is_inverted | (u >= 2 * inverted)),
            is_inverted & (~is_u | (inverted >= 2 * u)),
            ends_differ & (rise[..., 0, -1] > 0),
            ends_differ,
        ],
        ["flat", "U-shaped", "inverted-U", "positive", "inverse"],
        "undetermined",
    )


def _maxima(
    centred: Float[ndarray, "*rest size group"], error: Float[ndarray, "*rest size size"], seed: int, draws: int
) -> Float[ndarray, "*rest draw"]:
    """The largest difference of any two sizes' means in each bootstrap sample of groups, in standard errors."""
    n_groups = centred.shape[-1]
    drawn = (centred @ bootstrap_weights(n_groups, draws, seed).T).swapaxes(-1, -2)
    most: ndarray = _sorted_maxima(drawn, error) * np.sqrt(n_groups / (n_groups - 1))
    return most


def _sorted_maxima(
    drawn: Float[ndarray, "*rest draw size"], error: Float[ndarray, "*rest size size"]
) -> Float[ndarray, "*rest draw"]:
    most = np.zeros(drawn.shape[:-1])
    for first, second in zip(*np.triu_indices(drawn.shape[-1], 1), strict=True):
        off = np.abs(drawn[..., second] - drawn[..., first]) / error[..., first, second, None]
        np.maximum(most, off, out=most)
    most.sort(axis=-1)
    return most
