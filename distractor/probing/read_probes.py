"""Reads several probes in several models and tests the sites."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.errors import DistractorError, ModelError, TaskError, nearest
from distractor.models.source import Source
from distractor.probing.cells import (
    EFFECTS,
    UNSIGNED,
    empty_cells,
    groups_of,
    kind_of,
    labels,
    map_families,
    map_names,
    means_of,
    without_far_paths,
)
from distractor.probing.readings import Reader, Reading
from distractor.probing.strengths import Strength, choose, first_half, site_of, strength
from distractor.progress import Advance
from distractor.scoring import quantities
from distractor.scoring.behaviour import ItemValues, complete_items, quantity_limits, values_of
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import Scores
from distractor.statistics.divergence import Divergence, divergence
from distractor.statistics.effects import judge, why_no_recovery
from distractor.statistics.groups import Mean, group_means, interval, known_mean_interval, number_groups
from distractor.statistics.ordering import Order, order
from distractor.text.task import ALIGNED, Condition, Task

if TYPE_CHECKING:
    from xarray import Dataset

    from distractor.probing.probe import Probe


WHOLE = ("float32", "float64")


PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


EFFECT_TABLES = ("mean", "low", "high", "p", "recovery", "recovery_low", "recovery_high")


@dataclass(frozen=True, eq=False)
class ProbeResults:
    """What was read: for each probe, by its name, one reading a model, the smallest first.

    `scores` is behaviour, in the same order; `refused` says which probe could not be read in which model, and why.
    `strengths` are those of each model's sites for either task, where components were knocked out in several models.
    """

    task: Task
    settings: Settings
    scores: tuple[Scores, ...]
    readings: Mapping[str, tuple[Reading, ...]]
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    strengths: tuple[Strength, ...] = ()

    @cached_property
    def values(self) -> tuple[ItemValues, ...]:
        """Per-item behaviour of each model."""
        return tuple(values_of(self.task, scores) for scores in self.scores)

    @cached_property
    def complete(self) -> Bool[ndarray, " item"]:
        """The items whose behaviour counts, as in `ablate`."""
        return complete_items(self.task, self.scores)

    @cached_property
    def n_groups(self) -> int:
        """How many groups these items are of."""
        return len({item.group for item, is_used in zip(self.task.items, self.complete, strict=True) if is_used})

    @cached_property
    def cells(self) -> "dict[str, tuple[Dataset, ...]]":
        """Means over items of every reading."""
        return {name: tuple(self.cells_of(one) for one in many) for name, many in self.readings.items()}

    def behaviour(self, index: int, quantity: str, condition: Condition | None = None) -> Mean | None:
        """Mean behaviour of a model with its interval; None where the quantity is not defined."""
        values = self.values[index]
        row = values.pulls[quantity] if condition is None else values.by_condition[quantity][self._place(condition)]
        groups = [item.group for item in self.task.items]
        return known_mean_interval(np.where(self.complete, row, np.nan), groups, limits=quantity_limits(quantity))

    def cells_of(self, reading: Reading) -> "Dataset":
        """The `mean` of each cell over the items that have it, with its 95 % interval `low` to `high`; NaN without items.

        For effects, `p` are sign-flip p-values over item groups. `marked` are cells that pass Benjamini and Hochberg's
        procedure at 5 % over their map and reach 5 % of the gap in question. Activation patching also has `recovery` with
        `recovery_low` and `recovery_high`: the effect as a share of the difference of the pair's gaps; NaN if that is 0.
        """
        from xarray import Dataset, full_like

        data = without_far_paths(reading.data)
        if kind_of(data) not in EFFECTS:
            return means_of(self.task, data)
        empty = empty_cells(data)
        is_pair = "pair_gap" in data.coords
        tables = [name for name in EFFECT_TABLES if is_pair or not name.startswith("recovery")]
        cells = Dataset({name: empty.copy() for name in tables} | {"marked": full_like(empty, False, dtype=bool)})
        groups = groups_of(self.task, reading.data)
        for names in map_names(data):
            gap = self.gap_in_question(reading, names)
            has_sign = names.get("estimate") not in UNSIGNED
            for family in map_families(data):
                where = {**{d: [label] for d, label in names.items()}, **family}
                effects = judge(data.sel(where).transpose(..., "item").values, groups, gap)
                for table in tables if has_sign else ("mean", "low", "high"):
                    cells[table].loc[where] = getattr(effects, table)
                if has_sign:
                    cells["marked"].loc[where] = effects.is_marked
        return cells

    def gap_in_question(self, reading: Reading, names: Mapping[str, str]) -> Float[ndarray, " item"]:
        """The gap, item by item, that the effects of the map called `names` are compared with.

        For activation patching it is the difference of the two conditions' gaps. Otherwise it is the larger of 2T and 2D,
        the difference and the sum of the gaps in conflict and congruent: at the peak T is near 0 and cannot be a scale.
        """
        if "pair_gap" in reading.data.coords:
            pair_gap: ndarray = reading.data["pair_gap"].values
            return -pair_gap if names.get("direction") == "denoising" else pair_gap
        place = {item.id: i for i, item in enumerate(self.task.items)}
        scores = next(one for one in self.scores if one.source.name == reading.source.name)
        here = [place[name] for name in labels(reading.data, "item")]
        gap = {
            c: quantities.logit_gap(scores.log_probs[self._place(c)])[here] for c in PAIR if c in self.task.conditions
        }
        if len(gap) < len(PAIR) or np.isnan(gap[Condition.CONGRUENT]).any():
            return gap[Condition.CONFLICT]
        twice_t: ndarray = gap[PAIR[0]] - gap[PAIR[1]]
        twice_d: ndarray = -gap[PAIR[0]] - gap[PAIR[1]]
        return twice_t if abs(twice_t.mean()) >= abs(twice_d.mean()) else twice_d

    def why_no_recovery(self, reading: Reading) -> str | None:
        """Why effects of activation patching have no share of the pair's gap; None if they have one."""
        if "pair_gap" not in reading.data.coords:
            return None
        return why_no_recovery(self.gap_in_question(reading, {}), groups_of(self.task, reading.data))

    def over_seeds(self, models: Sequence[int], pull: str, *, of_sites: bool) -> Mean | None:
        """`true_pull` or `distractor_pull` in nats, of some models' sites or of behaviour: its mean over the models.

        With its 95 % interval over item groups. None where the task has no congruent prompts, so that there are no pulls,
        or the models share too few groups.
        """
        pulls = [self._pulls(place, of_sites=of_sites) for place in models]
        shared = sorted(set.intersection(*(set(one.groups) for one in pulls)))
        if len(shared) < 2:
            return None
        values = np.mean([_by_name(getattr(one, pull), one.groups, shared) for one in pulls], axis=0)
        if np.isnan(values).any():
            return None
        counts = np.mean([[one.groups.count(name) for name in shared] for one in pulls], axis=0)
        return Mean(*map(float, interval(values, counts=counts)))

    def _pulls(self, place: int, *, of_sites: bool) -> "_Pulls":
        """Of a model's sites, on the half of the items on which they are weighed, or of behaviour."""
        if of_sites:
            here = self.strengths[place]
            return _Pulls(here.true, here.distractor, here.groups)
        used = np.flatnonzero(self.complete)
        groups = tuple(self.task.items[i].group for i in used)
        return _Pulls(**{name: row[used] for name, row in self.values[place].pulls.items()}, groups=groups)

    @cached_property
    def _group_of(self) -> dict[str, str]:
        return {item.id: item.group for item in self.task.items}

    def orders(self, *, of_sites: bool) -> dict[str, Order]:
        """Which moves first over size, T or D, and whether D's decline waits for T: of the sites' strengths, or behaviour.

        T after D's decline would say that the distractor is given up before the true task is done; before it, that it
        is overridden.
        """
        table = self._curves(of_sites=of_sites)
        if table is None:
            return {}
        sizes, true, distractor = table
        return {
            "onset": order(true, distractor, sizes, names=("T", "D")),
            "decline": order(true, distractor, sizes, names=("T", "D"), falling=True),
        }

    def sentences(self) -> list[str]:
        """What moves first, in words: of the sites, then of behaviour; what is said twice is said once."""
        told = [
            f"{what}: {one.sentence}"
            for what in ("sites", "behaviour")
            for one in self.orders(of_sites=what == "sites").values()
        ]
        return list(dict.fromkeys(told))

    def _curves(self, *, of_sites: bool) -> tuple[ndarray, ndarray, ndarray] | None:
        """Sizes, and T and D by seed, size and item group; None where the models are no whole grid of seeds and sizes."""
        seeds = sorted({one.source.seed or 0 for one in self.scores})
        sizes = sorted({one.source.n_params or 0 for one in self.scores})
        if len(self.scores) != len(seeds) * len(sizes) or (of_sites and len(self.strengths) != len(self.scores)):
            return None
        found = {
            (one.source.seed or 0, one.source.n_params or 0): self._pulls(place, of_sites=of_sites)
            for place, one in enumerate(self.scores)
        }
        shared = sorted(set.intersection(*(set(one.groups) for one in found.values())))
        if len(found) != len(self.scores) or len(shared) < 2:
            return None

        def lay(pull: str) -> ndarray:
            rows = [[found[seed, size] for size in sizes] for seed in seeds]
            return np.array([[_by_name(getattr(one, pull), one.groups, shared) for one in row] for row in rows])

        true, distractor = lay("true_pull"), lay("distractor_pull")
        if np.isnan(true).any() or np.isnan(distractor).any():
            return None
        return np.array(sizes, dtype=float), true, distractor

    def divergence(self, reading: Reading) -> Divergence | None:
        """Where in a lens conflict and congruent part; None where the task has no congruent prompts."""
        if not set(PAIR) <= set(labels(reading.data, "condition")):
            return None
        gap = reading.data.sel(quantity="logit_gap").transpose("condition", "stage", "item")
        difference = gap.sel(condition=PAIR[0].value).values - gap.sel(condition=PAIR[1].value).values
        used = ~np.isnan(difference).any(0)
        groups = number_groups(np.array(groups_of(self.task, reading.data))[used])
        if len(set(groups)) < 2:
            return None
        return divergence(group_means(difference[:, used], groups), np.bincount(groups).astype(float))

    def _place(self, condition: Condition) -> int:
        return self.task.conditions.index(condition)


