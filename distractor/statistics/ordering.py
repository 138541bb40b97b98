"""Which of two curves over size moves first: onsets, the lag between them, and how sure one can be of it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

THRESHOLDS = (0.25, 0.5, 0.75)
"""Shares of its own maximum at which a curve's onset is taken."""


SPLITS = 200
"""Random halves of one curve's groups, for the lag that chance alone makes."""


MIN_SIZES = 4


MIN_SEEDS = 3


ALPHA = 0.05


MAY_FAIL = 0.1
"""An onset that more than this share of the draws do not have is not defined."""


OrderLabel = Literal["first", "second", "not separable", "not defined"]


SeedCurves = Float[ndarray, "seed size group"]


Places = Float[ndarray, " threshold"]


@dataclass(frozen=True)
class Lag:
    """The lag between two curves' onsets at one threshold, in natural logarithms of size; positive: the first is later.

    `low` and `high` bound it over item groups, these weights (level 1); `models` over seeds (level 2), from three on.
    `by_chance` is what random halves of one curve lag by, in 19 of 20 cases, of the curve where that is more; `step` the
    larger of the two steps of the grid in which the onsets lie.
    """

    threshold: float
    lag: float
    low: float
    high: float
    by_chance: float
    step: float
    models: tuple[float, float] | None

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval by which the lag is judged: over seeds where there are enough, else over item groups."""
        return (self.low, self.high) if self.models is None else self.models

    @property
    def sign(self) -> int:
        """Which way the lag points: 0 where it is not told from none, from chance, or from one step of the grid."""
        low, high = self.bounds
        is_clear = (low > 0 or high < 0) and abs(self.lag) > max(self.step, self.by_chance)
        return int(np.sign(self.lag)) if is_clear else 0


@dataclass(frozen=True)
class Order:
    """Which of two curves moves first, with the lag at every threshold that is defined and the sentence that says so."""

    call: OrderLabel
    lags: tuple[Lag, ...]
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json, where there is no infinity: `by_chance` is null where halves have no place."""
        known = [{k: None if v == np.inf else v for k, v in asdict(lag).items()} for lag in self.lags]
        return {"call": self.call, "sentence": self.sentence, "lags": known}


def order(
    first: SeedCurves,
    second: SeedCurves,
    sizes: Float[ndarray, " size"],
    *,
    names: tuple[str, str],
    falling: bool = False,
    axis: str = "size",
    seed: int = 0,
    draws: int = 1000,
) -> Order:
    """Whether the onset of `first` comes before that of `second`, or with `falling` before the second's decline.

    The curves are values of item groups by seed and size, in nats; `sizes` ascend, and are called `axis` in sentences
    (along training: steps). The claim asks that the lag at all three thresholds points the same way, beyond its interval,
    beyond one step of the grid and beyond chance.
    """
    if len(sizes) < MIN_SIZES:
        return Order(
            "not defined", (), f"{len(sizes)} {axis}s are too few to say what moves first; {MIN_SIZES} are needed"
        )
    x = np.log(np.asarray(sizes, dtype=float))
    moves = f"{names[1]}'s decline" if falling else names[1]
    lags: list[Lag] = []
    for threshold, lag in zip(
        THRESHOLDS, _lags(first, second, x, falling=falling, seed=seed, draws=draws), strict=True
    ):
        if lag is None:
            why = [
                _why_not(x, curves, threshold, name, axis, falling=falls)
                for curves, name, falls in ((first, names[0], False), (second, names[1], falling))
            ]
            told = "; ".join(filter(None, why)) or "item groups drawn anew often leave one of them without a place"
            return Order(
                "not defined", tuple(lags), f"{names[0]} against {moves}: not defined at {threshold:.0%} ({told})"
            )
        lags.append(lag)
    if any(lag.models is None for lag in lags):  # all are read at one level, that which all have
        lags = [replace(lag, models=None) for lag in lags]
    signs = {lag.sign for lag in lags}
    told = ", ".join(f"{_times(lag.lag)} [{', '.join(map(_times, lag.bounds))}]" for lag in lags)
    factors = f"by factors of {told} in {axis} at 25, 50 and 75 %"
    level = "models like these" if lags[0].models is not None else "these weights"
    if signs == {-1}:
        return Order("first", tuple(lags), f"{names[0]} moves before {moves}, {factors} ({level})")
    if signs == {1}:
        return Order("second", tuple(lags), f"{names[0]} moves after {moves}, {factors} ({level})")
    return Order(
        "not separable",
        tuple(lags),
        f"{names[0]} against {moves}: not separable ({factors}; a step of the grid there is "
        f"{_times(max(lag.step for lag in lags))})",
    )


