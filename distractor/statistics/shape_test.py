"""The shape of a curve over size, and how sure one can be: is it a U, at which level, and where does it turn?

Two sentences must not be confused. Level 1, *these weights*: the curve of the models at hand has this shape on items
like these (item groups are resampled). Level 2, *models like these*: so has the curve of models trained again with
other seeds (needs at least three). A peak picked from the data and then tested on the same data overstates; here
every difference between two sizes has a bound that holds for all pairs at once, so that picking costs nothing.

Values come as `seed size group`: the mean of each item group (a fact, a quote, a bet), complete items only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.groups import MIN_SEEDS, GroupMeans, Means, check_seeds
from distractor.statistics.pairs import (
    Label,
    Pairs,
    error_over_seeds,
    labels,
    pairs_of_means,
    pairs_of_models,
    pairs_of_seed_means,
    pairs_of_weights,
    turning_set,
    weaker_leg,
)
from distractor.statistics.second_opinion import SecondOpinion, second_opinion
from distractor.statistics.standard_errors import (
    ALPHA,
    at_least_mean,
    covariance,
    shared_covariance,
    sort_groups,
    variance_of_differences,
)
from distractor.statistics.studentized_range import studentized_range_quantile, studentized_range_tail

SameMeans = Float[ndarray, "_ _"]
"""`seed size` again; that they are the same ones is checked with a message for the user."""


Size = float | int


DELTA = 0.05
"""A rise or fall smaller than this is of no interest; on the probability scale, fixed before a run."""


DELTA_D = 0.2
"""The same in nats: at even odds it moves a probability by .05, which is δ. A distractor pull below it is none."""


SHARES = ("accuracy", "distractor_preference", "coverage")


NATS = ("logit_gap", "true_pull", "distractor_pull")


MIN_SIZES = 3


FEW_GROUPS = 30


P_AT_LEAST = 1e-12  # below, the quadrature's rounding


MEAN_DRAWS = 20_000


METHOD_1 = "level 1 (these weights): all pairs of sizes at once, max-t cluster bootstrap over item groups, 95 %"


METHOD_2 = (
    "level 2 (models like these): all pairs of sizes at once, studentized range over seeds, each size's variance at "
    "least the mean one, plus the variance of the items that all seeds share; 5 % a direction"
)


METHOD_MEANS = "from means and their standard errors alone, as if each size had items of its own"


@dataclass(frozen=True)
class Turn:
    """One way to turn, U-shaped or inverted-U. At a turning point both legs must be there: the weaker one counts.

    `depth` is the weaker leg of the deepest turn of the averaged curve (negative where the curve does not turn this
    way), `low` and `high` its bounds, simultaneous over all pairs of sizes: the turn is clear where `low` > 0. A turn
    deeper than `at_most` is ruled out: this bound need not be simultaneous (see `Pairs`). `turning_set` are the
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

    `end` is the difference between the largest and the smallest size with its bounds. `detectable` simulates
    `smallest_detectable_dip`, which is computed when it is asked for.
    """

    level: int
    label: Label
    u: Turn
    inverted_u: Turn
    end: tuple[float, float, float]
    delta: float
    detectable: Callable[[], float] = field(repr=False, compare=False)

    @cached_property
    def smallest_detectable_dip(self) -> float:
        """The depth that would be found with a probability of .8, had it been at the turning point and at one size only."""
        return self.detectable()

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
            "turn": "U-shaped" if turn is self.u else "inverted-U",
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
    three seeds. `turning_point` is where the seed- and group-averaged curve turns. `n_groups` is None where only means
    were known. `means` are each seed's points over `sizes`.
    """

    weights: tuple[Level, ...]
    models: Level | None
    turning_point: Size | None
    n_groups: int | None
    warnings: tuple[str, ...]
    means: Means = field(repr=False, compare=False)
    sizes: tuple[Size, ...]

    @cached_property
    def secondary(self) -> SecondOpinion:
        """What other procedures say of the seeds' means."""
        return second_opinion(self.means, self.sizes)

    @property
    def method(self) -> str:
        """How the highest level identified was judged."""
        method = METHOD_2 if self.models else METHOD_1
        return method if self.n_groups is not None else f"{method.partition(':')[0]}: {METHOD_MEANS}"

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
            "method": self.method,
            "seeds": len(self.weights),
            "groups": self.n_groups,
            "warnings": list(self.warnings),
            "secondary": self.secondary.as_dict(),
            "level_1": {"label": self.label_level_1, "seeds": [level.as_dict() for level in self.weights]},
            "level_2": self.models.as_dict() if self.models else "not identified",
        }


