"""Checkpoints side by side: what changed in behaviour and in the mechanism, beside what items and seeds change by themselves.

A *side* is a model at one step, with all its seeds; where nothing but seeds of one model are named, each is a side. Of two
sides every difference is second minus first. A model of which three steps or more are named is followed along training;
its first and its last step are then the sides.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.comparison.counterparts import (
    MapChange,
    Match,
    blocks_of,
    carried,
    depth_correlation,
    map_changes,
    match_of,
    n_layers,
)
from distractor.comparison.steps import MIN_STEPS, PATHS, Course, curve
from distractor.errors import DistractorError, ModelError, ScalingError
from distractor.models.same_run import from_same_run
from distractor.models.source import Source
from distractor.probing.cells import EFFECTS, kind_of
from distractor.probing.read_probes import ProbeResults, check_request, count_readings, read_probes
from distractor.probing.readings import Reader
from distractor.probing.strengths import Strength, estimated, first_half, losses, site_of
from distractor.progress import Advance
from distractor.scoring.behaviour import PER_CONDITION, PULLS, ItemValues, complete_items, values_of
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import Scores, sweep
from distractor.statistics.changes import Change, changes, halves_differ
from distractor.statistics.groups import Mean, mean_interval
from distractor.statistics.sign_flips import holm
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


PROBES = ("ablation", "head_patching")
"""Read by default: what is lost without each component, and which heads carry each task's cue."""


UNREADABLE = ("logit_lens", "attention", "linear_probe")
"""Probes that read no effect of a site, and so have nothing to be compared site by site."""


ALL_PAIRS = 4
"""Up to so many sides are all compared with each other, more with the first."""


SHARES = ("accuracy", "distractor_preference")


PRIMARY = ("distractor_preference", Condition.CONFLICT)


PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


QuantityKey = tuple[str, Condition | None]
"""A quantity under a condition; the pulls have none."""


@dataclass(frozen=True)
class Side:
    """What is compared: a name, and the models of it as places in `Comparison.scores`, one for each seed."""

    name: str
    members: tuple[int, ...]


class Switch(NamedTuple):
    """An item whose answer changed in `conflict`: its gap in either side in nats, averaged over seeds."""

    item: int
    first: float
    second: float


@dataclass(frozen=True)
class Transfer:
    """What knocking out sites found in one model does in another, beside that model's own sites; nats of T, or of D.

    `change` is the foreign sites' loss minus the own ones'. `sites` are those knocked out. By relative depth, both are
    whole blocks: all heads, or the MLP, of a layer.
    """

    path: str
    found_in: str
    knocked_out_in: str
    sites: tuple[str, ...]
    own_sites: tuple[str, ...]
    foreign: Mean
    own: Mean
    change: Change

    @property
    def share(self) -> float | None:
        """The foreign sites' loss as a share of the own ones'; None where those lose nothing to speak of."""
        return self.foreign.mean / self.own.mean if self.own.low > 0 else None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sides: `rows` of behaviour, `paths` of the sites' strengths (one family each), items that changed sides.

    `match` says how their sites correspond, None where none were read. `maps` are the maps of each probe, one list for
    each two models that correspond by name; `depths` rank correlations over relative depth; `no_transfer` says why nothing
    was knocked out in the other model, where nothing was. `p_over_tasks` is the primary row's p after Holm over tasks.
    """

    first: int
    second: int
    rows: Mapping[QuantityKey, Change]
    paths: Mapping[str, Change]
    switched: tuple[Switch, ...]
    match: Match | None = None
    maps: Mapping[tuple[str, int, int], tuple[MapChange, ...]] = field(default_factory=dict)
    depths: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    transfers: tuple[Transfer, ...] = ()
    no_transfer: str | None = None
    p_over_tasks: float | None = None

    @property
    def changed_most(self) -> tuple[str, MapChange, int] | None:
        """The site whose effect changed most among those that did, with its probe's name, map and place."""
        found = [
            (name, one, int(one.order[0]))
            for (name, _, _), many in self.maps.items()
            for one in many
            if one.is_marked.any()
        ]
        return max(found, key=lambda told: abs(told[1].mean[told[2]]), default=None)