def _why_not(x: ndarray, curves: SeedCurves, threshold: float, name: str, axis: str, *, falling: bool) -> str | None:
    """Why the seed-averaged curve has no onset, or no decline, at a share of its maximum; None where it has."""
    y, noise = curves.mean((0, 2)), _noise(curves)
    find, peak = (_declines, _last_peak) if falling else (_onsets, _first_peak)
    if not np.isnan(find(x, y, noise, (threshold,))[0]):
        return None
    if y.max() <= noise:
        return f"{name} is not above noise"
    if peak(y, noise) == len(y) - 1:
        return f"{name} is highest at the last {axis}, and may go on"
    if falling:
        return f"{name} does not lose {threshold:.0%} of its maximum"
    if peak(y, noise) == 0:
        return f"{name} is highest at the first {axis}"
    return f"{name} has {threshold:.0%} of its maximum at the first {axis} already"


def _first_peak(y: ndarray, noise: float) -> int:
    """Where a curve first comes within `noise` of its highest point."""
    return int(np.argmax(y >= y.max() - noise))


def _last_peak(y: ndarray, noise: float) -> int:
    """Where it last is."""
    return len(y) - 1 - _first_peak(y[::-1], noise)


def _onsets(x: ndarray, y: ndarray, noise: float, thresholds: Sequence[float] = THRESHOLDS) -> Places:
    """Where a curve has risen to shares of its maximum, by isotonic regression up to there; NaN where not defined.

    The maximum is taken where the curve first comes within `noise` of its highest point. Not defined: a maximum that is
    not above noise, or at the smallest size, or only at the largest (who knows how far it would have gone); and a curve
    that has the share already at the smallest size.
    """
    peak = _first_peak(y, noise)
    if y.max() <= noise or peak in (0, len(y) - 1):
        return np.full(len(thresholds), np.nan)
    risen = isotonic(y[: peak + 1])
    return np.array([_crossing(x[: peak + 1], risen, share * y[peak]) for share in thresholds])


def _declines(x: ndarray, y: ndarray, noise: float, thresholds: Sequence[float] = THRESHOLDS) -> Places:
    """Where a curve has lost shares of its maximum behind it; NaN where not defined: see `_onsets`."""
    peak = _last_peak(y, noise)
    if y.max() <= noise or peak == len(y) - 1:
        return np.full(len(thresholds), np.nan)
    lost = isotonic(y[peak] - y[peak:])
    return np.array([_crossing(x[peak:], lost, share * y[peak]) for share in thresholds])


