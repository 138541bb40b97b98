"""Reads per-item logs of lm-evaluation-harness (`--log_samples`): one file for each model, one line for each item."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from distractor.curves.harness_model import DATE, model_cells, results_of_run
from distractor.errors import ScalingError
from distractor.statistics.curve import Size
from distractor.text.rows import TableRow, iterate_rows, kind_of, names_text, parse_rows, read_bytes

OF_TWO_ANSWERS = ("logit_gap", "distractor_preference")
"""Quantities that follow from the log-probabilities of two answers."""

OF_CONDITIONS = ("true_pull", "distractor_pull", "coverage")
"""Quantities that a log of one prompt does not hold."""

ROUNDING = 1e-3
"""In half precision, rounding can raise the log-probability of a near-certain answer above 0, by less than this."""


def is_log(path: Path) -> bool:
    """Whether the first line of a file looks like such a log. Raises TableError if the file cannot be read."""
    if kind_of(path) != ".jsonl":
        return False
    first_line, _, _ = read_bytes(path).partition(b"\n")
    return b'"doc_id"' in first_line and b'"filtered_resps"' in first_line


def first_quantity(path: Path) -> str:
    """The quantity of a log when the user names none: accuracy, or the only metric."""
    first_line, _, _ = read_bytes(path).partition(b"\n")
    metrics = next(iter(map(_metrics, parse_rows(path, first_line))), [])
    if "acc" in metrics or len(metrics) != 1:
        return "accuracy"
    return metrics[0]


def read_log(
    path: Path, axis: str, place: Size | None, seed: int | None, quantity: str, group: str | None
) -> dict[str, Any]:
    """Read one model's log as rows of a table, {place in the file: cells}.

    The responses are log-probabilities in the order of the choices, as in multiple choice. `group` is the field of an
    item's `doc` that becomes its group. Without a `place` on the axis, the results file of the same run, next to the log,
    gives it, or the name of the file or of its folder.
    """
    if not is_log(path):
        raise ScalingError(
            f"{path} is not a per-item log of lm-evaluation-harness (samples_*.jsonl from --log_samples); give one table, "
            "or several logs or results files (results_*.json), one for each model"
        )
    model = model_cells(path, results_of_run(path), axis, place, seed) | {"quantity": quantity}
    if task := re.match(rf"samples_(.+)_{DATE}\.jsonl", path.name):
        model["task"] = task[1]
    rows = {}
    for row in iterate_rows(path):
        cells: dict[str, Any] = dict(model)
        cells |= {name: row.cells[name] for name in ("doc_id", "doc_hash", "filter") if name in row.cells}
        log_probs, target = _log_probs(row), _target(row)
        if log_probs is not None and target is not None and 0 <= target < len(log_probs):
            cells |= {"answer": int(np.argmax(log_probs)), "target": target}
        cells["value"] = _value(row, quantity, log_probs, target)
        if group:
            cells["group"] = _group(row, group)
        rows[row.place] = cells
    return rows


def _value(row: TableRow, quantity: str, log_probs: list[float] | None, target: int | None) -> Any:
    if quantity in OF_CONDITIONS:
        raise ScalingError(
            f"a log of one prompt gives its metrics, logit_gap or distractor_preference; {quantity} needs matched conditions"
        )
    if quantity not in OF_TWO_ANSWERS:
        metric = "acc" if quantity == "accuracy" else quantity
        if metric not in row.cells or (metric != "acc" and metric not in _metrics(row)):
            logged = names_text(name for name in _metrics(row) if name != metric)
            raise ScalingError(
                f"{row.place}: the metric {metric} is not logged; logged metrics: {logged or 'none'}. Choose one with "
                "--quantity"
            )
        return row.cells[metric]
    if log_probs is None or len(log_probs) != 2:
        count = "no readable ones" if log_probs is None else len(log_probs)
        raise ScalingError(
            f"{row.place}: {quantity} needs the log-probabilities of two answers, none above 0, in filtered_resps; it has "
            f"{count}. Log a multiple-choice task with two choices (--log_samples)"
        )
    if target not in (0, 1):
        raise ScalingError(
            f"{row.place}: {quantity} needs target, the index of the right answer (0 or 1), not "
            f"{row.cells.get('target')!r:.40}"
        )
    gap = log_probs[target] - log_probs[1 - target]
    return gap if quantity == "logit_gap" else float(np.exp(-np.logaddexp(0, gap)))


def _metrics(row: TableRow) -> list[str]:
    """The metrics of an item; older logs have no list of them."""
    metrics = row.cells.get("metrics")
    if isinstance(metrics, list):
        return [str(metric) for metric in metrics]
    return [name for name, value in row.cells.items() if name != "doc_id" and isinstance(value, int | float)]


def _log_probs(row: TableRow) -> list[float] | None:
    """Log-probabilities of the choices, logged as [["-1.2", "False"], …] or, in older versions, [[-1.2, false], …].

    None for other content: a text that the model wrote is not a log-probability, even if it looks like a number.
    """
    responses = row.cells.get("filtered_resps")
    if not isinstance(responses, list):
        return None
    log_probs = []
    for response in responses:
        value = response
        while isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, bool) or isinstance(response, str):
            return None
        try:
            log_prob = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        if not log_prob < ROUNDING:
            return None
        log_probs.append(log_prob)
    return log_probs or None


def _target(row: TableRow) -> int | None:
    target: Any = row.cells.get("target")
    try:
        return int(target) if isinstance(target, str) or target == int(target) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _group(row: TableRow, field: str) -> Any:
    doc = row.cells.get("doc")
    if not isinstance(doc, dict) or field not in doc:
        fields = names_text(doc) if isinstance(doc, dict) else "none"
        raise ScalingError(f"{row.place}: doc has no field {field!r} to group items by; its fields: {fields}")
    return doc[field]
