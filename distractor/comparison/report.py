"""Writes a comparison to the folder of a run: readings, figures, page and summary."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from distractor.comparison import figures as draw
from distractor.comparison.map_changes import MapChange
from distractor.comparison.page import label, page
from distractor.comparison.published_figure import published
from distractor.comparison.result import ComparisonResult, Pair, QuantityKey, SwitchedItem, Transfer
from distractor.comparison.steps import TrainingCurves
from distractor.models.source import Source
from distractor.names import file_name
from distractor.numbers import finite_or_none
from distractor.published.placement import QUANTITY
from distractor.runs.coverage import coverage_record
from distractor.runs.figure_set import FigureSet, choose
from distractor.runs.folder import RunFolder
from distractor.runs.manifest import plain_settings, run_manifest
from distractor.runs.training_data import training_data_record
from distractor.scoring.settings import Settings
from distractor.statistics.changes import Change
from distractor.text.task import Condition, Item, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distractor.probing.probe import Probe
    from distractor.runs.page.blocks import Page

TOP_SITES = 20  # the number of sites of a map in the summary, changed sites and largest differences first


def manifest(
    tasks: Sequence[Task],
    sources: Sequence[Source],
    settings: Settings,
    probes: "Mapping[str, Probe]",
    command: Sequence[str],
) -> dict[str, Any]:
    """The settings of a run, its tasks and its models; known before anything is computed."""
    first, *others = (run_manifest(task, sources, settings, None, command) for task in tasks)
    settings_of = {name: plain_settings(probe) for name, probe in probes.items()}
    return {**first, "job": "compare", "task": [one["task"] for one in (first, *others)], "probe": settings_of}


def write(
    folder: RunFolder, results: Sequence[ComparisonResult], figures: FigureSet = FigureSet.MAIN
) -> dict[str, Any]:
    """Write readings and figures of each task, page and summary, each file completely or not at all; returns the summary."""
    for result in results:
        readings = (
            (name, reading)
            for probe_results in chain(result.probe_results, *(pair.further for pair in result.pairs))
            if probe_results is not None
            for name, every in probe_results.readings.items()
            for reading in every
        )
        for name, reading in readings:
            folder.write_reading(file_name(result.task.name, name, reading.source.name), reading.table)
    content = summary(results)
    tasks = [result.task.fingerprint() for result in results]
    plans = plan_figures(results)
    choice = choose(figures, list(plans))
    content["figures"] = folder.keep_figures(content, choice, lambda name: plans[name](), *tasks)
    folder.keep_page(partial(_page, folder, results, content), content["figures"]["drawn_from"])
    folder.write_summary(content)
    return content


def _page(folder: RunFolder, results: Sequence[ComparisonResult], content: Mapping[str, Any]) -> "Page":
    return page(results, content["figures"]["names"], folder.manifest)


def plan_figures(results: Sequence[ComparisonResult]) -> "dict[str, Callable[[], Figure]]":
    """How each figure is drawn, by file name: all headline figures, then the next figure of each task, and so on."""
    of_tasks = [list(_plans(result).items()) for result in results]
    return {name: draw for each in zip_longest(*of_tasks) for named in each if named for name, draw in [named]}


def _plans(result: ComparisonResult) -> "dict[str, Callable[[], Figure]]":
    task = result.task.name
    drawn: dict[str, Callable[[], Figure]] = {}
    if result.pairs:
        drawn[file_name(task, "behaviour")] = partial(draw.behaviour, result)
    for curves in result.training:
        drawn[file_name(task, "training", curves.name)] = partial(draw.training, result, curves)
        if result.published and QUANTITY in curves.curves:
            drawn[file_name(task, "published", curves.name)] = partial(published, result, curves)
    if any(pair.paths for pair in result.pairs):
        drawn[file_name(task, "paths")] = partial(draw.paths, result)
    for i, pair in enumerate(result.pairs):
        number = [str(i + 1)] if len(result.pairs) > 1 else []
        for probe, maps in pair.maps_by_probe.items():
            drawn[file_name(task, "sites", *number, probe)] = partial(draw.sites, result, pair, probe, maps)
    return drawn


def summary(results: Sequence[ComparisonResult]) -> dict[str, Any]:
    """The content of summary.json and of `--json`, task by task."""
    return {"label": label(results), "tasks": {result.task.name: _task(result) for result in results}}


def row_name(row: QuantityKey) -> str:
    """A row's name: `accuracy in conflict`, `true_pull`."""
    return row[0] if row[1] is None else f"{row[0]} in {row[1]}"


def _task(result: ComparisonResult) -> dict[str, Any]:
    return {
        "items": int(result.complete.sum()),
        "groups": result.n_groups,
        "low_coverage": coverage_record(result),
        "training_data": training_data_record(result.task, result.sources),
        "format": result.task.format.as_dict(),
        "sides": [_side(result, side) for side in range(len(result.sides))],
        "pairs": [_pair(result, pair) for pair in result.pairs],
        "training": [_training(curves) for curves in result.training],
        "references": result.references.as_dict(),
        "refused": [{"probe": p, "model": m, "because": why} for (p, m), why in result.refused.items()],
    }


