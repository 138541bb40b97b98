"""Means and tests of a reading's cells: one map at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from distractor.probing.readings import Reading
from distractor.scoring.behaviour import quantity_limits
from distractor.statistics.groups import Mean, mean_intervals, number_groups
from distractor.text.task import Task


def cell_name(names: dict[str, str]) -> str:
    """How a cell is called: `L1H0.z`, `L1H0.pattern at cue`, `L1.resid_post at subject`."""
    where = names["component"] if "component" in names else f"L{names['layer']}.{names.get('part', '')}".rstrip(".")
    return f"{where} at {names['role']}" if "role" in names else where


MapKind = Literal["lens", "decoding", "attention", "components", "positions", "sources", "other"]
"""What a reading is a map of, told by its dims: see `kind_of`."""


EFFECTS: tuple[MapKind, ...] = ("components", "positions", "sources")
"""Maps of effects or contributions in nats, whose cells can be tested against 0."""


@dataclass(frozen=True, eq=False)
class CellMeans:
    """The means over items of a reading's cells, with 95 % intervals over item groups; NaN where a cell has no items.

    `dims` are the reading's without `item`. For effects, `p` are sign-flip p-values over groups and `marked` the cells
    that stand out: Benjamini and Hochberg's procedure at 5 % over one map, and at least 5 % of the gap in question.
    A map is everything with the same outer names (pair, direction, condition, …). Where sites were exchanged between two
    conditions, `recovery` is the effect as a share of the difference of their gaps; NaN where there is none to speak of.
    """

    dims: Mapping[str, Sequence[str]]
    mean: Float[ndarray, "..."]
    low: Float[ndarray, "..."]
    high: Float[ndarray, "..."]
    p: Float[ndarray, "..."] | None = None
    marked: Bool[ndarray, "..."] | None = None
    recovery: Float[ndarray, "..."] | None = None
    recovery_low: Float[ndarray, "..."] | None = None
    recovery_high: Float[ndarray, "..."] | None = None

    def at(self, **names: str) -> "CellMeans":
        """The cells at one name of some dims."""
        place = tuple(self.dims[d].index(names[d]) if d in names else slice(None) for d in self.dims)
        dims = {d: labels for d, labels in self.dims.items() if d not in names}
        parts: dict[str, Any] = {n: None if (v := getattr(self, n)) is None else np.asarray(v[place]) for n in TABLES}
        return CellMeans(dims, **parts)

    def order(self, *first: str) -> "CellMeans":
        """The same cells with these dims first."""
        names = [*first, *(d for d in self.dims if d not in first)]
        axes = [list(self.dims).index(d) for d in names]
        parts: dict[str, Any] = {n: None if (v := getattr(self, n)) is None else v.transpose(axes) for n in TABLES}
        return CellMeans({d: self.dims[d] for d in names}, **parts)

    def one(self, *place: int) -> Mean:
        """A cell's mean with its interval."""
        return Mean(float(self.mean[place]), float(self.low[place]), float(self.high[place]))

    def maps(self) -> "Iterator[tuple[dict[str, str], CellMeans]]":
        """The maps that the cells make up, each with the outer names that it stands for."""
        outer = [d for d in self.dims if d not in INNER]
        for names in product(*(self.dims[d] for d in outer)):
            told = dict(zip(outer, names, strict=True))
            yield told, self.at(**told)


OWN_MAP = ("pattern", "q", "k", "v")


UNSIGNED = ("grad_drop",)
"""Estimates whose values are sizes: they have no sign to flip."""


PATHS = 3
"""Of compensation: total, direct and later."""


def varying(maps: Sequence[Mapping[str, str]]) -> list[str]:
    """The outer dims by which maps differ: what each has to be called by, where all are shown together."""
    return [d for d in maps[0] if len({told[d] for told in maps}) > 1] if maps else []


TABLES = ("mean", "low", "high", "p", "marked", "recovery", "recovery_low", "recovery_high")


INNER = ("component", "part", "layer", "role", "stage")
"""Dims within a map; all others tell maps apart."""


def kind_of(reading: Reading) -> MapKind:
    """What a reading is a map of."""
    dims, is_nats = set(reading.dims), reading.about.get("unit") == "nats"
    if {"quantity", "stage"} <= dims:
        return "lens"
    if {"label", "control", "stage"} <= dims:
        return "decoding"
    if {"component", "role"} <= dims:
        return "sources" if is_nats else "attention"
    if {"layer", "role"} <= dims:
        return "positions" if is_nats else "other"
    return "components" if "component" in dims and is_nats else "other"


def map_families(dims: Mapping[str, Sequence[str]]) -> list[dict[str, Sequence[str]]]:
    """The names of each family of cells that are tested together: what is drawn as one map.

    Heads' outputs and MLPs are one; patterns, queries, keys and values, and the parts of the residual stream, one each.
    """
    if "part" in dims:
        return [{"part": [part]} for part in dims["part"]]
    parts: dict[str, list[str]] = {}
    for name in dims.get("component", ()):
        part = name.rpartition(".")[2]
        parts.setdefault(part if part in OWN_MAP else "", []).append(name)
    return [{"component": names} for names in parts.values()] or [{}]


def places_of(names: Sequence[str], wanted: Sequence[str] | str | None) -> Int[ndarray, " place"]:
    """Where some names stand among all; all of them if None are wanted."""
    if wanted is None:
        return np.arange(len(names))
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[name] for name in ([wanted] if isinstance(wanted, str) else wanted)])


def without_far_paths(reading: Reading) -> Reading:
    """Of effects by path, the whole, the direct one, and all later layers together: single later components stay on disk."""
    paths = list(reading.dims.get("path", ()))
    if len(paths) <= PATHS:
        return reading
    kept = np.take(reading.values, range(PATHS), axis=list(reading.dims).index("path"))
    return replace(reading, values=kept, dims={**reading.dims, "path": paths[:PATHS]})


def groups_of(task: Task, reading: Reading) -> Int[ndarray, " item"]:
    """The number of the group of each of a reading's items."""
    group_of = {item.id: item.group for item in task.items}
    return number_groups([group_of[name] for name in reading.dims["item"]])


def means_of(task: Task, reading: Reading) -> CellMeans:
    """The mean of each cell over the items that it has, with its interval."""
    axis = list(reading.dims).index("item")
    dims = {d: list(names) for d, names in reading.dims.items() if d != "item"}
    rows = np.moveaxis(reading.values, axis, -1).reshape(-1, reading.values.shape[axis])
    groups = groups_of(task, reading)
    is_share = np.full(len(rows), kind_of(reading) in ("attention", "decoding"))
    if kind_of(reading) == "lens":
        quantity = np.indices([len(names) for names in dims.values()])[list(dims).index("quantity")].ravel()
        is_share = np.array([quantity_limits(name) is not None for name in dims["quantity"]])[quantity]
    found = np.full((3, len(rows)), np.nan)
    for chosen, limits in ((~is_share, None), (is_share, (0.0, 1.0))):
        found[:, chosen] = mean_intervals(rows[chosen], groups, limits=limits)
    mean, low, high = found.reshape(3, *(len(names) for names in dims.values()))
    return CellMeans(dims, mean, low, high)
