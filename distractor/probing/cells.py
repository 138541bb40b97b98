"""Means over items of a reading's cells, and the maps that cells form."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from distractor.scoring.behaviour import quantity_limits
from distractor.statistics.intervals import Mean, mean_intervals
from distractor.text.task import Task

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MapKind = Literal[
    "lens", "decoding", "attention", "components", "positions", "sources", "exchanges", "factors", "other"
]
"""The kind of map that a reading's dims and unit make: see `kind_of`."""

EFFECTS: tuple[MapKind, ...] = ("components", "positions", "sources")
"""Maps of effects or contributions in nats, whose cells can be tested against 0."""

OWN_MAP = ("pattern", "q", "k", "v")  # parts of heads that are tested and drawn as a separate map
UNSIGNED = ("grad_drop",)  # estimates without a sign, which sign flips cannot test

PATHS = ("total", "direct", "later")
"""The paths of `compensation` that are shown; effects through single later components are only stored."""

CHANGE = "change of the logit gap"
"""The quantity of readings whose values are changes of the gap when sites are replaced."""

INNER = ("component", "part", "layer", "role", "stage")  # dims within a map; all other dims distinguish maps


def labels(data: "DataArray | Dataset", dim: str) -> list[str]:
    """The labels along a dim, as strings; empty if there is no such dim."""
    return [str(label) for label in data[dim].values] if dim in data.dims else []


def cell_name(names: Mapping[str, str]) -> str:
    """The name of a cell: `L1H0.z`, `L1H0.pattern at cue`, `L1.resid_post at subject`."""
    where = names["component"] if "component" in names else f"L{names['layer']}.{names.get('part', '')}".rstrip(".")
    return f"{where} at {names['role']}" if "role" in names else where


def kind_of(data: "DataArray") -> MapKind:
    """The kind of map that a reading makes."""
    dims, is_nats = set(data.dims), data.attrs.get("unit") == "nats"
    if {"quantity", "stage"} <= dims:
        return "lens"
    if {"label", "control", "stage"} <= dims:
        return "decoding"
    if "exchange" in dims:
        return "exchanges"
    if "factor" in dims:
        return "factors"
    if {"component", "role"} <= dims:
        return "sources" if is_nats else "attention"
    if {"layer", "role"} <= dims:
        return "positions" if is_nats else "other"
    return "components" if "component" in dims and is_nats else "other"


def map_names(data: "DataArray | Dataset") -> list[dict[str, str]]:
    """The outer labels (pair, direction, condition, …) of each map in a reading or its cell means."""
    dims = data["mean"].dims if "mean" in data else data.dims
    outer = [str(d) for d in dims if d not in INNER and d != "item"]
    return [dict(zip(outer, names, strict=True)) for names in product(*(labels(data, d) for d in outer))]


def maps_of(cells: "Dataset") -> "Iterator[tuple[dict[str, str], Dataset]]":
    """Each map of cell means with its outer labels."""
    for names in map_names(cells):
        yield names, cells.sel(names)


def map_families(data: "DataArray | Dataset") -> list[dict[str, list[str]]]:
    """The labels of each family of cells that are tested together and drawn as one map.

    Outputs of heads and MLPs are one family. Patterns, queries, keys and values, and the parts of the residual stream, are
    one family each.
    """
    if "part" in data.dims:
        return [{"part": [part]} for part in labels(data, "part")]
    parts: dict[str, list[str]] = {}
    for name in labels(data, "component"):
        part = name.rpartition(".")[2]
        parts.setdefault(part if part in OWN_MAP else "", []).append(name)
    return [{"component": names} for names in parts.values()] or [{}]


def varying(maps: Sequence[Mapping[str, str]]) -> list[str]:
    """The outer dims by which maps differ; a map's title shows their labels."""
    return [d for d in maps[0] if len({names[d] for names in maps}) > 1] if maps else []


def supported(data: "DataArray", names: Mapping[str, str]) -> int:
    """The answer that a positive value in the map called `names` supports: 1 for the true answer, -1 for the distractor's.

    If the gap changes upwards when a site's own activation is replaced (ablation, noising), the site supports the
    distractor's answer. Denoising puts the activation of `conflict` in, and a contribution is the site's own.
    """
    is_replaced = data.attrs.get("quantity") == CHANGE and names.get("direction") != "denoising"
    return -1 if is_replaced else 1


def without_far_paths(data: "DataArray") -> "DataArray":
    """Return a reading without the effects through single later components."""
    return data.sel(path=list(PATHS)) if len(labels(data, "path")) > len(PATHS) else data


def mean_of(cell: "Dataset") -> Mean:
    """The mean of a single cell with its interval."""
    return Mean(*(float(cell[name]) for name in Mean._fields))


def empty_cells(data: "DataArray") -> "DataArray":
    """NaN for each cell of a reading, with the labels of its dims."""
    import xarray as xr

    return xr.full_like(data.isel(item=0, drop=True).reset_coords(drop=True), np.nan, dtype=float)


def groups_of(task: Task, data: "DataArray") -> list[str]:
    """The group of each of a reading's items."""
    return groups_of_items(task, labels(data, "item"))


def groups_of_items(task: Task, ids: Iterable[str]) -> list[str]:
    """The group of each item by its id."""
    group_of = {item.id: item.group for item in task.items}
    return [group_of[name] for name in ids]


def whole_shares(data: "DataArray") -> "DataArray":
    """Shares by role in which a role that an item lacks counts 0, so that means over items sum to 1 over roles.

    A role that no item has stays NaN.
    """
    is_known = data.notnull()
    return data.where(is_known | ~is_known.any("role"), 0.0).where(is_known.any("item"))


def means_of(task: Task, data: "DataArray") -> "Dataset":
    """As `means_over`, over the items of a task."""
    return means_over(groups_of(task, data), data)


def means_over(groups: Sequence[str], data: "DataArray") -> "Dataset":
    """The `mean` of each cell over the items that have it, with its 95 % interval `low` to `high` over item groups.

    Attention is a mean over all items: see `whole_shares`.
    """
    from xarray import DataArray, Dataset

    data = whole_shares(data) if kind_of(data) == "attention" else data
    values, empty = data.transpose(..., "item").values, empty_cells(data)
    is_share = np.full(empty.shape, kind_of(data) in ("attention", "decoding"))
    if kind_of(data) == "lens":
        limited = DataArray([quantity_limits(name) is not None for name in labels(data, "quantity")], dims="quantity")
        is_share = limited.broadcast_like(empty).transpose(*empty.dims).values
    means = np.full((3, *empty.shape), np.nan)
    for chosen, limits in ((~is_share, None), (is_share, (0.0, 1.0))):
        means[:, chosen] = mean_intervals(values[chosen], groups, limits=limits)
    return Dataset({name: empty.copy(data=table) for name, table in zip(Mean._fields, means, strict=True)})