def _side(result: ComparisonResult, index: int) -> dict[str, Any]:
    side = result.sides[index]
    strengths = [result.strengths[model] for model in side.members] if result.strengths else []
    return {
        "name": side.name,
        "models": [
            {
                **{key: getattr(scores.source, key) for key in ("name", "n_params", "seed", "step", "tokens")},
                "bos": scores.bos,
                "treatment": dict(scores.treatment),
            }
            for scores in (result.scores[model] for model in side.members)
        ],
        "behaviour": {row_name(row): result.level(index, row)._asdict() for row in result.rows},
        "halves_called_different": result.halves[index],
        "paths": [{"model": each.source.name, **each.as_dict()} for each in strengths if each is not None],
    }


def _pair(result: ComparisonResult, pair: Pair) -> dict[str, Any]:
    most: dict[str, Any] | None = None
    if pair.changed_most is not None:
        probe, one, i = pair.changed_most
        most = {"probe": probe, "map": one.name, "site": one.sites[i], "by": float(one.mean[i])}
        most["has_same_weights"] = pair.has_same_weights(one.sites[i])
    return {
        "first": result.sides[pair.first].name,
        "second": result.sides[pair.second].name,
        "p_over_tasks": pair.p_over_tasks,
        "behaviour": {row_name(row): _change(change) for row, change in pair.rows.items()},
        "paths": {name: _change(change) for name, change in pair.paths.items()},
        "changed_sides": [_switched(result.task.items[each.item], each) for each in pair.switched],
        "match": pair.match,
        "changed_most": most,
        "sites": [
            {"probe": name, "models": [result.sources[model].name for model in (a, b)], **_map(one)}
            for (name, a, b), maps in pair.maps.items()
            for one in maps
        ],
        "depth_rank_correlation": {
            condition: {part: finite_or_none(r) for part, r in parts.items()}
            for condition, parts in pair.depths.items()
        },
        "transfer": [_transfer(transfer) for transfer in pair.transfers],
        "no_transfer": pair.no_transfer,
    }


def _change(change: Change) -> dict[str, Any]:
    keys = ("mean", "low", "high", "p", "p_family", "by_chance", "between_seeds")
    seeds = None if change.seeds is None else change.seeds._asdict()
    return {**{key: getattr(change, key) for key in keys}, "seeds": seeds, "call": change.call}


def _switched(item: Item, switched: SwitchedItem) -> dict[str, Any]:
    return {
        "item": item.id, "group": item.group, "prompt": item.prompts[Condition.CONFLICT], "true": item.true,
        "distractor": item.distractor, "to": "true" if switched.second > 0 else "distractor",
        "gap_first": switched.first, "gap_second": switched.second,
    }  # fmt: skip


def _map(one: MapChange) -> dict[str, Any]:
    both, only_first, only_second = one.shared
    return {
        "map": one.name,
        "changed": int(one.is_marked.sum()),
        "of": len(one.sites),
        "rank_correlation": finite_or_none(one.rank_correlation),
        "between_halves": {
            "across": finite_or_none(one.across),
            "within": [finite_or_none(r) for r in one.within],
            "as_alike_as_halves": one.is_as_alike,
        },
        "standing_out": {"both": both, "first_alone": only_first, "second_alone": only_second, "p": one.p_shared},
        "top": [
            {
                "site": one.sites[i],
                "first": float(one.first[i]),
                "second": float(one.second[i]),
                **_mean((one.mean[i], one.low[i], one.high[i])),
                "p": float(one.p[i]),
                "changed": bool(one.is_marked[i]),
                "stands_out": [bool(one.is_marked_first[i]), bool(one.is_marked_second[i])],
            }
            for i in one.order[:TOP_SITES]
        ],
    }


def _transfer(transfer: Transfer) -> dict[str, Any]:
    names = ("path", "found_in", "knocked_out_in", "sites", "own_sites", "share")
    return {
        **{name: getattr(transfer, name) for name in names},
        "lost": transfer.foreign._asdict(),
        "lost_by_own": transfer.own._asdict(),
        "difference": _change(transfer.change),
    }


def _training(curves: TrainingCurves) -> dict[str, Any]:
    means = {name: curves.means(name) for name in curves.curves}
    return {
        "model": curves.name,
        "seeds": list(curves.seeds),
        "steps": list(curves.steps),
        "steps_left_out": list(curves.left_out),
        "curves": {
            name: {end: row.tolist() for end, row in zip(("mean", "low", "high"), rows, strict=True)}
            for name, rows in means.items()
        },
        "preference": curves.shape.as_dict() if curves.shape else None,
        "first": {
            pair: {name: order.as_dict() for name, order in orders.items()} for pair, orders in curves.orders.items()
        },
    }


def _mean(ends: Sequence[Any]) -> dict[str, float | None]:
    return {name: finite_or_none(value) for name, value in zip(("mean", "low", "high"), ends, strict=True)}
