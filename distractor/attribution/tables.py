"""Tables of attribution for the terminal, at most 100 columns wide: the top sites of each map, and what stands out."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from distractor.numbers import number, shortened, with_interval
from distractor.probing.cells import UNSIGNED, CellMeans, cell_name, kind_of, varying
from distractor.probing.read_probes import ProbeResults
from distractor.probing.readings import Reading
from distractor.runs.tables import WIDTH, plain_table
from distractor.text.task import Condition

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


def top(reading: Reading, cells: CellMeans, count: int = TOP) -> list[dict[str, str]]:
    """The names of the inner cells with the largest mean in any of the first maps, the largest first.

    Shares of attention count by how many items have the role, so that one that few have does not stand before the others.
    """
    maps = [one for _, one in cells.maps()][:MAPS]
    inner = list(maps[0].dims)
    size = np.nanmax(np.abs([np.nan_to_num(one.mean) for one in maps]), axis=0)
    if kind_of(reading) == "attention":
        size = size * np.max([one.mean for _, one in posed(reading).maps()][:MAPS], axis=0)
        size[..., [role in SINKS for role in maps[0].dims["role"]]] = 0
    order = np.argsort(-size, axis=None, kind="stable")[:count]
    places = zip(*np.unravel_index(order, size.shape), strict=True)
    return [{d: maps[0].dims[d][i] for d, i in zip(inner, place, strict=True)} for place in places]


def posed(reading: Reading) -> CellMeans:
    """Which share of the items has each cell: of a word of several tokens, or one that few prompts hold, not all have it."""
    share = np.isfinite(reading.values).mean(list(reading.dims).index("item"))
    return CellMeans({d: names for d, names in reading.dims.items() if d != "item"}, share, share, share)


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


def _table(found: ProbeResults, name: str, reading: Reading, cells: CellMeans) -> Group:
    kind = kind_of(reading)
    title = Text(
        f"{name} in {reading.source.name}: {reading.about['quantity']} ({reading.about['unit']})", style="bold"
    )
    after: list[Text] = [Text(f"MIND: {reading.about['warning']}")] if reading.about.get("warning") else []
    if kind == "lens":
        return Group(title, _lens(cells), Text(parting_sentence(found, reading)), *after)
    if kind == "decoding":
        return Group(title, _decoding(cells), *after)
    if cells.marked is not None:
        count, size = int(cells.marked.sum()), int((~np.isnan(cells.mean)).sum())
        if why := found.why_no_recovery(reading):
            after.insert(0, Text(f"No shares, and nothing stands out: {why}."))
        after.insert(0, Text(f"* stands out: {count} of {size} (5 % false, and at least 5 % of the gap in question)"))
    return Group(title, _sites(reading, cells), *after)


def _sites(reading: Reading, cells: CellMeans) -> Table:
    """The top sites with as many maps beside each other as fit, recovery right behind the map that it is of."""
    shown = top(reading, cells)
    maps = list(cells.maps())
    names = varying([told for told, _ in maps])
    columns: list[tuple[str, list[str]]] = []
    for told, one in maps:
        here = [one.at(**names_of_site) for names_of_site in shown]
        columns.append((", ".join(told[d] for d in names) or "mean", [_marked(cell) for cell in here]))
        if cells.recovery is not None and told.get("direction") == "noising" and told.get("estimate") not in UNSIGNED:
            columns.append(("as a share", [_share(cell) for cell in here]))
    (_, has), *_ = posed(reading).maps()
    shares = [float(has.at(**names_of_site).mean) for names_of_site in shown]
    sites = [
        cell_name(names_of_site) + (f", of {share:.0%} of items" if share < 1 else "")
        for names_of_site, share in zip(shown, shares, strict=True)
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


def _marked(cell: CellMeans) -> str:
    mark = "" if cell.marked is None else "*" if cell.marked else " "
    return "–" if np.isnan(cell.mean) else with_interval(*cell.one()) + mark


def _share(cell: CellMeans) -> str:
    if cell.recovery is None or cell.recovery_low is None or cell.recovery_high is None or np.isnan(cell.recovery):
        return "–"
    return with_interval(float(cell.recovery), float(cell.recovery_low), float(cell.recovery_high))


def _lens(cells: CellMeans) -> Table:
    gap = cells.at(quantity="logit_gap")
    shown = [c for c in ("conflict", "congruent", "distractor_swapped") if c in gap.dims["condition"]]
    table = plain_table("stage", *(f"gap, {condition}" for condition in shown))
    for stage in _thinned(gap.dims["stage"]):
        table.add_row(stage, *(with_interval(*gap.at(stage=stage, condition=condition).one()) for condition in shown))
    return table


def parting_sentence(found: ProbeResults, reading: Reading) -> str:
    """Where conflict and congruent part, in words."""
    where, stages = found.divergence(reading), reading.dims["stage"]
    if where is None:
        return "Where conflict and congruent part is not defined: there are no congruent prompts, or too few groups."
    told = with_interval(*where.difference)
    if where.stage is None or where.low is None or where.high is None:
        return f"Conflict and congruent do not part: their gaps differ by {told} nats at the end."
    return (
        f"Conflict and congruent part at {stages[where.stage]} [{stages[where.low]} to {stages[where.high]}]: from "
        f"there on their gaps differ by half of the final {told} nats or more."
    )


def _decoding(cells: CellMeans) -> Table:
    """Each label where the model's stream gives it best, beside the controls there."""
    controls = cells.dims["control"]
    pooled = cells.mean.mean(list(cells.dims).index("condition"))
    table = plain_table("read off", "best at", *(control.replace("_", " ") for control in controls))
    for place, label in enumerate(cells.dims["label"]):
        best = int(pooled[place, controls.index("model")].argmax())
        table.add_row(label, cells.dims["stage"][best], *map(number, pooled[place, :, best]))
    return table


def _thinned(names: Sequence[str]) -> list[str]:
    """At most so many names, evenly spread, the last among them."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), TOP + 1)).round().astype(int))
    return [names[place] for place in chosen]
