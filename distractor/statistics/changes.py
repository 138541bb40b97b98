"""Is it a change? A difference between two models beside what the choice of items, and of training seeds, makes by itself.

Two nulls. *Items*: each group's difference is given a sign at random, so that about half of the groups are set against
the other half; what such halves differ by is item noise. All rows of one comparison are one family: a row's `p_family`
says how often halves make any row as clear as this one (Westfall and Young 1993, single step). *Seeds*: models trained
again would differ too; where both sides have three seeds or more, the difference must stand beyond their spread (t over
seeds; Holm over the rows). Where they have not, seed noise is not known, and the call says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.effects import EXACT_GROUPS, mean_interval
from distractor.statistics.groups import MIN_SEEDS, unlike

ALPHA = 0.05


DRAWS = 9_999


SPLITS = 200
"""Random halves of the items, by which it is counted how often the comparison takes a model for another than itself."""


SPLIT_DRAWS = 499


SPLIT_SEED = 0


ROUNDING = 1e-5
"""Differences up to this share of a row's largest value are rounding."""


ChangeLabel = Literal[
    "inside item noise",
    "beyond item noise; seed noise unknown",
    "beyond item noise, inside seed noise",
    "beyond item noise and seed noise",
    "beyond item noise; seed noise itself",
]
"""What may be said of a difference. The last: of two seeds of one model, whose difference *is* seed noise."""


Rows = Float[ndarray, "row seed item"]


OtherRows = Float[ndarray, "row other item"]


Sums = Float[ndarray, "row group"]


class Seeds(NamedTuple):
    """A difference over seeds (level 2, models like these): its 95 % interval, p, and p after Holm over the family."""

    low: float
    high: float
    p: float
    p_family: float


@dataclass(frozen=True)
class Change:
    """Second minus first: mean over items and seeds, its 95 % interval over item groups, and how it stands to noise.

    `p` is by sign flips of groups, `p_family` the same for the clearest of all rows. `by_chance` is how far
    from 0 the mean stays in 19 of 20 random flips of its groups' signs: item noise, and of a large difference a part of that
    itself. `seeds` is None where a side has fewer than three; `between_seeds` is the largest difference of two seeds of one
    side, None where neither has two. `are_seeds` says that the two sides are themselves seeds of one model.
    """

    mean: float
    low: float
    high: float
    p: float
    p_family: float
    by_chance: float
    seeds: Seeds | None = None
    between_seeds: float | None = None
    are_seeds: bool = False

    @property
    def is_beyond_items(self) -> bool:
        """Whether it is no noise of the items: a change of these weights."""
        return self.p_family <= ALPHA

    @property
    def call(self) -> ChangeLabel:
        """What may be said."""
        if not self.is_beyond_items:
            return "inside item noise"
        if self.are_seeds:
            return "beyond item noise; seed noise itself"
        if self.seeds is None:
            return "beyond item noise; seed noise unknown"
        is_beyond = self.seeds.p_family <= ALPHA
        return "beyond item noise and seed noise" if is_beyond else "beyond item noise, inside seed noise"


def changes(
    first: Rows,
    second: OtherRows,
    groups: Sequence[str],
    *,
    counted: Sequence[bool],
    same_runs: bool = False,
    are_seeds: bool = False,
    seed: int = 0,
) -> list[Change]:
    """Judge the rows of one comparison, one family, from each item's value under each seed of either side.

    NaN where an item is not posed; it then counts on neither side. `counted` rows are of answers, 0 or 1. With
    `same_runs` the seeds of the two sides are the same training runs, in the same order, at two steps: they are paired.

    Raises:
        ScalingError: fewer than two groups have values in a row, or a value is infinite.

    """
    if np.isinf(first).any() or np.isinf(second).any():
        raise ScalingError("a value to be compared is infinite; the weights are damaged, or the dtype is too narrow")
    if same_runs and first.shape[1] != second.shape[1]:
        raise ScalingError(f"{first.shape[1]} training runs cannot be paired with {second.shape[1]}")
    item_differences = second.mean(1) - first.mean(1)
    # What the arithmetic alone leaves, alike in all items, is no change.
    size = np.nanmax(np.abs(np.concatenate([first, second], 1)), axis=(1, 2), initial=0)
    item_differences[np.abs(item_differences) <= ROUNDING * size[:, None]] = 0
    names = np.asarray(groups)
    sums = group_sums(item_differences, names)
    p, p_family, by_chance = sign_flips(sums, seed=seed)
    counts = (~np.isnan(item_differences)).sum(1)
    found = []
    for row, values in enumerate(item_differences):
        used = ~np.isnan(values)
        mean, low, high = mean_interval(values[used], list(names[used]))
        if counted[row]:
            low, high = _of_counts(values[used], len(set(names[used])), low, high)
        found.append(
            Change(mean, low, high, float(p[row]), float(p_family[row]), float(by_chance[row] / counts[row]),
                   between_seeds=_between_seeds(first[row][:, used], second[row][:, used]), are_seeds=are_seeds)
        )  # fmt: skip
    if min(first.shape[1], second.shape[1]) < MIN_SEEDS:
        return found
    of_seeds = [_over_seeds(a, b, names, paired=same_runs) for a, b in zip(first, second, strict=True)]
    adjusted = holm([one.p for one in of_seeds])
    return [
        replace(change, seeds=one._replace(p_family=p_row))
        for change, one, p_row in zip(found, of_seeds, adjusted, strict=True)
    ]