@dataclass(frozen=True, eq=False)
class ComparisonResult:
    """What was found on one task. `scores`, `examined` and `strengths` are of each model, in the order of naming.

    `examined` is None, or has no reading, where a model's mechanism could not be read; `refused` says why. Items count
    that are posed to every model under every condition but `distractor_swapped`.
    """

    task: Task
    settings: Settings
    scores: tuple[Scores, ...]
    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...] = ()
    courses: tuple[Course, ...] = ()
    examined: tuple[ProbeResults | None, ...] = ()
    strengths: tuple[Strength | None, ...] = ()
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @cached_property
    def complete(self) -> Bool[ndarray, " item"]:
        """Which items count."""
        return complete_items(self.task, self.scores)

    @cached_property
    def values(self) -> tuple[ItemValues, ...]:
        """Per-item behaviour of each model."""
        return tuple(values_of(self.task, one) for one in self.scores)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Each item's group."""
        return tuple(item.group for item in self.task.items)

    @cached_property
    def rows(self) -> tuple[QuantityKey, ...]:
        """What is compared of behaviour: all that is defined in every model, the primary row among them."""
        wanted: list[QuantityKey] = [(name, c) for name in PER_CONDITION[:3] for c in self.task.conditions]
        wanted += [(name, None) for name in PULLS]
        return tuple(row for row in wanted if self._is_defined(row))

    @property
    def are_seeds(self) -> bool:
        """Whether the sides are seeds of one and the same model at one step: two steps of a run are none."""
        return len({(_model_of(one.source), one.source.step) for one in self.scores}) == 1 and len(self.sides) > 1

    def of_item(self, model: int, row: QuantityKey) -> Float[ndarray, " item"]:
        """A model's value of each item that counts; NaN for the others."""
        quantity, condition = row
        values = self.values[model]
        if condition is None:
            found = values.pulls[quantity]
        else:
            found = values.by_condition[quantity][self.task.conditions.index(condition)]
        return np.where(self.complete, found, np.nan)

    def of_side(self, side: int, row: QuantityKey) -> Float[ndarray, "seed item"]:
        """A side's values of each item, one row a seed."""
        return np.array([self.of_item(model, row) for model in self.sides[side].members])

    def level(self, side: int, row: QuantityKey) -> Mean:
        """A side's mean over seeds and items, with its 95 % interval over item groups."""
        values = self.of_side(side, row).mean(0)
        return mean_interval(values, self.groups, limits=(0.0, 1.0) if row[0] in SHARES else None)

    def path(self, model: int, name: str) -> Float[ndarray, " item"]:
        """The strength of a model's path on each item of the half that it is weighed on; NaN elsewhere."""
        found = np.full(len(self.task.items), np.nan)
        one, examined = self.strengths[model], self.examined[model]
        if one is not None and examined is not None:
            items = next(many[0].dims["item"] for many in examined.readings.values())
            place = {item.id: i for i, item in enumerate(self.task.items)}
            here = np.array([place[name] for name in items])
            weighed = ~first_half([self.groups[i] for i in here], self.task.items)
            found[here[weighed]] = one.true if name == PATHS[0] else one.distractor
        return found

    @cached_property
    def halves(self) -> tuple[float | None, ...]:
        """How often, on each side, random halves of the items would pass for two models: near 5 % where all is well."""
        tables = [np.array([self.of_side(s, row).mean(0) for row in self.rows]) for s in range(len(self.sides))]
        return tuple(halves_differ(table, self.groups) for table in tables)

    def _is_defined(self, row: QuantityKey) -> bool:
        table = np.array([self.of_item(model, row) for model in range(len(self.scores))])
        used = ~np.isnan(table).any(0)
        enough = len({self.groups[i] for i in np.flatnonzero(used)}) >= 2
        return enough and (row[1] is Condition.DISTRACTOR_SWAPPED or bool(used[self.complete].all()))


