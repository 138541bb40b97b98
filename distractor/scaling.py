"""The shape of a curve over size, and how sure one can be: is it a U, at which level, and where does it turn?

Two sentences must not be confused. Level 1, *these weights*: the curve of the models at hand has this shape on items
like these (item groups are resampled). Level 2, *models like these*: so has the curve of models trained again with
other seeds (needs at least three). A peak picked from the data and then tested on the same data overstates; here
every difference between two sizes has a bound that holds for all pairs at once, so that picking costs nothing.

Values come as `seed size group`: the mean of each item group (a fact, a quote, a bet), complete items only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError

Label = Literal["positive", "inverse", "U-shaped", "inverted-U", "flat", "undetermined"]
Values = Float[ndarray, "seed size group"]
Size = float | int

DELTA = 0.05
"""A rise or fall smaller than this is of no interest; on the probability scale, fixed before a run."""

ALPHA = 0.05
MIN_SIZES = 3
MIN_SEEDS = 3
FEW_GROUPS = 30
P_AT_LEAST = 1e-12  # below, the quadrature's rounding

METHOD_1 = "level 1 (these weights): all pairs of sizes at once, max-t cluster bootstrap over item groups, 95 %"
METHOD_2 = (
    "level 2 (models like these): all pairs of sizes at once, studentized range over seeds, each size's variance at "
    "least the mean one, plus the items' cluster variance; 5 % a direction"
)


@dataclass(frozen=True)
class Turn:
    """One way to turn, U-shaped or inverted-U. At a turning point both legs must be there: the weaker one counts.

    `depth` is the weaker leg of the deepest turn of the averaged curve (negative where the curve does not turn this
    way), `low` and `high` its bounds, simultaneous over all pairs of sizes: the turn is clear where `low` > 0. A turn
    deeper than `at_most` is ruled out: this bound need not be simultaneous (see `_read`). `turning_set` are the
    interior sizes that no other size beats beyond the bound. `p_left` and `p_right` are the legs' p-values,
    simultaneous over all pairs, where the weaker leg is clearest (as a rule the turning point itself); both are at
    most .05 exactly where `low` > 0.
    """

    depth: float
    low: float
    high: float
    at_most: float
    turning_point: Size | None
    turning_set: tuple[Size, ...]
    p_left: float
    p_right: float

    @property
    def is_clear(self) -> bool:
        """Both legs are beyond the bound."""
        return self.low > 0


@dataclass(frozen=True)
class Level:
    """What one level says of a curve: a label, both ways to turn, and what was within reach.

    `end` is the difference between the largest and the smallest size with its bounds. `smallest_detectable_dip` is
    the depth that would be found with a probability of .8, had it been at the turning point and at one size only.
    """

    level: int
    label: Label
    u: Turn
    inverted_u: Turn
    end: tuple[float, float, float]
    smallest_detectable_dip: float
    delta: float

    @property
    def turn(self) -> Turn:
        """The turn that the label names, or else the deeper one."""
        if self.label in ("U-shaped", "inverted-U"):
            return self.u if self.label == "U-shaped" else self.inverted_u
        return self.u if self.u.depth > self.inverted_u.depth else self.inverted_u

    @property
    def no_u(self) -> bool:
        """Ruled out: a fall and then a rise of δ or more."""
        return self.u.at_most < self.delta

    @property
    def no_inverted_u(self) -> bool:
        """Ruled out: a rise and then a fall of δ or more."""
        return self.inverted_u.at_most < self.delta

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, as they stand in summary.json."""
        turn = self.turn
        return {
            "label": self.label,
            "turning_point": _plain(turn.turning_point),
            "turning_low": _plain(turn.turning_set[0] if turn.turning_set else None),
            "turning_high": _plain(turn.turning_set[-1] if turn.turning_set else None),
            "turning_set": [_plain(size) for size in turn.turning_set],
            "p_left": turn.p_left,
            "p_right": turn.p_right,
            "depth": turn.depth,
            "depth_low": turn.low,
            "depth_high": turn.high,
            "depth_at_most": turn.at_most,
            "end": dict(zip(("mean", "low", "high"), self.end, strict=True)),
            "no_u": self.no_u,
            "no_inverted_u": self.no_inverted_u,
            "smallest_detectable_dip": self.smallest_detectable_dip,
        }


