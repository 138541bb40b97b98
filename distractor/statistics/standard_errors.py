"""Standard errors of means over item groups: covariances between sizes, bootstrap samples and quantiles."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

ALPHA = 0.05
"""The share of errors: of 95 % intervals, and of false rises and of false falls of a curve, 5 % in each direction."""
MANY_GROUPS = 5_000  # bootstrap weights of 2,000 samples then take 80 MB


def covariance(values: Float[ndarray, "*rest size group"]) -> Float[ndarray, "*rest size size"]:
    """The covariance between sizes of the mean over groups."""
    n_groups = values.shape[-1]
    centred = values - values.mean(-1, keepdims=True)
    return centred @ centred.swapaxes(-1, -2) / ((n_groups - 1) * n_groups)


def shared_covariance(values: Float[ndarray, "*rest seed size group"]) -> Float[ndarray, "*rest size size"]:
    """The covariance between sizes of the group means that all seeds share.

    It is the covariance of the seed-averaged values minus the part from differences between seeds; a variance can fall
    below 0.
    """
    n_seeds, _, n_groups = values.shape[-3:]
    averaged = values.mean(-3)
    own = values - values.mean(-1, keepdims=True) - (averaged - averaged.mean(-1, keepdims=True))[..., None, :, :]
    residual = (own @ own.swapaxes(-1, -2)).sum(-3) / ((n_seeds - 1) * (n_groups - 1))
    return covariance(averaged) - residual / (n_seeds * n_groups)


def variance_of_differences(covariance: Float[ndarray, "*rest size size"]) -> Float[ndarray, "*rest size size"]:
    """The variance of the difference between any two sizes, at least 0."""
    own = np.diagonal(covariance, axis1=-2, axis2=-1)
    return np.maximum(own[..., :, None] + own[..., None, :] - 2 * covariance, 0)


def rounding_error(values: Float[ndarray, "..."], axes: int) -> Float[ndarray, "..."]:
    """The smallest standard error that exceeds rounding, over the last `axes` axes."""
    return np.asarray(np.maximum(1e-9 * np.abs(values).max(tuple(range(-axes, 0))), 1e-300))


def group_degrees(values: Float[ndarray, "*rest size group"]) -> Float[ndarray, "*rest"]:
    """The degrees of freedom of a variance over groups: groups − 1, or less where few groups make up most of it.

    The latter are large groups, or the few whose answers change. Follows Satterthwaite (1946), from each group's squared
    residuals over all sizes. Over several sizes they leave out the items' own difficulty, which differences between sizes
    do not contain; for a mean, give one size.
    """
    n_sizes, n_groups = values.shape[-2:]
    residuals = values - values.mean(-1, keepdims=True)
    if n_sizes > 1:
        residuals = residuals - residuals.mean(-2, keepdims=True)
    squares = (residuals**2).sum(-2)
    total, of_squares = squares.sum(-1), (squares**2).sum(-1)
    found = expected_degrees(n_sizes, total**2 / np.where(of_squares > 0, of_squares, 1))
    return np.asarray(np.where(of_squares > 0, np.minimum(found, n_groups - 1), n_groups - 1.0))


def expected_degrees(n_sizes: int, equal_groups: Any) -> Any:
    """The degrees of freedom of so many groups with equal squares, which vary by chance as those of normal numbers do."""
    return np.maximum((1 + 2 / max(n_sizes - 1, 1)) * equal_groups, 1.0)


def effective_groups(counts: Float[ndarray, " group"]) -> float:
    """The number of equal groups that give the same error: less than the number of groups that differ in size (Kish)."""
    return float(counts.sum() ** 2 / (counts**2).sum())


def cautious(
    covariance: Float[ndarray, "*rest size size"], n_groups: Any, is_share: bool
) -> Float[ndarray, "*rest size size"]:
    """The covariance between sizes to exclude a difference with: for shares, as if two more groups were seen.

    For each pair of sizes one more group rises by 1 and one falls by 1. Near 0 and 1 few groups differ, or none, and the
    observed variance is too small (compare Agresti and Min 2005). The covariance belongs to means over `n_groups`.
    """
    if not is_share:
        return covariance
    n = np.asarray(n_groups)[..., None, None]
    more = (n + 2) * (n + 1)
    return covariance * (n * (n - 1) / more) + np.eye(covariance.shape[-1]) / more


def per_answer(values: Float[ndarray, "*rest size group"], n_groups: float) -> float:
    """The variance of a mean share p, divided by p (1 − p): 1 / `n_groups` for right and wrong answers, less for others."""
    mean = np.clip(values.mean(-1), 0, 1)
    room = float((mean * (1 - mean)).sum())
    return float(values.var(-1, ddof=1).sum()) / room / values.shape[-1] if room > 0 else 1 / n_groups


def number_of_answers(
    means: Float[ndarray, "*rest size"], errors: Float[ndarray, "*rest size"]
) -> Float[ndarray, "*rest"]:
    """The number of right or wrong answers that have these means and standard errors: the smallest over sizes.

    Sizes without an error, such as those at 0 or 1, do not show it; 0 if none does.
    """
    is_known = (errors > 0) & (means > 0) & (means < 1)
    counts = np.where(is_known, means * (1 - means) / np.where(is_known, errors, 1) ** 2 + 1, np.inf).min(-1)
    return np.where(np.isfinite(counts), counts, 0.0)


def of_seeds(variance: Float[ndarray, "*rest size"], n_seeds: int) -> tuple[ndarray, ndarray]:
    """The variance of a mean over seeds as two parts: the mean variance of all sizes, and each size's excess over it.

    Few seeds can agree by chance, so each size's variance is at least the mean one. The mean one has
    sizes × (seeds − 1) degrees of freedom, the excess seeds − 1.
    """
    common = variance.mean(-1, keepdims=True) / n_seeds
    return common, np.maximum(variance / n_seeds - common, 0)


def t_quantile(freedom: Any) -> Any:
    """The 97.5 % quantile of Student's t: a number for a number, an array for an array."""
    from scipy.special import stdtrit

    return stdtrit(freedom, 1 - ALPHA / 2)


