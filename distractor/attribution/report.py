"""What attribution found, as it is kept and passed on: readings, figures and summary in the folder of a run."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from distractor.attribution.tables import parting_sentence, top
from distractor.errors import ModelError
from distractor.models.heads import head_names
from distractor.models.source import Source
from distractor.numbers import finite_or_none
from distractor.probing.cells import kind_of, labels
from distractor.probing.read_probes import ProbeResults
from distractor.probing.readings import Reading
from distractor.probing.strengths import Strength
from distractor.runs.folder import RunFolder, file_name
from distractor.runs.manifest import run_manifest
from distractor.scoring.behaviour import model_at_several_steps
from distractor.scoring.settings import Settings
from distractor.statistics.peak import peak
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import Dataset

    from distractor.probing.probe import Probe


PICTURED = 3
"""Up to how many models each have figures of their own; of more, the one at the peak of preference and the largest."""


def manifest(
    task: Task,
    sources: Sequence[Source],
    settings: Settings,
    probes: "Mapping[str, Probe]",
    command: Sequence[str],
    *,
    item: str | None = None,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """What was run, on what, with what: known before anything is computed.

    Raises:
        ModelError: a model that will be drawn has no such head; of many models, none has.

    """
    refuse_absent(heads, sources)
    told = {name: repr(probe) for name, probe in probes.items()}
    drawn = {"item": item, "heads": list(heads)}
    return {**run_manifest(task, sources, settings, None, command), "job": "attribute", "probe": told, **drawn}


def write(
    folder: RunFolder, found: ProbeResults, *, item: str | None = None, heads: Sequence[str] = ()
) -> dict[str, Any]:
    """Write readings, figures and summary, each whole or not at all; gives the summary.

    `item` is drawn by itself; of `heads` (`L1H0`), where they look.

    Raises:
        ModelError: a model has no such head.
        TaskError: the item was not read.

    """
    drawn = figures(found, item=item, heads=heads)
    for name, readings in found.readings.items():
        for reading in readings:
            folder.write_reading(file_name(name, reading.source.name), reading.table)
    folder.write_figures(drawn)
    told = summary(found)
    folder.write_summary(told)
    return told


def figures(found: ProbeResults, *, item: str | None = None, heads: Sequence[str] = ()) -> "dict[str, Figure]":
    """Every figure by its file's name."""
    from distractor.attribution import figures as maps

    draw = {
        "lens": maps.lens,
        "components": maps.components,
        "positions": maps.positions,
        "sources": maps.sources,
        "decoding": maps.decoding,
    }
    shown = pictured(found)
    drawn: dict[str, Figure] = {}
    for name, readings in found.readings.items():
        for reading, cells in zip(readings, found.cells[name], strict=True):
            kind, file = kind_of(reading.data), file_name(name, reading.source.name)
            if reading.source.name not in shown:
                continue
            if kind in draw:
                drawn[file] = draw[kind](found, reading, cells)
            if kind == "attention" and "token" in reading.data.coords:
                chosen = _existing(reading, heads) or heads_of_interest(found, reading, maps.HEADS)
                drawn[file] = maps.attention(found, reading, cells, chosen)
            if name == "direct_attribution":
                drawn[file_name("waterfall", reading.source.name)] = maps.waterfall(found, reading, cells)
                if item is not None:
                    one = maps.waterfall(found, reading, cells, item)
                    drawn[file_name("waterfall-of-one-item", reading.source.name)] = one
    is_over_size = model_at_several_steps([one.source for one in found.scores]) is None
    if found.strengths and len(found.strengths) == len(found.scores) and is_over_size:
        drawn["across"] = maps.across(found)
    return drawn


def pictured(found: ProbeResults) -> list[str]:
    """The models that have figures of their own."""
    names = [scores.source.name for scores in found.scores]
    if len(names) <= PICTURED:
        return names
    preferred = [found.behaviour(i, "distractor_preference", Condition.CONFLICT) for i in range(len(names))]
    at = peak(np.array([mean.mean if mean else 0.0 for mean in preferred]))
    return list(dict.fromkeys([names[at], names[-1]]))


def heads_of_interest(found: ProbeResults, reading: Reading, count: int) -> list[str]:
    """The heads (`L0H1`) that matter most in a model: by knock-out, else by direct attribution, else by where they look."""
    for name in ("ablation", "direct_attribution"):
        for other, cells in zip(found.readings.get(name, ()), found.cells.get(name, ()), strict=True):
            if other.source.name == reading.source.name:
                rest = [d for d in cells.dims if d != "component"]
                order = cells["component"].values[np.argsort(-abs(cells["mean"]).max(rest).values, kind="stable")]
                return [str(name).removesuffix(".z") for name in order if name.endswith(".z")][:count]
    place = found.readings["attention"].index(reading)
    ranked = top(reading, found.cells["attention"][place], 10 * count)
    return list(dict.fromkeys(names["component"].removesuffix(".pattern") for names in ranked))[:count]


