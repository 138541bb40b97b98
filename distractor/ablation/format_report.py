"""What models wrote, and formats side by side, as they are kept: folders of a run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.ablation import report
from distractor.ablation.ablate import AblationResult
from distractor.ablation.dip import dip_sentences
from distractor.ablation.formats import Found, accuracy_of_part, curve, parts, sizes_of
from distractor.ablation.free_form import SHARES, FreeForm
from distractor.models.source import Source
from distractor.runs.folder import RunFolder
from distractor.runs.manifest import run_manifest
from distractor.runs.results_table import COLUMNS, ModelValues, is_held_out, model_columns, results_table
from distractor.scoring.free_answers import WRITER, Text
from distractor.scoring.settings import Settings
from distractor.scoring.shot_limits import caution
from distractor.text.format import Format
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from distractor.probing.probe import Probe


def manifest(
    task: Task,
    tasks: Sequence[Task],
    sources: Sequence[Source],
    settings: Settings,
    probe: "Probe | None",
    command: Sequence[str],
) -> dict[str, Any]:
    """What was run, on what, with what; `tasks` is the same `task` in each of its formats."""
    told = run_manifest(task, sources, settings, probe, command)
    told = {name: value for name, value in told.items() if name not in Format().as_dict()}
    formats = [{**one.format.as_dict(), "hash": one.fingerprint()} for one in tasks]
    return {**told, "writer": WRITER, "formats": formats}


def write(folder: RunFolder, found: Sequence[Found]) -> dict[str, Any]:
    """Write each format's results into a folder of its own, and the formats side by side; returns the summary."""
    from distractor.ablation import format_figures as format_plot

    told = []
    for one in found:
        place = folder.subfolder(one.task.format.slug)
        told.append(report.write(place, one) if isinstance(one, AblationResult) else write_free(place, one))
    curves = [curve(one) for one in found]
    figures = {"formats": format_plot.formats(curves, found[0].task.name)}
    if (figure := format_plot.by_part(found)) is not None:
        figures["parts"] = figure
    folder.write_figures(figures)
    both = {
        "task": found[0].task.name,
        "formats": [one.as_dict() for one in curves],
        "parts": {name: _part(found, name) for name in parts(found[0].task)},
        "sentences": dip_sentences(found),
        "by_format": {one.task.format.label: summary for one, summary in zip(found, told, strict=True)},
    }
    folder.write_summary(both)
    return both


def write_free(folder: RunFolder, found: FreeForm) -> dict[str, Any]:
    """Write the texts, the values, the figure and the summary of one format in which models write."""
    from distractor.ablation import format_figures as format_plot

    told = summary(found)
    folder.write_table("texts", texts(found))
    folder.write_table("results", results(found))
    folder.write_figures({"curves": format_plot.free(found)})
    folder.write_summary(told)
    return told


def summary(found: FreeForm) -> dict[str, Any]:
    """Means with intervals, how many texts have no answer and why, examples of these, and the shape."""
    task, judged = found.task, found.judged
    said = caution(task.name, task.format, found.replies[0].source)
    return {
        "task": task.name,
        "items": int(found.complete.sum()),
        "groups": len({i.group for i, is_used in zip(task.items, found.complete, strict=True) if is_used}),
        "format": task.format.as_dict(),
        "hint": task.format.hint,
        "caution": [one for one in (task.caution, said) if one],
        "models": [_model(found, place) for place in range(len(found.replies))],
        "shape": {
            "distractor_share": judged.shape.as_dict() if judged.shape else {"label": judged.label, "why": judged.why},
            "sizes": list(judged.used),
            "left_out": {str(size): share for size, share in judged.left_out.items()},
            "groups": judged.groups,
        },
        "without_answer": found.unread(),
        "another_answer": found.unread("another"),
    }


def texts(found: FreeForm) -> "pa.Table":
    """Every text, one row each: what was sent, what came, the answer read, and the gaps behind the reasoning."""
    import pyarrow as pa

    rows = []
    for one in found.replies:
        fixed, held_out = model_columns(found.task, one.source, bos=one.bos), is_held_out(found.task, one.source)
        for place, (condition, texts) in enumerate(one.texts.items()):
            for index, (item, text) in enumerate(zip(found.task.items, texts, strict=True)):
                if text is None or not found.complete[index]:
                    continue
                gaps = {name: float(values[place, index]) for name, values in one.gaps.items()}
                rows.append(
                    {**fixed, "condition": condition.value, "item": item.id,
                     "group": item.group, "held_out": held_out[index], **text._asdict(),
                     **{f"gap_{name}": None if np.isnan(gap) else gap for name, gap in gaps.items()}}
                )  # fmt: skip
    types = {"shots": pa.int64(), "n_params": pa.int64(), "seed": pa.int64(), "step": pa.int64(), "bos": pa.bool_()}
    types |= {"held_out": pa.bool_(), "gap_own": pa.float64(), "gap_swapped": pa.float64()}
    names = (*COLUMNS[:13], *Text._fields, "gap_own", "gap_swapped")
    return pa.table({name: pa.array([row[name] for row in rows], type=types.get(name, pa.string())) for name in names})


def results(found: FreeForm) -> "pa.Table":
    """Every per-item value, one row each. A text without an answer has a value of `parsed` only."""
    models = []
    for place, one in enumerate(found.replies):
        rows: dict[tuple[Condition | None, str], np.ndarray] = {}
        for index, condition in enumerate(found.task.conditions):
            rows |= {(condition, quantity): found.values(place, quantity, condition) for quantity in SHARES}
            rows |= {(condition, f"gap_{name}"): values[index] for name, values in one.gaps.items()}
        models.append(ModelValues(one.source, one.bos, rows))
    return results_table(found.task, found.complete, models)


def _model(found: FreeForm, place: int) -> dict[str, Any]:
    one = found.replies[place]
    source, conditions = one.source, found.task.conditions
    told: dict[str, Any] = {
        "family": source.family, "model": source.model, "n_params": source.n_params, "seed": source.seed,
        "step": source.step, "bos": one.bos,
    }  # fmt: skip
    for quantity in SHARES:
        means = {c.value: found.mean([place], quantity, c) for c in conditions}
        told[quantity] = {name: mean._asdict() for name, mean in means.items() if mean}
    told["why_not"] = {c.value: _reasons(one.texts[c]) for c in conditions}
    if found.task.format.scoring == "cot":
        pair = [c for c in (Condition.CONFLICT, Condition.CONGRUENT) if c in conditions]
        for behind in one.gaps:
            means = {c.value: found.gap([place], behind, c) for c in pair}
            told[f"gap_{behind}"] = {name: mean._asdict() if mean else None for name, mean in means.items()}
        told["goes_by"] = {name: mean._asdict() if mean else None for name, mean in found.follows([place]).items()}
    return told


def _reasons(row: Sequence[Text | None]) -> dict[str, int]:
    """How many texts have no answer, by why."""
    found: dict[str, int] = {}
    for text in row:
        if text is not None and text.why:
            found[text.why] = found.get(text.why, 0) + 1
    return found


def _part(found: Sequence[Found], name: str) -> dict[str, Any]:
    """Accuracy in `conflict` of one part over size, in each format."""
    return {
        one.task.format.label: {
            "n_params": list(sizes_of(one)),
            "accuracy": [mean._asdict() if mean else None for mean in accuracy_of_part(one, parts(one.task)[name])],
        }
        for one in found
    }