class _Pulls(NamedTuple):
    """T and D in nats, item by item, with the items' groups."""

    true_pull: Float[ndarray, " item"]
    distractor_pull: Float[ndarray, " item"]
    groups: tuple[str, ...]


def read_probes(
    task: Task,
    scores: Sequence[Scores],
    probes: "Mapping[str, Probe]",
    *,
    store: Store,
    settings: Settings,
    forgive: bool = False,
    measure_strengths: bool | None = None,
    advance: Advance = lambda _: None,
) -> ProbeResults:
    """As `attribute`, in models whose behaviour is known already; `check` is to be asked before."""
    scores = sorted(scores, key=lambda one: (one.source.n_params or 0, one.source.seed or 0))
    weighed = _weighed([one.source for one in scores], probes, measure_strengths)
    posed = {name: probe for given, probe in probes.items() for name, probe in _variants(given, probe, task)}
    readings: dict[str, list[Reading]] = {name: [] for name in posed}
    refused: dict[tuple[str, str], str] = {}
    strengths: list[Strength] = []
    for one in scores:
        reader = Reader(task, one.source, store, settings)
        for name, probe in posed.items():
            try:
                readings[name].append(reader.read(probe))
            except DistractorError as error:
                if not forgive:
                    raise
                refused[name, one.source.name] = str(error)
            advance(one.source.name)
        if weighed is not None:
            strengths += _weigh(task, one.source, readings, weighed, reader)
            advance(one.source.name)
    kept = {name: tuple(many) for name, many in readings.items() if many}
    if not kept:
        raise ModelError("no probe could be read: " + "; ".join(dict.fromkeys(refused.values())))
    return ProbeResults(task, settings, tuple(scores), kept, refused, tuple(strengths))


