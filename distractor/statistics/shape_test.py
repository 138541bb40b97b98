"""The shape of a curve over size: is it a U, at which level of inference, and where does it turn?

Level 1, *these weights*: on items like these (item groups are resampled). Level 2, *models like these*: also for models
trained again with other seeds (needs three). All bounds are simultaneous over all pairs of sizes, so that the choice of
the peak costs nothing. Values are `seed size group`, see `group_values`: their plain mean is the
mean over items.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics import critical_values, pairs, standard_errors
from distractor.statistics.curve import FEW_GROUPS, SameMeans, Size, Sizes, check, check_means
from distractor.statistics.intervals import MIN_SEEDS, GroupMeans, Means, check_seeds
from distractor.statistics.pairs import Label, Pairs
from distractor.statistics.power import detectable_dip, noise_of_items, noise_over_seeds
from distractor.statistics.remember import remembered
from distractor.statistics.second_opinion import SecondOpinion, second_opinion
from distractor.statistics.standard_errors import number_of_answers, per_answer, shared_covariance

DELTA = 0.05  # δ, the smallest rise or fall of interest on the probability scale; fixed before a run
DELTA_D = 0.2  # δ_D, the smallest distractor pull of interest, in nats: at even odds it moves a probability by δ
HARNESS_SHARES = (
    "acc_norm",
    "acc_mutual_info",
    "exact_match",
    "mc1",
    "mc2",
    "pass@1",
)  # metrics of lm-evaluation-harness
SHARES = ("accuracy", "distractor_preference", "coverage", *HARNESS_SHARES)
NATS = ("logit_gap", "true_pull", "distractor_pull")
P_AT_LEAST = 1e-12  # smaller p-values are rounding error of the integration
MEAN_DRAWS = 20_000
POWER_DRAWS = 1000
OneSeed = Float[ndarray, "size group"]
PValue = Callable[[float], float]  # of a difference as a normal deviate
Dip = Callable[[int], float]  # the minimum detectable dip at a size, by its index
METHOD_1 = (
    "level 1 (these weights): all items weigh alike; all pairs of sizes at once, max-t cluster bootstrap over item groups; "
    "5 % in each direction"
)
METHOD_2 = (
    "level 2 (models like these): all items weigh alike; all pairs of sizes at once, studentized range, the variance over "
    "independent seeds (each size's at least the mean one) plus that of the items that all seeds share, clustered by group, "
    "degrees of freedom by Satterthwaite; 5 % in each direction"
)
METHOD_MEANS = "from means and their standard errors alone, as if each size had different items"


@dataclass(frozen=True)
class Turn:
    """One kind of turn, U-shaped or inverted-U. A turn has two legs, the rise and the fall, and the weaker one counts.

    `depth` is the weaker leg of the deepest turn of the averaged curve, negative without a turn. `low` and `high` are
    its simultaneous bounds: the turn is significant where `low` > 0. A turn deeper than `at_most` is excluded.
    `turning_set` holds the interior sizes that no other size exceeds beyond the bound. `p_left` and `p_right` are the
    simultaneous p-values of the legs; both are at most .05 exactly where `low` > 0.
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
        """Whether both legs exceed the bound."""
        return self.low > 0

    def counts(self, delta: float) -> bool:
        """Whether the turn is clear and a turn of δ is not excluded."""
        return self.is_clear and self.at_most >= delta


