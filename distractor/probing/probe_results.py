"""Results of several probes in several models: readings, with the means and tests of their cells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

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
from distractor.probing.readings import Reading
from distractor.probing.strengths import PAIR, Strength
from distractor.scoring import quantities
from distractor.scoring.behaviour import TaskScores, quantity_limits
from distractor.statistics.effects import judge, why_no_recovery
from distractor.statistics.intervals import Mean, known_mean_interval
from distractor.text.task import Condition

if TYPE_CHECKING:
    from xarray import Dataset

EFFECT_TABLES = ("mean", "low", "high", "p", "recovery", "recovery_low", "recovery_high")


@dataclass(frozen=True, eq=False)
class ProbeResults(TaskScores):
    """The readings of each probe, by its name: one for each model that supports it, the smallest model first.

    `scores` is the models' behaviour, in the same order. `refused` says why a (probe, model) has no reading.
    `strengths` holds the strength of each model's sites, if they were measured.
    """

    readings: Mapping[str, tuple[Reading, ...]]
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    strengths: tuple[Strength, ...] = ()

    @cached_property
    def cells(self) -> "dict[str, tuple[Dataset, ...]]":
        """The means over items of every reading."""
        return {name: tuple(map(self.cells_of, readings)) for name, readings in self.readings.items()}

    def behaviour(self, index: int, quantity: str, condition: Condition | None = None) -> Mean | None:
        """A model's mean behaviour with its interval; None if the quantity is not defined."""
        row = np.where(self.complete, self.item_values(index, quantity, condition), np.nan)
        return known_mean_interval(row, self.groups, limits=quantity_limits(quantity))

    def summary_means(self, index: int) -> dict[tuple[str, Condition | None], Mean | None]:
        """A model's distractor preference in `conflict` and its two pulls."""
        rows = [("distractor_preference", Condition.CONFLICT), ("true_pull", None), ("distractor_pull", None)]
        return {row: self.behaviour(index, *row) for row in rows}

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

        For activation patching it is the difference of the two conditions' gaps. Otherwise it is the larger of 2T and
        2D, because T alone is near 0 at the peak. These are the difference and the sum of the gaps in conflict and
        congruent.
        """
        if "pair_gap" in reading.data.coords:
            pair_gap: ndarray = reading.data["pair_gap"].values
            return -pair_gap if names.get("direction") == "denoising" else pair_gap
        position = {item.id: i for i, item in enumerate(self.task.items)}
        scores = next(scores for scores in self.scores if scores.source.name == reading.source.name)
        items = [position[name] for name in labels(reading.data, "item")]
        gap = {
            c: quantities.logit_gap(scores.log_probs[self.task.conditions.index(c)])[items]
            for c in PAIR
            if c in self.task.conditions
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
