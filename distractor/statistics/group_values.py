"""Group values in which every item counts the same: their plain mean is the mean over items.

All statistics take plain means over item groups, and errors from the spread over groups. If groups differ in size, the
plain mean of group means would give an item of a small group more weight. Instead, group g has the value

    z_g = m + n_g / n̄ · (v_g − m)

where v_g is the mean of its n_g items, n̄ the mean number of items, and m the mean over all items. The mean of z is m, and
the variance of that mean is the cluster-robust one of a ratio (Cochran 1977, chapter 6). If all groups have the same
number of items, z_g = v_g. The group values of a difference are the difference of the group values.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.intervals import Groups, group_means, number_groups, sum_groups

Counts = Float[ndarray, " group"]


def weigh(means: Float[ndarray, "*rest group"], counts: Counts) -> Float[ndarray, "*rest group"]:
    """Group values from each group's mean and its number of items."""
    if (counts == counts[0]).all():
        return means
    mean = (counts * means).sum(-1, keepdims=True) / counts.sum()
    return np.asarray(mean + counts / counts.mean() * (means - mean))


def unweigh(values: Float[ndarray, "*rest group"], counts: Counts) -> Float[ndarray, "*rest group"]:
    """The mean of each group from its group value."""
    if (counts == counts[0]).all():
        return values
    mean = values.mean(-1, keepdims=True)
    return np.asarray(mean + counts.mean() / counts * (values - mean))


def count_items(groups: Groups) -> Counts:
    """The number of items in each group, in the order of the groups' names."""
    return np.bincount(number_groups(groups)).astype(float)


def group_values(values: Float[ndarray, "*rest size item"], groups: Groups) -> Float[ndarray, "*rest size group"]:
    """Group values from each item's values over sizes; NaN where a model lacks an item.

    Items that a model lacks may be easier or harder than the others, so sizes are compared within items: least squares
    with an effect of each size and of each item (two-way analysis of variance). For two sizes, that is the mean
    difference over the items that both have. The mean at a size is then that of all items, as if none were missing; it
    stays within the range of the values there. Raises ScalingError if a seed lacks an item at all sizes, or two sizes
    share items of fewer than two groups.
    """
    numbers = number_groups(groups)
    is_known = ~np.isnan(values)
    if is_known.all():
        return weigh(group_means(values, numbers), count_items(numbers))
    first, second, shared = least_shared(values, numbers)
    if shared < min(2, int(numbers.max()) + 1):
        raise ScalingError(
            f"sizes {first + 1} and {second + 1} (in ascending order) share items of {shared} groups, but are compared over "
            "the items that both have, of 2 groups or more; show all models the same items"
        )
    rows = values.reshape(-1, *values.shape[-2:])
    table = np.array([_within_items(row, numbers) for row in rows])
    return table.reshape(*values.shape[:-1], -1)


def _within_items(values: Float[ndarray, "size item"], numbers: Int[ndarray, " item"]) -> Float[ndarray, "size group"]:
    """The group values of one seed; an item counts through its residuals, so that errors stay clustered by group."""
    is_known = ~np.isnan(values)
    known, filled = is_known.astype(float), np.nan_to_num(values)
    counts = known.sum(0)
    if not counts.all():
        raise ScalingError(f"item {int(np.argmin(counts))} has no value at any size of a seed; leave it out")
    share = known / counts
    within = np.diag(known.sum(1)) - known @ share.T
    # The effects sum to 0, so adding a constant to the singular matrix changes nothing but makes it invertible.
    within += 1 / len(values)
    level = filled.sum(0) / counts
    effect = np.linalg.solve(within, (filled - known * level).sum(1))
    level -= effect @ share
    residual = known * (filled - level - effect[:, None])
    n_items, n_groups = values.shape[1], int(numbers.max()) + 1
    of_effect = np.linalg.solve(within, sum_groups(residual, numbers))
    of_level = sum_groups(level - level.mean(), numbers) / n_items - share.mean(1) @ of_effect
    low, high = (
        reach(np.where(is_known, values, empty), axis=1) for reach, empty in ((np.min, np.inf), (np.max, -np.inf))
    )
    mean = np.clip(level.mean() + effect, low, high)
    spread = np.where(low < high, 1.0, 0.0)[:, None]  # a size where all values are equal predicts the same of all items
    return np.asarray(mean[:, None] + spread * n_groups * (of_effect + of_level))


def least_shared(values: Float[ndarray, "*rest size item"], groups: Groups) -> tuple[int, int, int]:
    """The two sizes of a seed that share the fewest items (as indices), and the number of groups of these items."""
    is_known = ~np.isnan(values.reshape(-1, *values.shape[-2:]))
    known = is_known.astype(np.float32)
    shared = known @ known.swapaxes(-1, -2) + np.diag(np.full(values.shape[-2], np.inf, np.float32))
    row, first, second = np.unravel_index(int(shared.argmin()), shared.shape)
    both = is_known[row, first] & is_known[row, second]
    return int(first), int(second), len(set(np.asarray(groups)[both].tolist()))
