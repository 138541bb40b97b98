"""Standard errors of means over item groups: covariances between sizes, bootstrap samples and quantiles."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

ALPHA = 0.05
MANY_GROUPS = 5_000  # bootstrap weights of 2,000 samples then take 80 MB
CRITICAL_AT_LEAST = 1.959963984540054  # critical value of one pair: a lower limit that matters if few groups vary


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


def at_least_mean(variance: Float[ndarray, "*rest size"]) -> Float[ndarray, "*rest size"]:
    """Raise each size's variance to the mean variance, because a few seeds can agree by chance."""
    return np.maximum(variance, variance.mean(-1, keepdims=True))


def rounding_error(values: Float[ndarray, "..."], axes: int) -> Float[ndarray, "..."]:
    """The smallest standard error that exceeds rounding, over the last `axes` axes."""
    return np.asarray(np.maximum(1e-9 * np.abs(values).max(tuple(range(-axes, 0))), 1e-300))


def t_quantile(freedom: Any) -> Any:
    """The 97.5 % quantile of Student's t: a number for a number, an array for an array."""
    from scipy.special import stdtrit

    return stdtrit(freedom, 1 - ALPHA / 2)


def critical_value(maxima: Float[ndarray, "*rest draw"], n_groups: int) -> Float[ndarray, "*rest"]:
    """The 95 % quantile of the sorted bootstrap maxima, mapped from the normal to the t scale."""
    from scipy.special import ndtr, stdtrit

    return np.asarray(-stdtrit(n_groups - 1, ndtr(-np.maximum(upper_quantile(maxima), CRITICAL_AT_LEAST))))


def upper_quantile(maxima: Float[ndarray, "*rest draw"]) -> Float[ndarray, "*rest"]:
    """The 95 % quantile of sorted maxima."""
    draws = maxima.shape[-1]
    return np.asarray(maxima[..., draws - int(ALPHA * (draws + 1))])


def sort_groups(values: Float[ndarray, "*rest row group"]) -> Float[ndarray, "*rest row group"]:
    """Sort groups by value, so that results do not depend on input order."""
    order = np.lexsort(np.moveaxis(values, -2, 0))
    return np.ascontiguousarray(np.take_along_axis(values, order[..., None, :], -1))


# The studentized range of k means (Tukey 1949). Cached: scipy's quantile takes about 0.1 s.


@lru_cache(maxsize=256)
def studentized_range_tail(q: float, k: int, degrees: float | int) -> float:
    """P(range of `k` means > q standard errors), where the error is estimated with `degrees` of freedom."""
    from scipy.stats import studentized_range

    return float(studentized_range.sf(q, k, degrees))


@lru_cache(maxsize=64)
def studentized_range_quantile(share: float, k: int, degrees: float | int) -> float:
    """The `share` quantile of the studentized range of `k` means."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(share, k, degrees))


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