def compare(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    *,
    store: Store,
    settings: Settings | None = None,
    forgive: bool = False,
    advance: Advance = lambda _: None,
) -> ComparisonResult:
    """Compare models on the items of `task`: behaviour, and with `probes`, by their names, what stands behind it.

    The order is that of `sources`. Without probes behaviour alone is compared. With `ablation` among them the strengths of
    both tasks' sites are weighed, chosen by `head_patching` where that is read too, and sites found in one model are
    knocked out in the other; with `head_attribution_patching` instead the strengths are estimates to first order. With
    `forgive`, what a model cannot be read with is left out and told in `refused`. Everything is kept in `store`.

    Raises:
        DistractorError: fewer than two models; a model, the task's text under it, or the store is not what it should be;
            a probe reads no effect of a site; or, without `forgive`, cannot be trusted in a model.

    """
    settings = settings or Settings()
    check_models(sources)
    check_probes(probes)
    if probes:
        check_request(task, settings, halved=is_halved(probes))
    scores = tuple(sweep(task, sources, store, settings, advance))
    sources = [one.source for one in scores]
    sides, followed = sides_of(sources)
    found = ComparisonResult(task, settings, scores, sides)
    if len({group for group, is_used in zip(found.groups, found.complete, strict=True) if is_used}) < 2:
        raise ScalingError(
            f"{int(found.complete.sum())} items of {task.name} are posed to every model under every condition, of fewer than "
            "two groups, so nothing can be compared; take more items, or compare fewer models"
        )
    examined, strengths, refused = _examine(found, probes, store, forgive, advance)
    found = replace(found, examined=examined, strengths=strengths, refused=refused)
    pairs = [_pair(found, a, b, probes, store, advance) for a, b in pairs_of(len(sides))]
    courses = [_course(found, name, models) for name, models in followed.items()]
    return replace(found, pairs=tuple(pairs), courses=tuple(courses))


def over_tasks(found: Sequence[ComparisonResult]) -> tuple[ComparisonResult, ...]:
    """The same with the primary row's p of each pair adjusted over the tasks (Holm), where there are several."""
    if len(found) < 2:
        return tuple(found)
    adjusted = []
    for place in range(len(found[0].pairs)):
        adjusted.append(holm([one.pairs[place].rows[PRIMARY].p for one in found]))
    return tuple(
        replace(one, pairs=tuple(replace(pair, p_over_tasks=adjusted[p][t]) for p, pair in enumerate(one.pairs)))
        for t, one in enumerate(found)
    )


def check_models(sources: Sequence[Source]) -> None:
    """Refuse what is no comparison, before anything is computed.

    Raises:
        ModelError: fewer than two models, or the same one under two names.

    """
    if len(sources) < 2:
        named = f"{sources[0].name} alone was" if sources else "none was"
        raise ModelError(f"at least two models are compared; {named} named: name another model, step or seed")
    hashes = [source.fingerprint() for source in sources]
    for one, other in combinations(range(len(sources)), 2):
        if hashes[one] == hashes[other]:
            raise ModelError(
                f"{sources[one].name} ({sources[one].folder}) and {sources[other].name} ({sources[other].folder}) are the "
                "same model, weight by weight, so there is nothing to compare; name each model once"
            )


def check_probes(probes: "Mapping[str, Probe]") -> None:
    """Refuse probes that read no effect of a site, before anything is computed.

    Raises:
        ModelError: there is one.

    """
    for name in probes:
        if name in UNREADABLE:
            raise ModelError(
                f"{name} reads no effect of a site in nats, so models cannot be compared by it site by site; take "
                f"{', '.join(PROBES)}, activation_patching, head_attribution_patching or direct_attribution"
            )


def is_halved(probes: "Mapping[str, Probe]") -> bool:
    """Whether sites are chosen on half of the item groups and weighed, or estimated, on the other."""
    return not {"ablation", "head_attribution_patching"}.isdisjoint(probes)


def count_steps(task: Task, sources: Sequence[Source], probes: "Mapping[str, Probe]") -> int:
    """How often `compare` advances."""
    steps = len(sources) * len(task.conditions)
    if probes:
        steps += sum(count_readings(task, [one], probes, measure_strengths=True) for one in sources)
        steps += len(pairs_of(len(sides_of(sources)[0])))
    return steps


