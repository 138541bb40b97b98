"""Minimum detectable dip: the depth that a test of the curve's shape detects with a given power, by simulation."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.intervals import MIN_SEEDS
from distractor.statistics.standard_errors import ALPHA, at_least_mean, studentized_range_quantile

POWER = 0.8


def smallest_detectable_dip(
    n_sizes: int, n_seeds: int, n_groups: int, *, item_sd: float = 0.25, seed_sd: float = 0.05, power: float = POWER
) -> float:
    """The minimum detectable dip of a planned run: at level 2 with at least three seeds, else at level 1.

    The dip is at the middle size of an otherwise flat curve, where it is hardest to detect. `item_sd` is the standard
    deviation of group values after removing the group's level and the size's mean. All seeds share it, which is the
    harder case.
    `seed_sd` is the standard deviation between seeds at one size; level 1 ignores it. The defaults are typical of
    preference.
    """
    if n_sizes < MIN_SIZES or n_seeds < 1 or n_groups < 2:
        raise ScalingError(
            f"a dip needs at least {MIN_SIZES} sizes, 1 seed and 2 item groups; "
            f"asked for {n_sizes} sizes, {n_seeds} seeds, {n_groups} groups"
        )
    rng, draws = np.random.default_rng(0), 4000
    of_groups = item_sd**2 / n_groups
    if n_seeds < MIN_SEEDS:
        means = rng.normal(0, np.sqrt(of_groups), (draws, n_sizes))
        q = studentized_range_quantile(1 - ALPHA, n_sizes, n_groups - 1)
        bound = np.full((1, n_sizes, n_sizes), q * np.sqrt(of_groups))
    else:
        means = rng.normal(0, np.sqrt(of_groups + seed_sd**2 / n_seeds), (draws, n_sizes))
        drawn = at_least_mean(seed_sd**2 * rng.chisquare(n_seeds - 1, (draws, n_sizes)) / (n_seeds - 1))
        q = studentized_range_quantile(1 - 2 * ALPHA, n_sizes, n_sizes * (n_seeds - 1))
        bound = q * np.sqrt((drawn[:, :, None] + drawn[:, None, :]) / (2 * n_seeds) + of_groups)
    return detectable_dip(means, bound, n_sizes // 2, power)


def detectable_dip(
    means: Float[ndarray, "draw size"], bound: Float[ndarray, "draw_or_one size size"], at: int, power: float = POWER
) -> float:
    """The depth of a dip at size `at` that makes both legs significant in a share `power` of the draws of a flat curve."""
    missing = bound[:, :, at] - (means[:, at, None] - means)
    needed = np.maximum(missing[:, :at].min(-1), missing[:, at + 1 :].min(-1))
    return float(np.quantile(needed, power))


def normal_draws(rng: np.random.Generator, covariance: Float[ndarray, "size size"], count: int) -> ndarray:
    """Normal draws with mean 0; negative eigenvalues of an estimated covariance count as 0."""
    variances, directions = np.linalg.eigh(covariance)
    return rng.normal(size=(count, len(variances))) * np.sqrt(np.maximum(variances, 0)) @ directions.T
