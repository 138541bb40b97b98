"""Where in depth two conditions part: the first stage of a lens from which on their difference stays."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.statistics.groups import interval

SHARE = 0.5
"""They have parted where the difference is at least this share of the last stage's, and stays so."""


@dataclass(frozen=True)
class Parting:
    """The stage at which two conditions part, as an index, and the 95 % interval of it over item groups.

    All three are None where they do not part: where the interval of the last stage's difference holds 0. `difference`
    is that last difference with its interval.
    """

    stage: int | None
    low: int | None
    high: int | None
    difference: tuple[float, float, float]


def parting(
    difference: Float[ndarray, "stage group"], counts: Float[ndarray, " group"], *, seed: int = 0, draws: int = 2000
) -> Parting:
    """Where the difference between two conditions, by stage and item group, reaches half of its last value for good.

    `counts` are the groups' items. The interval is the percentile bootstrap of whole groups, of the stage itself.
    """
    mean, low, high = (float(value) for value in interval(difference[-1], counts=counts))
    if low <= 0 <= high:
        return Parting(None, None, None, (mean, low, high))
    rng = np.random.default_rng(seed)
    n_groups = difference.shape[1]
    weights = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws) * counts
    drawn = (weights @ difference.T) / weights.sum(1, keepdims=True)
    first, last = np.quantile(_stage(drawn), [0.025, 0.975], method="inverted_cdf")
    own = int(_stage((difference @ counts / counts.sum())[None])[0])
    return Parting(own, min(own, int(first)), max(own, int(last)), (mean, low, high))


def _stage(curves: Float[ndarray, "draw stage"]) -> ndarray:
    """The first stage from which on each curve stays beyond the share of its own last value."""
    last = curves[:, -1:]
    is_short = curves * np.sign(last) < SHARE * np.abs(last)
    stages = curves.shape[1]
    found = np.where(is_short.any(1), stages - np.argmax(is_short[:, ::-1], 1), 0)
    first: ndarray = np.minimum(found, stages - 1)
    return first
