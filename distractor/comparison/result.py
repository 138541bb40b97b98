"""The result of a comparison: behaviour of each side, and the differences of each pair of sides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.comparison.map_changes import MapChange
from distractor.comparison.matching import Match
from distractor.comparison.sides import Side, model_key
from distractor.comparison.steps import PATHS, TrainingCurves
from distractor.models.same_weights import owner
from distractor.probing.cells import labels
from distractor.probing.probe_results import ProbeResults
from distractor.probing.screening import Screening
from distractor.probing.strengths import Strength, first_half
from distractor.published.curves import Published
from distractor.published.placement import References, beside
from distractor.scoring.behaviour import PER_CONDITION, PULLS, TaskScores, quantity_limits
from distractor.statistics.changes import Change, halves_differ
from distractor.statistics.intervals import Mean, mean_interval
from distractor.text.task import Condition

QuantityKey = tuple[str, Condition | None]  # a quantity and its condition; None for the pulls
PRIMARY: QuantityKey = ("distractor_preference", Condition.CONFLICT)


class SwitchedItem(NamedTuple):
    """An item whose preferred answer in `conflict` differs between two sides: its mean gap over seeds on each, in nats."""

    item: int
    first: float
    second: float


@dataclass(frozen=True)
class Transfer:
    """The loss of T or D, in nats, when sites chosen in one model are knocked out in another.

    `own` is the loss with the other model's own sites, and `change` is `foreign` minus `own`. With depth matching, both
    site sets are whole blocks: all heads of a layer, or its MLP.
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
        """The loss with foreign sites as a share of the loss with own sites; None if the latter may be 0."""
        return self.foreign.mean / self.own.mean if self.own.low > 0 else None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sides compared: behaviour (`rows`), strength of both tasks' sites (`paths`), and items that switched answers.

    `match` says how sites correspond; None if no sites were read. `same_weights` are the attention and MLPs whose weights
    are equal in all models compared site by site (`same_weights`). `maps` holds the maps of each probe for each pair of
    models whose sites correspond by name. `further` are readings with other kinds of replacement value, made if no changed
    site is edited. `depths` holds rank correlations over relative depth. `no_transfer` gives the reason if no sites were
    transferred. `p_over_tasks` is the p of the primary row, adjusted over tasks (Holm).
    """

    first: int
    second: int
    rows: Mapping[QuantityKey, Change]
    paths: Mapping[str, Change]
    switched: tuple[SwitchedItem, ...]
    match: Match | None = None
    same_weights: frozenset[str] = frozenset()
    maps: Mapping[tuple[str, int, int], tuple[MapChange, ...]] = field(default_factory=dict)
    depths: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    further: tuple[ProbeResults, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    no_transfer: str | None = None
    p_over_tasks: float | None = None

    @property
    def changed_most(self) -> tuple[str, MapChange, int] | None:
        """The changed site with the largest difference: its probe, map and position; None if no site changed.

        Sites are compared in nats of T or D: an exchange of activations changes the gap by twice as much as a knock-out.
        The effect of a site may change because another site was edited, so edited sites come first. Of differences that
        are equal within 1 %, the first probe's is taken.
        """
        ranked = self.edited_changes or self.changes
        sizes = [abs(float(change.mean[i])) / (2 if "pair" in change.outer else 1) for _, change, i in ranked]
        return next((one for one, size in zip(ranked, sizes, strict=True) if size >= 0.99 * max(sizes)), None)

    @cached_property
    def changes(self) -> tuple[tuple[str, MapChange, int], ...]:
        """Every changed site: its probe, map and position in the map."""
        return tuple(
            (probe, change, int(i))
            for (probe, _, _), maps in self.maps.items()
            for change in maps
            for i in np.flatnonzero(change.is_marked)
        )

    @property
    def edited_changes(self) -> tuple[tuple[str, MapChange, int], ...]:
        """The changes of edited sites."""
        return tuple(one for one in self.changes if one[1].sites[one[2]] in self.edited)

    @cached_property
    def edited(self) -> frozenset[str]:
        """The heads and MLPs whose weights differ; empty if all weights differ, because then any may be the cause."""
        sites = {site for maps in self.maps.values() for change in maps for site in change.sites}
        return frozenset(site for site in sites if self.same_weights and owner(site) not in {"", *self.same_weights})

    def has_same_weights(self, site: str) -> bool:
        """Whether the attention or MLP that computes a site has the same weights in both sides."""
        return owner(site) in self.same_weights

    @property
    def maps_by_probe(self) -> dict[str, tuple[MapChange, ...]]:
        """The maps of each probe, of the first two models that have any."""
        maps: dict[str, tuple[MapChange, ...]] = {}
        for (probe, _, _), changes in self.maps.items():
            if changes:
                maps.setdefault(probe, changes)
        return maps


@dataclass(frozen=True, eq=False)
class ComparisonResult(TaskScores):
    """The comparison on one task. `scores`, `probe_results` and `strengths` list the models in the given order.

    `probe_results` is None for a model whose sites could not be read; `refused` gives the reasons.
    `published` are curves of other models over steps.
    """

    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...] = ()
    training: tuple[TrainingCurves, ...] = ()
    probe_results: tuple[ProbeResults | None, ...] = ()
    strengths: tuple[Strength | None, ...] = ()
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    screened: Mapping[tuple[int, str], Screening] = field(default_factory=dict)
    published: tuple[Published, ...] = ()

    @cached_property
    def rows(self) -> tuple[QuantityKey, ...]:
        """The quantities of behaviour that are compared: those defined in every model."""
        rows: list[QuantityKey] = [
            (name, condition) for name in PER_CONDITION[:3] for condition in self.task.conditions
        ]
        rows += [(name, None) for name in PULLS]
        return tuple(row for row in rows if self._is_defined(row))

    @property
    def references(self) -> References:
        """The published curves beside accuracy in `conflict` along training; none without a model along training."""
        curves = self.published if self.training else ()
        return beside(self.task, int(self.complete.sum()), curves, "step")

    @property
    def are_seeds(self) -> bool:
        """Whether the sides are seeds of one model at one step."""
        return len({(model_key(s.source), s.source.step) for s in self.scores}) == 1 and len(self.sides) > 1

    def row_values(self, model: int, row: QuantityKey) -> Float[ndarray, " item"]:
        """A model's value of each complete item; NaN for other items."""
        return np.where(self.complete, self.item_values(model, *row), np.nan)

    def side_values(self, side: int, row: QuantityKey) -> Float[ndarray, "seed item"]:
        """A side's value of each item, one row per seed."""
        return np.array([self.row_values(model, row) for model in self.sides[side].members])

    def level(self, side: int, row: QuantityKey) -> Mean:
        """A side's mean over seeds and items, with its 95 % interval over item groups."""
        return mean_interval(self.side_values(side, row).mean(0), self.group_numbers, limits=quantity_limits(row[0]))

    def path_strength(self, model: int, path: str) -> Float[ndarray, " item"]:
        """A model's loss of T or D without the sites of that task; NaN for items on which the sites were chosen."""
        strength, probe_results = self.strengths[model], self.probe_results[model]
        values = np.full(len(self.task.items), np.nan)
        if strength is not None and probe_results is not None:
            names = labels(next(iter(probe_results.readings.values()))[0].data, "item")
            position = {item.id: i for i, item in enumerate(self.task.items)}
            items = np.array([position[name] for name in names])
            is_measured = ~first_half([self.groups[i] for i in items], self.task.items)
            values[items[is_measured]] = strength.true if path == PATHS[0] else strength.distractor
        return values

    @cached_property
    def halves(self) -> tuple[float | None, ...]:
        """Null check: for each side, how often random halves of its items count as different; nominal 5 %."""
        tables = [
            np.array([self.side_values(side, row).mean(0) for row in self.rows]) for side in range(len(self.sides))
        ]
        return tuple(halves_differ(table, self.groups) for table in tables)

    def _is_defined(self, row: QuantityKey) -> bool:
        values = np.array([self.row_values(model, row) for model in range(len(self.scores))])
        used = ~np.isnan(values).any(0)
        has_two_groups = len({self.groups[item] for item in np.flatnonzero(used)}) >= 2
        return has_two_groups and (row[1] is Condition.DISTRACTOR_SWAPPED or bool(used[self.complete].all()))