@dataclass(frozen=True)
class Level:
    """The judgement of a curve at one level of inference.

    `end` is the difference between the largest and the smallest size, with its bounds. `detectable` simulates the dip.
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
        """The minimum detectable dip at power .8, at the turning point and at one size only."""
        return self.detectable()

    def __getstate__(self) -> dict[str, Any]:
        """The fields, with the simulated dip in place of its simulation, which cannot be pickled."""
        return {**self.__dict__, "smallest_detectable_dip": self.smallest_detectable_dip, "detectable": None}

    @property
    def turn(self) -> Turn:
        """The turn that the label names; for other labels the deeper one."""
        if self.label in ("U-shaped", "inverted-U"):
            return self.u if self.label == "U-shaped" else self.inverted_u
        return self.u if self.u.depth > self.inverted_u.depth else self.inverted_u

    @property
    def no_u(self) -> bool:
        """Whether a fall and then a rise of δ or more is excluded."""
        return self.u.at_most < self.delta

    @property
    def no_inverted_u(self) -> bool:
        """Whether a rise and then a fall of δ or more is excluded."""
        return self.inverted_u.at_most < self.delta

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings for summary.json."""
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

    `weights` holds a level 1 judgement for each seed, and `models` the level 2 judgement. `turning_point` is the
    turning point of the averaged curve. `n_groups` is None where only means are known. `means` are each seed's points
    over `sizes`.
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
        """The results of other tests on the seeds' means."""
        return second_opinion(self.means, self.sizes)

    def __getstate__(self) -> dict[str, Any]:
        """The fields and the other tests, so that a remembered shape needs no scipy."""
        return {**self.__dict__, "secondary": self.secondary}

    @property
    def method(self) -> str:
        """The method of the highest level that is identified."""
        method = METHOD_2 if self.models else METHOD_1
        return method if self.n_groups is not None else f"{method.partition(':')[0]}: {METHOD_MEANS}"

    @property
    def label_level_1(self) -> Label:
        """The label that all seeds' weights share, else undetermined."""
        labels = {level.label for level in self.weights}
        return labels.pop() if len(labels) == 1 else "undetermined"

    @property
    def in_words(self) -> str:
        """The labels at both levels: "on average over such models: U-shaped; the 5 seeds' own curves: 3 U-shaped, 2 flat"."""
        n_seeds = len(self.weights)
        average = (
            self.models.label if self.models else f"not identified ({seeds_in_words(n_seeds)}, {MIN_SEEDS} are needed)"
        )
        counts = Counter(level.label for level in self.weights).most_common()
        labels = ", ".join(f"{count} {label}" if n_seeds > 1 else label for label, count in counts)
        own = f"the {n_seeds} seeds' own curves" if n_seeds > 1 else "the one seed's own curve"
        return f"on average over such models (level 2): {average}; {own} (level 1): {labels}"

    @property
    def label(self) -> Label:
        """The label at the highest level that is identified; `as_dict` names the level."""
        return self.models.label if self.models else self.label_level_1

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json: first the highest level that is identified, then both levels by name.

        With two seeds the highest level is 1; then the larger of the two p-values and the union of the turning sets are
        given.
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


@remembered
def judge(
    values: GroupMeans,
    sizes: Sizes,
    *,
    delta: float = DELTA,
    is_share: bool = True,
    n_effective: float | None = None,
    draws: int = 2000,
) -> Shape:
    """Judge the shape of `values` over ascending `sizes` at both levels; `delta` is in the unit of the values.

    `is_share`: the values are shares, from 0 to 1; then a turn is excluded as if two more groups had been seen (see
    `cautious`). `n_effective` is the effective number of groups, if they differ in size. Raises ScalingError for fewer
    than three sizes or two groups, sizes that do not ascend, and NaN or infinity.
    """
    check(values, sizes)
    n_seeds, _, n_groups = values.shape
    at_level_1 = partial(
        judge_weights, sizes=sizes, delta=delta, is_share=is_share, n_effective=n_effective, draws=draws
    )
    weights = tuple(at_level_1(one) for one in values)
    models = None
    if n_seeds >= MIN_SEEDS:
        models = judge_models(values, sizes, delta=delta, is_share=is_share, n_effective=n_effective)
    warnings = []
    if n_groups < FEW_GROUPS:
        warnings.append(f"{n_groups} item groups: bounds from fewer than {FEW_GROUPS} groups are too narrow")
    if models is None:
        warnings.append(f"{seeds_in_words(n_seeds)}: level 2 not identified")
    is_idle = np.ptp(values, axis=-1).max(0) == 0
    if idle := [f"{size:,.15g}" for size, still in zip(sizes, is_idle, strict=True) if still]:
        warnings.append(f"all item groups have the same value at {', '.join(idle)}")
    alone = weights[0] if n_seeds == 1 else None
    averaged = models or alone or at_level_1(values.mean(0))
    turning_point = averaged.turn.turning_point
    return Shape(weights, models, turning_point, n_groups, tuple(warnings), values.mean(-1), tuple(sizes))


