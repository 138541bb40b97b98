"""Which sites are measured in models with many: the same ones in all models of a training run.

Gradients estimate the effect of every site in each model (`Screening`). The sites with the largest estimates, or the largest
differences of estimates, are measured in each of the models. So are edited sites, and a random sample of the others.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import DistractorError, StoreError
from distractor.models.same_run import from_same_run
from distractor.models.same_weights import owner, same_weights
from distractor.models.source import Source
from distractor.probing.cells import labels
from distractor.probing.read_probes import variants_of
from distractor.probing.readings import Reading, ReadingsRequest
from distractor.probing.screening import Screening, SharedScreening
from distractor.probing.steps import count_sites
from distractor.scoring.requests import compute_first
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.text.task import Task

if TYPE_CHECKING:
    from distractor.probing.probe import Probe

FEW = 10  # sites that are measured with further kinds of replacement values

ESTIMATES = "gradients for "
"""Begins the name that progress gives to the estimates of a probe."""


def own_kinds(probes: "Mapping[str, Probe]") -> "dict[str, Probe]":
    """The probes of every site, each with its own kind of replacement value."""
    return {name: next(iter(probe.kinds.values()), probe).unscreened for name, probe in probes.items()}


def is_screened(source: Source, probe: "Probe") -> bool:
    """Whether only some sites of a model are measured."""
    return probe.screening is not None and probe.screening.is_needed(count_sites(source))


def screenings(
    task: Task, sources: Sequence[Source], probes: "Mapping[str, Probe]", store: Store, settings: Settings
) -> dict[tuple[int, str], Screening]:
    """The screening of each probe in each model, by the model's index; models in which every site is measured are missing.

    A model that no probe can be read in has a screening of its own, and is refused when its sites are measured.
    """
    chosen: dict[tuple[int, str], Screening] = {}
    own = own_kinds(probes)
    for name, probe in probes.items():
        large = [model for model, source in enumerate(sources) if is_screened(source, probe)]
        screening = probe.screening or Screening()
        for together in _runs(sources, large):
            try:
                shared: Screening = _shared(
                    task, [sources[model] for model in together], name, own[name], screening, store, settings
                )
            except StoreError:
                raise
            except DistractorError:
                shared = screening
            chosen |= {(model, name): shared for model in together}
    return chosen


def only(screening: Screening, sites: Collection[str]) -> Screening:
    """The screening with these sites, and others up to `FEW`."""
    if not isinstance(screening, SharedScreening):
        return screening
    first = [name for name in screening.named if name in sites]
    others = [name for name in screening.named if name not in sites]
    return replace(screening, named=tuple([*first, *others][: max(FEW, len(first))]), sampled=())


def _runs(sources: Sequence[Source], models: Sequence[int]) -> list[list[int]]:
    """Models in groups of one training run each."""
    runs: list[list[int]] = []
    for model in models:
        run = next((run for run in runs if from_same_run(sources[run[0]], sources[model])), None)
        if run is None:
            runs.append([model])
        else:
            run.append(model)
    return runs


def _shared(
    task: Task,
    sources: Sequence[Source],
    name: str,
    probe: "Probe",
    screening: Screening,
    store: Store,
    settings: Settings,
) -> SharedScreening:
    """The sites of one probe that are measured in some models."""
    estimating = variants_of(task, {ESTIMATES + name: probe.screened(SharedScreening())})
    requests = [ReadingsRequest(task, source, settings, tuple(estimating.items())) for source in sources]
    compute_first(requests, store)
    readings = [request.compute(store) for request in requests]
    sites = labels(readings[0][0].data, "component")
    views = [np.concatenate([_estimates(reading) for reading in of_model]) for of_model in readings]
    differences = [of_model - views[0] for of_model in views[1:]]
    every = np.concatenate([*differences, *views])
    edited = _edited(sources, sites)
    picked = screening.pick(every)
    size = np.where(edited, np.abs(every).max(0), -1)
    named = [k for k in np.argsort(-size, kind="stable")[: screening.largest].tolist() if edited[k]]
    named = list(dict.fromkeys([*named, *picked.largest]))
    sampled = [k for k in picked.sampled if k not in named]
    return SharedScreening(named=tuple(sites[k] for k in named), sampled=tuple(sites[k] for k in sampled))


def _estimates(reading: Reading) -> Float[ndarray, "view site"]:
    return np.array(reading.attributes["estimates"])


def _edited(sources: Sequence[Source], sites: Sequence[str]) -> ndarray:
    """Which sites have other weights in some model, if others have the same weights in all."""
    same = [same_weights(sources[0], source) for source in sources[1:]]
    kept = frozenset.intersection(*same) if same else frozenset()
    return np.array([bool(kept) and owner(site) not in kept for site in sites])
