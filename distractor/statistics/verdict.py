"""Is it the distractor? The rule by which a task's curves support the hypothesis, contradict it, or leave it open.

The hypothesis: distractor preference rises and then falls with size because the pull to the distractor's answer (D)
comes first and the pull to the true one (T) overtakes it later. A rise and fall alone is no evidence: an inverted
cue, a fondness for one label or plain incapacity draw the same curve. So each part of the claim is judged by an
interval of its own, at level 1 (these weights) and, from three seeds on, at level 2 (models like these).

**The peak is picked from the data** (where the averaged preference is highest), and by gap(conflict) = gap(neutral)
+ T − D a size is the likelier to be picked the more its noise favours D. All intervals at the peak therefore hold
for all interior sizes at once, so that whichever is picked, its interval is right; no interior size gets a better
chance by being picked. The smallest and the largest size are fixed beforehand and need no such care.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.curve import SameGroupMeans, Size, check
from distractor.statistics.groups import GroupMeans, exact_reach, interval, interval_of_models, simultaneous_interval
from distractor.statistics.peak import peak
from distractor.statistics.shape_test import DELTA, DELTA_D, Level, Shape, judge, seeds_in_words
from distractor.statistics.standard_errors import ALPHA, shared_covariance

VerdictLabel = Literal["supported", "contradicted", "undetermined"]


CALLS: tuple[VerdictLabel, ...] = get_args(VerdictLabel)


Bounds = tuple[float, float, float]


@dataclass(frozen=True)
class Evidence:
    """All that the verdict looks at: group means of complete items, `seed size group`, the same groups throughout.

    `preference` (for the distractor's answer) and `accuracy` are those in `conflict`; T and D are in nats. None:
    that condition was not run. `true_only_is_pure`: the task's `true_only` poses the true task without the
    distractor's cue (for negation_qa it does not, and only `neutral` serves as the control without the cue).
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

    def __post_init__(self) -> None:
        for name, values in self.arrays():
            if values.shape != self.preference.shape:
                raise ScalingError(
                    f"{name} has {values.shape} (seed, size, group) values, preference has {self.preference.shape}; "
                    "the verdict compares them group by group and needs the same ones"
                )
            check(values, self.sizes, name)

    def arrays(self) -> Iterator[tuple[str, GroupMeans]]:
        """Name and values of each quantity that was measured."""
        for field in fields(self):
            if isinstance(values := getattr(self, field.name), ndarray):
                yield field.name, values


@dataclass(frozen=True)
class ClaimPart:
    """One part of the claim at one level: does it hold (None: not clear), by which number, and what is the sentence.

    `number` with `low` and `high` is None where nothing was measured. At level 1 with several seeds the numbers are
    those of the seed for which the part holds least, and `seeds_yes` of `seeds` say in how many it holds. `low` and
    `high` are a 95 % interval; of `rise_and_fall` they are the two bounds that decide, each of 95 % by itself: it is there
    where `low` is above 0, and ruled out where `high` is below δ.
    """

    name: str
    level: int
    holds: bool | None
    number: float | None
    low: float | None
    high: float | None
    sentence: str
    seeds_yes: int = 0
    seeds: int = 1

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Verdict:
    """`label` for models like these (level 2), `these_weights` for the models at hand (level 1), and why.

    `shape` is the judgement of preference in `conflict` on which the verdict stands; δ and δ_D are recorded.
    """

    label: VerdictLabel
    reason: str
    these_weights: VerdictLabel
    reason_these_weights: str
    because: tuple[ClaimPart, ...]
    shape: Shape
    delta: float
    delta_d: float

    @property
    def sentence(self) -> str:
        """The verdict in one line, both levels named."""
        return (
            f"{self.label} for models like these ({self.reason}); "
            f"{self.these_weights} for these weights ({self.reason_these_weights})"
        )

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json."""
        return {
            "label": self.label,
            "reason": self.reason,
            "these_weights": self.these_weights,
            "reason_these_weights": self.reason_these_weights,
            "sentence": self.sentence,
            "delta": self.delta,
            "delta_d": self.delta_d,
            "because": [part.as_dict() for part in self.because],
        }


@dataclass(frozen=True)
class Rule:
    """The fixed numbers of the rule: decide them before a run; they are recorded with it.

    δ (probability) and δ_D (nats) are the smallest rise and pull of interest. A range "runs from chance" where the
    smallest size's preference is within `chance_margin` of `chance`, and "to mastery" where the largest's accuracy is
    at least `mastery`, both by their intervals. (Accuracy would not do at the small end: a gap of a hundredth of a
    nat, which is chance, can make it 0 or 1.)
    """

    delta: float = DELTA
    delta_d: float = DELTA_D
    chance: float = 0.5
    chance_margin: float = 0.1
    mastery: float = 0.9


def verdict(evidence: Evidence, rule: Rule | None = None, *, seed: int = 0, draws: int = 2000) -> Verdict:
    """Judge the distractor hypothesis on `evidence`.

    **Supported**: preference rises and falls; at the peak D > δ_D and D > T, preference has risen by δ more than in
    `neutral` and (where it is pure) `true_only`, at least one of which must be there, and `distractor_only` is
    answered above chance; at the largest size T > D. **Contradicted**: a rise and fall of δ or more is ruled out
    over a range from chance to mastery; or there is one, but at the peak D < δ_D, or preference has risen by less
    than δ more than without the distractor's cue. **Undetermined**: all else, with the reason. (Asking only for more
    than 0 would call a sure pull too small to matter a support: experiments/calibration has both rates.)

    Level 1 asks each seed's weights and needs them to agree. With fewer than three seeds level 2 is undetermined.
    """
    rule = rule or Rule()
    shape = judge(evidence.preference, evidence.sizes, delta=rule.delta, seed=seed, draws=draws)
    n_seeds = len(evidence.preference)

    judged = []
    for one, level in enumerate(shape.weights):
        at_peak, at_size = _of_weights(one, seed, draws)
        at = peak(evidence.preference[one].mean(-1), interior=True)
        parts = _parts(evidence, level, at, at_peak, at_size, rule)
        judged.append((parts, *_call(parts, level, rule)))
    these_weights, reason_1 = _of_all([(call, reason) for _, call, reason in judged])
    parts_1 = [_weakest(same) for same in zip(*(parts for parts, _, _ in judged), strict=True)]

    label: VerdictLabel
    if shape.models is None:
        label, reason, parts_2 = "undetermined", f"{seeds_in_words(n_seeds)}: level 2 not identified", []
    else:
        at = peak(evidence.preference.mean((0, 2)), interior=True)
        parts_2 = _parts(evidence, shape.models, at, _models_at_peak, _models_at_size, rule)
        label, reason = _call(parts_2, shape.models, rule)
    because = tuple(parts_2 + parts_1)
    return Verdict(label, reason, these_weights, reason_1, because, shape, rule.delta, rule.delta_d)


AtPeak = Callable[[GroupMeans, int], Bounds]


AtSize = Callable[[GroupMeans, int, bool], Bounds]


def _parts(
    evidence: Evidence, level: Level, size: int, at_peak: AtPeak, at_size: AtSize, rule: Rule
) -> list[ClaimPart]:
    """Each part of the claim at one level, in the order in which the rule reads them."""
    who = "these weights" if level.level == 1 else "models like these"
    here = f"at the peak ({evidence.sizes[size]:g})"
    top, bottom = f"at the largest size ({evidence.sizes[-1]:g})", f"at the smallest size ({evidence.sizes[0]:g})"

    def part(
        name: str, holds: bool | None, bounds: Bounds | None, what: str, claim: str, where: str = here
    ) -> ClaimPart:
        answer = {True: "yes", False: "no", None: "not clear"}[holds]
        if bounds is None:
            return ClaimPart(
                name, level.level, None, None, None, None, f"Level {level.level}, {who}: {what} not measured."
            )
        told = f"{bounds[0]:.3g} [{bounds[1]:.3g}, {bounds[2]:.3g}]"
        sentence = f"Level {level.level}, {who}: {where} {what} is {told}; {claim}: {answer}."
        return ClaimPart(name, level.level, holds, *bounds, sentence)

    def above(bounds: Bounds, least: float = 0.0) -> bool | None:
        """Whether the whole interval is above `least` (True), below it (False), or neither."""
        return True if bounds[1] > least else False if bounds[2] < least else None

    rise = level.inverted_u
    turns = True if level.label == "inverted-U" else False if level.no_inverted_u else None
    parts = [
        part(
            "rise_and_fall",
            turns,
            (rise.depth, rise.low, rise.at_most),
            "the weaker of rise and fall of preference",
            f"its lower bound above 0 (yes) or its upper one below δ = {rule.delta:g} (no)",
            "over all sizes",
        ),
    ]
    d = at_peak(evidence.distractor_pull, size)
    parts.append(
        part(
            "distractor_pull_at_peak",
            above(d, rule.delta_d),
            d,
            "the distractor pull D, in nats,",
            f"above δ_D = {rule.delta_d:g}",
        )
    )
    ahead = at_peak(evidence.distractor_pull - evidence.true_pull, size)
    parts.append(part("distractor_over_true_at_peak", above(ahead), ahead, "D − T, in nats,", "above 0"))
    controls = [("neutral", evidence.preference_neutral)]
    if evidence.true_only_is_pure:
        controls.append(("true_only", evidence.preference_true_only))
    for name, control in controls:
        what = f"the rise of preference since the smallest size, less that in {name},"
        more = None if control is None else at_peak(_rise(evidence.preference) - _rise(control), size)
        holds = None if more is None else above(more, rule.delta)
        parts.append(part(f"more_than_{name}", holds, more, what, f"above δ = {rule.delta:g}"))
    alone = evidence.accuracy_distractor_only
    known = None if alone is None else _as_share(at_peak(alone, size), alone)
    parts.append(
        part(
            "distractor_only_above_chance",
            None if known is None else above(known, rule.chance),
            known,
            "accuracy in distractor_only",
            f"above chance ({rule.chance:g})",
        )
    )
    last = len(evidence.sizes) - 1
    overtakes = at_size(evidence.true_pull - evidence.distractor_pull, last, False)
    parts.append(part("true_over_distractor_at_top", above(overtakes), overtakes, "T − D, in nats,", "above 0", top))
    first = at_size(evidence.preference, 0, True)
    low, high = rule.chance - rule.chance_margin, rule.chance + rule.chance_margin
    starts = True if low <= first[1] and first[2] <= high else False if first[2] < low or first[1] > high else None
    parts.append(part("from_chance", starts, first, "preference", f"from {low:g} to {high:g}", bottom))
    end = at_size(evidence.accuracy, last, True)
    parts.append(
        part("to_mastery", above(end, rule.mastery), end, "accuracy in conflict", f"at least {rule.mastery:g}", top)
    )
    return parts


def _call(parts: list[ClaimPart], level: Level, rule: Rule) -> tuple[VerdictLabel, str]:
    """The rule itself, and in few words what decided."""
    by_name = {part.name: part for part in parts}
    holds = {name: part.holds for name, part in by_name.items()}
    size = by_name["distractor_pull_at_peak"].number
    controls = [part for name, part in by_name.items() if name.startswith("more_than_") and part.number is not None]
    whole_range = holds["from_chance"] is True and holds["to_mastery"] is True
    if holds["rise_and_fall"] is False:
        if whole_range:
            return "contradicted", f"no rise and fall of {rule.delta:g} from chance to {rule.mastery:g} accuracy"
        return "undetermined", _short_range(holds, level)
    if holds["rise_and_fall"] is None:
        if level.u.is_clear and level.inverted_u.is_clear:
            depths = f"a rise and fall of {level.inverted_u.depth:.2f}, a fall and rise of {level.u.depth:.2f}"
            return "undetermined", f"the curve turns more than once: {depths}"
        if holds["to_mastery"] is not True and level.end[1] > 0:
            return "undetermined", "the range ends before recovery"
        depth = level.smallest_detectable_dip
        return "undetermined", f"a rise and fall is neither clear nor ruled out; {depth:.2g} could have been seen"
    if holds["distractor_pull_at_peak"] is False:
        return "contradicted", f"a rise and fall, but with a distractor pull of {size:.2g} nats, below {rule.delta_d:g}"
    for part in controls:
        if part.holds is False:
            control = part.name.removeprefix("more_than_")
            return "contradicted", f"an equal rise and fall without the distractor's cue, in {control}"
    if not controls:
        return "undetermined", "no control without the distractor's cue was measured"
    needed = [holds[n] for n in CLAIM] + [part.holds for part in controls]
    if all(each is True for each in needed):
        return "supported", "preference rises and falls, by the distractor's pull"
    missing = next(part for part in parts if part.holds is not True and (part.name in CLAIM or part in controls))
    if missing.name == "true_over_distractor_at_top" and missing.holds is False:
        return "undetermined", "the range ends before recovery"
    what = "fails" if missing.holds is False else "is not measured" if missing.number is None else "is not clear"
    return "undetermined", f"a rise and fall, but {missing.name} {what}"


def _of_all(judged: Sequence[tuple[VerdictLabel, str]]) -> tuple[VerdictLabel, str]:
    """One call over seeds at level 1, which they have to agree on, and why: where reasons differ, the first seed's."""
    counts = Counter(call for call, _ in judged)
    if len(counts) == 1:
        ((call, reason), *_), n_reasons = judged, len({reason for _, reason in judged})
        return call, reason if n_reasons == 1 else f"in the first of {len(judged)} seeds, {reason}"
    told = ", ".join(f"{counts[call]} of {len(judged)} seeds {call}" for call in CALLS if counts[call])
    why = next((f"; the first of these: {reason}" for call, reason in judged if call == "undetermined"), "")
    return "undetermined", f"{told}{why}"


