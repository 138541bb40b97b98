"""The stage of a lens at which two conditions diverge: from there on their difference stays large."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.statistics.intervals import interval
from distractor.statistics.standard_errors import ALPHA

DRAWS = 2000
SHARE = 0.5  # from the stage of divergence on, the difference is at least this share of the last stage's


@dataclass(frozen=True)
class Divergence:
    """The index of the stage at which two conditions diverge, with its 95 % interval over item groups.

    All three are None if the interval of the last stage's `difference` contains 0.
    """

    stage: int | None
    low: int | None
    high: int | None
    difference: tuple[float, float, float]


def divergence(difference: Float[ndarray, "stage group"], counts: Float[ndarray, " group"]) -> Divergence:
    """The stage from which on a difference stays at least half of its last value. `counts` are the groups' numbers of
    items.
    """
    mean, low, high = (float(value) for value in interval(difference[-1], counts=counts))
    if low <= 0 <= high:
        return Divergence(None, None, None, (mean, low, high))
    n_groups = difference.shape[1]
    rng = np.random.default_rng(0)
    weights = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=DRAWS) * counts
    drawn = (weights @ difference.T) / weights.sum(1, keepdims=True)
    first, last = np.quantile(_stage(drawn), [ALPHA / 2, 1 - ALPHA / 2], method="inverted_cdf")
    stage = int(_stage((difference @ counts / counts.sum())[None])[0])
    return Divergence(stage, min(stage, int(first)), max(stage, int(last)), (mean, low, high))


def _stage(curves: Float[ndarray, "draw stage"]) -> ndarray:
    """The first stage from which on each curve stays above the share of its last value."""
    last = curves[:, -1:]
    is_short = curves * np.sign(last) < SHARE * np.abs(last)
    n_stages = curves.shape[1]
    first = np.where(is_short.any(1), n_stages - np.argmax(is_short[:, ::-1], 1), 0)
    return np.minimum(first, n_stages - 1)
