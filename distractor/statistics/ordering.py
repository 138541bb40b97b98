"""Which of two curves over size moves first: the lag between their onsets, with its intervals and a null check."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.statistics.intervals import MIN_SEEDS, GroupMeans
from distractor.statistics.standard_errors import ALPHA, t_quantile

THRESHOLDS = (0.25, 0.5, 0.75)  # the onset is the size at which a curve reaches one of these shares of its maximum
SPLITS = 200  # random halves of one curve's groups, for the lag under the null hypothesis

MIN_SIZES = 4

MAY_FAIL = 0.1  # an onset is undefined if it is missing in more than this share of the bootstrap draws
OrderLabel = Literal["first", "second", "not separable", "not defined"]
Onsets = Float[ndarray, " threshold"]


@dataclass(frozen=True)
class Lag:
    """The lag between two onsets at one threshold, in natural logarithms of size; positive: the first curve is later.

    `low` and `high` bound it over item groups (level 1). `models` bounds it over seeds (level 2) if there are at least
    three. `by_chance` is the 95 % quantile of the lag between random halves of one curve, the larger of the two curves.
    `step` is the larger of the two grid steps that hold the onsets.
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
        """The interval that decides: over seeds if there are enough, else over item groups."""
        return (self.low, self.high) if self.models is None else self.models

    @property
    def sign(self) -> int:
        """The direction of the lag; 0 unless it exceeds its interval, chance and one grid step."""
        low, high = self.bounds
        is_clear = (low > 0 or high < 0) and abs(self.lag) > max(self.step, self.by_chance)
        return int(np.sign(self.lag)) if is_clear else 0


