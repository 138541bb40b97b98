"""Critical values: how many standard errors a difference must exceed, and with how many degrees of freedom.

All tests of a curve find the normal deviate that the largest difference of a curve without differences exceeds with
probability 5 % in each direction. Each difference is then compared with the same tail of Student's t.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.statistics.standard_errors import ALPHA


class Part(NamedTuple):
    """One part of a variance, and the degrees of freedom of its estimate."""

    variance: Any
    degrees: Any


def combine(*parts: Part) -> tuple[Any, Any]:
    """The standard error of a sum of independent parts, and its degrees of freedom (Satterthwaite 1946)."""
    total = sum(part.variance for part in parts)
    weight = sum(part.variance**2 / part.degrees for part in parts)
    return np.sqrt(total), np.where(weight > 0, total**2 / np.where(weight > 0, weight, 1), np.inf)


def t_at(deviate: Any, freedom: Any) -> Any:
    """The value of Student's t with the tail probability of a normal deviate."""
    from scipy.special import ndtr, stdtrit

    return -stdtrit(freedom, ndtr(-np.asarray(deviate)))


def normal_at(t: Any, freedom: Any) -> Any:
    """The normal deviate with the tail probability of a value of Student's t; the inverse of `t_at`."""
    from scipy.special import ndtri, stdtr

    return -ndtri(np.maximum(stdtr(freedom, -np.asarray(t)), 1e-300))


def maxima_deviate(maxima: Float[ndarray, "*rest draw"], share: float) -> Float[ndarray, "*rest"]:
    """The normal deviate that a `share` of the sorted bootstrap maxima exceed.

    It is at least that of one difference, which matters where few groups vary.
    """
    from scipy.special import ndtri

    draws = maxima.shape[-1]
    return np.asarray(np.maximum(maxima[..., draws - int(share * (draws + 1))], -ndtri(share / 2)))


def maxima_tail(deviate: float, maxima: Float[ndarray, " draw"]) -> float:
    """The p-value of one direction: half the share of the sorted maxima that reach a normal deviate.

    It is at least the p-value of one difference, and at most .05 exactly where the deviate is above `maxima_deviate`.
    """
    from scipy.special import ndtr

    reached = float(1 + len(maxima) - np.searchsorted(maxima, deviate)) / (1 + len(maxima))
    return max(reached / 2, float(ndtr(-deviate)))


# The studentized range of k means (Tukey 1949) with known errors. A difference has √2 times the error of a mean.


@lru_cache
def range_deviate(k: int) -> float:
    """The normal deviate that the largest difference of `k` means exceeds with probability 5 % in each direction."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - 2 * ALPHA, k, np.inf)) / 2**0.5


def range_tail(deviate: float, k: int) -> float:
    """The p-value of one direction: half the probability that the largest difference of `k` means is above `deviate`."""
    from scipy.stats import studentized_range

    return float(studentized_range.sf(deviate * 2**0.5, k, np.inf)) / 2
