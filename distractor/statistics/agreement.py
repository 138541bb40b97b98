"""How well approximate effects of sites agree with exact effects, measured at all sites or at a sample."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

ALL_UP_TO = 2_000  # at most so many sites are all computed exactly; more are sampled at random
SAMPLE = 400
CONFIDENCE = 0.95
TOP = 10
SMALL = 0.05  # the smallest effect that counts, as a share of the gap in question (if it is 0: of the largest effect)

LEAST_CORRELATION, LEAST_RECALL, MOST_MISSED, MOST_TIMES = 0.8, 0.8, 0.05, 2.0
"""The approximation is unreliable where one of these limits is violated."""


@dataclass(frozen=True)
class Agreement:
    """The comparison of an approximation with exact effects.

    `rank_correlation` is Spearman's (NaN if all exact effects are equal); effects below a tenth of the threshold count
    as 0. `size` is the ratio of estimated to exact effects over sites whose exact effect counts. `recall` is the share
    of the `top` largest exact effects among the `top` largest estimates. `missed` is the share of checked sites whose
    exact effect counts while the estimate is below half of the threshold. `missed_at_most` bounds it over all sites
    (Clopper and Pearson 1934, one-sided 95 %).
    """

    sites: int
    checked: int
    rank_correlation: float
    size: float
    top: int
    recall: float
    missed: float
    missed_at_most: float

    @property
    def fails(self) -> tuple[str, ...]:
        """The violated limits in words; empty if the approximation is reliable."""
        problems = []
        if not np.isnan(self.rank_correlation) and self.rank_correlation < LEAST_CORRELATION:
            problems.append(f"rank correlation {self.rank_correlation:.2f}")
        if not np.isnan(self.size) and not 1 / MOST_TIMES <= self.size <= MOST_TIMES:
            problems.append(f"{self.size:.2g} times the size")
        if self.recall < LEAST_RECALL:
            problems.append(f"{self.recall:.0%} of the top {self.top} found")
        if self.missed_at_most > MOST_MISSED:
            problems.append(f"up to {self.missed_at_most:.0%} of the sites missed")
        return tuple(problems)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers; None for NaN."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}


def agreement(
    exact: Float[ndarray, " checked"],
    estimate: Float[ndarray, " checked"],
    *,
    gap: float,
    sites: int,
    rounding: float = 0.0,
) -> Agreement:
    """Compare the mean effects of the checked sites, out of `sites`. Effects are small or not compared with `gap`; up to
    `rounding` they count as 0.
    """
    exact, estimate = (np.where(np.abs(x) <= rounding, 0, x) for x in (exact, estimate))
    scale = float(np.abs(exact).max(initial=0))
    least = SMALL * (abs(gap) or scale)
    counts = np.abs(exact) >= least if scale > 0 else np.zeros(len(exact), bool)
    missed = int((counts & (np.abs(estimate) < least / 2)).sum())
    share = missed / len(exact)
    # The order of negligible effects is ignored; if no effect and no estimate counts, all are negligible.
    is_any = max(scale, float(np.abs(estimate).max(initial=0))) >= least
    matters = [np.where(np.abs(x) < (least / 10 if is_any else np.inf), 0, x) for x in (exact, estimate)]
    top = min(TOP, max(1, len(exact) // 4))
    return Agreement(
        sites,
        checked=len(exact),
        rank_correlation=rank_correlation(*matters),
        size=float(np.abs(estimate[counts]).sum() / np.abs(exact[counts]).sum()) if counts.any() else np.nan,
        top=top,
        recall=_recall(matters[0], matters[1], top) if scale > 0 else 1.0,
        missed=share,
        missed_at_most=share if len(exact) == sites else at_most(missed, len(exact)),
    )


def _recall(exact: Float[ndarray, " checked"], estimate: Float[ndarray, " checked"], top: int) -> float:
    """The share of the `top` largest exact effects among the `top` largest estimates; ties with the last one count."""
    largest, estimated = (set(np.argsort(-np.abs(x), kind="stable")[:top].tolist()) for x in (exact, estimate))
    limit = np.sort(np.abs(exact))[-top] * (1 - 1e-6)
    return max(len(largest & estimated), sum(bool(abs(exact[site]) >= limit) for site in estimated)) / top


def rank_correlation(first: Float[ndarray, " site"], second: Float[ndarray, " site"]) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where one of the two is constant."""
    from scipy.stats import rankdata

    a, b = (ranks - ranks.mean() for ranks in (rankdata(first), rankdata(second)))
    spread = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / spread) if spread > 0 else float("nan")


def at_most(hits: int, tries: int) -> float:
    """The upper bound of a share with `hits` in `tries` (Clopper and Pearson 1934, one-sided 95 %)."""
    from scipy.special import betaincinv

    return 1.0 if hits >= tries else float(betaincinv(hits + 1, tries - hits, CONFIDENCE))


def most_left(hits: int, tries: int, members: int) -> int:
    """The upper bound of the number of hits among the members that were not tried (hypergeometric, one-sided 95 %).

    The tries are a random sample of the members, without repetition.

    >>> most_left(0, 20, 20), most_left(0, 20, 280), most_left(1, 20, 280)
    (0, 37, 57)
    """
    from math import comb

    def chance(total: int) -> float:
        """The probability of at most so many hits, if `total` members have the property."""
        return sum(comb(total, k) * comb(members - total, tries - k) for k in range(hits + 1)) / comb(members, tries)

    possible = (total for total in range(members - tries + hits, hits - 1, -1) if chance(total) > 1 - CONFIDENCE)
    return next(possible, hits) - hits


def sample(strata: Sequence[object], *, seed: int = 0, size: int = SAMPLE) -> Int[ndarray, " checked"]:
    """Ascending indices of a stratified random sample of about `size`, at least one of each stratum; all of a few."""
    if len(strata) <= ALL_UP_TO:
        return np.arange(len(strata))
    names = list(dict.fromkeys(strata))
    stratum_of = np.array([names.index(name) for name in strata])
    rng = np.random.default_rng(seed)
    picked = []
    for stratum in range(len(names)):
        members = np.flatnonzero(stratum_of == stratum)
        picked.append(rng.choice(members, max(1, round(size * len(members) / len(strata))), replace=False))
    return np.sort(np.concatenate(picked))