def sides_of(sources: Sequence[Source]) -> tuple[tuple[Side, ...], dict[str, tuple[int, ...]]]:
    """The sides in the order of naming, and the models that are followed along training, by name, as places."""
    at: dict[tuple[Any, ...], list[int]] = {}
    for place, one in enumerate(sources):
        at.setdefault((*_model_of(one), one.step), []).append(place)
    if len(at) == 1:  # nothing but seeds of one model
        at = {(*key, place): [place] for key, many in at.items() for place in many}
    steps: dict[tuple[Any, ...], dict[int, tuple[Any, ...]]] = {}
    for key, many in at.items():
        step = sources[many[0]].step
        if step is not None:
            steps.setdefault(_model_of(sources[many[0]]), {})[step] = key
    followed = {}
    for model, by_step in steps.items():
        if len(by_step) >= MIN_STEPS:
            places = tuple(place for step in sorted(by_step) for place in at[by_step[step]])
            followed[_base(sources[places[0]])] = places
            for step in sorted(by_step)[1:-1]:
                del at[by_step[step]]
            first, last = at.pop(by_step[min(by_step)]), at.pop(by_step[max(by_step)])
            at |= {(*model, "first"): first, (*model, "last"): last}
    names = [_name(sources, many) for many in at.values()]
    twice = Counter(names)
    return (
        tuple(
            Side(str(sources[many[0]].folder) if twice[name] > 1 else name, tuple(many))
            for name, many in zip(names, at.values(), strict=True)
        ),
        followed,
    )


def pairs_of(n_sides: int) -> list[tuple[int, int]]:
    """Which sides are compared: all with each other, of more than four each with the first."""
    return [pair for pair in combinations(range(n_sides), 2) if n_sides <= ALL_PAIRS or pair[0] == 0]


def _model_of(source: Source) -> tuple[Any, ...]:
    """What the seeds and steps of a model have in common. Folders that know neither are each a model of its own."""
    is_alone = source.seed is None and source.step is None
    return (source.family, source.model.partition("@")[0] if source.step is not None else source.model,
            source.folder if is_alone else None)  # fmt: skip


def _base(source: Source) -> str:
    """A model's name without its seed and step."""
    return source.name.partition("@")[0].removesuffix(f"/seed{source.seed}")


def _name(sources: Sequence[Source], members: Sequence[int]) -> str:
    """How a side is called: with the seed where there is but one, with the step where the model is named at several."""
    source = sources[members[0]]
    if source.seed is None and source.step is None:
        return source.name
    seed = f"/seed{source.seed}" if len(members) == 1 and source.seed is not None else ""
    steps = {one.step for one in sources if _model_of(one) == _model_of(source)}
    step = f"@{source.step}" if source.step is not None and (len(steps) > 1 or "@" in source.name) else ""
    return f"{_base(source)}{seed}{step}"


def _examine(
    found: ComparisonResult, probes: "Mapping[str, Probe]", store: Store, forgive: bool, advance: Advance
) -> tuple[tuple[ProbeResults | None, ...], tuple[Strength | None, ...], dict[tuple[str, str], str]]:
    """Each model by itself: what the probes read, and the strengths of its sites."""
    examined: list[ProbeResults | None] = []
    strengths: list[Strength | None] = []
    refused: dict[tuple[str, str], str] = {}
    for one in found.scores:
        if not probes:
            examined.append(None)
            strengths.append(None)
            continue
        try:
            read = read_probes(
                found.task, [one], probes, store=store, settings=found.settings, forgive=forgive, measure_strengths=True,
                advance=advance,
            )  # fmt: skip
        except DistractorError as error:
            if not forgive:
                raise
            refused["all", one.source.name] = str(error)
            examined.append(None)
            strengths.append(None)
            continue
        refused |= read.refused
        examined.append(read)
        strengths.append(read.strengths[0] if read.strengths else _estimated(read))
    return tuple(examined), tuple(strengths), refused


def _estimated(read: ProbeResults) -> Strength | None:
    """Strengths to first order, where nothing was knocked out and heads were exchanged in both pairs."""
    name = "head_attribution_patching"
    pairs = [read.readings.get(key) for key in (name, f"{name}/{Condition.DISTRACTOR_SWAPPED}")]
    if "ablation" in read.readings or pairs[0] is None or pairs[1] is None:
        return None
    patching, swapped = pairs[0][0], pairs[1][0]
    if list(patching.dims["item"]) != list(swapped.dims["item"]):
        return None
    group_of = {item.id: item.group for item in read.task.items}
    groups = [group_of[name] for name in patching.dims["item"]]
    return estimated(patching.source, patching, swapped, first_half(groups, read.task.items), groups)


