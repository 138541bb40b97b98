"""The verdict on the distractor hypothesis for one task: supported, contradicted or undetermined.

The hypothesis: distractor preference rises and then falls with size, because the distractor pull D grows first and the
true pull T overtakes it later. A rise and fall alone is not evidence, because an inverted cue, a label bias or
incapacity gives the same curve. Each part of the claim therefore has a separate interval at level 1 and, with three
seeds, at level 2.

The peak, the interior size with the highest averaged preference, is picked from the data, and noise that favours D
makes a size more likely to be picked. All intervals at the peak are therefore simultaneous over the interior sizes.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

from numpy import ndarray

from distractor.errors import ScalingError
from distractor.numbers import interval_against, number_against
from distractor.statistics.criteria import Above, AtMost, Criterion, Within
from distractor.statistics.curve import SameGroupMeans, Size, check, peak
from distractor.statistics.intervals import (
    MIN_SEEDS,
    GroupMeans,
    exact_reach,
    interval,
    interval_of_models,
    simultaneous_interval,
)
from distractor.statistics.pairs import error_over_seeds
from distractor.statistics.power import POWER
from distractor.statistics.remember import remembered
from distractor.statistics.shape_test import DELTA, DELTA_D, Level, Shape, Turn, judge, seeds_in_words
from distractor.statistics.standard_errors import ALPHA, group_degrees, of_seeds, shared_covariance

VerdictLabel = Literal["supported", "contradicted", "undetermined"]
CALLS: tuple[VerdictLabel, ...] = get_args(VerdictLabel)
ANSWERS = {True: "yes", False: "no", None: "unclear"}
WEAKEST_FIRST = (False, None, True)
CLAIM = (
    "rise_and_fall", "turns_once", "distractor_pull_at_peak", "distractor_over_true_at_peak", "distractor_only_above_chance",
    "true_over_distractor_at_top",
)  # fmt: skip
PARTS = {
    "rise_and_fall": "preference rises, then falls",
    "turns_once": "turns once only",
    "distractor_pull_at_peak": "D at the peak",
    "distractor_over_true_at_peak": "D − T at the peak",
    "more_than_neutral": "rise − rise in neutral",
    "more_than_true_only": "rise − rise in true_only",
    "distractor_only_above_chance": "accuracy in distractor_only",
    "true_over_distractor_at_top": "T − D at the largest size",
    "from_chance": "smallest size: preference",
    "distractor_only_from_chance": "smallest size: accuracy in distractor_only",
    "to_mastery": "largest size: accuracy",
}
"""Each part of the claim in words, as in the printed table."""
SECOND_TURN = 0.5  # the deepest second turn, as a share of the first, with which a curve turns once only
Bounds = tuple[float, float, float]
AtPeak = Callable[[GroupMeans, int], Bounds]
AtSize = Callable[[GroupMeans, int, bool], Bounds]


@dataclass(frozen=True)
class Evidence:
    """The data of the verdict: group values (see `group_values`) of complete items, `seed size group`, the same groups in
    each array.

    `preference` (for the distractor's answer) and `accuracy` are in `conflict`; the pulls T and D are in nats. None means
    that the condition was not run. `true_only_is_pure`: the task's `true_only` shows the true task without the distractor
    cue. In negation_qa it does not, and only `neutral` is a control without the cue. `starts_at_chance`: small models are at
    chance in `conflict`. Where they copy, a range begins early enough if the smallest size is at chance in
    `distractor_only`. `n_effective` is the effective number of groups, if they differ in size (see `effective_groups`).
    """

    sizes: tuple[Size, ...]
    preference: GroupMeans
    accuracy: SameGroupMeans
    true_pull: SameGroupMeans
    distractor_pull: SameGroupMeans
    preference_neutral: SameGroupMeans | None = None
    preference_true_only: SameGroupMeans | None = None
    accuracy_distractor_only: SameGroupMeans | None = None
    true_only_is_pure: bool = True
    starts_at_chance: bool = True
    n_effective: float | None = None

    def __post_init__(self) -> None:
        for name, values in self.arrays().items():
            if values.shape != self.preference.shape:
                raise ScalingError(
                    f"{name} has {values.shape} (seed, size, group) values, preference has {self.preference.shape}; "
                    "the verdict compares them group by group and needs the same shape"
                )
            check(values, self.sizes, name)

    def arrays(self) -> dict[str, GroupMeans]:
        """The values of each quantity that was measured, by name."""
        return {name: values for name, values in vars(self).items() if isinstance(values, ndarray)}


class SeedPart(NamedTuple):
    """One part of the claim for one seed at level 1; its fields are those of `ClaimPart`."""

    holds: bool | None
    number: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClaimPart:
    """One part of the claim at one level: whether it holds (None: unclear), its estimate, its rule and a sentence.

    `number` with its 95 % interval is None if nothing was measured. `rule` decides the part from these three numbers
    alone, and `criterion` is the same rule for a program. At level 1, numbers are those of the weakest of `seeds` seeds;
    the part holds for `seeds_yes` of them, and `by_seed` has the numbers of all. `turns_once` has no interval: its number
    is the depth of a fall and then rise as a share of the rise and fall, 0 unless the fall and rise counts.
    """

    name: str
    level: int
    holds: bool | None
    number: float | None
    low: float | None
    high: float | None
    sentence: str
    rule: str
    criterion: Criterion
    seeds_yes: int = 0
    seeds: int = 1
    by_seed: tuple[SeedPart, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        plain = asdict(self) | {"by_seed": [part._asdict() for part in self.by_seed]}
        return plain | {"criterion": self.criterion.as_dict()}


class Call(NamedTuple):
    """The label of one curve, the reason, and a predicate for headlines: `turn` and `more than once`."""

    label: VerdictLabel
    reason: str
    verb: str
    rest: str

    def predicate(self, n_curves: int) -> str:
        """The predicate with its verb in the right number: "turns more than once", "turn more than once"."""
        verb = self.verb if n_curves > 1 else " and ".join(f"{each}s" for each in self.verb.split(" and "))
        return f"{verb} {self.rest}"


@dataclass(frozen=True)
class Verdict:
    """The verdict: `label` for the average over models like these (level 2), `these_weights` for level 1.

    Each has its reason. `by_seed` are the calls of each seed's own curve; `these_weights` is the label that all share.
    `shape` is the judgement of preference in `conflict` that the verdict uses. δ and δ_D are recorded.
    """

    label: VerdictLabel
    reason: str
    these_weights: VerdictLabel
    reason_these_weights: str
    because: tuple[ClaimPart, ...]
    shape: Shape
    delta: float
    delta_d: float
    by_seed: tuple[Call, ...]

    @property
    def sentence(self) -> str:
        """The verdict at both levels: on average over models like these, and of each seed's own curve."""
        return f"{self.on_average} {self.of_own_curves}"

    @property
    def on_average(self) -> str:
        """The verdict at level 2, in a sentence."""
        if self.shape.models is None:
            n_seeds = seeds_in_words(len(self.by_seed))
            return f"On average over such models: not identified ({n_seeds}; at least {MIN_SEEDS} are needed)."
        reason = "" if self.label == "supported" else f" ({self.reason})"
        return f"On average over such models: {self.label}{reason}."

    @property
    def of_own_curves(self) -> str:
        """The verdict at level 1: how many seeds support the hypothesis, contradict it, or do what else."""
        n_seeds = len(self.by_seed)
        if n_seeds == 1:
            reason = "" if self.these_weights == "supported" else f" ({self.by_seed[0].reason})"
            return f"The one seed's own curve: {self.these_weights}{reason}."
        counts = Counter((call.label, call.verb, call.rest) for call in self.by_seed)
        order = sorted(counts, key=lambda kind: (CALLS.index(kind[0]), -counts[kind]))
        clauses = [f"{counts[kind]} {Call(kind[0], '', *kind[1:]).predicate(counts[kind])}" for kind in order]
        if len(clauses) == 1:
            return f"All {n_seeds} seeds' own curves {clauses[0].partition(' ')[2]}."
        return f"Of the {n_seeds} seeds' own curves, {'; '.join(clauses)}."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        names = ("label", "reason", "these_weights", "reason_these_weights", "sentence", "delta", "delta_d")
        return {
            **{name: getattr(self, name) for name in names},
            "because": [part.as_dict() for part in self.because],
            "by_seed": [{"label": call.label, "reason": call.reason} for call in self.by_seed],
        }


@dataclass(frozen=True)
class Rule:
    """The constants of the rule, which are fixed before a run and recorded with it.

    δ (probability) and δ_D (nats) are the smallest rise and pull of interest. A range runs "from chance" if the
    interval of the smallest size's preference (`Evidence.starts_at_chance`) or accuracy in `distractor_only` is within
    `chance_margin` of `chance`, and "to mastery" if the interval of the largest size's accuracy is above `mastery`. (Near
    chance, a gap of .01 nats can make accuracy 0 or 1.)
    """

    delta: float = DELTA
    delta_d: float = DELTA_D
    chance: float = 0.5
    chance_margin: float = 0.1
    mastery: float = 0.9


@remembered
def verdict(evidence: Evidence, rule: Rule | None = None, *, draws: int = 2000) -> Verdict:
    """Judge the distractor hypothesis on `evidence`.

    **Supported**: preference rises and falls. At the peak, D > δ_D and D > T, and accuracy in `distractor_only` is
    above chance. Preference has risen there by δ more than in `neutral` and (if it is pure) `true_only`; at least one
    of these controls is required. At the largest size, T > D.

    **Contradicted**: a rise and fall of δ or more is excluded over a range from chance to mastery; or it exists, but at
    the peak D < δ_D, or preference has risen by less than δ more than in a control.

    **Undetermined**: everything else, with the reason.

    With 0 instead of δ and δ_D, pulls that are too small to matter would count; experiments/calibration has both error
    rates. At level 1 all seeds must agree. With fewer than three seeds, level 2 is undetermined.
    """
    rule = rule or Rule()
    shape = judge(evidence.preference, evidence.sizes, delta=rule.delta, n_effective=evidence.n_effective, draws=draws)
    calls, parts_by_seed = [], []
    for index, level in enumerate(shape.weights):
        at_peak, at_size = _of_weights(index, draws)
        at = peak(evidence.preference[index].mean(-1), interior=True)
        parts_by_seed.append(_parts(evidence, level, at, at_peak, at_size, rule))
        calls.append(_call(parts_by_seed[-1], level, rule))
    these_weights, reason_1 = _of_all(calls)
    parts_1 = [_weakest(of_part) for of_part in zip(*parts_by_seed, strict=True)]

    label: VerdictLabel = "undetermined"
    if shape.models is None:
        reason, parts_2 = f"{seeds_in_words(len(calls))}: level 2 not identified", []
    else:
        at = peak(evidence.preference.mean((0, 2)), interior=True)
        parts_2 = _parts(evidence, shape.models, at, _models_at_peak, _models_at_size, rule)
        label, reason, *_ = _call(parts_2, shape.models, rule)
    because = (*parts_2, *parts_1)
    return Verdict(label, reason, these_weights, reason_1, because, shape, rule.delta, rule.delta_d, tuple(calls))


def _parts(evidence: Evidence, level: Level, at: int, at_peak: AtPeak, at_size: AtSize, rule: Rule) -> list[ClaimPart]:
    """The parts of the claim at one level, in the order of the rule."""
    level_name = f"Level {level.level}, {'these weights' if level.level == 1 else 'models like these'}"
    here = f"at the peak ({evidence.sizes[at]:,.15g})"
    top, bottom = (
        f"at the largest size ({evidence.sizes[-1]:,.15g})",
        f"at the smallest size ({evidence.sizes[0]:,.15g})",
    )
    last = len(evidence.sizes) - 1
    parts = []

    def add(name: str, criterion: Criterion, bounds: Bounds | None, what: str, where: str = here) -> None:
        holds = None if bounds is None else criterion.answer(*bounds)
        number, low, high = bounds or (None, None, None)
        shown = "not measured" if bounds is None else f"is {interval_against(*bounds, criterion.thresholds)}"
        answer = "" if bounds is None else f"; {criterion.text}: {ANSWERS[holds]}"
        sentence = f"{level_name}: {where} {what} {shown}{answer}."
        parts.append(ClaimPart(name, level.level, holds, number, low, high, sentence, criterion.text, criterion))

    rise, second = level.inverted_u, level.u
    weaker = "the weaker of rise and fall of preference"
    add("rise_and_fall", Above(0, rule.delta), (rise.depth, rise.low, rise.at_most), weaker, "over all sizes")
    parts.append(_turns_once(level, f"{level_name}: over all sizes", rise, second))
    d = at_peak(evidence.distractor_pull, at)
    add("distractor_pull_at_peak", Above(rule.delta_d), d, "the distractor pull D, in nats,")
    ahead = at_peak(evidence.distractor_pull - evidence.true_pull, at)
    add("distractor_over_true_at_peak", Above(0), ahead, "D − T, in nats,")
    controls = [("neutral", evidence.preference_neutral)]
    if evidence.true_only_is_pure:
        controls.append(("true_only", evidence.preference_true_only))
    for name, control in controls:
        more = None if control is None else at_peak(_rise(evidence.preference) - _rise(control), at)
        what = f"the rise of preference since the smallest size, minus that in {name},"
        add(f"more_than_{name}", Above(rule.delta), more, what)
    alone = evidence.accuracy_distractor_only
    share = None if alone is None else _as_share(at_peak(alone, at), alone)
    add("distractor_only_above_chance", Above(rule.chance), share, "accuracy in distractor_only")
    overtakes = at_size(evidence.true_pull - evidence.distractor_pull, last, False)
    add("true_over_distractor_at_top", Above(0), overtakes, "T − D, in nats,", top)
    near = Within(rule.chance - rule.chance_margin, rule.chance + rule.chance_margin)
    if evidence.starts_at_chance:
        add("from_chance", near, at_size(evidence.preference, 0, True), "preference", bottom)
    else:
        first = None if alone is None else at_size(alone, 0, True)
        add("distractor_only_from_chance", near, first, "accuracy in distractor_only", bottom)
    add("to_mastery", Above(rule.mastery), at_size(evidence.accuracy, last, True), "accuracy in conflict", top)
    return parts


def _turns_once(level: Level, start: str, rise: Turn, second: Turn) -> ClaimPart:
    """Whether the curve turns once only; see `ClaimPart`."""
    criterion = AtMost(SECOND_TURN)
    if rise.depth <= 0:
        sentence = f"{start} preference does not rise and fall, so no second turn is compared with it."
        return ClaimPart("turns_once", level.level, None, None, None, None, sentence, criterion.text, criterion)
    share = second.depth / rise.depth if second.counts(level.delta) else 0.0
    holds = criterion.answer(share, share, share)
    depths = f"{number_against(second.depth, ())} against {number_against(rise.depth, ())}"
    what = f"a fall and then rise that counts, as a share of the rise and fall ({depths})"
    shown = number_against(share, criterion.thresholds)
    sentence = f"{start} {what} is {shown}; {criterion.text}: {ANSWERS[holds]}."
    return ClaimPart("turns_once", level.level, holds, share, None, None, sentence, criterion.text, criterion)


def _call(parts: list[ClaimPart], level: Level, rule: Rule) -> Call:
    """The label by the rule, and the reason."""
    by_name = {part.name: part for part in parts}
    holds = {name: part.holds for name, part in by_name.items()}
    starts = holds["from_chance" if "from_chance" in holds else "distractor_only_from_chance"]
    size = by_name["distractor_pull_at_peak"].number
    controls = [part for name, part in by_name.items() if name.startswith("more_than_") and part.number is not None]
    too_early = Call("undetermined", "the range ends before recovery", "end", "before recovery")
    contradicts = "contradict", "the hypothesis"
    if holds["rise_and_fall"] is False:
        none = f"no rise and fall of {rule.delta:g}"
        if starts is True and holds["to_mastery"] is True:
            return Call("contradicted", f"{none} from chance to {rule.mastery:g} accuracy", *contradicts)
        if holds["to_mastery"] is True:
            why = "but the range does not clearly start at chance"
            return Call(
                "undetermined", f"no rise and fall, {why}", "show", "no rise and fall, but no clear start at chance"
            )
        if level.end[1] > 0:
            return too_early
        why = "but the range does not clearly reach mastery"
        return Call("undetermined", f"no rise and fall, {why}", "show", "no rise and fall, but no clear mastery")
    if holds["rise_and_fall"] is None:
        if holds["to_mastery"] is not True and level.end[1] > 0:
            return too_early
        dip = f"minimum detectable dip {level.smallest_detectable_dip:.2g} at power {POWER:g}"
        return Call("undetermined", f"a rise and fall is unclear; {dip}", "leave", "a rise and fall unclear")
    if holds["turns_once"] is not True:
        depths = f"a rise and fall of {level.inverted_u.depth:.2f}, a fall and rise of {level.u.depth:.2f}"
        return Call("undetermined", f"the curve turns more than once: {depths}", "turn", "more than once")
    if holds["distractor_pull_at_peak"] is False:
        why = f"a rise and fall, but with a distractor pull of {size:.2g} nats, below {rule.delta_d:g}"
        return Call("contradicted", why, *contradicts)
    for part in controls:
        if part.holds is False:
            control = part.name.removeprefix("more_than_")
            why = f"an equal rise and fall without the distractor cue, in {control}"
            return Call("contradicted", why, *contradicts)
    if not controls:
        return Call("undetermined", "no control without the distractor cue was measured", "lack", "a control")
    if all(holds[name] is True for name in CLAIM) and all(part.holds is True for part in controls):
        why = "preference rises and falls because of the distractor pull"
        return Call("supported", why, "support", "the hypothesis")
    missing = next(part for part in parts if part.holds is not True and (part.name in CLAIM or part in controls))
    if missing.name == "true_over_distractor_at_top" and missing.holds is False:
        return too_early
    problem = "fails" if missing.holds is False else "is not measured" if missing.number is None else "is unclear"
    why = f"but {PARTS[missing.name]} {missing.criterion.short} {problem}"
    return Call("undetermined", f"a rise and fall, {why}", "rise and fall", f"({why})")


def _of_all(judged: Sequence[Call]) -> tuple[VerdictLabel, str]:
    """The label that all seeds share at level 1, else undetermined, and the reason (the first seed's, if they differ)."""
    counts = Counter(call.label for call in judged)
    if len(counts) == 1:
        first, n_reasons = judged[0], len({call.reason for call in judged})
        return first.label, first.reason if n_reasons == 1 else f"in the first of {len(judged)} seeds, {first.reason}"
    seeds = ", ".join(f"{counts[label]} of {len(judged)} seeds {label}" for label in CALLS if counts[label])
    undetermined = (call.reason for call in judged if call.label == "undetermined")
    why = next((f"; first undetermined seed: {reason}" for reason in undetermined), "")
    return "undetermined", f"{seeds}{why}"


def _weakest(parts: Sequence[ClaimPart]) -> ClaimPart:
    """One part over seeds at level 1: it holds if it holds for all seeds, and fails if it fails for all.

    The weakest seed has the answer that is furthest from yes, and of those the smallest margin.
    """
    if (n_seeds := len(parts)) == 1:
        return parts[0]
    yes, no = (sum(part.holds is answer for part in parts) for answer in (True, False))
    weakest = min(parts, key=lambda part: (WEAKEST_FIRST.index(part.holds), _margin(part)))
    holds = True if yes == n_seeds else False if no == n_seeds else None
    sentence = f"{weakest.sentence[:-1]}, in the weakest of {n_seeds} seeds ({yes} yes, {no} no)."
    by_seed = tuple(SeedPart(part.holds, part.number, part.low, part.high) for part in parts)
    return replace(weakest, holds=holds, sentence=sentence, seeds_yes=yes, seeds=n_seeds, by_seed=by_seed)


def _margin(part: ClaimPart) -> float:
    if part.number is None:
        return -math.inf
    low, high = (part.number if end is None else end for end in (part.low, part.high))
    return part.criterion.margin(part.number, low, high)


def _rise(values: GroupMeans) -> GroupMeans:
    """The change since the smallest size, group by group."""
    return values - values[:, :1]


# Intervals at one size. Level 1 resamples groups; level 2 uses t over seeds plus the variance of the groups.


def _of_weights(index: int, draws: int) -> tuple[AtPeak, AtSize]:
    def at_peak(values: GroupMeans, size: int) -> Bounds:
        mean, low, high = simultaneous_interval(values[index, 1:-1], draws=draws)
        return float(mean[size - 1]), float(low[size - 1]), float(high[size - 1])

    def at_size(values: GroupMeans, size: int, is_share: bool) -> Bounds:
        limits = (0.0, 1.0) if is_share else None
        mean, low, high = interval(values[index, size], limits=limits, draws=draws)
        return float(mean), float(low), float(high)

    return at_peak, at_size


def _models_at_peak(values: GroupMeans, size: int) -> Bounds:
    """Simultaneous over the interior sizes (Bonferroni), with the variance and degrees of freedom of `pairs_of_models`."""
    from scipy.special import stdtrit

    n_seeds, n_sizes, _ = values.shape
    per_seed = values.mean(-1)
    common, excess = of_seeds(per_seed.var(0, ddof=1), n_seeds)
    of_items = max(float(shared_covariance(values[:, size : size + 1])[0, 0]), 0.0)
    degrees = float(group_degrees(values[:, size : size + 1].mean(0)))
    error, freedom = error_over_seeds(common[0], (excess[size],), of_items, n_seeds, n_sizes, degrees)
    half = float(stdtrit(freedom, 1 - ALPHA / 2 / (n_sizes - 2)) * error)
    mean = float(per_seed[:, size].mean())
    return mean, mean - half, mean + half


def _models_at_size(values: GroupMeans, size: int, is_share: bool) -> Bounds:
    """Pointwise, at a size that is fixed in advance."""
    limits = (0.0, 1.0) if is_share else None
    mean, low, high = (float(end[0]) for end in interval_of_models(values[:, size : size + 1], limits=limits))
    return mean, low, high


def _as_share(bounds: Bounds, values: GroupMeans) -> Bounds:
    """Clip an interval at the peak to the range of a share. At 0 or 1, groups show no error, so the interval reaches
    inwards by the exact bound (simultaneous over the interior sizes).
    """
    mean, low, high = bounds[0], max(bounds[1], 0.0), min(bounds[2], 1.0)
    reach = exact_reach(values.shape[-1], values.shape[1] - 2)
    return mean, min(low, 1 - reach) if mean == 1 else low, max(high, reach) if mean == 0 else high
