"""Minimum detectable dip: the depth that a test of the curve's shape detects with a given power, by simulation."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics import critical_values
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.intervals import MIN_SEEDS
from distractor.statistics.pairs import error_over_seeds
from distractor.statistics.standard_errors import cautious, of_seeds, variance_of_differences

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
    rng, draws, at = np.random.default_rng(0), 4000, n_sizes // 2
    seen = cautious(item_sd**2 / n_groups * np.eye(n_sizes), n_groups, is_share=True)
    if n_seeds < MIN_SEEDS:
        bound = critical_values.t_at(critical_values.range_deviate(n_sizes), n_groups - 1)
        bound = bound * np.sqrt(variance_of_differences(seen)[None, at])
        return detectable_dip(normal_draws(rng, seen, draws), bound, at, power)
    variance = np.full(n_sizes, seed_sd**2)
    return detectable_dip(*noise_over_seeds(rng, draws, at, variance, seen, n_seeds, n_groups - 1), at, power)


def noise_over_seeds(
    rng: np.random.Generator,
    draws: int,
    at: int,
    variance: Float[ndarray, " size"],
    of_items: Float[ndarray, "size size"],
    n_seeds: int,
    group_degrees: float,
) -> tuple[Float[ndarray, "draw size"], Float[ndarray, "draw size"]]:
    """Draws of a flat curve's means at level 2, and the bounds of all sizes' differences from size `at`.

    `variance` is over seeds, at least the mean one; `of_items` is the covariance of the items that all seeds share.
    """
    n_sizes = len(variance)
    raised = np.maximum(variance, variance.mean())
    noise = rng.normal(size=(draws, n_sizes)) * np.sqrt(raised / n_seeds)
    means = normal_draws(rng, of_items, draws) + noise
    common, excess = of_seeds(raised * rng.chisquare(n_seeds - 1, (draws, n_sizes)) / (n_seeds - 1), n_seeds)
    of_groups = variance_of_differences(of_items)[at]
    error, freedom = error_over_seeds(common, (excess[:, at, None], excess), of_groups, n_seeds, n_sizes, group_degrees)
    return means, critical_values.t_at(critical_values.range_deviate(n_sizes), freedom) * error


def detectable_dip(
    means: Float[ndarray, "draw size"], bound: Float[ndarray, "draw_or_one size"], at: int, power: float = POWER
) -> float:
    """The depth of a dip at size `at` that makes both legs significant in a share `power` of the draws of a flat curve.

    `bound` holds each size's bound of the difference from size `at`.
    """
    missing = bound - (means[:, at, None] - means)
    needed = np.maximum(missing[:, :at].min(-1), missing[:, at + 1 :].min(-1))
    return float(np.quantile(needed, power))


def normal_draws(rng: np.random.Generator, covariance: Float[ndarray, "size size"], count: int) -> ndarray:
    """Normal draws with mean 0; negative eigenvalues of an estimated covariance count as 0."""
    variances, directions = np.linalg.eigh(covariance)
    return rng.normal(size=(count, len(variances))) * np.sqrt(np.maximum(variances, 0)) @ directions.T