def _pair(
    found: ComparisonResult, first: int, second: int, probes: "Mapping[str, Probe]", store: Store, advance: Advance
) -> Pair:
    """Two sides, in behaviour and mechanism."""
    sides = found.sides[first], found.sides[second]
    sources = [[found.scores[m].source for m in side.members] for side in sides]
    same_runs = (
        _model_of(sources[0][0]) == _model_of(sources[1][0])
        and [s.seed for s in sources[0]] == [s.seed for s in sources[1]]
        and sources[0][0].seed is not None
    )
    judge = partial(changes, groups=found.groups, same_runs=same_runs, are_seeds=found.are_seeds)
    tables = [np.array([found.of_side(s, row) for row in found.rows]) for s in (first, second)]
    judged = judge(*tables, counted=[row[0] == "accuracy" for row in found.rows])
    gaps = [found.of_side(s, ("logit_gap", Condition.CONFLICT)).mean(0) for s in (first, second)]
    switched = tuple(
        Switch(int(i), float(gaps[0][i]), float(gaps[1][i])) for i in np.flatnonzero((gaps[0] > 0) != (gaps[1] > 0))
        if found.complete[i]
    )  # fmt: skip
    pair = Pair(first, second, dict(zip(found.rows, judged, strict=True)), {}, switched)
    if not probes:
        return pair
    paths = [np.array([[found.path(m, name) for m in side.members] for name in PATHS]) for side in sides]
    used = ~np.isnan(np.concatenate(paths, 1)).any((0, 1))
    if len({found.groups[i] for i in np.flatnonzero(used)}) >= 2:
        weighed = judge(*paths, counted=[False] * len(PATHS))
        pair = replace(pair, paths=dict(zip(PATHS, weighed, strict=True)))
    pair = _mechanism(found, pair, probes, store)
    advance(f"{sides[0].name}, {sides[1].name}")
    return pair


def _mechanism(found: ComparisonResult, pair: Pair, probes: "Mapping[str, Probe]", store: Store) -> Pair:
    """Site by site where sites correspond, by relative depth where layers do; and each model's sites in the other."""
    members = [
        [m for m in found.sides[side].members if found.examined[m] is not None] for side in (pair.first, pair.second)
    ]
    if not all(members):
        return pair
    every = [(a, b) for a in members[0] for b in members[1]]
    kin = [(a, b) for a, b in every if from_same_run(found.scores[a].source, found.scores[b].source)]
    one, other = (found.examined[m] for m in (kin or every)[0])
    assert one is not None
    assert other is not None
    match = match_of(one, other, kin=bool(kin))
    maps = {}
    for a, b in kin:
        in_first, in_second = found.examined[a], found.examined[b]
        assert in_first is not None
        assert in_second is not None
        for name in [name for name, many in in_first.readings.items() if kind_of(many[0]) in EFFECTS]:
            if name not in in_second.readings:
                continue
            maps[name, a, b] = tuple(map_changes(in_first, in_second, name))
    depths = {}
    if match == "depth" and "ablation" in one.readings and "ablation" in other.readings:
        read = one.readings["ablation"][0], other.readings["ablation"][0]
        depths = {c.value: depth_correlation(*read, {"condition": c.value}) for c in PAIR}
    pair = replace(pair, match=match, maps=maps, depths=depths)
    if "ablation" not in one.readings or "ablation" not in other.readings:
        return replace(pair, no_transfer="no components were knocked out (`ablation` was not read)")
    if match == "function":
        return replace(
            pair,
            no_transfer="the models were trained apart, so that no site of one is a site of the other, and relative depth "
            "says something from six layers on",
        )
    both_ways = [way for a, b in (kin or every[:1]) for way in ((a, b), (b, a))]
    transfers = [move for i, j in both_ways for move in _transfer(found, i, j, match, probes, store)]
    return replace(pair, transfers=tuple(transfers))


