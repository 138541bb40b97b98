"""How far a cheap estimate of many sites' effects can be trusted: beside the exact effects of all of them or of a sample."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

ALL_UP_TO = 2_000
"""So many sites are all run exactly; of more, a random sample."""


SAMPLE = 400


CONFIDENCE = 0.95


TOP = 10


SMALL = 0.05
"""An effect counts from this share of the pair's gap on (where there is none, of the largest effect)."""


LEAST_CORRELATION, LEAST_RECALL, MOST_MISSED, MOST_TIMES = 0.8, 0.8, 0.05, 2.0
"""Where one of these fails, the estimate is not to be trusted."""


@dataclass(frozen=True)
class Agreement:
    """What a comparison with exact effects gave.

    `rank_correlation` is Spearman's, effects of less than a tenth of what counts taken for none, NaN where all exact
    effects are alike; `size` how large the estimates are beside the exact effects, of those that count (NaN where there
    are none); `recall` the share of the `top` largest exact
    effects that are among the estimate's as many largest; `missed` the share of the checked sites whose exact effect
    counts while the estimate is not half as large as what counts. `missed_at_most` bounds that share among all sites
    (Clopper and Pearson 1934, one-sided 95 %): the share itself where all were checked.
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
        """What is wrong, in words; nothing where the estimate may be trusted."""
        told = []
        if not np.isnan(self.rank_correlation) and self.rank_correlation < LEAST_CORRELATION:
            told.append(f"rank correlation {self.rank_correlation:.2f}")
        if not np.isnan(self.size) and not 1 / MOST_TIMES <= self.size <= MOST_TIMES:
            told.append(f"{self.size:.2g} times the size")
        if self.recall < LEAST_RECALL:
            told.append(f"{self.recall:.0%} of the top {self.top} found")
        if self.missed_at_most > MOST_MISSED:
            told.append(f"up to {self.missed_at_most:.0%} of the sites missed")
        return tuple(told)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers; None where one is not defined."""
        return {name: None if np.isnan(value) else value for name, value in asdict(self).items()}


def agreement(
    exact: Float[ndarray, " checked"],
    estimate: Float[ndarray, " checked"],
    *,
    pair_gap: float,
    sites: int,
    rounding: float = 0.0,
) -> Agreement:
    """Compare the mean effects of the sites that were checked, out of `sites`; `pair_gap` 0 where there is none.

    Effects up to `rounding` are taken for none: their order says nothing.
    """
    exact, estimate = (np.where(np.abs(x) <= rounding, 0, x) for x in (exact, estimate))
    scale = float(np.abs(exact).max(initial=0))
    least = SMALL * (abs(pair_gap) or scale)
    top = min(TOP, max(1, len(exact) // 4))
    # The order of what hardly matters is not asked for.
    matters = [np.where(np.abs(x) < least / 10, 0, x) for x in (exact, estimate)]
    wanted, found = (set(np.argsort(-np.abs(x), kind="stable")[:top].tolist()) for x in matters)
    # What is as large as the last of the top has as good a claim to be in it.
    limit = np.sort(np.abs(matters[0]))[-top] if scale > 0 else np.inf
    among = [n for n in found if abs(matters[0][n]) >= limit * (1 - 1e-6)]
    recall = 1.0 if scale == 0 else max(len(wanted & found), len(among)) / top
    missed = int(((np.abs(exact) >= least) & (np.abs(estimate) < least / 2)).sum()) if scale > 0 else 0
    share = missed / len(exact)
    counts = np.abs(exact) >= least
    return Agreement(
        sites=sites,
        checked=len(exact),
        rank_correlation=rank_correlation(*matters),
        size=float(np.abs(estimate[counts]).sum() / np.abs(exact[counts]).sum())
        if scale > 0 and counts.any()
        else np.nan,
        top=top,
        recall=recall,
        missed=share,
        missed_at_most=share if len(exact) == sites else at_most(missed, len(exact)),
    )


def rank_correlation(first: Float[ndarray, " site"], second: Float[ndarray, " site"]) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where one of the two is constant."""
    ranks = []
    for values in (first, second):
        _, place, count = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(count) - (count - 1) / 2)[place])
    a, b = (rank - rank.mean() for rank in ranks)
    spread = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / spread) if spread > 0 else float("nan")


def at_most(found: int, tries: int) -> float:
    """The largest share that `found` in `tries` cannot rule out (Clopper and Pearson 1934, one-sided 95 %)."""
    from scipy.special import betaincinv

    return 1.0 if found >= tries else float(betaincinv(found + 1, tries - found, CONFIDENCE))


def sample(strata: Sequence[object], *, seed: int = 0, size: int = SAMPLE) -> Int[ndarray, " checked"]:
    """Places of a random sample of about `size`, in order, each stratum by its share and with one at least; all if few.

    A sample chosen by the estimate could not show what the estimate missed.
    """
    if len(strata) <= ALL_UP_TO:
        return np.arange(len(strata))
    names = list(dict.fromkeys(strata))
    of = np.array([names.index(name) for name in strata])
    rng = np.random.default_rng(seed)
    picked = []
    for number in range(len(names)):
        members = np.flatnonzero(of == number)
        picked.append(rng.choice(members, max(1, round(size * len(members) / len(strata))), replace=False))
    return np.sort(np.concatenate(picked))
