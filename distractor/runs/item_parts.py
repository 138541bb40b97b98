"""Curves of parts of the items: one for each group, or thirds by difficulty."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.curve import Curve
from distractor.statistics.group_values import unweigh, weigh
from distractor.statistics.intervals import MIN_SEEDS, Limits, interval, interval_of_models
from distractor.statistics.shape_test import HARNESS_SHARES, SHARES
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
    """The mean of each part of the items over sizes, with its 95 % interval of `level` (None if a part is one group).

    The level is that of the whole curve: 2, over seeds and item groups, with three seeds or more; else 1, over item groups.
    """

    cut: PartsBy
    names: tuple[str, ...]
    means: Float[ndarray, "part size"]
    low: Float[ndarray, "part size"] | None
    high: Float[ndarray, "part size"] | None
    level: int
    caution: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""

        def by_name(table: Float[ndarray, "part size"] | None) -> dict[str, list[float]] | None:
            return None if table is None else dict(zip(self.names, table.tolist(), strict=True))

        ends = {"low": by_name(self.low), "high": by_name(self.high)}
        return {"cut": self.cut, "caution": self.caution, "level": self.level, "parts": by_name(self.means), **ends}


def parts_of(curve: Curve, cut: PartsBy) -> ItemParts:
    """The curve of each part of the items: one part per group, or thirds by difficulty (Wu and Lo 2025).

    Difficulty at one size is the group's mean over all *other* sizes and all seeds; see `CAUTION`. Raises ScalingError
    if the curve has no items, or too many or too few groups.
    """
    if curve.values is None:
        raise ScalingError("a table of means cannot be cut by group or difficulty; give a table of items")
    n_seeds, n_sizes, n_groups = curve.values.shape
    level = 2 if n_seeds >= MIN_SEEDS else 1
    counts = np.ones(n_groups) if curve.counts is None else curve.counts
    of_seeds = unweigh(curve.values, counts)
    values = unweigh(curve.values.mean(0), counts)
    if cut == "group":
        if n_groups > MOST_GROUPS:
            raise ScalingError(
                f"{n_groups} groups are too many for one figure (at most {MOST_GROUPS}); name a coarser column with "
                "--group, or cut by difficulty"
            )
        return ItemParts("group", curve.groups, values.T, None, None, level, None)
    sign = _sign_of_ease(curve)
    if n_groups < 2 * len(THIRDS):
        raise ScalingError(f"thirds by difficulty need at least {2 * len(THIRDS)} groups of items, got {n_groups}")
    if n_sizes < 2:
        raise ScalingError("difficulty at one size comes from the other sizes, but the curve has only one size")
    others = (values.sum(0) - values) / (n_sizes - 1)
    order = np.argsort(np.argsort(sign * others, axis=-1, kind="stable"), axis=-1)
    third = order * len(THIRDS) // n_groups
    members = [[third[k] == part for k in range(n_sizes)] for part in range(len(THIRDS))]
    limits = (0.0, 1.0) if curve.quantity in SHARES else None
    parts = [[weigh(of_seeds[:, k, used], counts[used]) for k, used in enumerate(row)] for row in members]
    means, low, high = np.array([[_interval(part, limits) for part in row] for row in parts]).transpose(2, 0, 1)
    return ItemParts("difficulty", THIRDS, means, low, high, level, CAUTION)


def _interval(values: Float[ndarray, "seed group"], limits: Limits) -> tuple[float, float, float]:
    """The mean of one part at one size with its interval."""
    if len(values) >= MIN_SEEDS:
        ends = interval_of_models(values[:, None], limits=limits)
    else:
        ends = interval(values.mean(0)[None], limits=limits)
    mean, low, high = (float(end[0]) for end in ends)
    return mean, low, high


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