def judge(
    values: GroupMeans, sizes: Sequence[Size], *, delta: float = DELTA, seed: int = 0, draws: int = 2000
) -> Shape:
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
    turning_point = averaged.turn.turning_point
    return Shape(weights, models, turning_point, n_groups, tuple(warnings), values.mean(-1), tuple(sizes))


def judge_weights(
    values: Float[ndarray, "size group"],
    sizes: Sequence[Size],
    *,
    delta: float = DELTA,
    seed: int = 0,
    draws: int = 2000,
) -> Level:
    """Level 1, these weights: see `pairs_of_weights`."""
    check(values[None], sizes)
    values = sort_groups(values)
    n_groups = values.shape[-1]
    pairs, most = pairs_of_weights(values, seed=seed, draws=draws)

    def p_value(t: float) -> float:
        deviate = _as_normal(t, n_groups)
        alone = 2 * _normal_tail(deviate)
        return max(float(1 + len(most) - np.searchsorted(most, deviate)) / (1 + draws), alone) if t > 0 else 1.0

    def noise(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        return _normal(rng, covariance(values), count), pairs.half[None]

    return _read(1, pairs, sizes, p_value, delta, noise)


def judge_models(values: GroupMeans, sizes: Sequence[Size], *, delta: float = DELTA, seed: int = 0) -> Level:
    """Level 2, models like these: see `pairs_of_models`. Raises ScalingError for fewer than three seeds."""
    check(values, sizes)
    n_seeds = check_seeds(len(values))
    of_items = shared_covariance(values)
    spread = at_least_mean(values.mean(-1).var(0, ddof=1))
    return _read_models(pairs_of_models(values), n_seeds, spread, of_items, sizes, delta, seed)


def judge_means(
    means: Means, errors: SameMeans, sizes: Sequence[Size], *, delta: float = DELTA, seed: int = 0
) -> Shape:
    """The same where only a mean and its standard error are known for each size, and seed: wider, since unpaired.

    At level 1 the sizes' errors are taken as independent (the same items asked of every model make differences surer
    than that); at level 2 the items' part of the error is taken as common to all seeds. Raises ScalingError as `judge`.
    """
    check_means(means, errors, sizes)
    n_seeds = len(means)
    weights = tuple(_judge_means(m, e, sizes, delta, seed) for m, e in zip(means, errors, strict=True))
    models = None
    if n_seeds >= MIN_SEEDS:
        spread, of_items = at_least_mean(means.var(0, ddof=1)), np.diag((errors**2).mean(0))
        models = _read_models(pairs_of_seed_means(means, errors), n_seeds, spread, of_items, sizes, delta, seed)
    warnings = ["no items: differences between sizes are taken as unpaired"]
    if models is None:
        warnings.append(f"{seeds_in_words(n_seeds)}: level 2 not identified")
    common = np.sqrt((errors**2).mean(0))
    averaged = models or _judge_means(means.mean(0), common, sizes, delta, seed)
    return Shape(weights, models, averaged.turn.turning_point, None, tuple(warnings), means, tuple(sizes))


def _judge_means(
    means: Float[ndarray, " size"], errors: Float[ndarray, " size"], sizes: Sequence[Size], delta: float, seed: int
) -> Level:
    pairs, most = pairs_of_means(means, errors, seed=seed, draws=MEAN_DRAWS)

    def p_value(t: float) -> float:
        reached = float(1 + len(most) - np.searchsorted(most, t)) / (1 + len(most))
        return max(reached, 2 * _normal_tail(t)) if t > 0 else 1.0

    def noise(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        return rng.normal(size=(count, len(means))) * errors, pairs.half[None]

    return _read(1, pairs, sizes, p_value, delta, noise)


def _read_models(
    pairs: Pairs,
    n_seeds: int,
    spread: Float[ndarray, " size"],
    of_items: Float[ndarray, "size size"],
    sizes: Sequence[Size],
    delta: float,
    seed: int,
) -> Level:
    """`spread` over seeds and the covariance `of_items` are what would move a flat curve."""
    n_sizes = len(spread)
    degrees = n_sizes * (n_seeds - 1)
    q = studentized_range_quantile(1 - 2 * ALPHA, n_sizes, degrees)

    def p_value(t: float) -> float:
        return max(studentized_range_tail(t, n_sizes, degrees) / 2, P_AT_LEAST) if t > 0 else 1.0

    def noise(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
        means = _normal(rng, of_items, count) + rng.normal(size=(count, n_sizes)) * np.sqrt(spread / n_seeds)
        drawn = spread * rng.chisquare(n_seeds - 1, (count, n_sizes)) / (n_seeds - 1)
        return means, q * error_over_seeds(at_least_mean(drawn), variance_of_differences(of_items), n_seeds)

    return _read(2, pairs, sizes, p_value, delta, noise, seed)


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
        drawn = at_least_mean(seed_sd**2 * rng.chisquare(n_seeds - 1, (draws, n_sizes)) / (n_seeds - 1))
        q = studentized_range_quantile(1 - 2 * ALPHA, n_sizes, n_sizes * (n_seeds - 1))
        half = q * np.sqrt((drawn[:, :, None] + drawn[:, None, :]) / (2 * n_seeds) + of_groups)
    return _detectable(means, half, n_sizes // 2, power)


def check(values: GroupMeans, sizes: Sequence[Size], name: str = "values") -> None:
    """Raise ScalingError, saying what was wanted and what came, unless `values` can be judged over `sizes`."""
    n_sizes, n_groups = values.shape[1:]
    check_sizes(n_sizes, sizes, name)
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


def check_means(means: Means, errors: SameMeans, sizes: Sequence[Size]) -> None:
    """As `check`, for means and their standard errors."""
    if means.shape != errors.shape:
        raise ScalingError(f"{means.shape} (seed, size) means came with {errors.shape} standard errors")
    check_sizes(means.shape[1], sizes, "means")
    for name, table in (("mean", means), ("standard error", errors)):
        wrong = ~np.isfinite(table) if name == "mean" else ~(np.isfinite(table) & (table >= 0))
        if wrong.any():
            seed, size = np.argwhere(wrong)[0]
            raise ScalingError(f"the {name} at seed {seed}, size {sizes[size]:g} (index {size}) is {table[seed, size]}")


def check_sizes(n_sizes: int, sizes: Sequence[Size], name: str = "values") -> None:
    """Raise ScalingError unless there are three sizes or more, ascending, one for each of the `n_sizes` that came."""
    if n_sizes != len(sizes):
        raise ScalingError(f"{name} hold {n_sizes} sizes, but {len(sizes)} sizes were named")
    if n_sizes < MIN_SIZES:
        raise ScalingError(f"a shape needs at least {MIN_SIZES} sizes, better 8; {n_sizes} came. Add models in between")
    if not 0 <= sizes[0] < np.inf:
        raise ScalingError(f"sizes are positive numbers (a training step may be 0); {sizes[0]:g} came")
    for before, after in pairwise(sizes):
        if not before < after:
            what = "twice" if before == after else f"before {after:g}"
            raise ScalingError(
                f"sizes must ascend, each once; {before:g} came {what}. Sort them; seeds are an axis of their own"
            )


def delta_of(quantity: str) -> float:
    """The smallest difference of interest in a quantity's own unit: δ for shares, δ_D for nats.

    Raises ScalingError for a quantity that is not known here.
    """
    if quantity not in SHARES + NATS:
        raise ScalingError(
            f"{quantity!r} has no smallest difference of interest of its own; give one (δ), or name one of "
            f"{', '.join(SHARES + NATS)}"
        )
    return DELTA if quantity in SHARES else DELTA_D


def seeds_in_words(n_seeds: int) -> str:
    """As in the sentence "one seed: level 2 not identified"."""
    return {1: "one seed", 2: "two seeds"}.get(n_seeds, f"{n_seeds} seeds")


# From all pairwise differences and their bounds to a level's judgement.

Noise = Callable[[np.random.Generator, int], tuple[ndarray, ndarray]]


def _read(
    level: int,
    pairs: Pairs,
    sizes: Sequence[Size],
    p_value: Callable[[float], float],
    delta: float,
    noise: Noise,
    seed: int = 0,
) -> Level:
    """`p_value` reads a difference over its error; `noise` draws means and bounds as they would come from a flat curve."""
    u, inverted = _turn(-1, pairs, sizes, p_value), _turn(1, pairs, sizes, p_value)
    label: Label = str(labels(pairs, delta))  # type: ignore[assignment]
    deeper = u if u.depth > inverted.depth else inverted
    at = len(sizes) // 2 if deeper.turning_point is None else list(sizes).index(deeper.turning_point)
    end, bound = float(pairs.rise[0, -1]), float(pairs.half[0, -1])

    def detectable() -> float:
        means, bounds = noise(np.random.default_rng(seed), 1000)
        return _detectable(means, bounds, at, 0.8)

    return Level(level, label, u, inverted, (end, end - bound, end + bound), delta, detectable)


def _turn(sign: int, pairs: Pairs, sizes: Sequence[Size], p_value: Callable[[float], float]) -> Turn:
    """The turn of `sign` · curve from rise to fall."""
    ahead = sign * pairs.rise
    depths, lows, highs, most = weaker_leg(
        np.stack([ahead, ahead - pairs.half, ahead + pairs.half, ahead + pairs.alone])
    )
    clearest = 1 + int(lows.argmax())
    in_errors = ahead / pairs.error
    return Turn(
        depth=float(depths.max()),
        low=float(lows.max()),
        high=float(highs.max()),
        at_most=float(most.max()),
        turning_point=sizes[1 + int(depths.argmax())] if depths.max() > 0 else None,
        turning_set=tuple(sizes[1 + int(inner)] for inner in np.flatnonzero(turning_set(pairs, sign))),
        p_left=p_value(float(in_errors[:clearest, clearest].max())),
        p_right=p_value(float(in_errors[clearest + 1 :, clearest].max())),
    )


def _detectable(
    means: Float[ndarray, "draw size"], half: Float[ndarray, "draw_or_one size size"], at: int, power: float
) -> float:
    """The depth which, added at size `at` alone, makes both legs clear in a share `power` of the draws."""
    missing = half[:, :, at] - (means[:, at, None] - means)
    needed = np.maximum(missing[:, :at].min(-1), missing[:, at + 1 :].min(-1))
    return float(np.quantile(needed, power))


def _normal(rng: np.random.Generator, covariance: Float[ndarray, "size size"], count: int) -> ndarray:
    """Draws about 0; what of `covariance` is no covariance (it is a difference of two) counts as none."""
    variances, directions = np.linalg.eigh(covariance)
    drawn: ndarray = rng.normal(size=(count, len(variances))) * np.sqrt(np.maximum(variances, 0)) @ directions.T
    return drawn


def _as_normal(t: float, n_groups: int) -> float:
    """The normal deviate with the same tail as `t` has with groups − 1 degrees of freedom."""
    from scipy.special import ndtri, stdtr

    return float(-ndtri(max(stdtr(n_groups - 1, -t), 1e-300)))


def _normal_tail(deviate: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(-deviate))


def _plain(size: Size | None) -> Size | None:
    """A size as it is written: whole where it is whole."""
    return int(size) if size is not None and float(size).is_integer() else size
