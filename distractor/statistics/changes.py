"""Whether a difference between two models exceeds item noise and seed noise.

*Items*: a sign-flip test over groups; all rows of one comparison form one family of tests. *Seeds*: a t-test over
seeds, adjusted over the rows by Holm, if both sides have at least three. Otherwise the seed noise is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.critical_values import Part, combine
from distractor.statistics.intervals import MIN_SEEDS, exact_reach, group_sums, known_group_means, mean_interval
from distractor.statistics.sign_flips import holm, sign_flips_of_family
from distractor.statistics.standard_errors import ALPHA, group_degrees, t_quantile

SPLITS = 200  # random halves of the items in the null check of `halves_differ`
SPLIT_DRAWS = 499
ROUNDING = 1e-5  # differences up to this share of a row's largest value are rounding

ChangeLabel = Literal[
    "inside item noise",
    "beyond item noise; seed noise unknown",
    "beyond item noise, inside seed noise",
    "beyond item noise and seed noise",
    "beyond item noise; seed noise itself",
]
"""The last label is for two seeds of one model, whose difference *is* seed noise."""

Rows = Float[ndarray, "row seed item"]
OtherRows = Float[ndarray, "row seed_2 item"]


class Seeds(NamedTuple):
    """A difference over seeds (level 2): its 95 % interval, p-value, and p-value adjusted by Holm."""

    low: float
    high: float
    p: float
    p_family: float


@dataclass(frozen=True)
class Change:
    """Second minus first: the mean over items and seeds with its 95 % interval over item groups, and its tests.

    `p` is by sign flips of groups; `p_family` is adjusted over all rows (max-t). `by_chance` is the 95 % quantile of
    the absolute mean under random sign flips: item noise. `seeds` needs three seeds on both sides, `between_seeds` (the
    largest difference between two seeds of a side) two on either. `are_seeds`: both sides are seeds of one model.
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
        """Whether the difference exceeds item noise: a change of these weights."""
        return self.p_family <= ALPHA

    @property
    def call(self) -> ChangeLabel:
        """The label of this difference."""
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
) -> list[Change]:
    """Judge the rows of one comparison, one family, from each item's value under each seed of either side.

    An item that is NaN on one side is left out on both. Rows in `counted` hold right and wrong answers, 1 or 0. With
    `same_runs` both sides are the same training runs, in the same order, at two steps: their seeds are paired. Raises
    ScalingError if fewer than two groups have values in a row, or a value is infinite.
    """
    if np.isinf(first).any() or np.isinf(second).any():
        raise ScalingError("a value to be compared is infinite; the weights are damaged, or the dtype is too narrow")
    if same_runs and first.shape[1] != second.shape[1]:
        raise ScalingError(f"{first.shape[1]} training runs cannot be paired with {second.shape[1]}")
    differences = second.mean(1) - first.mean(1)
    size = np.nanmax(np.abs(np.concatenate([first, second], 1)), axis=(1, 2), initial=0)
    differences[np.abs(differences) <= ROUNDING * size[:, None]] = 0
    names = np.asarray(groups)
    p, p_family, by_chance = sign_flips_of_family(group_sums(differences, names)[0])
    counts = (~np.isnan(differences)).sum(1)
    judged = []
    for row, values in enumerate(differences):
        used = ~np.isnan(values)
        mean, low, high = mean_interval(values, names)
        if counted[row]:
            low, high = _of_counts(values[used], len(set(names[used])), low, high)
        chance = float(by_chance[row] / counts[row])
        between = max((float(np.ptp(s[row][:, used].mean(1))) for s in (first, second) if s.shape[1] > 1), default=None)
        tests = float(p[row]), float(p_family[row]), chance
        judged.append(Change(mean, low, high, *tests, between_seeds=between, are_seeds=are_seeds))
    if min(first.shape[1], second.shape[1]) < MIN_SEEDS:
        return judged
    over_seeds = [_over_seeds(a, b, names, paired=same_runs) for a, b in zip(first, second, strict=True)]
    adjusted = holm([seeds.p for seeds in over_seeds])
    return [
        replace(change, seeds=seeds._replace(p_family=p_row))
        for change, seeds, p_row in zip(judged, over_seeds, adjusted, strict=True)
    ]


def halves_differ(values: Float[ndarray, "row item"], groups: Sequence[str]) -> float | None:
    """Null check: the share of random splits in which two halves of one model's items differ. Nominal: 5 %.

    Groups are split and paired at random across the halves. None if they are too few for a significant difference.
    """
    means = known_group_means(values, groups)
    n_pairs = means.shape[1] // 2
    if 2.0 ** (1 - n_pairs) > ALPHA:
        return None
    rng = np.random.default_rng(0)
    return float(np.mean([do_halves_differ(means, rng) for _ in range(SPLITS)]))


def do_halves_differ(means: Float[ndarray, "row group"], rng: np.random.Generator) -> bool:
    """Whether any row differs significantly between two random halves of the groups."""
    order, n_pairs = rng.permutation(means.shape[1]), means.shape[1] // 2
    difference = np.nan_to_num(means[:, order[:n_pairs]] - means[:, order[n_pairs : 2 * n_pairs]])
    _, p_family, _ = sign_flips_of_family(difference, seed=int(rng.integers(2**32)), draws=SPLIT_DRAWS)
    return bool((p_family <= ALPHA).any())


def _over_seeds(
    first: Float[ndarray, "seed item"], second: Float[ndarray, "seed_2 item"], groups: ndarray, *, paired: bool
) -> Seeds:
    """The difference over seeds. Without pairs, each side's variance is at least the mean one, as at level 2 of the
    shape.
    """
    from scipy.special import stdtr

    used = ~np.isnan(first.sum(0) + second.sum(0))
    sums = group_sums((second.mean(0) - first.mean(0)), groups)[0] / used.sum()
    n_groups = len(set(groups[used]))
    # Groups hold different numbers of items: the variance of a ratio estimator.
    sizes = group_sums(used.astype(float), groups)[0] / used.sum()
    mean = float(sums.sum())
    residuals = sums - mean * sizes
    of_items = float((residuals**2).sum()) * n_groups / (n_groups - 1)
    a, b = first[:, used].mean(1), second[:, used].mean(1)
    if paired:
        of_seeds = [Part((b - a).var(ddof=1) / len(a), len(a) - 1)]
    else:
        variances = [side.var(ddof=1) for side in (a, b)]
        common = np.mean(variances)
        of_seeds = [Part(common / len(a) + common / len(b), len(a) + len(b) - 2)]
        of_seeds += [Part(max(v - common, 0) / len(s), len(s) - 1) for v, s in zip(variances, (a, b), strict=True)]
    error, freedom = combine(*of_seeds, Part(of_items, float(group_degrees(residuals[None]))))
    half = float(t_quantile(freedom) * error)
    p = 2 * float(stdtr(freedom, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return Seeds(mean - half, mean + half, p, p)


def _of_counts(values: Float[ndarray, " item"], n_groups: int, low: float, high: float) -> tuple[float, float]:
    """The interval of a difference of answers; if no item differs, its half-width is the exact bound for a share."""
    if (values == 0).all():
        reach = exact_reach(n_groups)
        return -reach, reach
    return max(low, -1.0), min(high, 1.0)
