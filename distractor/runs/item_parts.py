"""The curve of each part of the items: by group, or by difficulty in thirds."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.curve import Curve
from distractor.text.task import RIGHT, Answer

PartsBy = Literal["group", "difficulty"]


THIRDS = ("hard", "middle", "easy")


EASIER = ("accuracy", "logit_gap", "true_pull")


HARDER = ("distractor_preference", "distractor_pull")
"""What a larger value says of an item. Nothing where it is `coverage`, the mass on either answer, right or wrong."""


TRUE_AGAINST_DISTRACTOR = ("logit_gap", "distractor_preference")


NOT_TRUE = tuple(condition.value for condition, right in RIGHT.items() if right is not Answer.TRUE)
"""Conditions where the true answer is not the right one, so that these quantities do not tell hard from easy items."""


MOST_GROUPS = 8


CAUTION = (
    "groups cut on the scores that they are drawn by regress to the mean: for each size the cut is made on all other "
    "sizes, so that the noise of one size does not choose its own group; what items share over sizes still does"
)


@dataclass(frozen=True, eq=False)
class ItemParts:
    """The mean of each part of the items over sizes, with its standard error over groups (None: parts are groups)."""

    cut: PartsBy
    names: tuple[str, ...]
    means: Float[ndarray, "part size"]
    errors: Float[ndarray, "part size"] | None
    caution: str | None

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json."""
        return {
            "cut": self.cut,
            "caution": self.caution,
            "parts": {name: row.tolist() for name, row in zip(self.names, self.means, strict=True)},
            "standard_errors": None
            if self.errors is None
            else {name: row.tolist() for name, row in zip(self.names, self.errors, strict=True)},
        }


def parts_of(curve: Curve, cut: PartsBy) -> ItemParts:
    """Cut the items by their group, or by difficulty into thirds (Wu and Lo 2025), and follow each part over size.

    Difficulty at one size is the group's mean over all *other* sizes and all seeds: see `CAUTION`.
    """
    if curve.values is None:
        raise ScalingError("means alone cannot be cut by group or difficulty; a table of items can")
    values = curve.values.mean(0)
    n_sizes, n_groups = values.shape
    if cut == "group":
        if n_groups > MOST_GROUPS:
            raise ScalingError(
                f"{n_groups} groups are too many for one figure (at most {MOST_GROUPS}); name a coarser column with "
                "--group, or cut by difficulty"
            )
        return ItemParts("group", curve.groups, values.T, None, None)
    sign = _sign_of_ease(curve)
    if n_groups < 2 * len(THIRDS):
        raise ScalingError(f"thirds by difficulty need at least {2 * len(THIRDS)} groups of items; {n_groups} came")
    if n_sizes < 2:
        raise ScalingError("difficulty at one size is told by the other sizes; one size came")
    others = (values.sum(0) - values) / (n_sizes - 1)
    order = np.argsort(np.argsort(sign * others, axis=-1, kind="stable"), axis=-1)
    third = order * len(THIRDS) // n_groups
    of = [[values[k, third[k] == part] for k in range(n_sizes)] for part in range(len(THIRDS))]
    means = np.array([[one.mean() for one in row] for row in of])
    errors = np.array([[one.std(ddof=1) / np.sqrt(len(one)) for one in row] for row in of])
    return ItemParts("difficulty", THIRDS, means, errors, CAUTION)


def _sign_of_ease(curve: Curve) -> int:
    """1 where the larger value is the easier item's, -1 where it is the harder one's."""
    if curve.quantity not in EASIER + HARDER:
        raise ScalingError(
            f"thirds by difficulty are cut on {', '.join(EASIER + HARDER)}; whether a larger {curve.quantity} makes an item "
            "easier or harder is not known: cut by group, or take another quantity"
        )
    if curve.quantity in TRUE_AGAINST_DISTRACTOR and curve.condition in NOT_TRUE:
        raise ScalingError(
            f"{curve.quantity} tells hard from easy items where the true answer is right, and under {curve.condition} it "
            "is not: cut by group, or take accuracy"
        )
    return 1 if curve.quantity in EASIER else -1
