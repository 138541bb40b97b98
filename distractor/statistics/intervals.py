"""Means over item groups with their 95 % intervals: over groups (level 1), or over groups and seeds (level 2).

Items of one group are not independent, so all intervals use the spread over groups, not over items.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics import critical_values, standard_errors
from distractor.statistics.critical_values import Part, combine
from distractor.statistics.remember import remembered
from distractor.statistics.standard_errors import ALPHA, MANY_GROUPS, bootstrap_means, bootstrap_weights, sort_groups

GroupMeans = Float[ndarray, "seed size group"]
Means = Float[ndarray, "seed size"]
Groups = Sequence[str] | Shaped[ndarray, " item"]  # the group of each item, by name or by number
Limits = tuple[float, float] | None  # the smallest and the largest value that a quantity can have
Ends = tuple[Float[ndarray, "*rest"], Float[ndarray, "*rest"], Float[ndarray, "*rest"]]  # (mean, low, high)
MIN_SEEDS = 3
NORMAL = 1.959963984540054  # the 97.5 % quantile of the normal distribution


class Mean(NamedTuple):
    """A mean with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def number_groups(groups: Groups) -> Int[ndarray, " item"]:
    """The number of each item's group, from 0, in the order of the groups' names."""
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def two_groups(groups: Groups) -> Int[ndarray, " item"]:
    """As `number_groups`. Raises ScalingError for fewer than two groups, which give no standard error."""
    numbers = number_groups(groups)
    if numbers.max(initial=0) < 1:
        raise ScalingError(
            f"errors come from the spread over item groups: at least 2 are needed, better 30; got {len(set(groups))}"
        )
    return numbers


def sum_groups(values: Float[ndarray, "*rest item"], numbers: Int[ndarray, " item"]) -> Float[ndarray, "*rest group"]:
    """The sum of each group's values; `numbers` as `number_groups` gives them. Memory is linear in items."""
    if not len(numbers):
        return np.zeros((*values.shape[:-1], 0))
    order = np.argsort(numbers, kind="stable")
    return np.add.reduceat(values[..., order], np.flatnonzero(np.diff(numbers[order], prepend=-1)), axis=-1)


def group_sums(
    values: Float[ndarray, "*rest item"], groups: Groups
) -> tuple[Float[ndarray, "*rest group"], Float[ndarray, "*rest group"]]:
    """The sum and the number of each group's values that are not NaN."""
    numbers = number_groups(groups)
    return sum_groups(np.nan_to_num(values), numbers), sum_groups((~np.isnan(values)).astype(float), numbers)


def group_means(values: Float[ndarray, "*rest item"], groups: Groups) -> Float[ndarray, "*rest group"]:
    """The mean of each group's items; division comes last, so that the mean of ones is exactly 1, as `interval`
    expects.
    """
    numbers = number_groups(groups)
    return sum_groups(values, numbers) / np.bincount(numbers)


def known_group_means(values: Float[ndarray, "*rest item"], groups: Groups) -> Float[ndarray, "*rest group"]:
    """The mean of each group's items that have a value; NaN for a group where none has."""
    sums, counts = group_sums(values, groups)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


# Intervals over groups: level 1.


def mean_interval(values: Float[ndarray, " item"], groups: Groups, *, limits: Limits = None) -> Mean:
    """The mean over items that have a value, and its 95 % interval over groups. Raises ScalingError below two groups."""
    is_known = ~np.isnan(values)
    numbers = two_groups(np.asarray(groups)[is_known])
    counts = np.bincount(numbers).astype(float)
    mean, low, high = interval(group_means(values[is_known], numbers), counts=counts, limits=limits)
    return Mean(float(mean), float(low), float(high))


def known_mean_interval(values: Float[ndarray, " item"], groups: Groups, *, limits: Limits = None) -> Mean | None:
    """As `mean_interval`; None where the items with a value are of fewer than two groups."""
    known = np.asarray(groups)[~np.isnan(values)]
    return mean_interval(values, groups, limits=limits) if len(set(known.tolist())) > 1 else None