def isotonic(y: Float[ndarray, " size"]) -> Float[ndarray, " size"]:
    """The nearest curve that never falls (pool adjacent violators).

    >>> isotonic(np.array([0.0, 2.0, 1.0, 4.0])).tolist()
    [0.0, 1.5, 1.5, 4.0]
    """
    blocks: list[tuple[float, int]] = []
    for value in y:
        blocks.append((float(value), 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, n), (b, m) = blocks[-2], blocks[-1]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return np.concatenate([np.full(count, value) for value, count in blocks])


def _lags(
    first: SeedCurves, second: SeedCurves, x: ndarray, *, falling: bool, seed: int, draws: int
) -> list[Lag | None]:
    """The lag at each threshold with its bounds; None where too many draws have none."""
    rng = np.random.default_rng(seed)
    n_groups, n_seeds = first.shape[-1], len(first)
    shares = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws) / n_groups
    even = np.full((1, n_groups), 1 / n_groups)
    far = _declines if falling else _onsets

    def places(
        mine: SeedCurves, others: SeedCurves, weights: Float[ndarray, "draw group"]
    ) -> Float[ndarray, "draw two place"]:
        """Where the one and the other of the seed-averaged curves are, with each group weighted."""
        noises = _noise(mine), _noise(others)
        averaged = [weights @ curves.mean(0).T for curves in (mine, others)]
        return np.array([[_onsets(x, a, noises[0]), far(x, b, noises[1])] for a, b in zip(*averaged, strict=True)])

    own, drawn = places(first, second, even)[0], places(first, second, shares)
    ends = drawn[:, 0] - drawn[:, 1]
    each = np.array([places(a[None], b[None], even)[0] for a, b in zip(first, second, strict=True)])
    state = rng.bit_generator.state
    by_chance = []
    for curves, find in ((first, _onsets), (second, far)):
        rng.bit_generator.state = state  # the same halves of both
        by_chance.append(_by_chance(curves, x, find, rng))
    found: list[Lag | None] = []
    for t, threshold in enumerate(THRESHOLDS):
        lag = float(own[0, t] - own[1, t])
        if np.isnan(lag) or np.isnan(ends[:, t]).mean() > MAY_FAIL:
            found.append(None)
            continue
        low, high = np.nanquantile(ends[:, t], [ALPHA / 2, 1 - ALPHA / 2])
        found.append(
            Lag(
                threshold,
                lag,
                float(low),
                float(high),
                by_chance=float(max(one[t] for one in by_chance)),
                step=max(float(np.diff(x)[int(np.searchsorted(x, place)) - 1]) for place in own[:, t]),
                models=_over_seeds(each[:, 0, t] - each[:, 1, t]) if n_seeds >= MIN_SEEDS else None,
            )
        )
    return found


def _by_chance(curves: SeedCurves, x: ndarray, find: Callable[..., Places], rng: np.random.Generator) -> Places:
    """How far the places of random halves of the same curve's groups lie apart in 19 of 20 cases, at each threshold.

    Infinitely far where most halves have none.
    """
    n_groups, noise = curves.shape[-1], _noise(curves) * np.sqrt(2)  # of half as many groups
    found = []
    for _ in range(SPLITS):
        half = rng.permutation(n_groups) < n_groups // 2
        a, b = (curves[..., side].mean((0, 2)) for side in (half, ~half))
        found.append(np.abs(find(x, a, noise) - find(x, b, noise)))
    table = np.array(found)
    known = ~np.isnan(table)
    enough = known.mean(0) > 0.5
    return np.array(
        [
            np.quantile(row[is_in], 1 - ALPHA) if e else np.inf
            for row, is_in, e in zip(table.T, known.T, enough, strict=True)
        ]
    )


def _over_seeds(lags: Float[ndarray, " seed"]) -> tuple[float, float] | None:
    """A t-interval of the mean lag over seeds; None where a seed has none."""
    from scipy.special import stdtrit

    if np.isnan(lags).any():
        return None
    half = float(stdtrit(len(lags) - 1, 1 - ALPHA / 2)) * lags.std(ddof=1) / np.sqrt(len(lags))
    return float(lags.mean() - half), float(lags.mean() + half)


def _noise(curves: SeedCurves) -> float:
    """Three times the largest standard error over groups of a point of the seed-averaged curve."""
    averaged = curves.mean(0)
    return float(3 * (averaged.std(-1, ddof=1) / np.sqrt(averaged.shape[-1])).max())


def _crossing(x: ndarray, y: ndarray, level: float) -> float:
    """Where a rising curve reaches a level, by straight lines between its points; NaN where it begins above."""
    place = int(np.argmax(y >= level))
    if y[place] < level or place == 0:
        return float("nan")
    share = (level - y[place - 1]) / (y[place] - y[place - 1])
    return float(x[place - 1] + share * (x[place] - x[place - 1]))


def _times(lag: float) -> str:
    return f"{np.exp(lag):.2f}"