def refuse_absent(heads: Sequence[str], sources: Sequence[Source]) -> None:
    """Refuse heads that cannot be drawn, by the models' config.json alone.

    Of more than `PICTURED` models it is not known beforehand which are drawn, and a head that one of them has may pass.

    Raises:
        ModelError: there is one.

    """
    if not heads:
        return
    there = {source.name: head_names(source) for source in sources}
    for head in heads:
        lacking = [name for name, known in there.items() if known and head not in known]
        if lacking and (len(sources) <= PICTURED or len(lacking) == len(there)):
            _refuse(lacking[0], head, there[lacking[0]])


def _existing(reading: Reading, heads: Sequence[str]) -> list[str]:
    """These heads, if the model has them."""
    there = [name.removesuffix(".pattern") for name in labels(reading.data, "component")]
    for head in heads:
        if head not in there:
            _refuse(reading.source.name, head, there)
    return list(heads)


def _refuse(model: str, head: str, there: Sequence[str]) -> NoReturn:
    raise ModelError(f"{model} has no head {head}; it has {there[0]} to {there[-1]}")


def summary(found: ProbeResults) -> dict[str, Any]:
    """What `--json` prints and summary.json holds: behaviour, and of each reading its top sites or its curves."""
    return {
        "task": found.task.name,
        "items": int(found.complete.sum()),
        "groups": found.n_groups,
        "models": [
            {
                "model": scores.source.name,
                "n_params": scores.source.n_params,
                "seed": scores.source.seed,
                "step": scores.source.step,
                "distractor_preference": _mean(found.behaviour(i, "distractor_preference", Condition.CONFLICT)),
                "true_pull": _mean(found.behaviour(i, "true_pull")),
                "distractor_pull": _mean(found.behaviour(i, "distractor_pull")),
            }
            for i, scores in enumerate(found.scores)
        ],
        "readings": {
            name: [_told(found, reading, cells) for reading, cells in zip(many, found.cells[name], strict=True)]
            for name, many in found.readings.items()
        },
        "strengths": [_weight(one) for one in found.strengths],
        "first": {
            what: {name: one.as_dict() for name, one in found.orders(of_sites=what == "sites").items()}
            for what in ("sites", "behaviour")
        },
        "refused": [{"probe": p, "model": m, "because": why} for (p, m), why in found.refused.items()],
    }


def _told(found: ProbeResults, reading: Reading, cells: "Dataset") -> dict[str, Any]:
    kind = kind_of(reading.data)
    told: dict[str, Any] = {"model": reading.source.name, "n_params": reading.source.n_params, **reading.data.attrs}
    if kind == "lens":
        where = found.divergence(reading)
        stages = labels(reading.data, "stage")
        told["divergence"] = {
            "sentence": parting_sentence(found, reading),
            **{
                end: None if where is None or (at := getattr(where, end)) is None else stages[at]
                for end in ("stage", "low", "high")
            },
        }
    if kind in ("lens", "decoding"):
        told["curves"] = list(_rows(cells))
        return told
    if "pair_gap" in reading.data.coords:
        told["no_recovery"] = found.why_no_recovery(reading)
    told["marked"] = int(cells["marked"].sum()) if "marked" in cells else None
    told["top"] = [row for names in top(reading, cells) for row in _rows(cells.sel(names), names)]
    return told


def _weight(one: Strength) -> dict[str, Any]:
    told: dict[str, Any] = {"model": one.source.name, "n_params": one.source.n_params}
    for quantity in ("true", "distractor"):
        mean = dict(zip(("mean", "low", "high"), one.mean(quantity), strict=True))
        told[quantity] = {"sites": list(getattr(one.chosen, quantity)), **mean}
    return told


def _rows(cells: "Dataset", names: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """Each cell with its labels and numbers; cells without a mean are left out."""
    dims = [str(d) for d in cells["mean"].dims]
    columns = {name: table.values.ravel() for name, table in cells.items()}
    for place, of_cell in enumerate(product(*(labels(cells, d) for d in dims))):
        cell = {name: column[place].item() for name, column in columns.items()}
        if np.isnan(cell["mean"]):
            continue
        row: dict[str, Any] = {**(names or {}), **dict(zip(dims, of_cell, strict=True))}
        row |= {name: finite_or_none(cell[name]) for name in ("mean", "low", "high", "p") if name in cell}
        if "marked" in cell:
            row["marked"] = cell["marked"]
        if "recovery" in cell:
            share = {end: cell[f"recovery{end}"] for end in ("", "_low", "_high")}
            row["recovery"] = (
                None if np.isnan(share[""]) else {"mean": share[""], "low": share["_low"], "high": share["_high"]}
            )
        yield row


def _mean(mean: Any) -> dict[str, float] | None:
    return None if mean is None else mean._asdict()