def group_sums(values: Float[ndarray, "row item"], groups: ndarray) -> Sums:
    """The sum of each group's values; an item that has none adds nothing."""
    numbers = np.unique(groups, return_inverse=True)[1]
    member = (numbers[:, None] == np.arange(numbers.max() + 1)).astype(float)
    sums: ndarray = np.nan_to_num(values) @ member
    return sums


def sign_flips(sums: Sums, *, seed: int = 0, draws: int = DRAWS) -> tuple[ndarray, ndarray, ndarray]:
    """Each row's p, its p among all rows, and the size of its sum that flips stay below in 19 of 20 cases.

    All signs are tried up to 12 groups; above, a random sample by `seed`, the observed signs among them. The groups'
    signs are flipped in all rows at once, so that rows which go together count as one.
    """
    n_groups = sums.shape[-1]
    exact = n_groups <= EXACT_GROUPS
    if exact:  # the other half of the signs mirrors this one
        bits = np.arange(2 ** max(n_groups - 1, 0))[None] >> np.arange(n_groups)[:, None]
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (n_groups, draws))
    flipped = np.abs(sums @ (1.0 - 2 * (bits & 1)))
    # Flipping signs leaves a row's sum of squares as it is, so that this is as good as a t.
    scale = np.sqrt((sums**2).sum(-1))
    is_there = scale > 0
    scale = np.where(is_there, scale, 1.0)[:, None]
    found = np.abs(sums.sum(-1))[:, None] * (1 - 1e-9)  # ties are ties, whatever rounding says
    own = (flipped >= found).sum(-1)
    most = (flipped / scale).max(0)
    any_row = (most >= found / scale).sum(-1)
    p, p_family = ((n / flipped.shape[1]) if exact else ((1 + n) / (1 + flipped.shape[1])) for n in (own, any_row))
    by_chance = np.quantile(flipped, 1 - ALPHA, axis=-1)
    return np.where(is_there, p, 1.0), np.where(is_there, p_family, 1.0), by_chance


def halves_differ(values: Float[ndarray, "row item"], groups: Sequence[str]) -> float | None:
    """How often the comparison would take one half of a model's items for another model than the other half.

    The groups are split at random and those of the halves paired at random, so that each half stands for a model. The
    share should be near 5 %. None where there are too few groups to find anything in halves of them.
    """
    names = np.asarray(groups)
    present = group_sums((~np.isnan(values)).astype(float), names)
    means = group_sums(values, names) / np.maximum(present, 1)
    means = np.where(present > 0, means, np.nan)
    n_pairs = means.shape[1] // 2
    if 2.0 ** (1 - n_pairs) > ALPHA:
        return None
    rng = np.random.default_rng(SPLIT_SEED)
    return float(np.mean([_do_halves_differ(means, rng) for _ in range(SPLITS)]))


def _do_halves_differ(means: Sums, rng: np.random.Generator) -> bool:
    """Whether any row of two random halves of the groups differs."""
    order, n_pairs = rng.permutation(means.shape[1]), means.shape[1] // 2
    difference = np.nan_to_num(means[:, order[:n_pairs]] - means[:, order[n_pairs : 2 * n_pairs]])
    _, p_family, _ = sign_flips(difference, seed=int(rng.integers(2**32)), draws=SPLIT_DRAWS)
    return bool((p_family <= ALPHA).any())


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted over a family (Holm 1979).

    >>> holm([0.01, 0.04, 0.02])
    [0.03, 0.04, 0.04]
    """
    adjusted, most = [0.0] * len(p), 0.0
    for rank, place in enumerate(np.argsort(p, kind="stable")):
        most = max(most, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = most
    return adjusted


def _over_seeds(
    first: Float[ndarray, "seed item"], second: Float[ndarray, "other item"], groups: ndarray, *, paired: bool
) -> Seeds:
    """The difference with what other seeds, and the items that all seeds share, would move it by.

    Unpaired seeds: neither side's variance is believed to be below the mean one, as in the shape's level 2.
    """
    from scipy.special import stdtr, stdtrit

    used = ~np.isnan(first.sum(0) + second.sum(0))
    sums = group_sums((second.mean(0) - first.mean(0))[None], groups)[0] / used.sum()
    n_groups = len(set(groups[used]))
    # The variance of a mean over groups that hold unlike numbers of items (ratio estimator).
    sizes = group_sums(used[None].astype(float), groups)[0] / used.sum()
    mean = float(sums.sum())
    of_items = float(((sums - mean * sizes) ** 2).sum()) * n_groups / (n_groups - 1)
    a, b = first[:, used].mean(1), second[:, used].mean(1)
    if paired:
        freedom, of_seeds = len(a) - 1, (b - a).var(ddof=1) / len(a)
    else:
        each = np.array([a.var(ddof=1), b.var(ddof=1)])
        each = np.maximum(each, each.mean())
        freedom, of_seeds = len(a) + len(b) - 2, each[0] / len(a) + each[1] / len(b)
    error = float(np.sqrt(of_seeds + of_items))
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return Seeds(mean - half, mean + half, p, p)


def _between_seeds(first: Float[ndarray, "seed used"], second: Float[ndarray, "other used"]) -> float | None:
    spans = [float(np.ptp(side.mean(1))) for side in (first, second) if len(side) > 1]
    return max(spans) if spans else None


def _of_counts(values: Float[ndarray, " item"], n_groups: int, low: float, high: float) -> tuple[float, float]:
    """An interval of a difference of counts: where no item differs, by the share of unlike groups that G like ones allow."""
    if (values == 0).all():
        reach = unlike(n_groups)
        return -reach, reach
    return max(low, -1.0), min(high, 1.0)
