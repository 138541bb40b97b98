"""Reads per-item logs of lm-evaluation-harness (`--log_samples`): one file for each model, one line for each item."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from distractor.errors import ScalingError
from distractor.statistics.curve import Size
from distractor.text.rows import TableRow, names_text, read_bytes, read_rows

ROUNDING = 1e-3
"""In half precision, rounding can raise the log-probability of a near-certain answer above 0, by less than this."""


def is_log(path: Path) -> bool:
    """Whether the first line of a file looks like such a log. Raises TableError if the file cannot be read."""
    first_line, _, _ = read_bytes(path).partition(b"\n")
    return path.suffix == ".jsonl" and b'"doc_id"' in first_line and b'"filtered_resps"' in first_line


def read_log(path: Path, size: Size | None, seed: int, quantity: str, group: str | None = None) -> dict[str, Any]:
    """Read one model's log as rows of a table, {place in the file: cells}.

    The responses are log-probabilities in the order of the choices, as in multiple choice. `group` is the field of an
    item's `doc` that becomes its group. Without `size`, the results file of the same run, next to the log, gives it.
    """
    if not is_log(path):
        raise ScalingError(
            f"{path} is not a per-item log of lm-evaluation-harness (samples_*.jsonl from --log_samples); give one table, "
            "or several logs, one for each model"
        )
    if size is None:
        size = _size_from_results(path)
    rows = {}
    for row in read_rows(path):
        cells: dict[str, Any] = {"size": size, "seed": seed, "quantity": quantity}
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
    if quantity == "accuracy":
        if "acc" not in row.cells:
            metrics = row.cells.get("metrics")
            logged = names_text(name for name in metrics if name != "acc") if isinstance(metrics, list) else ""
            raise ScalingError(f"{row.place}: the metric acc is not logged; logged metrics: {logged or 'none'}")
        return row.cells["acc"]
    if quantity not in ("logit_gap", "distractor_preference"):
        raise ScalingError(
            f"a log of one prompt gives accuracy, logit_gap or distractor_preference; {quantity} needs matched conditions"
        )
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


def _size_from_results(path: Path) -> Size:
    """The number of parameters in the results file of the same run, which has the same date in its name."""
    date = re.search(r"_(\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl$", path.name)
    results = path.with_name(f"results_{date[1]}.json") if date else None
    if results is not None and results.is_file():
        try:
            count = json.loads(read_bytes(results))["config"]["model_num_parameters"]
        except (ValueError, LookupError, TypeError, RecursionError):
            count = None
        if isinstance(count, int) and not isinstance(count, bool) and count > 0:
            return count
    raise ScalingError(f"the size of the model of {path} is unknown; write it before the file: 70M={path}")