def check_request(
    task: Task, settings: Settings, item: str | None = None, heads: Sequence[str] = (), *, halved: bool = False
) -> None:
    """Refuse what cannot be attributed, before anything is computed; `halved` where sites are chosen and weighed.

    Raises:
        ModelError: the type is too coarse, or a head is not named as `L1H0`.
        TaskError: the items are of fewer than two groups, or four where they are halved, or there is no item of that name.

    """
    if settings.dtype not in WHOLE:
        raise ModelError(
            f"{settings.dtype} was asked for, too coarse to take a model's answers apart; use --dtype float32 or float64"
        )
    n_groups = len({one.group for one in task.items})
    if n_groups < 2:
        raise TaskError(
            f"all {len(task.items)} items are of the group {task.items[0].group!r}, and intervals come from the spread over "
            "groups; take more items"
        )
    if halved and n_groups < 4:
        raise TaskError(
            f"the {len(task.items)} items are of {n_groups} groups, and sites are chosen on half of the groups and weighed "
            "on the other, so that 4 are needed; take more items"
        )
    if item is not None and item not in (ids := [one.id for one in task.items]):
        raise TaskError(f"there is no item {item!r} among the {len(ids)} of {task.name}: {nearest(item, ids)}")
    for head in heads:
        if not re.fullmatch(r"L\d+H\d+", head):
            raise ModelError(f"{head!r} is no head: heads are named by layer and place, as L1H0")