@dataclass(frozen=True)
class Shape:
    """The shape of one curve at both levels; made by `judge`.

    `weights` has a level 1 judgement for each seed, `models` the level 2 judgement, None where there are fewer than
    three seeds. `turning_point` is where the seed- and group-averaged curve turns.
    """

    weights: tuple[Level, ...]
    models: Level | None
    turning_point: Size | None
    n_groups: int
    warnings: tuple[str, ...]

    @property
    def label_level_1(self) -> Label:
        """One label for all seeds' weights: theirs where all seeds have the same, else undetermined."""
        labels = {level.label for level in self.weights}
        return labels.pop() if len(labels) == 1 else "undetermined"

    @property
    def label(self) -> Label:
        """The label at the highest level that is identified; `as_dict` says beside it which."""
        return self.models.label if self.models else self.label_level_1

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json: the highest level identified on top, then both levels by name.

        With two seeds the top is level 1: the larger p-value of the two, and all that either cannot exclude.
        """
        levels = (self.models,) if self.models else self.weights
        turns = [level.turn for level in levels]
        members = sorted({size for turn in turns for size in turn.turning_set})
        return {
            "label": self.label,
            "level": 2 if self.models else 1,
            "turning_point": _plain(self.turning_point),
            "turning_low": _plain(members[0] if members else None),
            "turning_high": _plain(members[-1] if members else None),
            "p_left": max(turn.p_left for turn in turns),
            "p_right": max(turn.p_right for turn in turns),
            "no_u": all(level.no_u for level in levels),
            "no_inverted_u": all(level.no_inverted_u for level in levels),
            "delta": levels[0].delta,
            "smallest_detectable_dip": max(level.smallest_detectable_dip for level in levels),
            "method": METHOD_2 if self.models else METHOD_1,
            "seeds": len(self.weights),
            "groups": self.n_groups,
            "warnings": list(self.warnings),
            "level_1": {"label": self.label_level_1, "seeds": [level.as_dict() for level in self.weights]},
            "level_2": self.models.as_dict() if self.models else "not identified",
        }


def judge(values: Values, sizes: Sequence[Size], *, delta: float = DELTA, seed: int = 0, draws: int = 2000) -> Shape:
    """Say what shape `values` have over `sizes`, for these weights and for models like these.

    `sizes` ascend (parameters, tokens, FLOPs or steps); `delta` is in the unit of the values. Raises ScalingError
    for fewer than three sizes, sizes that do not ascend, fewer than two groups, and NaN or infinity (named).
    """
    check(values, sizes)
    n_seeds, _, n_groups = values.shape
    weights = tuple(judge_weights(one, sizes, delta=delta, seed=seed, draws=draws) for one in values)
    models = judge_models(values, sizes, delta=delta, seed=seed) if n_seeds >= MIN_SEEDS else None
    warnings = []
    if n_groups < FEW_GROUPS:
        warnings.append(f"{n_groups} item groups: bounds from fewer than {FEW_GROUPS} groups are too narrow")
    if models is None:
        warnings.append(f"{seeds_in_words(n_seeds)}: level 2 not identified")
    if idle := [size for size, still in zip(sizes, np.ptp(values, axis=-1).max(0) == 0, strict=True) if still]:
        warnings.append(f"all item groups have the same value at {', '.join(f'{size:g}' for size in idle)}")
    averaged = models or judge_weights(values.mean(0), sizes, delta=delta, seed=seed, draws=draws)
    return Shape(weights, models, averaged.turn.turning_point, n_groups, tuple(warnings))


def judge_weights(
    values: Float[ndarray, "size group"],
    sizes: Sequence[Size],
    *,
    delta: float = DELTA,
    seed: int = 0,
    draws: int = 2000,
) -> Level:
    """Level 1, these weights: a bound for all pairs of sizes at once from a max-t cluster bootstrap over groups.

    The bootstrap divides by one fixed standard error, which is itself estimated from the groups: the observed
    differences are therefore read on the t scale with groups − 1 degrees of freedom. A pair of sizes that differs
    by exactly the same amount in every group has no error, and its sign is taken as it is.
    """
    check(values[None], sizes)
    values = _in_order(values)
    n_sizes, n_groups = values.shape
    curve = values.mean(-1)
    covariance = np.cov(values) / n_groups
    error = np.maximum(np.sqrt(_of_difference(covariance)), _tiny(values))
    first, second = np.triu_indices(n_sizes, 1)
    centred = values - curve[:, None]
    most = _maxima((centred[second] - centred[first]) / error[first, second, None], seed, draws)
    half = _critical(most, n_groups) * error

    def p_value(t: float) -> float:
        deviate = _as_normal(t, n_groups)
        alone = 2 * _normal_tail(deviate)
        return max(float(1 + len(most) - np.searchsorted(most, deviate)) / (1 + draws), alone) if t > 0 else 1.0

    def noise(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        return _normal(rng, covariance, count), half[None]

    alone = _t(n_groups - 1) * error
    return _read(1, curve, sizes, half, alone, error, p_value, delta, noise)


def judge_models(values: Values, sizes: Sequence[Size], *, delta: float = DELTA, seed: int = 0) -> Level:
    """Level 2, models like these: a bound for all pairs of sizes at once, from at least three seeds.

    With m the mean over S seeds at each of K sizes, v the variance over seeds, u = max(v, mean v) (a size whose few
    seeds happen to agree is not believed) and g the cluster variance of the seed-averaged difference, the bound is
    q · √((u_j + u_k) / 2S + g_jk / 2), q the studentized range of K means with K(S − 1) degrees of freedom (Tukey
    1949), at .90: 5 % in each direction.
    """
    check(values, sizes)
    n_seeds, n_sizes, n_groups = values.shape
    if n_seeds < MIN_SEEDS:
        raise ScalingError(
            f"level 2 speaks of models like these and needs at least {MIN_SEEDS} seeds a size, better 5; "
            f"{n_seeds} came. Train or add further seeds, or keep to level 1"
        )
    per_seed = values.mean(-1)
    curve = per_seed.mean(0)
    spread = _at_least_mean(per_seed.var(0, ddof=1))
    covariance = np.cov(values.mean(0)) / n_groups
    of_groups = _of_difference(covariance)
    degrees = n_sizes * (n_seeds - 1)
    q = studentized_range_quantile(1 - 2 * ALPHA, n_sizes, degrees)

    def error(spread: Float[ndarray, "*rest size"]) -> Float[ndarray, "*rest size size"]:
        both = spread[..., :, None] + spread[..., None, :]
        of_pair: ndarray = np.sqrt(both / (2 * n_seeds) + of_groups / 2)
        return of_pair

    floor = np.maximum(error(spread), _tiny(values))

    def p_value(t: float) -> float:
        return max(studentized_range_tail(t, n_sizes, degrees) / 2, P_AT_LEAST) if t > 0 else 1.0

    def noise(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        total = covariance + np.diag(spread) / n_seeds
        means = _normal(rng, total, count)
        drawn = spread * rng.chisquare(n_seeds - 1, (count, n_sizes)) / (n_seeds - 1)
        return means, q * error(_at_least_mean(drawn))

    # Of one pair alone: Welch and Satterthwaite's freedom, since one noisy size would be misjudged by the pooled one.
    seeds = (spread[:, None] ** 2 + spread**2) / n_seeds**2 / (n_seeds - 1) + of_groups**2 / (n_groups - 1)
    freedom = np.minimum((2 * floor**2) ** 2 / np.maximum(seeds, 1e-300), degrees)
    alone = _t(freedom) * np.sqrt(2) * floor
    return _read(2, curve, sizes, q * floor, alone, floor, p_value, delta, noise, seed)


def smallest_detectable_dip(
    n_sizes: int,
    n_seeds: int,
    n_groups: int,
    *,
    item_sd: float = 0.25,
    seed_sd: float = 0.05,
    power: float = 0.8,
    seed: int = 0,
    draws: int = 4000,
) -> float:
    """How deep a dip must be to be found with probability `power`, by simulation; at level 2 from three seeds on.

    The dip is at one size only, the middle one, in a curve that is otherwise flat: the hardest dip to find. `item_sd`
    is the standard deviation of a group's value at one size about that group's own level and that size's mean (the
    same for all seeds: the harder case), `seed_sd` that between seeds at one size; with fewer than three seeds it
    plays no part and the answer is level 1's. The defaults are typical of preference with a few items a group.
    """
    if n_sizes < MIN_SIZES or n_seeds < 1 or n_groups < 2:
        raise ScalingError(
            f"a dip needs at least {MIN_SIZES} sizes, 1 seed and 2 item groups; "
            f"asked for {n_sizes} sizes, {n_seeds} seeds, {n_groups} groups"
        )
    rng = np.random.default_rng(seed)
    of_groups = item_sd**2 / n_groups
    if n_seeds < MIN_SEEDS:
        means = rng.normal(0, np.sqrt(of_groups), (draws, n_sizes))
        q = studentized_range_quantile(1 - ALPHA, n_sizes, n_groups - 1)
        half = np.full((1, n_sizes, n_sizes), q * np.sqrt(of_groups))
    else:
        means = rng.normal(0, np.sqrt(of_groups + seed_sd**2 / n_seeds), (draws, n_sizes))
        drawn = _at_least_mean(seed_sd**2 * rng.chisquare(n_seeds - 1, (draws, n_sizes)) / (n_seeds - 1))
        q = studentized_range_quantile(1 - 2 * ALPHA, n_sizes, n_sizes * (n_seeds - 1))
        half = q * np.sqrt((drawn[:, :, None] + drawn[:, None, :]) / (2 * n_seeds) + of_groups)
    return _detectable(means, half, n_sizes // 2, power)


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
    rows = _in_order(rows if counts is None else np.vstack([rows, counts]))
    rows, share = (rows, np.ones(n_groups)) if counts is None else (rows[:-1], rows[-1])
    weights = _resample(n_groups, draws, seed) * share
    mean = rows @ share / share.sum()
    drawn = (weights @ rows.T) / weights.sum(-1, keepdims=True)
    stretched = mean + (drawn - mean) * np.sqrt(n_groups / (n_groups - 1))
    low, high = np.quantile(stretched, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    if limits is not None:
        bottom, top = limits
        reach = (1 - (ALPHA / 2) ** (1 / n_groups)) * (top - bottom)
        low, high = np.clip(low, bottom, top), np.clip(high, bottom, top)
        low = np.where((rows == top).all(-1), top - reach, low)
        high = np.where((rows == bottom).all(-1), bottom + reach, high)
    shape = values.shape[:-1]
    return mean.reshape(shape), low.reshape(shape), high.reshape(shape)


def simultaneous_interval(
    values: Float[ndarray, "size group"], *, seed: int = 0, draws: int = 2000
) -> tuple[Float[ndarray, " size"], Float[ndarray, " size"], Float[ndarray, " size"]]:
    """The mean over groups at each size with 95 % intervals that hold for all sizes at once (max-t, as level 1).

    Whichever size is then picked, by whatever rule, its interval is right. Returns (mean, low, high).
    """
    values = _in_order(values)
    n_groups = values.shape[-1]
    mean = values.mean(-1)
    error = np.maximum(values.std(-1, ddof=1) / np.sqrt(n_groups), _tiny(values))
    half = _critical(_maxima((values - mean[:, None]) / error[:, None], seed, draws), n_groups) * error
    return mean, mean - half, mean + half


def check(values: Values, sizes: Sequence[Size], name: str = "values") -> None:
    """Raise ScalingError, saying what was wanted and what came, unless `values` can be judged over `sizes`."""
    n_sizes, n_groups = values.shape[1:]
    if n_sizes != len(sizes):
        raise ScalingError(f"{name} hold {n_sizes} sizes, but {len(sizes)} sizes were named")
    if n_sizes < MIN_SIZES:
        raise ScalingError(f"a shape needs at least {MIN_SIZES} sizes, better 8; {n_sizes} came. Add models in between")
    for before, after in pairwise(sizes):
        if not before < after:
            what = "twice" if before == after else f"before {after:g}"
            raise ScalingError(
                f"sizes must ascend, each once; {before:g} came {what}. Sort them; seeds are an axis of their own"
            )
    if n_groups < 2:
        raise ScalingError(
            f"errors come from the spread over item groups: at least 2, better {FEW_GROUPS}; {n_groups} came"
        )
    if not np.isfinite(values).all():
        seed, size, group = np.argwhere(~np.isfinite(values))[0]
        raise ScalingError(
            f"{name} at seed {seed}, size {sizes[size]:g} (index {size}), group {group} is "
            f"{values[seed, size, group]}; {int((~np.isfinite(values)).sum())} such in all. "
            "Leave out items that some model lacks"
        )


def seeds_in_words(n_seeds: int) -> str:
    """As in the sentence "one seed: level 2 not identified"."""
    return {1: "one seed", 2: "two seeds"}.get(n_seeds, f"{n_seeds} seeds")


# The studentized range: scipy.stats has it, but its import alone takes about a second in a cached command.


def studentized_range_tail(q: float, k: int, degrees: float | int) -> float:
    """P(range of `k` means > q standard errors), the error estimated with `degrees` of freedom (Tukey 1949)."""
    from scipy.special import gammaln, ndtr

    width = 1 / np.sqrt(2 * degrees)
    s, ds = _nodes(max(0.0, 1 - 9 * width), 1 + 11 * width, 64)
    z, dz = _nodes(-8.5, 8.5, 100)
    log_density = (degrees - 1) * np.log(s) - degrees * s**2 / 2
    log_density += np.log(2) + degrees / 2 * np.log(degrees / 2) - gammaln(degrees / 2)
    of_error = ds * np.exp(log_density)
    of_largest = k * dz * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    inside = of_error @ ((ndtr(z) - ndtr(z - min(q, 1e4) * s[:, None])) ** (k - 1) @ of_largest)
    return float(np.clip(1 - inside, 0, 1))


@lru_cache(maxsize=64)
def studentized_range_quantile(share: float, k: int, degrees: float | int) -> float:
    """The `share` quantile of the studentized range of `k` means, to 1e-6, by bisection."""
    low, high = 0.0, 1.0
    while studentized_range_tail(high, k, degrees) > 1 - share:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if studentized_range_tail(middle, k, degrees) > 1 - share else (low, middle)
    return (low + high) / 2


_legendre = lru_cache(maxsize=4)(np.polynomial.legendre.leggauss)


def _nodes(low: float, high: float, count: int) -> tuple[ndarray, ndarray]:
    """Nodes and weights of Gauss–Legendre quadrature between `low` and `high`."""
    x, w = _legendre(count)
    return (low + high) / 2 + (high - low) / 2 * x, (high - low) / 2 * w


# From all pairwise differences and their bounds to a label.

CRITICAL_AT_LEAST = 1.959963984540054
"""No bound over many pairs is below that of one pair; binds only where hardly any group varies."""

Noise = Callable[[np.random.Generator, int], tuple[ndarray, ndarray]]


def _read(
    level: int,
    curve: Float[ndarray, " size"],
    sizes: Sequence[Size],
    half: Float[ndarray, "size size"],
    alone: Float[ndarray, "size size"],
    error: Float[ndarray, "size size"],
    p_value: Callable[[float], float],
    delta: float,
    noise: Noise,
    seed: int = 0,
) -> Level:
    """`half[i, j]` bounds the rise from i to j, `error[i, j]` is its standard error, `p_value` reads their ratio.

    `alone[i, j]` bounds that pair by itself, 97.5 % to each side. It is enough to rule a turn out: a turn of δ has two
    fixed legs, and to miss it one of these two bounds must fail, at most 5 % however many pairs there are.

    `noise` draws means and bounds as they would come from a flat curve.

    Flat: every difference is within δ, bounds included. A turn counts where it is clear and not ruled out at δ; if
    both ways count, the label is the way that is at least twice as deep, else undetermined. Positive or inverse: no
    turn, the two ends differ beyond the bound, and either nothing goes the other way beyond it or both turns are
    ruled out at δ.
    """
    rise = curve[None, :] - curve[:, None]
    u = _turn(-1, curve, sizes, half, alone, error, p_value)
    inverted = _turn(1, curve, sizes, half, alone, error, p_value)
    clear = np.triu(np.abs(rise) > half)
    ways: tuple[tuple[Turn, Label], ...] = ((u, "U-shaped"), (inverted, "inverted-U"))
    turns = sorted(((turn.depth, name) for turn, name in ways if turn.is_clear and turn.at_most >= delta), reverse=True)
    ruled_out = u.at_most < delta and inverted.at_most < delta
    one_way = ruled_out or not ((rise > 0) & clear).any() or not ((rise < 0) & clear).any()
    label: Label = "undetermined"
    if (np.abs(rise) + alone)[~np.eye(len(curve), dtype=bool)].max() < delta:
        label = "flat"
    elif len(turns) == 1 or (len(turns) == 2 and turns[0][0] >= 2 * turns[1][0]):
        label = turns[0][1]
    elif not turns and clear[0, -1] and one_way:
        label = "positive" if rise[0, -1] > 0 else "inverse"
    deeper = u if u.depth > inverted.depth else inverted
    at = len(curve) // 2 if deeper.turning_point is None else list(sizes).index(deeper.turning_point)
    means, bounds = noise(np.random.default_rng(seed), 1000)
    end, bound = float(rise[0, -1]), float(half[0, -1])
    detectable = _detectable(means, bounds, at, 0.8)
    return Level(level, label, u, inverted, (end, end - bound, end + bound), detectable, delta)


def _turn(
    sign: int,
    curve: Float[ndarray, " size"],
    sizes: Sequence[Size],
    half: Float[ndarray, "size size"],
    alone: Float[ndarray, "size size"],
    error: Float[ndarray, "size size"],
    p_value: Callable[[float], float],
) -> Turn:
    """The turn of `sign` · curve from rise to fall."""
    ahead = sign * (curve[None, :] - curve[:, None])  # [i, j]: how far j is beyond i

    def weaker_leg(of: Float[ndarray, "size size"]) -> Float[ndarray, " inner"]:
        return np.array([min(of[:j, j].max(), of[j + 1 :, j].max()) for j in range(1, len(curve) - 1)])

    depths, lows, highs = weaker_leg(ahead), weaker_leg(ahead - half), weaker_leg(ahead + half)
    members = [j for j in range(1, len(curve) - 1) if (np.delete(ahead[:, j] + half[:, j], j) >= 0).all()]
    clearest = 1 + int(lows.argmax())
    return Turn(
        depth=float(depths.max()),
        low=float(lows.max()),
        high=float(highs.max()),
        at_most=float(weaker_leg(ahead + alone).max()),
        turning_point=sizes[1 + int(depths.argmax())] if depths.max() > 0 else None,
        turning_set=tuple(sizes[j] for j in members),
        p_left=p_value(float((ahead / error)[:clearest, clearest].max())),
        p_right=p_value(float((ahead / error)[clearest + 1 :, clearest].max())),
    )


def _detectable(
    means: Float[ndarray, "draw size"], half: Float[ndarray, "draw_or_one size size"], at: int, power: float
) -> float:
    """The depth which, added at size `at` alone, makes both legs clear in a share `power` of the draws."""
    missing = half[:, :, at] - (means[:, at, None] - means)
    needed = np.maximum(missing[:, :at].min(-1), missing[:, at + 1 :].min(-1))
    return float(np.quantile(needed, power))


def _normal(rng: np.random.Generator, covariance: Float[ndarray, "size size"], count: int) -> ndarray:
    """Draws about 0; a covariance that is singular (sizes without spread) is as good as any."""
    origin = np.zeros(len(covariance))
    return rng.multivariate_normal(origin, covariance, count, method="eigh", check_valid="ignore")


def _t(freedom: Any) -> Any:
    """The 97.5 % point of Student's t: a number for a number, an array for an array."""
    from scipy.special import stdtrit

    return stdtrit(freedom, 1 - ALPHA / 2)


