"""Curves of parts of the items: one for each group, or thirds by difficulty."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.curve import Curve
from distractor.statistics.group_values import unweigh, weigh
from distractor.statistics.shape_test import HARNESS_SHARES
from distractor.text.task import RIGHT, Answer

PartsBy = Literal["group", "difficulty"]
THIRDS = ("hard", "middle", "easy")
EASIER = ("accuracy", "logit_gap", "true_pull", *HARNESS_SHARES)

HARDER = ("distractor_preference", "distractor_pull")
"""Quantities whose larger value means an easier, or a harder, item. `coverage` is in neither list."""

TRUE_AGAINST_DISTRACTOR = ("logit_gap", "distractor_preference")

NOT_TRUE = tuple(condition.value for condition, right in RIGHT.items() if right is not Answer.TRUE)
"""Conditions where the true answer is not the right one, so that these quantities do not measure difficulty."""

MOST_GROUPS = 8
CAUTION = (
    "parts chosen by their scores regress to the mean; the parts at each size are therefore chosen by the scores at all "
    "other sizes, which removes the noise of that size but not noise that an item has at all sizes"
)


@dataclass(frozen=True, eq=False)
class ItemParts:
    """The mean of each part of the items over sizes, with its standard error over groups (None if a part is one group)."""

    cut: PartsBy
    names: tuple[str, ...]
    means: Float[ndarray, "part size"]
    errors: Float[ndarray, "part size"] | None
    caution: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        means = dict(zip(self.names, self.means.tolist(), strict=True))
        errors = None if self.errors is None else dict(zip(self.names, self.errors.tolist(), strict=True))
        return {"cut": self.cut, "caution": self.caution, "parts": means, "standard_errors": errors}


def parts_of(curve: Curve, cut: PartsBy) -> ItemParts:
    """The curve of each part of the items: one part per group, or thirds by difficulty (Wu and Lo 2025).

    Difficulty at one size is the group's mean over all *other* sizes and all seeds; see `CAUTION`. Raises ScalingError
    if the curve has no items, or too many or too few groups.
    """
    if curve.values is None:
        raise ScalingError("a table of means cannot be cut by group or difficulty; give a table of items")
    n_sizes, n_groups = curve.values.shape[1:]
    counts = np.ones(n_groups) if curve.counts is None else curve.counts
    values = unweigh(curve.values.mean(0), counts)
    if cut == "group":
        if n_groups > MOST_GROUPS:
            raise ScalingError(
                f"{n_groups} groups are too many for one figure (at most {MOST_GROUPS}); name a coarser column with "
                "--group, or cut by difficulty"
            )
        return ItemParts("group", curve.groups, values.T, None, None)
    sign = _sign_of_ease(curve)
    if n_groups < 2 * len(THIRDS):
        raise ScalingError(f"thirds by difficulty need at least {2 * len(THIRDS)} groups of items, got {n_groups}")
    if n_sizes < 2:
        raise ScalingError("difficulty at one size comes from the other sizes, but the curve has only one size")
    others = (values.sum(0) - values) / (n_sizes - 1)
    order = np.argsort(np.argsort(sign * others, axis=-1, kind="stable"), axis=-1)
    third = order * len(THIRDS) // n_groups
    members = [[third[k] == part for k in range(n_sizes)] for part in range(len(THIRDS))]
    parts = [[weigh(values[k, used], counts[used]) for k, used in enumerate(row)] for row in members]
    means = np.array([[part.mean() for part in row] for row in parts])
    errors = np.array([[part.std(ddof=1) / np.sqrt(len(part)) for part in row] for row in parts])
    return ItemParts("difficulty", THIRDS, means, errors, CAUTION)


def _sign_of_ease(curve: Curve) -> int:
    """1 if a larger value means an easier item, -1 if it means a harder one."""
    if curve.quantity not in EASIER + HARDER:
        raise ScalingError(
            f"difficulty is defined for {', '.join(EASIER + HARDER)}, not for {curve.quantity}: cut by group, or use "
            "another quantity"
        )
    if curve.quantity in TRUE_AGAINST_DISTRACTOR and curve.condition in NOT_TRUE:
        raise ScalingError(
            f"{curve.quantity} measures difficulty where the true answer is right, and under {curve.condition} it is not: "
            "cut by group, or use accuracy"
        )
    return 1 if curve.quantity in EASIER else -1
