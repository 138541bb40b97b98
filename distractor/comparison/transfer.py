"""Knocks out the sites chosen in one model in another model, and compares the loss with that of the model's own sites."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.comparison.matching import Match, blocks_of, carried, n_layers
from distractor.comparison.result import ComparisonResult, Transfer
from distractor.comparison.steps import PATHS
from distractor.models.site import site_of
from distractor.probing.cells import groups_of, labels
from distractor.probing.readings import CHOSEN_SITES, FOREIGN_SITES, Reading, ReadingsRequest
from distractor.probing.strengths import ChosenSites, first_half, held_out, losses, pair_effects
from distractor.scoring.requests import compute_first
from distractor.scoring.store import Store
from distractor.statistics.changes import changes
from distractor.statistics.intervals import mean_interval

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


def transfers(
    result: ComparisonResult, ways: Sequence[tuple[int, int]], match: Match, ablation: "Probe", store: Store
) -> list[Transfer]:
    """The losses of T and D in a model without the sites of another, on the half of the groups not used to choose sites.

    `ways` are pairs of models: the one whose sites are taken, and the one in which they are knocked out. A pair has no
    losses if a model has no chosen sites, or if the sites of the two do not correspond.
    """
    exchanges = [exchange for way in ways if (exchange := _exchange(result, *way, match, ablation)) is not None]
    compute_first([exchange.request for exchange in exchanges if exchange.request.probes], store)
    return [transfer for exchange in exchanges for transfer in _transfers(result, exchange, store)]


@dataclass(frozen=True)
class _Exchange:
    """The sites of T and D that are knocked out in model `receiver`, of model `giver` and its own, and the readings."""

    giver: int
    receiver: int
    sites: tuple[tuple[ChosenSites, str], tuple[ChosenSites, str]]  # own and foreign ones, with their names in progress
    half: Bool[ndarray, " item"]  # the items that sites were chosen on
    groups: list[str]
    request: ReadingsRequest


def _exchange(result: ComparisonResult, giver: int, receiver: int, match: Match, ablation: "Probe") -> _Exchange | None:
    given, own = result.strengths[giver], result.strengths[receiver]
    source, target = result.probe_results[giver], result.probe_results[receiver]
    if given is None or own is None or source is None or target is None:
        return None
    reading = target.readings["ablation"][0]
    components = labels(reading.data, "component")
    foreign = carried(given.chosen, components, (n_layers(source), n_layers(target)), match)
    if foreign is None:
        return None
    sites = (
        (own.chosen if match == "name" else blocks_of(own.chosen, components), CHOSEN_SITES),
        (foreign, FOREIGN_SITES),
    )
    groups = groups_of(result.task, reading.data)
    half = first_half(groups, result.task.items)
    probes = [
        (called, ablation.knock_out([site_of(name) for name in names], groups=held_out(groups, half)))
        for chosen, called in sites
        for names in chosen
        if names
    ]
    known = tuple((called, probe) for called, probe in probes if probe is not None)
    request = ReadingsRequest(result.task, result.scores[receiver].source, result.settings, known)
    return _Exchange(giver, receiver, sites, half, groups, request)


def _transfers(result: ComparisonResult, exchange: _Exchange, store: Store) -> Iterator[Transfer]:
    """The losses of one exchange: for T, then for D."""
    readings = iter(exchange.request.compute(store))
    (own_sites, _), (foreign, _) = exchange.sites
    losses_without = [
        [
            _loss(next(readings), task, ~exchange.half) if names else np.zeros(int((~exchange.half).sum()))
            for task, names in enumerate(chosen)
        ]
        for chosen in (own_sites, foreign)
    ]
    kept = [group for group, is_in in zip(exchange.groups, exchange.half, strict=True) if not is_in]
    names = _label(result, exchange.giver), _label(result, exchange.receiver)
    for task, path in enumerate(PATHS):
        own_loss, loss = (of_sites[task] for of_sites in losses_without)
        change = changes(own_loss[None, None], loss[None, None], kept, counted=[False])[0]
        foreign_mean, own_mean = (mean_interval(values, kept) for values in (loss, own_loss))
        yield Transfer(path, *names, foreign[task], own_sites[task], foreign_mean, own_mean, change)


def _loss(reading: Reading, task: int, is_measured: Bool[ndarray, " item"]) -> Float[ndarray, " half"]:
    """The loss of T (`task` 0) or D per item when components are knocked out together."""
    return losses(pair_effects(reading)[0][:, is_measured])[task]


def _label(result: ComparisonResult, model: int) -> str:
    """The name of a model's side, with the seed if the side has several."""
    side = next(side for side in result.sides if model in side.members)
    return side.name if len(side.members) == 1 else f"{side.name} (seed {result.scores[model].source.seed})"