def _at_least_mean(variance: Float[ndarray, "*rest size"]) -> Float[ndarray, "*rest size"]:
    raised: ndarray = np.maximum(variance, variance.mean(-1, keepdims=True))
    return raised


def _of_difference(covariance: Float[ndarray, "size size"]) -> Float[ndarray, "size size"]:
    """The variance of the difference between any two, never below 0 by rounding."""
    own = np.diag(covariance)
    variance: ndarray = np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0)
    return variance


def _tiny(values: Float[ndarray, "*rest"]) -> float:
    """A standard error below this is rounding; differences of this order are none."""
    return max(1e-9 * float(np.abs(values).max()), 1e-300)


def _as_normal(t: float, n_groups: int) -> float:
    """The normal deviate with the same tail as `t` has with groups − 1 degrees of freedom."""
    from scipy.special import ndtri, stdtr

    return float(-ndtri(max(stdtr(n_groups - 1, -t), 1e-300)))


def _normal_tail(deviate: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-deviate))


def _maxima(centred: Float[ndarray, "row group"], seed: int, draws: int) -> Float[ndarray, " draw"]:
    """The largest |mean| over rows in each bootstrap sample of groups, ascending; rows are in standard errors."""
    n_groups = centred.shape[-1]
    drawn = _resample(n_groups, draws, seed) @ centred.T
    maxima: ndarray = np.sort(np.abs(drawn).max(-1)) * np.sqrt(n_groups / (n_groups - 1))
    return maxima


def _critical(most: Float[ndarray, " draw"], n_groups: int) -> float:
    """The 95 % point of the sorted bootstrap maxima, carried from the normal to the t scale."""
    from scipy.special import ndtr, stdtrit

    normal = max(float(most[len(most) - int(ALPHA * (len(most) + 1))]), CRITICAL_AT_LEAST)
    return float(-stdtrit(n_groups - 1, ndtr(-normal)))


def _in_order(rows: Float[ndarray, "row group"]) -> Float[ndarray, "row group"]:
    """Groups in an order of their values' own, so that the order in which they came changes no digit."""
    return np.ascontiguousarray(rows[:, np.lexsort(rows)])


@lru_cache(maxsize=2)
def _resample(n_groups: int, draws: int, seed: int) -> Float[ndarray, "draw group"]:
    """How often each group is drawn in each bootstrap sample, as shares that sum to 1."""
    counts = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), draws)
    shares: ndarray = counts / n_groups
    shares.flags.writeable = False
    return shares


def _plain(size: Size | None) -> Size | None:
    """A size as it is written: whole where it is whole."""
    return int(size) if size is not None and float(size).is_integer() else size