def sort_groups(values: Float[ndarray, "*rest row group"]) -> Float[ndarray, "*rest row group"]:
    """Sort groups by value, so that results do not depend on input order."""
    order = np.lexsort(np.moveaxis(values, -2, 0))
    return np.ascontiguousarray(np.take_along_axis(values, order[..., None, :], -1))


def bootstrap_means(
    values: Float[ndarray, "*rest row group"], draws: int, seed: int = 0
) -> Float[ndarray, "*rest row draw"]:
    """The mean of each row in bootstrap samples of whole groups, the same samples for all rows.

    With more than `MANY_GROUPS` groups, the means are drawn from the normal distribution that they then have.
    """
    n_groups = values.shape[-1]
    if n_groups <= MANY_GROUPS:
        return np.asarray(values @ bootstrap_weights(n_groups, draws, seed).T)
    mean = values.mean(-1, keepdims=True)
    centred = values - mean
    variances, directions = np.linalg.eigh(centred @ centred.swapaxes(-1, -2) / n_groups**2)
    drawn = np.random.default_rng(seed).normal(size=(values.shape[-2], draws))
    return np.asarray(mean + directions @ (np.sqrt(np.maximum(variances, 0))[..., None] * drawn))


@lru_cache(maxsize=3)  # all items, and two parts of them
def bootstrap_weights(n_groups: int, draws: int, seed: int = 0) -> Float[ndarray, "draw group"]:
    """How often each bootstrap sample draws each group, as shares that sum to 1."""
    counts = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), draws)
    shares: ndarray = counts / n_groups
    shares.flags.writeable = False
    return shares
