"""What a comparison found, as it is kept and passed on: readings, figures and summary in the folder of a run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distractor.comparison import figures as compare_plot
from distractor.comparison.compare import ComparisonResult, Pair, QuantityKey, Transfer
from distractor.comparison.counterparts import MapChange
from distractor.comparison.steps import Course
from distractor.models.source import Source
from distractor.numbers import finite_or_none
from distractor.runs.folder import RunFolder, file_name
from distractor.runs.manifest import run_manifest
from distractor.scoring.settings import Settings
from distractor.statistics.changes import Change
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distractor.probing.probe import Probe

TOLD = 20
"""How many sites of a map the summary names, those that changed most."""


def manifest(
    tasks: Sequence[Task],
    sources: Sequence[Source],
    settings: Settings,
    probes: "Mapping[str, Probe]",
    command: Sequence[str],
) -> dict[str, Any]:
    """What was run, on what, with what: known before anything is computed."""
    every = [run_manifest(task, sources, settings, None, command) for task in tasks]
    told = {name: repr(probe) for name, probe in probes.items()}
    return {**every[0], "job": "compare", "task": [one["task"] for one in every], "probe": told}


def write(folder: RunFolder, found: Sequence[ComparisonResult]) -> dict[str, Any]:
    """Write readings, figures and summary of each task, each whole or not at all; gives the summary."""
    for one in found:
        for examined in one.examined:
            for name, many in examined.readings.items() if examined else ():
                for reading in many:
                    folder.write_reading(file_name(one.task.name, name, reading.source.name), reading.table)
        drawn = {f"{one.task.name}-{name}": figure for name, figure in figures(one).items()}
        folder.write_figures(drawn)
    told = summary(found)
    folder.write_summary(told)
    return told


def figures(found: ComparisonResult) -> "dict[str, Figure]":
    """Every figure by its file's name."""
    drawn = {"behaviour": compare_plot.behaviour(found)} if found.pairs else {}
    for place, pair in enumerate(found.pairs):
        shown: set[str] = set()
        for (name, _, _), maps in pair.maps.items():
            if maps and name not in shown:  # of several seeds the first
                shown.add(name)
                number = [f"{place + 1}"] if len(found.pairs) > 1 else []
                drawn[file_name("sites", name, *number)] = compare_plot.sites(found, pair, name, maps)
    if any(pair.paths for pair in found.pairs):
        drawn["paths"] = compare_plot.paths(found)
    for course in found.courses:
        drawn[file_name("training", course.name)] = compare_plot.training(found, course)
    return drawn


def summary(found: Sequence[ComparisonResult]) -> dict[str, Any]:
    """What `--json` prints and summary.json holds, task by task."""
    return {"tasks": {one.task.name: _task(one) for one in found}}


def name_of(row: QuantityKey) -> str:
    """How a row is called: `accuracy in conflict`, `true_pull`."""
    return row[0] if row[1] is None else f"{row[0]} in {row[1]}"


def _task(found: ComparisonResult) -> dict[str, Any]:
    return {
        "items": int(found.complete.sum()),
        "groups": len({group for group, is_used in zip(found.groups, found.complete, strict=True) if is_used}),
        "format": found.task.format.as_dict(),
        "sides": [_side(found, place) for place in range(len(found.sides))],
        "pairs": [_pair(found, pair) for pair in found.pairs],
        "training": [_course(course) for course in found.courses],
        "refused": [{"probe": p, "model": m, "because": why} for (p, m), why in found.refused.items()],
    }


def _side(found: ComparisonResult, place: int) -> dict[str, Any]:
    side = found.sides[place]
    models = [found.scores[m].source for m in side.members]
    told: dict[str, Any] = {
        "name": side.name,
        "models": [
            {
                "name": s.name,
                "n_params": s.n_params,
                "seed": s.seed,
                "step": s.step,
                "tokens": s.tokens,
                "bos": found.scores[m].bos,
                "treatment": dict(found.scores[m].treatment),
            }
            for s, m in zip(models, side.members, strict=True)
        ],
        "behaviour": {name_of(row): found.level(place, row)._asdict() for row in found.rows},
        "halves_called_different": found.halves[place],
    }
    weighed = [found.strengths[m] for m in side.members] if found.strengths else []
    told["paths"] = [
        {
            "model": one.source.name,
            "true": {"sites": list(one.chosen.true), **_ends(one.mean("true"))},
            "distractor": {"sites": list(one.chosen.distractor), **_ends(one.mean("distractor"))},
        }
        for one in weighed
        if one is not None
    ]
    return told