def judge_weights(
    values: OneSeed,
    sizes: Sizes,
    *,
    delta: float = DELTA,
    is_share: bool = True,
    n_effective: float | None = None,
    draws: int = 2000,
) -> Level:
    """Level 1, these weights: see `pairs_of_weights`."""
    check(values[None], sizes)
    values = standard_errors.sort_groups(values)
    differences, maxima = pairs.pairs_of_weights(values, is_share=is_share, n_effective=n_effective, draws=draws)
    own_noise = per_answer(values, n_effective or values.shape[-1]) if is_share else 0.0
    return _level_1(differences, maxima, standard_errors.covariance(values), own_noise, sizes, delta)


def judge_models(
    values: GroupMeans,
    sizes: Sizes,
    *,
    delta: float = DELTA,
    is_share: bool = True,
    n_effective: float | None = None,
) -> Level:
    """Level 2, models like these: see `pairs_of_models`. Raises ScalingError for fewer than three seeds."""
    check(values, sizes)
    check_seeds(len(values))
    differences = pairs.pairs_of_models(values, is_share=is_share, n_effective=n_effective)
    own_noise = per_answer(values, n_effective or values.shape[-1]) if is_share else 0.0
    degrees = float(standard_errors.group_degrees(values.mean(0)))
    return _level_2(differences, values.mean(-1), shared_covariance(values), degrees, own_noise, sizes, delta)


def judge_means(means: Means, errors: SameMeans, sizes: Sizes, *, delta: float = DELTA, is_share: bool = True) -> Shape:
    """As `judge`, from each size's and seed's mean and standard error alone; sizes are unpaired, so bounds are wider.

    Level 1 treats the sizes' errors as independent, which is conservative if all models get the same items. Level 2
    treats the items' part of the error as common to all seeds. Raises ScalingError as `judge`.
    """
    check_means(means, errors, sizes)
    n_seeds = len(means)
    weights = tuple(_judge_means(m, e, sizes, delta, is_share) for m, e in zip(means, errors, strict=True))
    models = None
    if n_seeds >= MIN_SEEDS:
        differences = pairs.pairs_of_seed_means(means, errors, is_share=is_share)
        own_noise = 1 / max(float(number_of_answers(means, errors).min()), 1) if is_share else 0.0
        models = _level_2(differences, means, np.diag((errors**2).mean(0)), np.inf, own_noise, sizes, delta)
    warnings = ["no items: differences between sizes are taken as unpaired"]
    if models is None:
        warnings.append(f"{seeds_in_words(n_seeds)}: level 2 not identified")
    common = np.sqrt((errors**2).mean(0))
    alone = weights[0] if n_seeds == 1 else None
    averaged = models or alone or _judge_means(means.mean(0), common, sizes, delta, is_share)
    return Shape(weights, models, averaged.turn.turning_point, None, tuple(warnings), means, tuple(sizes))


def _judge_means(means: ndarray, errors: ndarray, sizes: Sizes, delta: float, is_share: bool) -> Level:
    differences, maxima = pairs.pairs_of_means(means, errors, is_share=is_share, draws=MEAN_DRAWS)
    own_noise = 1 / max(float(number_of_answers(means, errors)), 1) if is_share else 0.0
    return _level_1(differences, maxima, np.diag(errors**2), own_noise, sizes, delta)


def _level_1(
    differences: Pairs, maxima: ndarray, of_items: ndarray, own_noise: float, sizes: Sizes, delta: float
) -> Level:
    """Level 1 from its pairs; the covariance `of_items` and `own_noise` give the minimum detectable dip."""

    def p_value(deviate: float) -> float:
        return critical_values.maxima_tail(deviate, maxima) if deviate > 0 else 1.0

    def detectable(at: int) -> float:
        freedom, critical = float(differences.freedom.squeeze()), float(differences.critical)
        noise = noise_of_items(np.random.default_rng(0), POWER_DRAWS, at, of_items, freedom, critical)
        return detectable_dip(noise, at, per_answer=own_noise)

    return _level(1, differences, sizes, p_value, delta, detectable)


