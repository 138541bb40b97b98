"""Means with their 95 % intervals: over item groups (these weights), and over seeds too (models like these)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.pairs import ALPHA, covariance_of_items, critical, in_order, resample, student, tiny

GroupMeans = Float[ndarray, "seed size group"]


Means = Float[ndarray, "seed size"]


MIN_SEEDS = 3


def interval(
    values: Float[ndarray, "*rest group"],
    *,
    counts: Float[ndarray, " group"] | None = None,
    limits: tuple[float, float] | None = None,
    seed: int = 0,
    draws: int = 2000,
) -> tuple[Float[ndarray, "*rest"], Float[ndarray, "*rest"], Float[ndarray, "*rest"]]:
    """The mean over groups and its 95 % interval: percentile bootstrap of whole groups, widened by √(G / (G − 1)).

    `counts` weights each group by its items, so that the mean is the mean over items. Where all groups lie on the
    same one of `limits` (accuracy 1 everywhere) the bootstrap sees no error; the interval then reaches inwards by
    the share of unlike groups that G like ones cannot rule out, 1 − .025^(1/G) (Clopper and Pearson 1934).
    Returns (mean, low, high), each of shape `*rest`. Raises ScalingError for fewer than two groups and for NaN.
    """
    n_groups = values.shape[-1]
    if n_groups < 2:
        raise ScalingError(f"an interval over item groups needs at least 2 groups; {n_groups} came")
    rows = values.reshape(-1, n_groups)
    if not np.isfinite(rows).all():
        row, group = np.argwhere(~np.isfinite(rows))[0]
        raise ScalingError(f"the value of group {group} in row {row} is {rows[row, group]}; a mean would hide it")
    # Each row in an order of its own, so that it has the same interval whichever rows come with it.
    shares = np.broadcast_to(np.ones(n_groups) if counts is None else counts, rows.shape)
    rows, shares = in_order(np.stack([rows, shares], 1)).swapaxes(0, 1)
    weights = resample(n_groups, draws, seed)
    mean = (rows * shares).sum(-1) / shares.sum(-1)
    drawn = (weights @ (rows * shares).T) / (weights @ shares.T)
    stretched = mean + (drawn - mean) * np.sqrt(n_groups / (n_groups - 1))
    low, high = np.quantile(stretched, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    if limits is not None:
        bottom, top = limits
        reach = unlike(n_groups) * (top - bottom)
        low, high = np.clip(low, bottom, top), np.clip(high, bottom, top)
        low = np.where((rows == top).all(-1), top - reach, low)
        high = np.where((rows == bottom).all(-1), bottom + reach, high)
    shape = values.shape[:-1]
    return mean.reshape(shape), low.reshape(shape), high.reshape(shape)


def unlike(n_groups: int, places: int = 1) -> float:
    """The share of unlike groups that so many like ones cannot rule out (Clopper and Pearson 1934).

    95 %, two-sided; at all of so many `places` at once (Bonferroni).
    """
    return float(1 - (ALPHA / 2 / places) ** (1 / n_groups))


def simultaneous_interval(
    values: Float[ndarray, "size group"], *, seed: int = 0, draws: int = 2000
) -> tuple[Float[ndarray, " size"], Float[ndarray, " size"], Float[ndarray, " size"]]:
    """The mean over groups at each size with 95 % intervals that hold for all sizes at once (max-t, as level 1).

    Whichever size is then picked, by whatever rule, its interval is right. Returns (mean, low, high).
    """
    values = in_order(values)
    n_groups = values.shape[-1]
    mean = values.mean(-1)
    error = np.maximum(values.std(-1, ddof=1) / np.sqrt(n_groups), tiny(values, 2))
    drawn = (values - mean[:, None]) @ resample(n_groups, draws, seed).T / error[:, None]
    most = np.sort(np.abs(drawn).max(0)) * np.sqrt(n_groups / (n_groups - 1))
    half = critical(most, n_groups) * error
    return mean, mean - half, mean + half


def interval_of_models(
    values: GroupMeans, *, limits: tuple[float, float] | None = None
) -> tuple[ndarray, ndarray, ndarray]:
    """Level 2's 95 % interval at each size by itself: t over seeds, with the variance of the groups that all share.

    Freedom by Welch and Satterthwaite (1947). At one of `limits` it reaches inwards as `interval` does: where all groups
    of all seeds lie there, seeds and groups show no error, and level 2 is no surer than level 1. Returns (mean, low, high),
    each `size`. Needs three seeds.
    """
    n_seeds = enough_seeds(len(values))
    of_seeds = values.mean(-1).var(0, ddof=1) / n_seeds
    of_items = np.maximum(np.diag(covariance_of_items(values)), 0)
    n_groups = values.shape[-1]
    mean, low, high = _seed_interval(values.mean((0, 2)), of_seeds, of_items, n_seeds, n_groups - 1)
    if limits is not None:
        bottom, top = limits
        reach = unlike(n_groups) * (top - bottom)
        low, high = np.clip(low, bottom, top), np.clip(high, bottom, top)
        low = np.where((values == top).all((0, 2)), top - reach, low)
        high = np.where((values == bottom).all((0, 2)), bottom + reach, high)
    return mean, low, high


def interval_of_seed_means(means: Means, errors: Means) -> tuple[ndarray, ndarray, ndarray]:
    """The same from means and standard errors alone: as if all seeds' errors over items were the same ones."""
    n_seeds = enough_seeds(len(means))
    return _seed_interval(means.mean(0), means.var(0, ddof=1) / n_seeds, (errors**2).mean(0), n_seeds, np.inf)


def _seed_interval(
    mean: ndarray, of_seeds: ndarray, of_items: ndarray, n_seeds: int, group_degrees: float
) -> tuple[ndarray, ndarray, ndarray]:
    total = of_seeds + of_items
    known = of_seeds**2 / (n_seeds - 1) + of_items**2 / group_degrees
    freedom = np.where(known > 0, total**2 / np.where(known > 0, known, 1), n_seeds - 1)
    half = student(freedom) * np.sqrt(total)
    return mean, mean - half, mean + half


def enough_seeds(n_seeds: int) -> int:
    """So many seeds, if level 2 can be asked of them; ScalingError if not."""
    if n_seeds < MIN_SEEDS:
        raise ScalingError(
            f"level 2 speaks of models like these and needs at least {MIN_SEEDS} seeds a size, better 5; "
            f"{n_seeds} came. Train or add further seeds, or keep to level 1"
        )
    return n_seeds


class Mean(NamedTuple):
    """A mean with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def group_means(values: Float[ndarray, "*rest item"], groups: Int[ndarray, " item"]) -> Float[ndarray, "*rest group"]:
    """The mean of each group's items: exactly 1 where all of them are, since an interval asks whether a share is."""
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    means: ndarray = values @ member / member.sum(0)
    return means
