"""The composed curve for negation (Zhang et al. 2023): the prediction of two separately scored tasks for both together.

A negated question needs t, the answer to the question without negation, and s, the understanding of the negation.
Suppose that both are independent, and that a model ignores a negation that it does not understand. Then

    accuracy in conflict = t · s + (1 − t)(1 − s)

because the answer is right if both are right or both wrong. Here t is accuracy in `distractor_only`, and s is accuracy
on negated letters ("the answer is not A": `true_only` of negation_qa). A model that ignores negation has s = 0, not ½.
The residual shows where the tasks compete. Zhang et al.'s formula fits GPT-3 zero-shot and fails for
text-davinci-001.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.curve import SameGroupMeans, Size, check
from distractor.statistics.intervals import GroupMeans
from distractor.statistics.remember import remembered
from distractor.statistics.standard_errors import ALPHA, bootstrap_means, sort_groups

DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Composed:
    """Measured and predicted accuracy in `conflict` by size, and the residual (measured − predicted) with its interval.

    Values are means over seeds. The interval is level 1 (these weights): each sample of groups gets a new prediction,
    because it is not linear in t and s.
    """

    sizes: tuple[Size, ...]
    measured: Float[ndarray, " size"]
    predicted: Float[ndarray, " size"]
    residual: Float[ndarray, " size"]
    low: Float[ndarray, " size"]
    high: Float[ndarray, " size"]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        names = ("measured", "predicted", "residual", "low", "high")
        rows = zip(self.sizes, *(getattr(self, name).tolist() for name in names), strict=True)
        return {"formula": "t·s + (1−t)(1−s)", "sizes": [dict(zip(("size", *names), row, strict=True)) for row in rows]}


def composed(t: Float[ndarray, "*rest"], s: Float[ndarray, "*rest"]) -> Float[ndarray, "*rest"]:
    """t·s + (1 − t)(1 − s): both tasks right, or both wrong."""
    return t * s + (1 - t) * (1 - s)


@remembered
def compose(
    conflict: GroupMeans, distractor_only: SameGroupMeans, negated_letters: SameGroupMeans, sizes: Sequence[Size]
) -> Composed:
    """Compare accuracy in `conflict` with the prediction from two separately scored tasks. Raises ScalingError as
    `judge`.
    """
    for name, values in (("distractor_only", distractor_only), ("negated letters", negated_letters)):
        if values.shape != conflict.shape:
            raise ScalingError(f"{name} has {values.shape} (seed, size, group) values, conflict {conflict.shape}")
    tables = np.stack([conflict, distractor_only, negated_letters])
    for name, values in zip(("conflict", "distractor_only", "negated letters"), tables, strict=True):
        check(values, sizes, name)
    n_groups = tables.shape[-1]
    flat = sort_groups(tables.reshape(-1, n_groups))
    tables = flat.reshape(tables.shape)

    def residual_of(means: Float[ndarray, "*draw three seed size"]) -> Float[ndarray, "*draw size"]:
        measured, t, s = np.moveaxis(means, -3, 0)
        return (measured - composed(t, s)).mean(-2)

    means = tables.mean(-1)
    residual = residual_of(means)
    drawn = residual_of(np.moveaxis(bootstrap_means(flat, DRAWS).reshape(*tables.shape[:-1], DRAWS), -1, 0))
    stretched = residual + (drawn - residual) * np.sqrt(n_groups / (n_groups - 1))
    low, high = np.quantile(stretched, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    measured = means[0].mean(0)
    return Composed(tuple(sizes), measured, measured - residual, residual, low, high)