def _level_2(
    differences: Pairs,
    means: Means,
    of_items: ndarray,
    group_degrees: float,
    own_noise: float,
    sizes: Sizes,
    delta: float,
) -> Level:
    """Level 2 from its pairs; each seed's means, the items' covariance and `own_noise` give the minimum detectable dip."""
    n_seeds, n_sizes = means.shape
    spread = means.var(0, ddof=1)

    def p_value(deviate: float) -> float:
        return max(critical_values.range_tail(deviate, n_sizes), P_AT_LEAST) if deviate > 0 else 1.0

    def detectable(at: int) -> float:
        rng = np.random.default_rng(0)
        noise = noise_over_seeds(rng, POWER_DRAWS, at, spread, of_items, n_seeds, group_degrees)
        return detectable_dip(noise, at, per_answer=own_noise)

    return _level(2, differences, sizes, p_value, delta, detectable)


def delta_of(quantity: str) -> float:
    """The smallest difference of interest: δ for shares, δ_D for nats. Raises ScalingError for an unknown quantity."""
    if quantity not in SHARES + NATS:
        raise ScalingError(
            f"{quantity!r} has no default for δ, the smallest difference of interest; give one, or name one of "
            f"{', '.join(SHARES + NATS)}"
        )
    return DELTA if quantity in SHARES else DELTA_D


def seeds_in_words(n_seeds: int) -> str:
    """A number of seeds in words, as in "one seed: level 2 not identified"."""
    return {1: "one seed", 2: "two seeds"}.get(n_seeds, f"{n_seeds} seeds")


def _level(level: int, differences: Pairs, sizes: Sizes, p_value: PValue, delta: float, detectable: Dip) -> Level:
    """The judgement at one level. `p_value` takes a difference as a normal deviate."""
    u, inverted = _turn(-1, differences, sizes, p_value), _turn(1, differences, sizes, p_value)
    label: Label = str(pairs.labels(differences, delta))  # type: ignore[assignment]
    deeper = u if u.depth > inverted.depth else inverted
    at = len(sizes) // 2 if deeper.turning_point is None else list(sizes).index(deeper.turning_point)
    # The pointwise bound counts more groups than were seen, so equal ends at a ceiling have an interval too.
    end, bound = float(differences.rise[0, -1]), float(max(differences.bound[0, -1], differences.pointwise[0, -1]))

    return Level(level, label, u, inverted, (end, end - bound, end + bound), delta, partial(detectable, at))


def _turn(sign: int, differences: Pairs, sizes: Sizes, p_value: PValue) -> Turn:
    """The turn of one kind: with `sign` 1 from rise to fall (inverted-U), with −1 from fall to rise (U-shaped)."""
    ahead = sign * differences.rise
    # One after the other: with 3,000 sizes each array takes 72 MB.
    margins = (0.0, -differences.bound, differences.bound, differences.pointwise)
    depths, lows, highs, most = (pairs.weaker_leg(ahead + margin) for margin in margins)
    clearest = 1 + int(lows.argmax())
    deviates = differences.deviates(sign, clearest)
    return Turn(
        depth=float(depths.max()),
        low=float(lows.max()),
        high=float(highs.max()),
        at_most=float(most.max()),
        turning_point=sizes[1 + int(depths.argmax())] if depths.max() > 0 else None,
        turning_set=tuple(sizes[1 + int(inner)] for inner in np.flatnonzero(pairs.turning_set(differences, sign))),
        p_left=p_value(float(deviates[:clearest].max())),
        p_right=p_value(float(deviates[clearest + 1 :].max())),
    )


def _plain(size: Size | None) -> Size | None:
    """A whole size as an int."""
    return int(size) if size is not None and float(size).is_integer() else size
