"""Knocks out the sites chosen in one model in another model, and compares the loss with that of the model's own sites."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.comparison.matching import Match, blocks_of, carried, n_layers
from distractor.comparison.result import ComparisonResult, Transfer
from distractor.comparison.steps import PATHS
from distractor.models.site import site_of
from distractor.probing.cells import groups_of, labels
from distractor.probing.readings import CHOSEN_SITES, FOREIGN_SITES, Reader
from distractor.probing.strengths import first_half, held_out, losses, pair_effects
from distractor.scoring.store import Store
from distractor.statistics.changes import changes
from distractor.statistics.intervals import mean_interval

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


def transfers(
    result: ComparisonResult, giver: int, receiver: int, match: Match, ablation: "Probe", store: Store
) -> list[Transfer]:
    """The losses of T and D in model `receiver` without the sites of model `giver`, on the half not used to choose sites.

    Empty if a model has no chosen sites, or if the sites of the two do not correspond.
    """
    given, own = result.strengths[giver], result.strengths[receiver]
    source, target = result.probe_results[giver], result.probe_results[receiver]
    if given is None or own is None or source is None or target is None:
        return []
    reading = target.readings["ablation"][0]
    components = labels(reading.data, "component")
    foreign = carried(given.chosen, components, (n_layers(source), n_layers(target)), match)
    if foreign is None:
        return []
    own_sites = own.chosen if match == "name" else blocks_of(own.chosen, components)
    groups = groups_of(result.task, reading.data)
    reader = Reader(result.task, result.scores[receiver].source, store, result.settings)
    half = first_half(groups, result.task.items)
    kept = [group for group, is_in in zip(groups, half, strict=True) if not is_in]
    knocked_out = partial(_loss, reader, ablation, held_out(groups, half), ~half)
    transferred = []
    for task, path in enumerate(PATHS):
        own_loss = knocked_out(own_sites[task], task, CHOSEN_SITES)
        loss = knocked_out(foreign[task], task, FOREIGN_SITES)
        change = changes(own_loss[None, None], loss[None, None], kept, counted=[False])[0]
        foreign_mean, own_mean = (mean_interval(values, kept) for values in (loss, own_loss))
        names = _label(result, giver), _label(result, receiver)
        transferred.append(Transfer(path, *names, foreign[task], own_sites[task], foreign_mean, own_mean, change))
    return transferred


def _loss(
    reader: Reader,
    ablation: "Probe",
    groups: Sequence[str],
    is_measured: Bool[ndarray, " item"],
    names: Sequence[str],
    task: int,
    called: str,
) -> Float[ndarray, " half"]:
    """The loss of T (`task` 0) or D per item when components are knocked out together; 0 without components.

    `called` is its name in progress.
    """
    if not names:
        return np.zeros(int(is_measured.sum()))
    knockout = ablation.knock_out([site_of(name) for name in names], groups=groups)
    assert knockout is not None
    reading = reader.read(knockout, called)
    return losses(pair_effects(reading)[0][:, is_measured])[task]


def _label(result: ComparisonResult, model: int) -> str:
    """The name of a model's side, with the seed if the side has several."""
    side = next(side for side in result.sides if model in side.members)
    return side.name if len(side.members) == 1 else f"{side.name} (seed {result.scores[model].source.seed})"
