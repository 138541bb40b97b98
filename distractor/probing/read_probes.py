"""Reads several probes in several models, and measures the strength of each task's sites."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distractor.errors import DistractorError, ModelError, StoreError, TaskError, nearest
from distractor.models.site import site_of
from distractor.models.source import Source
from distractor.probing.cells import groups_of, labels
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import CHOSEN_SITES, Reader, Reading
from distractor.probing.strengths import Strength, choose, first_half, held_out, patching_pair, strength
from distractor.scoring.requests import compute_first
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import Scores
from distractor.text.task import Task
from distractor.work import skip

if TYPE_CHECKING:
    from distractor.probing.probe import Probe

FULL_PRECISION = ("float32", "float64")
LEAST_GROUPS = 4  # to choose sites on half of the groups, and to measure them on the other half


def read_probes(
    task: Task,
    scores: Sequence[Scores],
    probes: "Mapping[str, Probe]",
    *,
    store: Store,
    settings: Settings,
    forgive: bool = False,
    measure_strengths: bool | None = None,
    random_sets: int = 0,
) -> ProbeResults:
    """Read probes as `attribute`, in models that are scored already. Call `check_request` first.

    The strength of sites is measured together with that of up to `random_sets` random sets.
    """
    scores = sorted(scores, key=lambda one: (one.source.n_params or 0, one.source.seed or 0))
    sources = [one.source for one in scores]
    requests = read_requests(
        task, sources, probes, settings, forgive=forgive, measure_strengths=measure_strengths, random_sets=random_sets
    )
    compute_first(requests, store)
    readings: dict[str, list[Reading]] = {name: [] for name in variants_of(task, probes)}
    refused: dict[tuple[str, str], str] = {}
    strengths: list[Strength] = []
    for request in requests:
        of_model = request.compute(store)
        for name, reading in of_model.readings.items():
            readings[name].append(reading)
        refused |= {(name, request.source.name): why for name, why in of_model.refused.items()}
        strengths += of_model.strengths
    complete = {name: tuple(of_probe) for name, of_probe in readings.items() if of_probe}
    if not complete:
        raise ModelError("no probe could be read: " + "; ".join(dict.fromkeys(refused.values())))
    return ProbeResults(task, settings, tuple(scores), complete, refused, tuple(strengths))


@dataclass(frozen=True, eq=False)
class ModelReadings:
    """What probes read in one model: readings and refusals by name, and the strength of the chosen sites, if measured."""

    readings: "Mapping[str, Reading]"
    refused: Mapping[str, str]
    strengths: "Sequence[Strength]"


@dataclass(frozen=True)
class ReadRequest:
    """The readings of one model, as in `read_probes`. `knockout` names the probe that measures strengths, if any."""

    task: Task
    source: Source
    settings: Settings
    probes: "Mapping[str, Probe]"
    forgive: bool
    knockout: str | None
    random_sets: int

    def compute(self, store: Store) -> ModelReadings:
        """Read the probes, and measure the strength of each task's sites."""
        reader = Reader(self.task, self.source, store, self.settings)
        readings: dict[str, Reading] = {}
        refused: dict[str, str] = {}
        for name, probe in variants_of(self.task, self.probes).items():
            try:
                readings[name] = reader.read(probe, name, keep_refusal=self.forgive)
            except DistractorError as error:
                if not self.forgive or isinstance(error, StoreError):
                    raise
                refused[name] = str(error)
        strengths: list[Strength] = []
        if self.knockout is not None:
            strengths = _strengths(readings, self.knockout, self.probes[self.knockout], reader, self.random_sets)
            skip(self.source.name, CHOSEN_SITES)
        return ModelReadings(readings, refused, strengths)


def read_requests(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    settings: Settings,
    *,
    forgive: bool = False,
    measure_strengths: bool | None = None,
    random_sets: int = 0,
) -> list[ReadRequest]:
    """What `read_probes` computes, by model."""
    knockout = knockout_of(task, sources, probes, measure_strengths)
    return [ReadRequest(task, source, settings, dict(probes), forgive, knockout, random_sets) for source in sources]


def check_request(
    task: Task, settings: Settings, item: str | None = None, heads: Sequence[str] = (), *, halved: bool = False
) -> None:
    """Refuse impossible requests before anything is computed; `halved` means that sites are chosen on half of the
    groups.

    Raises:
        ModelError: the dtype is too narrow, or a head's name does not look like `L1H0`.
        TaskError: the items have fewer than two groups, or four if `halved`; or no item has the id `item`.
    """
    if settings.dtype not in FULL_PRECISION:
        raise ModelError(
            f"{settings.dtype} was asked for; it is too narrow to compare activations: use --dtype float32 or float64"
        )
    n_items, n_groups = len(task.items), len({one.group for one in task.items})
    if n_groups < 2:
        raise TaskError(
            f"all {n_items} items are of the group {task.items[0].group!r}, but intervals need at least 2 groups; take "
            "more items"
        )
    if halved and n_groups < LEAST_GROUPS:
        raise TaskError(
            f"the {n_items} items are of {n_groups} groups, but {LEAST_GROUPS} are needed to choose sites on half of the "
            "groups and to measure them on the other half; take more items"
        )
    if item is not None and item not in (ids := [one.id for one in task.items]):
        raise TaskError(f"there is no item {item!r} among the {len(ids)} of {task.name}: {nearest(item, ids)}")
    for head in heads:
        if not re.fullmatch(r"L\d+H\d+", head):
            raise ModelError(f"{head!r} is not a head; write layer and head as in L1H0")


def measures_strengths(
    task: Task, sources: Sequence[Source], probes: "Mapping[str, Probe]", measure_strengths: bool | None = None
) -> bool:
    """Whether `attribute` measures the strengths of sites, on half of the item groups.

    By default it does if a probe knocks out sites, except in a single model on items of fewer than four groups.
    """
    return knockout_of(task, sources, probes, measure_strengths) is not None


def knockout_of(
    task: Task, sources: Sequence[Source], probes: "Mapping[str, Probe]", measure_strengths: bool | None
) -> str | None:
    """The name of the first probe that knocks out sites together, if strengths are measured."""
    is_requested = measure_strengths
    if is_requested is None:
        is_requested = len(sources) > 1 or len({item.group for item in task.items}) >= LEAST_GROUPS
    return next((name for name, probe in probes.items() if is_requested and probe.knock_out([]) is not None), None)


def _strengths(
    of_model: Mapping[str, Reading], name: str, knockout: "Probe", reader: Reader, random_sets: int
) -> list[Strength]:
    """The strengths of the sites chosen in one model; none if the probe `name` was refused."""
    if name not in of_model:
        return []
    single = of_model[name]
    items, groups = labels(single.data, "item"), groups_of(reader.task, single.data)
    pair = patching_pair(of_model.values())
    if pair is not None and any(labels(reading.data, "item") != items for reading in pair):
        pair = None
    half = first_half(groups, reader.task.items)
    chosen = choose(single, half, groups, pair)
    without = []
    for names in chosen:
        probe = knockout.knock_out([site_of(component) for component in names], random_sets, held_out(groups, half))
        without.append(reader.read(probe, CHOSEN_SITES) if names and probe is not None else None)
    return [strength(single.source, chosen, half, groups, *without)]


def variants_of(task: Task, probes: "Mapping[str, Probe]") -> "dict[str, Probe]":
    """The probes with one entry for each pair of conditions that they compare."""
    return {
        f"{name}{suffix}": variant
        for name, probe in probes.items()
        for suffix, variant in probe.variants(task.conditions).items()
    }
