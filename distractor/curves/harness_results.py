"""Reads results files of lm-evaluation-harness (results_*.json): one mean with its error for each task and metric."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distractor.curves.harness_model import model_cells
from distractor.errors import ScalingError, TableError
from distractor.statistics.curve import Size
from distractor.text.rows import kind_of, parse_json, read_bytes

NO_METRIC = ("sample_len", "samples")
"""Numbers in a task's entry that are no metric."""


def results_in(path: Path) -> Mapping[str, Any] | None:
    """The content of a results file; None for any other file. Raises TableError if the file cannot be read."""
    if kind_of(path) != ".json":
        return None
    text = read_bytes(path)
    if not text.lstrip().startswith(b"{") or b'"results"' not in text:
        return None
    try:
        content = parse_json(text.decode("utf-8-sig"), str(path))
    except (TableError, UnicodeDecodeError):
        return None
    return content if isinstance(content.get("results"), dict) else None


def read_results(
    path: Path, content: Mapping[str, Any], axis: str, place: Size | None, seed: int | None
) -> dict[str, dict[str, Any]]:
    """The rows of a table, {place in the file: cells}, one for each task, metric and filter.

    Keys are `acc,none` and `acc_stderr,none`, in versions before 0.4 `acc` and `acc_stderr`. A
    `place` on the axis and a `seed` are the user's. Raises ScalingError if the place is unknown, or there is no metric.
    """
    model = model_cells(path, content, axis, place, seed)
    rows: dict[str, dict[str, Any]] = {}
    for task, entry in content["results"].items():
        for key, value in entry.items() if isinstance(entry, dict) else ():
            metric, _, name = key.partition(",")
            if metric in NO_METRIC or metric.endswith("_stderr") or not _is_number(value):
                continue
            error = entry.get(f"{metric}_stderr,{name}" if name else f"{metric}_stderr")
            rows[f"{path}, {task}, {key}"] = model | {
                "task": task,
                "quantity": metric,
                "filter": name or "none",
                "value": value,
                "value_stderr": error if _is_number(error) else None,
                "n": _items(content, task, entry),
                "shots": _nested(content, "n-shot", task),
            }
    if not rows:
        raise ScalingError(f"{path} is a results file of lm-evaluation-harness, but no task in it has a metric")
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _items(content: Mapping[str, Any], task: str, entry: Mapping[str, Any]) -> Any:
    samples = _nested(content, "n-samples", task)
    return samples.get("effective") if isinstance(samples, dict) else entry.get("sample_len")


def _nested(content: Mapping[str, Any], name: str, task: str) -> Any:
    values = content.get(name)
    return values.get(task) if isinstance(values, dict) else None