@remembered
def mean_intervals(values: Float[ndarray, "*rest item"], groups: Groups, *, limits: Limits = None) -> Ends:
    """As `mean_interval` for each row; NaN where a row has items of fewer than two groups."""
    numbers = number_groups(groups)
    rows = values.reshape(-1, values.shape[-1])
    ends = np.full((3, len(rows)), np.nan)
    rows_of: dict[bytes, list[int]] = {}  # rows with the same items are computed together
    for row, is_known in enumerate(~np.isnan(rows)):
        rows_of.setdefault(is_known.tobytes(), []).append(row)
    for chosen in rows_of.values():
        is_used = ~np.isnan(rows[chosen[0]])
        used = number_groups(numbers[is_used])
        if used.max(initial=0) > 0:
            means = group_means(rows[chosen][:, is_used], used)
            ends[:, chosen] = interval(means, counts=np.bincount(used).astype(float), limits=limits)
    mean, low, high = ends.reshape(3, *values.shape[:-1])
    return mean, low, high


def interval(
    values: Float[ndarray, "*rest group"],
    *,
    counts: Float[ndarray, " group"] | None = None,
    n_effective: float | None = None,
    limits: Limits = None,
    draws: int = 2000,
) -> Ends:
    """The mean over groups and its 95 % interval: percentile bootstrap of whole groups, widened by √(G / (G − 1)).

    `counts` weights each group by its items, so that the mean is the mean over items. If all groups have the same
    extreme value of `limits` (accuracy 1 in every group), the bootstrap shows no error. The interval then reaches
    inwards by the Clopper–Pearson bound 1 − .025^(1/G), where G is the effective number of groups. More than
    `MANY_GROUPS` groups are not resampled: the interval is then the normal one. Raises ScalingError for fewer than two
    groups and for NaN.
    """
    n_groups = values.shape[-1]
    if n_groups < 2:
        raise ScalingError(f"an interval over item groups needs at least 2 groups; got {n_groups}")
    rows = values.reshape(-1, n_groups)
    if not np.isfinite(rows).all():
        row, group = np.argwhere(~np.isfinite(rows))[0]
        raise ScalingError(f"the value of group {group} in row {row} is {rows[row, group]}; a mean would hide it")
    # Each row's groups are sorted on their own, so that its interval does not depend on the other rows.
    shares = np.broadcast_to(np.ones(n_groups) if counts is None else counts, rows.shape)
    rows, shares = sort_groups(np.stack([rows, shares], 1)).swapaxes(0, 1)
    mean = (rows * shares).sum(-1) / shares.sum(-1)
    if n_groups > MANY_GROUPS:
        off = shares * (rows - mean[:, None])
        half = NORMAL * np.sqrt((off**2).sum(-1) * n_groups / (n_groups - 1)) / shares.sum(-1)
        low, high = mean - half, mean + half
    else:
        weights = bootstrap_weights(n_groups, draws)
        drawn = (weights @ (rows * shares).T) / (weights @ shares.T)
        stretched = mean + (drawn - mean) * np.sqrt(n_groups / (n_groups - 1))
        low, high = np.quantile(stretched, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    if limits is not None:
        is_bottom, is_top = (rows == limits[0]).all(-1), (rows == limits[1]).all(-1)
        n_effective = n_effective if counts is None else standard_errors.effective_groups(counts)
        low, high = _within(limits, low, high, is_bottom, is_top, n_effective or n_groups)
    shape = values.shape[:-1]
    return mean.reshape(shape), low.reshape(shape), high.reshape(shape)


def _within(
    limits: tuple[float, float], low: ndarray, high: ndarray, is_bottom: ndarray, is_top: ndarray, n_groups: float
) -> tuple[ndarray, ndarray]:
    """Clip an interval to `limits`; if all values are at one limit, extend it inwards by the exact bound."""
    bottom, top = limits
    reach = exact_reach(n_groups) * (top - bottom)
    low, high = np.clip(low, bottom, top), np.clip(high, bottom, top)
    return np.where(is_top, top - reach, low), np.where(is_bottom, bottom + reach, high)


def exact_reach(n_groups: float, sizes: int = 1) -> float:
    """The largest share of differing groups compatible with `n_groups` equal ones (Clopper and Pearson 1934). It is
    two-sided 95 %, simultaneous over `sizes` (Bonferroni).
    """
    return float(1 - (ALPHA / 2 / sizes) ** (1 / n_groups))


def simultaneous_interval(
    values: Float[ndarray, "size group"], *, draws: int = 2000
) -> tuple[ndarray, ndarray, ndarray]:
    """The mean over groups at each size with simultaneous 95 % intervals, so that a size may be picked from the data."""
    values = sort_groups(values)
    n_groups = values.shape[-1]
    mean = values.mean(-1)
    error = np.maximum(values.std(-1, ddof=1) / np.sqrt(n_groups), standard_errors.rounding_error(values, 2))
    drawn = bootstrap_means(values - mean[:, None], draws) / error[:, None]
    maxima = np.sort(np.abs(drawn).max(0)) * np.sqrt(n_groups / (n_groups - 1))
    critical = critical_values.maxima_deviate(maxima, ALPHA)
    half = critical_values.t_at(critical, standard_errors.group_degrees(values[:, None])) * error
    return mean, mean - half, mean + half


# Intervals over seeds: level 2.


def interval_of_models(
    values: GroupMeans, *, limits: Limits = None, n_effective: float | None = None
) -> tuple[ndarray, ndarray, ndarray]:
    """The pointwise 95 % interval of level 2 at each size: t over seeds, plus the variance of the shared groups.

    Degrees of freedom follow Welch and Satterthwaite (1947). At one of `limits` the interval reaches inwards like that
    of `interval`, so level 2 is never narrower than level 1. Raises ScalingError for fewer than three seeds.
    """
    n_seeds = check_seeds(len(values))
    between_seeds = values.mean(-1).var(0, ddof=1) / n_seeds
    of_items = np.maximum(np.diag(standard_errors.shared_covariance(values)), 0)
    n_groups, degrees = values.shape[-1], standard_errors.group_degrees(values.mean(0)[:, None])
    mean, low, high = _seed_interval(values.mean((0, 2)), between_seeds, of_items, n_seeds, degrees)
    if limits is not None:
        is_bottom, is_top = (values == limits[0]).all((0, 2)), (values == limits[1]).all((0, 2))
        low, high = _within(limits, low, high, is_bottom, is_top, n_effective or n_groups)
    return mean, low, high


@remembered
def known_interval_of_models(
    values: Float[ndarray, "seed item"], groups: Groups, *, limits: Limits = None
) -> Mean | None:
    """The mean over seeds and the items that have a value, with its 95 % interval of level 2.

    Seeds with values of fewer than two groups do not count; None where fewer than three seeds are left.
    """
    kept = [row for row in values if len(set(np.asarray(groups)[~np.isnan(row)].tolist())) > 1]
    if len(kept) < MIN_SEEDS:
        return None
    values = np.array(kept)
    is_used = ~np.isnan(values).all(0)
    values, numbers = values[:, is_used], number_groups(np.asarray(groups)[is_used])
    is_known = ~np.isnan(values)
    n_groups = int(numbers.max()) + 1
    means = np.array([row[known].mean() for row, known in zip(values, is_known, strict=True)])
    # An item counts through its residual, so that all items weigh alike and errors are clustered by group.
    residuals = np.nan_to_num(values - means[:, None]) / is_known.sum(1, keepdims=True)
    of_groups = means[:, None] + n_groups * sum_groups(residuals, numbers)
    mean, low, high = interval_of_models(of_groups[:, None], limits=limits)
    return Mean(float(mean[0]), float(low[0]), float(high[0]))


def interval_of_seed_means(means: Means, errors: Means) -> tuple[ndarray, ndarray, ndarray]:
    """The same from means and standard errors alone, as if all seeds shared one error over items."""
    n_seeds = check_seeds(len(means))
    return _seed_interval(means.mean(0), means.var(0, ddof=1) / n_seeds, (errors**2).mean(0), n_seeds, np.inf)


def _seed_interval(
    mean: ndarray, between_seeds: ndarray, of_items: ndarray, n_seeds: int, group_degrees: Any
) -> tuple[ndarray, ndarray, ndarray]:
    error, freedom = combine(Part(between_seeds, n_seeds - 1), Part(of_items, group_degrees))
    half = standard_errors.t_quantile(freedom) * error
    return mean, mean - half, mean + half


def check_seeds(n_seeds: int) -> int:
    """Return `n_seeds`; raise ScalingError if level 2 needs more."""
    if n_seeds < MIN_SEEDS:
        raise ScalingError(
            f"level 2 (models like these) needs at least {MIN_SEEDS} seeds a size, better 5; got {n_seeds}. "
            "Train or add seeds, or use level 1"
        )
    return n_seeds
