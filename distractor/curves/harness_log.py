"""Per-item logs of lm-evaluation-harness (`--log_samples`): one line an item and filter, one file a model."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from distractor.curves.rows_file import Row, content, listed, read_lines
from distractor.errors import ScalingError
from distractor.statistics.curve import Size

ROUNDING = 1e-3
"""In half precision the log-probability of a sure answer may come out above 0 by less than this."""


def is_log(path: Path) -> bool:
    """Whether a file is such a log, by its first line. Raises ScalingError where there is no such file."""
    first, _, _ = content(path).partition(b"\n")
    return path.suffix == ".jsonl" and b'"doc_id"' in first and b'"filtered_resps"' in first


def read_log(path: Path, size: Size | None, seed: int, quantity: str, group: str | None = None) -> list[Row]:
    """One model's log as rows of a table; `group` is the field of an item's `doc` that becomes its group.

    Options are read as in multiple choice: log-probabilities in the order of the choices. Without `size` it is looked
    up in the results of the same run, beside the log.

    Raises:
        ScalingError: it is no such log, its model's size is not known, or a line does not hold what is wanted.

    """
    if not is_log(path):
        raise ScalingError(
            f"{path} is no per-item log of lm-evaluation-harness (samples_*.jsonl of --log_samples); "
            "one table can be read, but several files must be logs, one for each model"
        )
    if size is None:
        size = _size_beside(path)
    rows = []
    for entry in read_lines(path):
        cells: dict[str, Any] = {"size": size, "seed": seed, "quantity": quantity}
        cells |= {name: entry.cells.get(name) for name in ("doc_id", "doc_hash", "filter") if name in entry.cells}
        log_probs, target = _options(entry), _target(entry)
        if log_probs is not None and target is not None and 0 <= target < len(log_probs):
            cells |= {"answer": int(np.argmax(log_probs)), "target": target}
        cells["value"] = _value(entry, quantity, log_probs, target)
        if group:
            cells["group"] = _group(entry, group)
        rows.append(Row(entry.place, cells))
    return rows


def _value(entry: Row, quantity: str, log_probs: list[float] | None, target: int | None) -> Any:
    if quantity == "accuracy":
        if "acc" not in entry.cells:
            metrics = entry.cells.get("metrics")
            there = listed(name for name in metrics if name != "acc") if isinstance(metrics, list) else ""
            raise ScalingError(f"{entry.place}: no metric acc is logged; there are: {there or 'none'}")
        return entry.cells.get("acc")
    if quantity not in ("logit_gap", "distractor_preference"):
        raise ScalingError(
            f"a log of one prompt gives accuracy, logit_gap or distractor_preference; {quantity} needs matched conditions"
        )
    if log_probs is None or len(log_probs) != 2:
        came = "none that can be read" if log_probs is None else len(log_probs)
        raise ScalingError(
            f"{entry.place}: {quantity} needs the log-probabilities of two answers, none above 0, in filtered_resps; there "
            f"are {came}. Log a multiple-choice task of two choices with --log_samples"
        )
    if target not in (0, 1):
        raise ScalingError(
            f"{entry.place}: {quantity} needs target, which of the two answers is right, as 0 or 1; "
            f"{entry.cells.get('target')!r:.40} came"
        )
    gap = log_probs[target] - log_probs[1 - target]
    return gap if quantity == "logit_gap" else float(np.exp(-np.logaddexp(0, gap)))


def _options(entry: Row) -> list[float] | None:
    """Log-probabilities of the choices; logged as [["-1.2", "False"], …] or, in older versions, [[-1.2, false], …].

    None where they are something else: a text that the model wrote is no number, even where it reads as one.
    """
    responses = entry.cells.get("filtered_resps")
    if not isinstance(responses, list):
        return None
    found = []
    for response in responses:
        one = response
        while isinstance(one, list) and one:
            one = one[0]
        if isinstance(one, bool) or isinstance(response, str):
            return None
        try:
            log_prob = float(one)
        except (TypeError, ValueError, OverflowError):
            return None
        if not log_prob < ROUNDING:
            return None
        found.append(log_prob)
    return found or None


def _target(entry: Row) -> int | None:
    target: Any = entry.cells.get("target")
    try:
        return int(target) if isinstance(target, str) or target == int(target) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _group(entry: Row, name: str) -> Any:
    doc = entry.cells.get("doc")
    if not isinstance(doc, dict) or name not in doc:
        there = listed(doc) if isinstance(doc, dict) else "no fields at all"
        raise ScalingError(f"{entry.place}: its doc has no {name!r} to group items by; there are: {there}")
    return doc[name]


def _size_beside(path: Path) -> Size:
    """The model's parameters, as the results file of the same run beside a log tells them."""
    date = re.search(r"_(\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl$", path.name)
    beside = path.with_name(f"results_{date[1]}.json") if date else None
    if beside is not None and beside.is_file():
        try:
            count = json.loads(content(beside))["config"]["model_num_parameters"]
        except (ValueError, LookupError, TypeError, RecursionError):
            count = None
        if isinstance(count, int) and not isinstance(count, bool) and count > 0:
            return count
    raise ScalingError(f"how large is the model of {path}? Write its size before it: 70M={path}, or 70M/seed1={path}")
