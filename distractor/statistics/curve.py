"""One quantity over sizes and seeds: its peak, and the conditions under which a curve can be judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.intervals import GroupMeans, Means
from distractor.statistics.standard_errors import effective_groups

Size = float | int
Sizes = Sequence[Size]
SameMeans = Float[ndarray, "_ _"]  # `seed size`; the functions compare the shapes, with a message for the user
SameGroupMeans = Float[ndarray, "_ _ _"]  # `seed size group`, likewise
MIN_SIZES = 3
FEW_GROUPS = 30


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity over sizes and seeds: values of item groups, or means with their standard errors.

    `values` [seed size group] are group values (see `group_values`) of groups with `counts` items (None: equally many).
    They are None where only `means` and `errors` [seed size] are known. `left_out` is the number of items that a seed
    lacks at all sizes, `missing` the number of other values that some model lacks. `notes` are warnings for the reader
    (constant responders). `condition` is the condition of the items, `scoring` and `shots` are their prompt format, if the
    table names them.
    """

    quantity: str
    axis: str
    sizes: tuple[Size, ...]
    seeds: tuple[int, ...]
    means: Means
    errors: Means | None = None
    values: GroupMeans | None = None
    groups: tuple[str, ...] = ()
    counts: Float[ndarray, " group"] | None = None
    n_items: int | None = None
    left_out: int = 0
    missing: int = 0
    families: tuple[str, ...] = ()
    task: str | None = None
    notes: tuple[str, ...] = ()
    condition: str | None = None
    scoring: str | None = None
    shots: int | None = None

    @property
    def n_effective(self) -> float | None:
        """The effective number of groups; None if they do not differ in size."""
        return None if self.counts is None else effective_groups(self.counts)


def peak(preference: Float[ndarray, " size"], *, interior: bool = False) -> int:
    """Index of the size with the highest mean preference, or of the `interior` size; the smaller size on a tie."""
    return 1 + int(np.argmax(preference[1:-1])) if interior else int(np.argmax(preference))


def check(values: GroupMeans, sizes: Sizes, name: str = "values") -> None:
    """Raise ScalingError unless `values` can be judged over `sizes`."""
    n_sizes, n_groups = values.shape[1:]
    check_sizes(n_sizes, sizes, name)
    if n_groups < 2:
        raise ScalingError(
            f"errors come from the spread over item groups: at least 2, better {FEW_GROUPS}; got {n_groups}"
        )
    if not (is_finite := np.isfinite(values)).all():
        seed, size, group = np.argwhere(~is_finite)[0]
        raise ScalingError(
            f"{name} at seed {seed}, size {sizes[size]:,.15g} (index {size}), group {group} is "
            f"{values[seed, size, group]} (values that are not finite: {int((~is_finite).sum())}). "
            "Leave out items that some model lacks"
        )


def check_means(means: Means, errors: SameMeans, sizes: Sizes) -> None:
    """The same check for means and their standard errors."""
    if means.shape != errors.shape:
        raise ScalingError(
            f"got {means.shape} (seed, size) means but {errors.shape} standard errors; give one standard error for each mean"
        )
    check_sizes(means.shape[1], sizes, "means")
    for name, table in (("mean", means), ("standard error", errors)):
        is_wrong = ~np.isfinite(table) if name == "mean" else ~(np.isfinite(table) & (table >= 0))
        if is_wrong.any():
            seed, size = np.argwhere(is_wrong)[0]
            raise ScalingError(
                f"the {name} at seed {seed}, size {sizes[size]:,.15g} (index {size}) is {table[seed, size]}"
            )


def check_sizes(n_sizes: int, sizes: Sizes, name: str) -> None:
    """Raise ScalingError unless `sizes` are at least three, ascending, and as many as the `n_sizes` of the values."""
    if n_sizes != len(sizes):
        raise ScalingError(f"{name} hold {n_sizes} sizes, but {len(sizes)} sizes were named")
    if n_sizes < MIN_SIZES:
        raise ScalingError(
            f"a shape needs at least {MIN_SIZES} sizes, better 8; got {n_sizes}. Add smaller or larger models"
        )
    if not 0 <= sizes[0] < np.inf:
        raise ScalingError(f"sizes are positive numbers (a training step may be 0); got {sizes[0]:,.15g}")
    for before, after in pairwise(sizes):
        if not before < after:
            problem = "twice" if before == after else f"before {after:,.15g}"
            raise ScalingError(
                f"sizes must ascend, each once; got {before:,.15g} {problem}. Sort them; seeds are a separate axis"
            )