def measures_strengths(
    sources: Sequence[Source], probes: "Mapping[str, Probe]", measure_strengths: bool | None = None
) -> bool:
    """Whether `attribute` weighs sites by half of the items."""
    return _weighed(sources, probes, measure_strengths) is not None


def count_readings(
    task: Task, sources: Sequence[Source], probes: "Mapping[str, Probe]", *, measure_strengths: bool | None = None
) -> int:
    """How often `read_probes` advances."""
    each = sum(len([*_variants(name, probe, task)]) for name, probe in probes.items())
    return len(sources) * (each + measures_strengths(sources, probes, measure_strengths))


def _weighed(
    sources: Sequence[Source], probes: "Mapping[str, Probe]", measure_strengths: bool | None
) -> "Probe | None":
    """The probe by which the strength of sites is compared over several models: one that knocks out sites together."""
    probe, is_wanted = probes.get("ablation"), len(sources) > 1 if measure_strengths is None else measure_strengths
    return probe if probe is not None and is_wanted and "together" in _settings(probe) else None


def _weigh(
    task: Task, source: Source, readings: Mapping[str, Sequence[Reading]], probe: "Probe", reader: Reader
) -> list[Strength]:
    """The strengths of the sites chosen in one model; none where its components could not be knocked out."""

    def last(name: str) -> Reading | None:
        return next((one for one in readings.get(name, ()) if one.source.name == source.name), None)

    alone = last("ablation")
    if alone is None:
        return []
    items, groups = labels(alone.data, "item"), groups_of(task, alone.data)
    patching, swapped = last("head_patching"), last(f"head_patching/{Condition.DISTRACTOR_SWAPPED}")
    is_same = all(one is None or labels(one.data, "item") == items for one in (patching, swapped))
    half = first_half(groups, task.items)
    chosen = choose(alone, half, groups, patching, swapped) if is_same else choose(alone, half, groups)
    own: Any = probe
    without = [
        reader.read(replace(own, together=tuple(map(site_of, names)))) if names else None
        for names in (chosen.true, chosen.distractor)
    ]
    return [strength(source, chosen, half, groups, *without)]


def _by_name(values: Float[ndarray, " item"], groups: Sequence[str], names: Sequence[str]) -> Float[ndarray, " group"]:
    """The mean of each named group's items."""
    here = np.array(groups)
    return np.array([values[here == name].mean() for name in names])


def _settings(probe: "Probe") -> set[str]:
    return {setting.name for setting in fields(probe)}  # type: ignore[arg-type]


def _variants(name: str, probe: "Probe", task: Task) -> "Iterator[tuple[str, Probe]]":
    """A probe as it is, or one for each condition that it can compare `conflict` with."""
    if "other" not in _settings(probe):
        yield name, probe
        return
    own: Any = probe
    for other in ALIGNED:
        if other in task.conditions:
            yield (name if other == own.other else f"{name}/{other}"), replace(own, other=other)
