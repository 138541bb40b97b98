"""The verdict on the distractor hypothesis for one task: supported, contradicted or undetermined.

The hypothesis: distractor preference rises and then falls with size, because the distractor pull D grows first and the
true pull T overtakes it later. A rise and fall alone is not evidence, because an inverted cue, a label bias or
incapacity gives the same curve. Each part of the claim therefore has a separate interval at level 1 and, with three
seeds, at level 2.

The peak, the interior size with the highest averaged preference, is picked from the data, and noise that favours D
makes a size more likely to be picked. All intervals at the peak are therefore simultaneous over the interior sizes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.curve import SameGroupMeans, Size, check, peak
from distractor.statistics.intervals import GroupMeans, exact_reach, interval, interval_of_models, simultaneous_interval
from distractor.statistics.pairs import error_over_seeds
from distractor.statistics.power import POWER
from distractor.statistics.shape_test import DELTA, DELTA_D, Level, Shape, judge, seeds_in_words
from distractor.statistics.standard_errors import ALPHA, of_seeds, shared_covariance

VerdictLabel = Literal["supported", "contradicted", "undetermined"]
CALLS: tuple[VerdictLabel, ...] = get_args(VerdictLabel)
CLAIM = (
    "rise_and_fall", "distractor_pull_at_peak", "distractor_over_true_at_peak", "distractor_only_above_chance",
    "true_over_distractor_at_top",
)  # fmt: skip
Bounds = tuple[float, float, float]
AtPeak = Callable[[GroupMeans, int], Bounds]
AtSize = Callable[[GroupMeans, int, bool], Bounds]


@dataclass(frozen=True)
class Evidence:
    """The data of the verdict: group means of complete items, `seed size group`, the same groups in each array.

    `preference` (for the distractor's answer) and `accuracy` are in `conflict`; the pulls T and D are in nats. None means
    that the condition was not run. `true_only_is_pure`: the task's `true_only` shows the true task without the distractor
    cue. In negation_qa it does not, and only `neutral` is a control without the cue.
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


@dataclass(frozen=True)
class ClaimPart:
    """One part of the claim at one level: whether it holds (None: inconclusive), its estimate, and a sentence.

    `number` with its 95 % interval is None if nothing was measured. At level 1 it belongs to the weakest seed, and the
    part holds in `seeds_yes` of `seeds` seeds. `rise_and_fall` is significant where `low` is above 0, and excluded
    where `high` is below δ.
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


@dataclass(frozen=True)
class Verdict:
    """The verdict: `label` for models like these (level 2), `these_weights` for level 1, each with its reason.

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

    @property
    def sentence(self) -> str:
        """The verdict at both levels in one line."""
        return (
            f"{self.label} for models like these ({self.reason}); "
            f"{self.these_weights} for these weights ({self.reason_these_weights})"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        names = ("label", "reason", "these_weights", "reason_these_weights", "sentence", "delta", "delta_d")
        return {name: getattr(self, name) for name in names} | {"because": [asdict(part) for part in self.because]}


@dataclass(frozen=True)
class Rule:
    """The constants of the rule, which are fixed before a run and recorded with it.

    δ (probability) and δ_D (nats) are the smallest rise and pull of interest. A range runs "from chance" if the
    interval of the smallest size's preference is within `chance_margin` of `chance`, and "to mastery" if the interval
    of the largest size's accuracy is above `mastery`. (Near chance, a gap of .01 nats can make accuracy 0 or 1.)
    """

    delta: float = DELTA
    delta_d: float = DELTA_D
    chance: float = 0.5
    chance_margin: float = 0.1
    mastery: float = 0.9


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
    shape = judge(evidence.preference, evidence.sizes, delta=rule.delta, draws=draws)
    judged = []
    for index, level in enumerate(shape.weights):
        at_peak, at_size = _of_weights(index, draws)
        at = peak(evidence.preference[index].mean(-1), interior=True)
        parts = _parts(evidence, level, at, at_peak, at_size, rule)
        judged.append((parts, *_call(parts, level, rule)))
    these_weights, reason_1 = _of_all([(call, reason) for _, call, reason in judged])
    parts_1 = [_weakest(of_seeds) for of_seeds in zip(*(parts for parts, _, _ in judged), strict=True)]

    label: VerdictLabel = "undetermined"
    if shape.models is None:
        reason, parts_2 = f"{seeds_in_words(len(judged))}: level 2 not identified", []
    else:
        at = peak(evidence.preference.mean((0, 2)), interior=True)
        parts_2 = _parts(evidence, shape.models, at, _models_at_peak, _models_at_size, rule)
        label, reason = _call(parts_2, shape.models, rule)
    return Verdict(label, reason, these_weights, reason_1, (*parts_2, *parts_1), shape, rule.delta, rule.delta_d)


def _parts(evidence: Evidence, level: Level, at: int, at_peak: AtPeak, at_size: AtSize, rule: Rule) -> list[ClaimPart]:
    """The parts of the claim at one level, in the order of the rule."""
    level_name = f"Level {level.level}, {'these weights' if level.level == 1 else 'models like these'}"
    here = f"at the peak ({evidence.sizes[at]:g})"
    top, bottom = f"at the largest size ({evidence.sizes[-1]:g})", f"at the smallest size ({evidence.sizes[0]:g})"
    last = len(evidence.sizes) - 1
    parts = []

    def add(name: str, holds: bool | None, bounds: Bounds | None, what: str, claim: str, where: str = here) -> None:
        if bounds is None:
            parts.append(ClaimPart(name, level.level, None, None, None, None, f"{level_name}: {what} not measured."))
            return
        answer = {True: "yes", False: "no", None: "inconclusive"}[holds]
        interval = f"{bounds[0]:.3g} [{bounds[1]:.3g}, {bounds[2]:.3g}]"
        sentence = f"{level_name}: {where} {what} is {interval}; {claim}: {answer}."
        parts.append(ClaimPart(name, level.level, holds, *bounds, sentence))

    def above(bounds: Bounds | None, least: float = 0.0) -> bool | None:
        """Whether the whole interval is above `least` (True), below it (False), or neither."""
        return None if bounds is None else True if bounds[1] > least else False if bounds[2] < least else None

    rise = level.inverted_u
    add(
        "rise_and_fall",
        True if level.label == "inverted-U" else False if level.no_inverted_u else None,
        (rise.depth, rise.low, rise.at_most),
        "the weaker of rise and fall of preference",
        f"lower bound above 0 (yes) or upper bound below δ = {rule.delta:g} (no)",
        "over all sizes",
    )
    d = at_peak(evidence.distractor_pull, at)
    claim = f"above δ_D = {rule.delta_d:g}"
    add("distractor_pull_at_peak", above(d, rule.delta_d), d, "the distractor pull D, in nats,", claim)
    ahead = at_peak(evidence.distractor_pull - evidence.true_pull, at)
    add("distractor_over_true_at_peak", above(ahead), ahead, "D − T, in nats,", "above 0")
    controls = [("neutral", evidence.preference_neutral)]
    if evidence.true_only_is_pure:
        controls.append(("true_only", evidence.preference_true_only))
    for name, control in controls:
        what = f"the rise of preference since the smallest size, minus that in {name},"
        more = None if control is None else at_peak(_rise(evidence.preference) - _rise(control), at)
        add(f"more_than_{name}", above(more, rule.delta), more, what, f"above δ = {rule.delta:g}")
    alone = evidence.accuracy_distractor_only
    share = None if alone is None else _as_share(at_peak(alone, at), alone)
    claim = f"above chance ({rule.chance:g})"
    add("distractor_only_above_chance", above(share, rule.chance), share, "accuracy in distractor_only", claim)
    overtakes = at_size(evidence.true_pull - evidence.distractor_pull, last, False)
    add("true_over_distractor_at_top", above(overtakes), overtakes, "T − D, in nats,", "above 0", top)
    first = at_size(evidence.preference, 0, True)
    low, high = rule.chance - rule.chance_margin, rule.chance + rule.chance_margin
    starts = True if low <= first[1] and first[2] <= high else False if first[2] < low or first[1] > high else None
    add("from_chance", starts, first, "preference", f"from {low:g} to {high:g}", bottom)
    end = at_size(evidence.accuracy, last, True)
    add("to_mastery", above(end, rule.mastery), end, "accuracy in conflict", f"at least {rule.mastery:g}", top)
    return parts


def _call(parts: list[ClaimPart], level: Level, rule: Rule) -> tuple[VerdictLabel, str]:
    """The label by the rule, and the reason."""
    by_name = {part.name: part for part in parts}
    holds = {name: part.holds for name, part in by_name.items()}
    size = by_name["distractor_pull_at_peak"].number
    controls = [part for name, part in by_name.items() if name.startswith("more_than_") and part.number is not None]
    if holds["rise_and_fall"] is False:
        if holds["from_chance"] is True and holds["to_mastery"] is True:
            return "contradicted", f"no rise and fall of {rule.delta:g} from chance to {rule.mastery:g} accuracy"
        if holds["to_mastery"] is True:
            return "undetermined", "no rise and fall, but the range does not clearly start at chance"
        if level.end[1] > 0:
            return "undetermined", "the range ends before recovery"
        return "undetermined", "no rise and fall, but the range does not clearly reach mastery"
    if holds["rise_and_fall"] is None:
        if level.u.is_clear and level.inverted_u.is_clear:
            depths = f"a rise and fall of {level.inverted_u.depth:.2f}, a fall and rise of {level.u.depth:.2f}"
            return "undetermined", f"the curve turns more than once: {depths}"
        if holds["to_mastery"] is not True and level.end[1] > 0:
            return "undetermined", "the range ends before recovery"
        dip = f"minimum detectable dip {level.smallest_detectable_dip:.2g} at power {POWER:g}"
        return "undetermined", f"a rise and fall is inconclusive ({dip})"
    if holds["distractor_pull_at_peak"] is False:
        return "contradicted", f"a rise and fall, but with a distractor pull of {size:.2g} nats, below {rule.delta_d:g}"
    for part in controls:
        if part.holds is False:
            control = part.name.removeprefix("more_than_")
            return "contradicted", f"an equal rise and fall without the distractor cue, in {control}"
    if not controls:
        return "undetermined", "no control without the distractor cue was measured"
    if all(holds[name] is True for name in CLAIM) and all(part.holds is True for part in controls):
        return "supported", "preference rises and falls because of the distractor pull"
    missing = next(part for part in parts if part.holds is not True and (part.name in CLAIM or part in controls))
    if missing.name == "true_over_distractor_at_top" and missing.holds is False:
        return "undetermined", "the range ends before recovery"
    problem = "fails" if missing.holds is False else "is not measured" if missing.number is None else "is inconclusive"
    return "undetermined", f"a rise and fall, but {missing.name} {problem}"


def _of_all(judged: Sequence[tuple[VerdictLabel, str]]) -> tuple[VerdictLabel, str]:
    """The label that all seeds share at level 1, else undetermined, and the reason (the first seed's, if they differ)."""
    counts = Counter(call for call, _ in judged)
    if len(counts) == 1:
        (call, reason), n_reasons = judged[0], len({reason for _, reason in judged})
        return call, reason if n_reasons == 1 else f"in the first of {len(judged)} seeds, {reason}"
    seeds = ", ".join(f"{counts[call]} of {len(judged)} seeds {call}" for call in CALLS if counts[call])
    why = next((f"; first undetermined seed: {reason}" for call, reason in judged if call == "undetermined"), "")
    return "undetermined", f"{seeds}{why}"


def _weakest(of_seeds: Sequence[ClaimPart]) -> ClaimPart:
    """One part over seeds at level 1: it holds if it holds for all seeds, and fails if it fails for all."""
    if (n_seeds := len(of_seeds)) == 1:
        return of_seeds[0]
    yes, no = (sum(part.holds is answer for part in of_seeds) for answer in (True, False))
    weakest = min(of_seeds, key=lambda part: (part.holds is True, part.low if part.low is not None else 0.0))
    holds = True if yes == n_seeds else False if no == n_seeds else None
    sentence = f"{weakest.sentence[:-1]}, in the weakest of {n_seeds} seeds ({yes} yes, {no} no)."
    return replace(weakest, holds=holds, sentence=sentence, seeds_yes=yes, seeds=n_seeds)


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

    n_seeds, n_sizes, n_groups = values.shape
    per_seed = values.mean(-1)
    common, excess = of_seeds(per_seed.var(0, ddof=1), n_seeds)
    of_items = max(float(shared_covariance(values[:, size : size + 1])[0, 0]), 0.0)
    error, freedom = error_over_seeds(common[0], (excess[size],), of_items, n_seeds, n_sizes, n_groups - 1)
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