CLAIM = (
    "rise_and_fall",
    "distractor_pull_at_peak",
    "distractor_over_true_at_peak",
    "distractor_only_above_chance",
    "true_over_distractor_at_top",
)


def _short_range(holds: dict[str, bool | None], level: Level) -> str:
    """Why a curve without rise and fall says nothing: which end of the range is missing."""
    if holds["to_mastery"] is not True:
        if level.end[1] > 0:
            return "the range ends before recovery"
        return "no rise and fall, but the range does not clearly reach mastery"
    return "no rise and fall, but the range does not clearly start at chance"


def _weakest(same: Sequence[ClaimPart]) -> ClaimPart:
    """One part over seeds at level 1: it holds where it does for all, fails where it does for all."""
    if len(same) == 1:
        return same[0]
    yes, no = (sum(part.holds is answer for part in same) for answer in (True, False))
    weakest = min(same, key=lambda part: (part.holds is True, part.low if part.low is not None else 0.0))
    holds = True if yes == len(same) else False if no == len(same) else None
    told = f"{weakest.sentence[:-1]}, in the weakest of {len(same)} seeds ({yes} yes, {no} no)."
    return ClaimPart(weakest.name, 1, holds, weakest.number, weakest.low, weakest.high, told, yes, len(same))


def _rise(values: GroupMeans) -> GroupMeans:
    """Since the smallest size, group by group."""
    since: ndarray = values - values[:, :1]
    return since


