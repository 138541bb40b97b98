"""Tables of attribution for the terminal, at most 100 columns wide: the top sites of each map, and what stands out."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from distractor.numbers import number, shortened, with_interval
from distractor.probing.cells import UNSIGNED, cell_name, kind_of, labels, map_names, maps_of, mean_of, varying
from distractor.probing.read_probes import ProbeResults
from distractor.probing.readings import Reading
from distractor.runs.tables import WIDTH, plain_table
from distractor.text.task import Condition

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

TOP = 8
"""How many sites, heads or stages a table shows."""


MAPS = 3
"""How many maps stand side by side."""


SINKS = ("bos", "slot")
"""Roles that attention goes to where it goes nowhere in particular."""


def tables(found: ProbeResults) -> Iterator[Group | Text]:
    """One table a reading, in the order of probes and models; one of random numbers only where nothing else was read."""
    yield _behaviour(found)
    for name, readings in found.readings.items():
        if name == "chance" and len(found.readings) > 1:
            continue
        for reading, cells in zip(readings, found.cells[name], strict=True):
            yield _table(found, name, reading, cells)
    if found.strengths:
        yield _strengths(found)
    for (name, model), why in found.refused.items():
        yield Text(f"{name} was left out for {model}: {why}")


def top(reading: Reading, cells: "Dataset", count: int = TOP) -> list[dict[str, str]]:
    """The names of the inner cells with the largest mean in any of the first maps, the largest first.

    Shares of attention count by how many items have the role, so that one that few have does not stand before the others.
    """
    maps = [one["mean"] for _, one in maps_of(cells)][:MAPS]
    size = np.max([np.abs(np.nan_to_num(one.values)) for one in maps], axis=0)
    if kind_of(reading.data) == "attention":
        share = share_of_items(reading)
        size = size * np.max([share.sel(names).values for names in map_names(share)[:MAPS]], axis=0)
        size[..., [role in SINKS for role in labels(cells, "role")]] = 0
    order = np.argsort(-size, axis=None, kind="stable")[:count]
    places = zip(*np.unravel_index(order, size.shape), strict=True)
    return [{str(d): labels(cells, str(d))[i] for d, i in zip(maps[0].dims, place, strict=True)} for place in places]


def share_of_items(reading: Reading) -> "DataArray":
    """The share of items that have each cell: a word of several tokens, or of few prompts, is missing in some items."""
    share: DataArray = reading.data.notnull().mean("item")
    return share


def _behaviour(found: ProbeResults) -> Group:
    table = plain_table("model", "parameters", "preference in conflict", "T, nats", "D, nats")
    for index, scores in enumerate(found.scores):
        means = (
            found.behaviour(index, "distractor_preference", Condition.CONFLICT),
            found.behaviour(index, "true_pull"),
            found.behaviour(index, "distractor_pull"),
        )
        shown = ["–" if mean is None else with_interval(*mean) for mean in means]
        table.add_row(shortened(scores.source.name, 30), f"{scores.source.n_params or 0:,}", *shown)
    counted = f"{int(found.complete.sum())} items in {found.n_groups} groups"
    title = f"{found.task.name}: {counted} (means; 95 % intervals over groups)"
    return Group(Text(title, style="bold"), table)


def _strengths(found: ProbeResults) -> Group:
    table = plain_table("model", "lost of T", "lost of D", "T-sites", "D-sites")
    for one in found.strengths:
        shown = [
            (names[0].removesuffix(".z") + (f" +{len(names) - 1}" if names[1:] else "")) if names else "–"
            for names in one.chosen
        ]
        lost = (with_interval(*one.mean(quantity)) for quantity in ("true", "distractor"))
        table.add_row(shortened(one.source.name, 19), *lost, *shown)
    title = "T-sites and D-sites, chosen on half of the groups, knocked out on the other: what is lost, in nats"
    return Group(Text(title, style="bold"), table, *map(Text, found.sentences()))


def _table(found: ProbeResults, name: str, reading: Reading, cells: "Dataset") -> Group:
    kind = kind_of(reading.data)
    title = Text(
        f"{name} in {reading.source.name}: {reading.data.attrs['quantity']} ({reading.data.attrs['unit']})",
        style="bold",
    )
    after: list[Text] = [Text(f"MIND: {warning}")] if (warning := reading.data.attrs.get("warning")) else []
    if kind == "lens":
        return Group(title, _lens(cells), Text(parting_sentence(found, reading)), *after)
    if kind == "decoding":
        return Group(title, _decoding(cells), *after)
    if "marked" in cells:
        count, size = int(cells["marked"].sum()), int(cells["mean"].count())
        if why := found.why_no_recovery(reading):
            after.insert(0, Text(f"No shares, and nothing stands out: {why}."))
        after.insert(0, Text(f"* stands out: {count} of {size} (5 % false, and at least 5 % of the gap in question)"))
    return Group(title, _sites(reading, cells), *after)


def _sites(reading: Reading, cells: "Dataset") -> Table:
    """The top sites with as many maps beside each other as fit, recovery right behind the map that it is of."""
    shown = top(reading, cells)
    maps = list(maps_of(cells))
    names = varying([told for told, _ in maps])
    columns: list[tuple[str, list[str]]] = []
    for told, one in maps:
        here = [one.sel(site) for site in shown]
        columns.append((", ".join(told[d] for d in names) or "mean", [_marked(cell) for cell in here]))
        if "recovery" in cells and told.get("direction") == "noising" and told.get("estimate") not in UNSIGNED:
            columns.append(("as a share", [_share(cell) for cell in here]))
    share_of_all = share_of_items(reading).sel(maps[0][0])
    shares = [float(share_of_all.sel(site)) for site in shown]
    sites = [
        cell_name(site) + (f", of {share:.0%} of items" if share < 1 else "")
        for site, share in zip(shown, shares, strict=True)
    ]
    room = WIDTH - max(map(len, sites)) - 2
    fit: list[tuple[str, list[str]]] = []
    for head, column in columns[: 2 * MAPS]:
        room -= max(map(len, [head, *column])) + 2
        if room >= -2:
            fit.append((head, column))
        else:
            break
    table = plain_table("site", *(head for head, _ in fit))
    for place, name in enumerate(sites):
        table.add_row(name, *(column[place] for _, column in fit))
    return table


def _marked(cell: "Dataset") -> str:
    mark = "" if "marked" not in cell else "*" if cell["marked"] else " "
    return "–" if np.isnan(cell["mean"]) else with_interval(*mean_of(cell)) + mark


def _share(cell: "Dataset") -> str:
    share = [float(cell[name]) for name in ("recovery", "recovery_low", "recovery_high")]
    return "–" if np.isnan(share[0]) else with_interval(*share)


def _lens(cells: "Dataset") -> Table:
    gap = cells.sel(quantity="logit_gap")
    shown = [c for c in ("conflict", "congruent", "distractor_swapped") if c in labels(gap, "condition")]
    table = plain_table("stage", *(f"gap, {condition}" for condition in shown))
    for stage in _thinned(labels(gap, "stage")):
        table.add_row(
            stage, *(with_interval(*mean_of(gap.sel(stage=stage, condition=condition))) for condition in shown)
        )
    return table


def parting_sentence(found: ProbeResults, reading: Reading) -> str:
    """Where conflict and congruent part, in words."""
    where, stages = found.divergence(reading), labels(reading.data, "stage")
    if where is None:
        return "Where conflict and congruent part is not defined: there are no congruent prompts, or too few groups."
    told = with_interval(*where.difference)
    if where.stage is None or where.low is None or where.high is None:
        return f"Conflict and congruent do not part: their gaps differ by {told} nats at the end."
    return (
        f"Conflict and congruent part at {stages[where.stage]} [{stages[where.low]} to {stages[where.high]}]: from "
        f"there on their gaps differ by half of the final {told} nats or more."
    )


def _decoding(cells: "Dataset") -> Table:
    """Each label where the model's stream gives it best, beside the controls there."""
    controls, stages = labels(cells, "control"), labels(cells, "stage")
    pooled = cells["mean"].mean("condition", skipna=False).transpose("label", "control", "stage").values
    table = plain_table("read off", "best at", *(control.replace("_", " ") for control in controls))
    for place, label in enumerate(labels(cells, "label")):
        best = int(pooled[place, controls.index("model")].argmax())
        table.add_row(label, stages[best], *map(number, pooled[place, :, best]))
    return table


def _thinned(names: Sequence[str]) -> list[str]:
    """At most so many names, evenly spread, the last among them."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), TOP + 1)).round().astype(int))
    return [names[place] for place in chosen]