def _pair(found: ComparisonResult, pair: Pair) -> dict[str, Any]:
    one, other = found.sides[pair.first].name, found.sides[pair.second].name
    most = pair.changed_most
    return {
        "first": one,
        "second": other,
        "p_over_tasks": pair.p_over_tasks,
        "behaviour": {name_of(row): change(each) for row, each in pair.rows.items()},
        "paths": {name: change(each) for name, each in pair.paths.items()},
        "changed_sides": [_switch(found, *each) for each in pair.switched],
        "match": pair.match,
        "changed_most": None
        if most is None
        else {"probe": most[0], "map": most[1].name, "site": most[1].sites[most[2]], "by": float(most[1].mean[most[2]])},
        "sites": [
            {"probe": name, "models": [found.scores[a].source.name, found.scores[b].source.name], **_map(each)}
            for (name, a, b), maps in pair.maps.items()
            for each in maps
        ],
        "depth_rank_correlation": {c: {part: finite_or_none(r) for part, r in by.items()} for c, by in pair.depths.items()},
        "transfer": [_transfer(each) for each in pair.transfers],
        "no_transfer": pair.no_transfer,
    }  # fmt: skip


def change(one: Change) -> dict[str, Any]:
    """A difference with all that it is held against, and what may be said of it."""
    return {
        "mean": one.mean, "low": one.low, "high": one.high, "p": one.p, "p_family": one.p_family,
        "by_chance": one.by_chance, "between_seeds": one.between_seeds,
        "seeds": None if one.seeds is None else one.seeds._asdict(), "call": one.call,
    }  # fmt: skip


def _switch(found: ComparisonResult, item: int, first: float, second: float) -> dict[str, Any]:
    told = found.task.items[item]
    return {
        "item": told.id,
        "group": told.group,
        "prompt": told.prompts[Condition.CONFLICT],
        "true": told.true,
        "distractor": told.distractor,
        "to": "true" if second > 0 else "distractor",
        "gap_first": first,
        "gap_second": second,
    }


def _map(one: MapChange) -> dict[str, Any]:
    both, alone_first, alone_second = one.shared
    return {
        "map": one.name,
        "changed": int(one.is_marked.sum()),
        "of": len(one.sites),
        "rank_correlation": finite_or_none(one.rank_correlation),
        "between_halves": {"across": finite_or_none(one.across), "within": [finite_or_none(r) for r in one.within],
                           "as_alike_as_halves": one.is_as_alike},
        "standing_out": {"both": both, "first_alone": alone_first, "second_alone": alone_second, "p": one.p_shared},
        "top": [
            {
                "site": one.sites[i], "first": float(one.first[i]), "second": float(one.second[i]),
                **_ends((one.mean[i], one.low[i], one.high[i])), "p": float(one.p[i]), "changed": bool(one.is_marked[i]),
                "stands_out": [bool(one.is_marked_first[i]), bool(one.is_marked_second[i])],
            }
            for i in one.order[:TOLD]
        ],
    }  # fmt: skip


def _transfer(one: Transfer) -> dict[str, Any]:
    return {
        "path": one.path, "found_in": one.found_in, "knocked_out_in": one.knocked_out_in, "sites": list(one.sites),
        "own_sites": list(one.own_sites), "lost": one.foreign._asdict(), "lost_by_own": one.own._asdict(),
        "share": one.share, "difference": change(one.change),
    }  # fmt: skip


def _course(course: Course) -> dict[str, Any]:
    return {
        "model": course.name,
        "seeds": list(course.seeds),
        "steps": list(course.steps),
        "steps_left_out": list(course.left_out),
        "curves": {
            name: {end: row.tolist() for end, row in zip(("mean", "low", "high"), course.means(name), strict=True)}
            for name in course.curves
        },
        "preference": course.shape.as_dict() if course.shape else None,
        "first": {what: {name: one.as_dict() for name, one in both.items()} for what, both in course.orders.items()},
    }


def _ends(mean: Sequence[Any]) -> dict[str, float | None]:
    return {name: finite_or_none(value) for name, value in zip(("mean", "low", "high"), mean, strict=True)}