# Intervals at one size. Level 1 resamples groups; level 2 takes t over seeds, with the groups' variance added.


def _of_weights(one: int, seed: int, draws: int) -> tuple[AtPeak, AtSize]:
    def at_peak(values: GroupMeans, size: int) -> Bounds:
        mean, low, high = simultaneous_interval(values[one, 1:-1], seed=seed, draws=draws)
        return float(mean[size - 1]), float(low[size - 1]), float(high[size - 1])

    def at_size(values: GroupMeans, size: int, is_share: bool) -> Bounds:
        limits = (0.0, 1.0) if is_share else None
        mean, low, high = interval(values[one, size], limits=limits, seed=seed, draws=draws)
        return float(mean), float(low), float(high)

    return at_peak, at_size


def _models_at_peak(values: GroupMeans, size: int) -> Bounds:
    """All interior sizes at once (Bonferroni); a size's variance over seeds at least the mean one, freedom pooled."""
    from scipy.special import stdtrit

    n_seeds, n_sizes, _ = values.shape
    per_seed = values.mean(-1)
    spread = per_seed.var(0, ddof=1)
    error = np.sqrt(max(spread[size], spread.mean()) / n_seeds + _of_items(values, size))
    half = float(stdtrit(n_sizes * (n_seeds - 1), 1 - ALPHA / 2 / (n_sizes - 2)) * error)
    mean = float(per_seed[:, size].mean())
    return mean, mean - half, mean + half


def _models_at_size(values: GroupMeans, size: int, is_share: bool) -> Bounds:
    """One size fixed beforehand."""
    limits = (0.0, 1.0) if is_share else None
    mean, low, high = (float(one[0]) for one in interval_of_models(values[:, size : size + 1], limits=limits))
    return mean, low, high


def _of_items(values: GroupMeans, size: int) -> float:
    """The variance that is due to the groups which all seeds share; what differs by seed is in the seeds' variance."""
    return max(float(shared_covariance(values[:, size : size + 1])[0, 0]), 0.0)


def _as_share(bounds: Bounds, values: GroupMeans) -> Bounds:
    """An interval at the peak as that of a share: it ends at 0 and 1.

    Where all groups lie at one end they show no error, and it reaches inwards as `interval` does, for all interior sizes
    at once.
    """
    mean, low, high = bounds[0], max(bounds[1], 0.0), min(bounds[2], 1.0)
    reach = exact_reach(values.shape[-1], values.shape[1] - 2)
    return mean, min(low, 1 - reach) if mean == 1 else low, max(high, reach) if mean == 0 else high