def _transfer(
    found: ComparisonResult, giver: int, receiver: int, match: Match, probes: "Mapping[str, Probe]", store: Store
) -> list[Transfer]:
    """The sites found in one model, knocked out in another, beside its own: what T and D lose on the other half."""
    given, own, examined, origin = (
        found.strengths[giver], found.strengths[receiver], found.examined[receiver], found.examined[giver],
    )  # fmt: skip
    if given is None or own is None or examined is None or origin is None:
        return []
    alone = examined.readings["ablation"][0]
    components, items = list(alone.dims["component"]), list(alone.dims["item"])
    foreign = carried(given.chosen, components, (n_layers(origin), n_layers(examined)), match)
    own_chosen = own.chosen if match == "name" else blocks_of(own.chosen, components)
    if foreign is None:
        return []
    group_of = {item.id: item.group for item in found.task.items}
    groups = [group_of[name] for name in items]
    other = ~first_half(groups, found.task.items)
    kept = [group for group, is_other in zip(groups, other, strict=True) if is_other]
    reader = Reader(found.task, found.scores[receiver].source, store, found.settings)
    told = []
    for which, path in enumerate(PATHS):
        lost = []
        for chosen in (own_chosen, foreign):
            lost.append(_lost(reader, probes["ablation"], chosen[which], which, int(other.sum()), other))
        change = changes(lost[0][None, None], lost[1][None, None], kept, counted=[False])[0]
        own_mean, foreign_mean = (mean_interval(values, kept) for values in lost)
        told.append(
            Transfer(path, _label(found, giver), _label(found, receiver), foreign[which], own_chosen[which], foreign_mean,
                     own_mean, change)
        )  # fmt: skip
    return told


def _lost(
    reader: Reader, probe: "Probe", names: Sequence[str], which: int, count: int, other: Bool[ndarray, " item"]
) -> Float[ndarray, " half"]:
    """What T (`which` 0) or D loses, item by item, when components are knocked out together; nothing without any."""
    if not names:
        return np.zeros(count)
    own: Any = probe
    reading = reader.read(replace(own, together=tuple(map(site_of, names))))
    places = [list(reading.dims["condition"]).index(c) for c in PAIR]
    lost: ndarray = losses(reading.values[0][places][:, other])[which]
    return lost


def _label(found: ComparisonResult, model: int) -> str:
    """A model's name among those compared: the side's, with the seed where the side has several."""
    for side in found.sides:
        if model in side.members:
            seed = found.scores[model].source.seed
            return side.name if len(side.members) == 1 else f"{side.name} (seed {seed})"
    return found.scores[model].source.name


def _course(found: ComparisonResult, name: str, models: Sequence[int]) -> Course:
    """A model along training, at the steps that all its seeds have."""
    sources = [found.scores[m].source for m in models]
    seeds = sorted({s.seed for s in sources}, key=lambda seed: -1 if seed is None else seed)
    at = {(s.seed, s.step or 0): m for s, m in zip(sources, models, strict=True)}
    every = sorted({step for _, step in at})
    steps = [step for step in every if all((seed, step) in at for seed in seeds)]
    if len(steps) < MIN_STEPS:
        raise ModelError(
            f"{name}: its seeds {', '.join(map(str, seeds))} share {len(steps)} steps, and training is followed over "
            f"{MIN_STEPS} or more; name one seed, as {name}/seed{seeds[0]}@all"
        )
    wanted: dict[str, Any] = {
        "distractor_preference": ("distractor_preference", Condition.CONFLICT),
        "distractor_only": ("accuracy", Condition.DISTRACTOR_ONLY),
        "true_only": ("accuracy", Condition.TRUE_ONLY),
        "true_pull": ("true_pull", None),
        "distractor_pull": ("distractor_pull", None),
    }
    curves: dict[str, ndarray] = {}
    counts: dict[str, ndarray] = {}
    for quantity in (*wanted, *PATHS):
        if quantity in PATHS:
            if any(found.strengths[m] is None for m in models):
                continue
            values = [[found.path(at[seed, step], quantity) for step in steps] for seed in seeds]
        elif wanted[quantity] in found.rows:
            values = [[found.of_item(at[seed, step], wanted[quantity]) for step in steps] for seed in seeds]
        else:
            continue
        if (laid := curve(values, found.groups)) is not None:
            curves[quantity], counts[quantity] = laid
    left_out = tuple(step for step in every if step not in steps)
    return Course(name, tuple(steps), tuple(seeds), curves, counts, left_out)
