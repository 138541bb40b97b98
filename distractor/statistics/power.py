"""Minimum detectable dip: the depth that a test of the curve's shape detects with a given power, by simulation."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics import critical_values
from distractor.statistics.critical_values import Part, combine
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.intervals import MIN_SEEDS
from distractor.statistics.pairs import ENOUGH_DEGREES, error_over_seeds
from distractor.statistics.standard_errors import expected_degrees, of_seeds, variance_of_differences

POWER = 0.8
MANY_SIZES = 500
ROUNDS, CLOSE = 50, 1e-4  # until the dip and its own noise agree
Draws = Float[ndarray, "draw size"]
Covariance = Float[ndarray, "size size"]


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
    of_items = item_sd**2 / n_groups * np.eye(n_sizes)
    if n_seeds < MIN_SEEDS:
        noise = noise_of_items(rng, draws, at, of_items, n_groups - 1, critical_values.range_deviate(n_sizes))
    else:
        noise = noise_over_seeds(rng, draws, at, np.full(n_sizes, seed_sd**2), of_items, n_seeds, n_groups - 1)
    return detectable_dip(noise, at, power=power)


@dataclass(frozen=True, eq=False)
class Noise:
    """A flat curve's noise: draws of its `means`, and the `bound` of each size's difference from size `at`.

    `variance` is that of the items in these differences. `bound` takes the part of the variance that a dip adds. `white`
    are standard normal draws to add the same to the means.
    """

    means: Draws
    white: Draws
    variance: Float[ndarray, " size"]
    bound: Callable[[Part], ndarray]


def noise_of_items(
    rng: np.random.Generator, draws: int, at: int, of_items: Covariance, group_degrees: float, critical: float
) -> Noise:
    """The noise at level 1, from the covariance of the items and the critical normal deviate."""
    n_sizes = len(of_items)
    means, white = normal_draws(rng, of_items, draws), rng.normal(size=(draws, n_sizes))
    variance = variance_of_differences(of_items)[at]

    def bound(of_dip: Part) -> ndarray:
        error, freedom = combine(Part(variance, group_degrees), of_dip)
        # Where a dip's own noise counts, few groups differ, and the critical deviate may be that of few groups.
        is_few = (freedom < ENOUGH_DEGREES) | (of_dip.variance > 0)
        deviate = np.where(is_few, critical_values.range_deviate(n_sizes), critical)
        return np.asarray(critical_values.t_at(deviate, freedom) * error)[None]

    return Noise(means, white, variance, bound)


def noise_over_seeds(
    rng: np.random.Generator,
    draws: int,
    at: int,
    variance: Float[ndarray, " size"],
    of_items: Covariance,
    n_seeds: int,
    group_degrees: float,
) -> Noise:
    """The noise at level 2: `variance` is over seeds, at least the mean one; `of_items` is that of items that all share."""
    n_sizes = len(variance)
    raised = np.maximum(variance, variance.mean())
    seeds = rng.normal(size=(draws, n_sizes)) * np.sqrt(raised / n_seeds)
    means, white = normal_draws(rng, of_items, draws) + seeds, rng.normal(size=(draws, n_sizes))
    common, excess = of_seeds(raised * rng.chisquare(n_seeds - 1, (draws, n_sizes)) / (n_seeds - 1), n_seeds)
    critical, of_groups = critical_values.range_deviate(n_sizes), variance_of_differences(of_items)[at]

    def bound(of_dip: Part) -> ndarray:
        of_item, degrees = combine(Part(of_groups, group_degrees), of_dip)
        excesses = excess[:, at, None], excess
        error, freedom = error_over_seeds(common, excesses, of_item**2, n_seeds, n_sizes, degrees)
        return np.asarray(critical_values.t_at(critical, freedom) * error)

    return Noise(means, white, of_groups, bound)


def detectable_dip(noise: Noise, at: int, *, power: float = POWER, per_answer: float = 0.0) -> float:
    """The depth of a dip at size `at` that makes both legs significant in a share `power` of the draws of a flat curve.

    A dip of a share has noise of its own, because its answers differ: `per_answer` times depth × (1 − depth), from few
    groups. Near 0 and 1 that is more than the noise of the flat curve.
    """
    depth = 0.5 if per_answer else 0.0
    flat = np.delete(noise.variance, at).min()
    for _ in range(ROUNDS):
        share = min(depth, 0.5)
        own = max(per_answer * share * (1 - share) - flat, 0.0)
        degrees = expected_degrees(len(noise.variance), depth / per_answer) if own else np.inf
        means = noise.means + np.sqrt(own / 2) * noise.white
        missing = noise.bound(Part(own, degrees)) - (means[:, at, None] - means)
        needed = np.maximum(missing[:, :at].min(-1), missing[:, at + 1 :].min(-1))
        before, depth = depth, float(np.quantile(needed, power))
        if abs(depth - before) <= CLOSE or not per_answer:
            break
    return min(depth, 1.0) if per_answer else depth


def normal_draws(rng: np.random.Generator, covariance: Float[ndarray, "size size"], count: int) -> ndarray:
    """Normal draws with mean 0; negative eigenvalues of an estimated covariance count as 0.

    For thousands of sizes a Cholesky root is tried first, since it takes a tenth of the time.
    """
    if len(covariance) > MANY_SIZES:
        with suppress(np.linalg.LinAlgError):
            return rng.normal(size=(count, len(covariance))) @ np.linalg.cholesky(covariance).T
    variances, directions = np.linalg.eigh(covariance)
    return rng.normal(size=(count, len(variances))) * np.sqrt(np.maximum(variances, 0)) @ directions.T
