"""Which of two curves over size moves first: onsets, the lag between them, and how sure one can be of it."""

from dataclasses import dataclass
from typing import Literal

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

Call = Literal["first", "second", "not separable", "not defined"]
Curves = Float[ndarray, "seed size group"]


@dataclass(frozen=True)
class Lag:
    """The lag between two curves' onsets at one threshold, in natural logarithms of size; positive: the first is later.

    `low` and `high` bound it over item groups, these weights (level 1); `models` over seeds (level 2), from three on.
    `by_chance` is what random halves of one curve lag by, in 19 of 20 cases; `step` the larger of the two steps of the
    grid in which the onsets lie.
    """

    threshold: float
    lag: float
    low: float
    high: float
    by_chance: float
    step: float
    models: tuple[float, float] | None

    @property
    def sign(self) -> int:
        """Which way the lag points: 0 where it is not told from none, from chance, or from one step of the grid."""
        low, high = (self.low, self.high) if self.models is None else self.models
        is_clear = (low > 0 or high < 0) and abs(self.lag) > max(self.step, self.by_chance)
        return int(np.sign(self.lag)) if is_clear else 0


@dataclass(frozen=True)
class Order:
    """Which of two curves moves first, with the lag at every threshold that is defined and the sentence that says so."""

    call: Call
    lags: tuple[Lag, ...]
    sentence: str


def order(
    first: Curves,
    second: Curves,
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
    for threshold in THRESHOLDS:
        lag = _lag(first, second, x, threshold, falling=falling, seed=seed, draws=draws)
        if lag is None:
            return Order(
                "not defined",
                tuple(lags),
                f"{names[0]} against {moves}: not defined (at {threshold:.0%} of its maximum one of them has no place on "
                f"this range of {axis}s, is at its edge, or is not above noise)",
            )
        lags.append(lag)
    signs = {lag.sign for lag in lags}
    told = ", ".join(f"{_times(lag.lag)} [{_times(lag.low)}, {_times(lag.high)}]" for lag in lags)
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


def onset(x: Float[ndarray, " size"], y: Float[ndarray, " size"], threshold: float, noise: float = 0.0) -> float:
    """Where a curve has risen to a share of its maximum, by isotonic regression up to there; NaN where not defined.

    The maximum is taken where the curve first comes within `noise` of its highest point. Not defined: a maximum that is
    not above noise, or at the smallest size, or only at the largest (who knows how far it would have gone); and a curve
    that has the share already at the smallest size.
    """
    peak = int(np.argmax(y >= y.max() - noise))
    if y.max() <= noise or peak in (0, len(y) - 1):
        return float("nan")
    return _crossing(x[: peak + 1], isotonic(y[: peak + 1]), threshold * y[peak])


def decline(x: Float[ndarray, " size"], y: Float[ndarray, " size"], threshold: float, noise: float = 0.0) -> float:
    """Where a curve has lost a share of its maximum behind it; NaN where not defined: see `onset`."""
    peak = len(y) - 1 - int(np.argmax((y >= y.max() - noise)[::-1]))
    if y.max() <= noise or peak == len(y) - 1:
        return float("nan")
    return _crossing(x[peak:], isotonic(y[peak] - y[peak:]), threshold * y[peak])


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


def _lag(
    first: Curves, second: Curves, x: ndarray, threshold: float, *, falling: bool, seed: int, draws: int
) -> Lag | None:
    """The lag with its bounds; None where too many draws have none."""
    rng = np.random.default_rng(seed)
    n_groups = first.shape[-1]
    weights = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws) / n_groups
    ends = np.array([_between(first, second, x, threshold, row, falling) for row in weights])
    even = np.full(n_groups, 1 / n_groups)
    places = _places(first, second, x, threshold, even, falling)
    own = places[0] - places[1]
    if np.isnan(own) or np.isnan(ends).mean() > MAY_FAIL:
        return None
    low, high = np.nanquantile(ends, [ALPHA / 2, 1 - ALPHA / 2])
    each = [_between(a[None], b[None], x, threshold, even, falling) for a, b in zip(first, second, strict=True)]
    return Lag(
        threshold,
        own,
        float(low),
        float(high),
        by_chance=_by_chance(first, x, threshold, rng),
        step=max(float(np.diff(x)[int(np.searchsorted(x, place)) - 1]) for place in places),
        models=_over_seeds(np.array(each)) if len(each) >= MIN_SEEDS else None,
    )


def _between(
    first: Curves, second: Curves, x: ndarray, threshold: float, weights: Float[ndarray, " group"], falling: bool
) -> float:
    """The lag between the seed-averaged curves, each group weighted."""
    a, b = _places(first, second, x, threshold, weights, falling)
    return a - b


def _places(
    first: Curves, second: Curves, x: ndarray, threshold: float, weights: Float[ndarray, " group"], falling: bool
) -> tuple[float, float]:
    """The onset of the first of the seed-averaged curves, and that (or the decline) of the second."""
    a, b = (curves.mean(0) @ weights for curves in (first, second))
    return onset(x, a, threshold, _noise(first)), (decline if falling else onset)(x, b, threshold, _noise(second))


def _by_chance(curves: Curves, x: ndarray, threshold: float, rng: np.random.Generator) -> float:
    """How far the onsets of random halves of the same curve's groups lie apart in 19 of 20 cases."""
    n_groups, noise = curves.shape[-1], _noise(curves) * np.sqrt(2)  # of half as many groups
    found = []
    for _ in range(SPLITS):
        half = rng.permutation(n_groups) < n_groups // 2
        a, b = (curves[..., side].mean((0, 2)) for side in (half, ~half))
        found.append(abs(onset(x, a, threshold, noise) - onset(x, b, threshold, noise)))
    known = np.array(found)[~np.isnan(found)]
    return float(np.quantile(known, 1 - ALPHA)) if len(known) else float("inf")


def _over_seeds(lags: Float[ndarray, " seed"]) -> tuple[float, float] | None:
    """A t-interval of the mean lag over seeds; None where a seed has none."""
    from scipy.special import stdtrit

    if np.isnan(lags).any():
        return None
    half = float(stdtrit(len(lags) - 1, 1 - ALPHA / 2)) * lags.std(ddof=1) / np.sqrt(len(lags))
    return float(lags.mean() - half), float(lags.mean() + half)


def _noise(curves: Curves) -> float:
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