@dataclass(frozen=True)
class Order:
    """Which of two curves moves first, with the lag at each defined threshold and a sentence."""

    call: OrderLabel
    lags: tuple[Lag, ...]
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json; an infinite `by_chance` (most halves have no onset) is null."""
        lags = [{name: None if v == np.inf else v for name, v in asdict(lag).items()} for lag in self.lags]
        return {"call": self.call, "sentence": self.sentence, "lags": lags}


def order(
    first: GroupMeans,
    second: GroupMeans,
    sizes: Float[ndarray, " size"],
    *,
    names: tuple[str, str],
    falling: bool = False,
    axis: str = "size",
    draws: int = 1000,
) -> Order:
    """Whether the onset of `first` comes before that of `second`, or with `falling` before the second's decline.

    The curves are in nats; `sizes` ascend, and sentences call them `axis` (along training: step). An order needs lags
    of the same sign at all three thresholds, each beyond its interval, one grid step and chance.
    """
    if len(sizes) < MIN_SIZES:
        few = f"order not tested: {len(sizes)} {axis}s are too few, at least {MIN_SIZES} are needed"
        return Order("not defined", (), few)
    x = np.log(np.asarray(sizes, dtype=float))
    event = f"{names[1]}'s decline" if falling else names[1]
    lags: list[Lag] = []
    for threshold, lag in zip(THRESHOLDS, _lags(first, second, x, falling=falling, draws=draws), strict=True):
        if lag is None:
            reasons = [
                _why_not(x, curves, threshold, name, axis, falling=falls)
                for curves, name, falls in ((first, names[0], False), (second, names[1], falling))
            ]
            reason = "; ".join(filter(None, reasons)) or "one of them is often missing in resampled item groups"
            sentence = f"{names[0]} against {event}: not defined at {threshold:.0%} ({reason})"
            return Order("not defined", tuple(lags), sentence)
        lags.append(lag)
    if any(lag.models is None for lag in lags):  # use the highest level that is available at all thresholds
        lags = [replace(lag, models=None) for lag in lags]
    signs = {lag.sign for lag in lags}
    factors = ", ".join(f"{_factor(lag.lag)} [{', '.join(map(_factor, lag.bounds))}]" for lag in lags)
    evidence = f"by factors of {factors} in {axis} at 25, 50 and 75 %"
    level = "models like these" if lags[0].models is not None else "these weights"
    if signs == {-1}:
        return Order("first", tuple(lags), f"{names[0]} moves before {event}, {evidence} ({level})")
    if signs == {1}:
        return Order("second", tuple(lags), f"{names[0]} moves after {event}, {evidence} ({level})")
    step = _factor(max(lag.step for lag in lags))
    sentence = f"{names[0]} against {event}: not separable ({evidence}; the grid step there is {step})"
    return Order("not separable", tuple(lags), sentence)


def _why_not(x: ndarray, curves: GroupMeans, threshold: float, name: str, axis: str, *, falling: bool) -> str | None:
    """Why the seed-averaged curve has no onset, or no decline, at a threshold; None if it has one."""
    y, noise = curves.mean((0, 2)), _noise(curves)
    find, peak = (_declines, _last_peak) if falling else (_onsets, _first_peak)
    if not np.isnan(find(x, y, noise, (threshold,))[0]):
        return None
    if y.max() <= noise:
        return f"{name} does not exceed noise"
    if peak(y, noise) == len(y) - 1:
        return f"{name} is highest at the last {axis} and may rise further"
    if falling:
        return f"{name} does not lose {threshold:.0%} of its maximum"
    if peak(y, noise) == 0:
        return f"{name} is highest at the first {axis}"
    return f"{name} has {threshold:.0%} of its maximum already at the first {axis}"


def _first_peak(y: ndarray, noise: float) -> int:
    """The first index within `noise` of the highest point."""
    return int(np.argmax(y >= y.max() - noise))


def _last_peak(y: ndarray, noise: float) -> int:
    """The last index within `noise` of the highest point."""
    return len(y) - 1 - _first_peak(y[::-1], noise)


def _onsets(x: ndarray, y: ndarray, noise: float, thresholds: Sequence[float] = THRESHOLDS) -> Onsets:
    """Where a curve has risen to shares of its maximum, by isotonic regression up to the first peak.

    NaN where the maximum is not above noise or at either end, or where the curve starts above the share.
    """
    peak = _first_peak(y, noise)
    if y.max() <= noise or peak in (0, len(y) - 1):
        return np.full(len(thresholds), np.nan)
    return _crossings(x[: peak + 1], y[: peak + 1], [share * y[peak] for share in thresholds])


def _declines(x: ndarray, y: ndarray, noise: float, thresholds: Sequence[float] = THRESHOLDS) -> Onsets:
    """Where a curve has lost shares of its maximum after the last peak; NaN where undefined, see `_onsets`."""
    peak = _last_peak(y, noise)
    if y.max() <= noise or peak == len(y) - 1:
        return np.full(len(thresholds), np.nan)
    return _crossings(x[peak:], y[peak] - y[peak:], [share * y[peak] for share in thresholds])


def _crossings(x: ndarray, y: ndarray, levels: Sequence[float]) -> Onsets:
    """Where the isotonic regression of y reaches each level, linearly interpolated; NaN where it starts above."""
    from scipy.optimize import isotonic_regression

    y = isotonic_regression(y).x
    crossings = np.full(len(levels), np.nan)
    for number, level in enumerate(levels):
        index = int(np.argmax(y >= level))
        if y[index] >= level and index > 0:
            share = (level - y[index - 1]) / (y[index] - y[index - 1])
            crossings[number] = x[index - 1] + share * (x[index] - x[index - 1])
    return crossings


def _lags(first: GroupMeans, second: GroupMeans, x: ndarray, *, falling: bool, draws: int) -> list[Lag | None]:
    """The lag at each threshold with its bounds; None if it is missing in too many draws."""
    rng = np.random.default_rng(0)
    n_groups, n_seeds = first.shape[-1], len(first)
    weights = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws) / n_groups
    equal = np.full((1, n_groups), 1 / n_groups)
    find_second = _declines if falling else _onsets

    def onsets(a: GroupMeans, b: GroupMeans, weights: ndarray) -> Float[ndarray, "draw two threshold"]:
        """The onsets of both seed-averaged curves, with weighted groups."""
        noise, noise_b = _noise(a), _noise(b)
        averaged = zip(*(weights @ curves.mean(0).T for curves in (a, b)), strict=True)
        return np.array([[_onsets(x, y, noise), find_second(x, z, noise_b)] for y, z in averaged])

    observed, drawn = onsets(first, second, equal)[0], onsets(first, second, weights)
    drawn_lags = drawn[:, 0] - drawn[:, 1]
    of_seeds = np.array([onsets(a[None], b[None], equal)[0] for a, b in zip(first, second, strict=True)])
    state = rng.bit_generator.state
    by_chance = []
    for curves, find in ((first, _onsets), (second, find_second)):
        rng.bit_generator.state = state  # the same halves for both curves
        by_chance.append(_by_chance(curves, x, find, rng))
    lags: list[Lag | None] = []
    for t, threshold in enumerate(THRESHOLDS):
        lag = float(observed[0, t] - observed[1, t])
        if np.isnan(lag) or np.isnan(drawn_lags[:, t]).mean() > MAY_FAIL:
            lags.append(None)
            continue
        low, high = np.nanquantile(drawn_lags[:, t], [ALPHA / 2, 1 - ALPHA / 2])
        chance = float(max(of_curve[t] for of_curve in by_chance))
        step = max(float(np.diff(x)[int(np.searchsorted(x, onset)) - 1]) for onset in observed[:, t])
        models = _over_seeds(of_seeds[:, 0, t] - of_seeds[:, 1, t]) if n_seeds >= MIN_SEEDS else None
        lags.append(Lag(threshold, lag, float(low), float(high), chance, step, models))
    return lags


def _by_chance(curves: GroupMeans, x: ndarray, find: Callable[..., Onsets], rng: np.random.Generator) -> Onsets:
    """The 95 % quantile of the distance between the onsets of random halves of the groups; infinite if most have none."""
    n_groups, noise = curves.shape[-1], _noise(curves) * np.sqrt(2)  # of half the groups
    distances = []
    for _ in range(SPLITS):
        half = rng.permutation(n_groups) < n_groups // 2
        a, b = (curves[..., side].mean((0, 2)) for side in (half, ~half))
        distances.append(np.abs(find(x, a, noise) - find(x, b, noise)))
    table = np.array(distances).T
    known = [row[~np.isnan(row)] for row in table]
    return np.array([np.quantile(row, 1 - ALPHA) if len(row) > SPLITS / 2 else np.inf for row in known])


def _over_seeds(lags: Float[ndarray, " seed"]) -> tuple[float, float] | None:
    """A t interval of the mean lag over seeds; None where a seed has no lag."""
    if np.isnan(lags).any():
        return None
    half = float(t_quantile(len(lags) - 1)) * lags.std(ddof=1) / np.sqrt(len(lags))
    return float(lags.mean() - half), float(lags.mean() + half)


def _noise(curves: GroupMeans) -> float:
    """Three times the largest standard error over groups of the seed-averaged curve."""
    averaged = curves.mean(0)
    return float(3 * (averaged.std(-1, ddof=1) / np.sqrt(averaged.shape[-1])).max())


def _factor(lag: float) -> str:
    return f"{np.exp(lag):.2f}"
