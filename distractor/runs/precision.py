"""Precision in words: the type of half precision, how far gaps are from float32, and dequantised weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from distractor.models.gguf_file import is_gguf, read_header
from distractor.models.source import Source
from distractor.numbers import number
from distractor.scoring.behaviour import TaskResult

UNKNOWN = {"not_measured": "results of an earlier version"}


def precision_caution(results: Sequence[TaskResult]) -> str | None:
    """Sentences about half precision and about dequantised weights; None without either."""
    sentences = (half_precision_caution(results), quantisation_caution([s for r in results for s in r.sources]))
    return " ".join(filter(None, sentences)) or None


def quantisation_caution(sources: Sequence[Source]) -> str | None:
    """A sentence about models whose weights are read from quantised GGUF files; None if there are none."""
    names: dict[str, set[str]] = {}
    for source in (source for source in sources if is_gguf(source.folder)):
        header = read_header(source.folder)
        if header.is_quantised:
            names.setdefault(header.treatment, set()).add(source.name)
    if not names:
        return None
    everywhere = len(names) == 1 and len(*names.values()) == len({source.name for source in sources})
    parts = [
        treatment if everywhere else f"{treatment} in {_some(sorted(of))}" for treatment, of in sorted(names.items())
    ]
    return f"Quantised weights: {'; '.join(parts)}."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def half_precision_caution(results: Sequence[TaskResult]) -> str | None:
    """A sentence about results in half precision; None for float32 and float64."""
    if not any(result.is_half_precision for result in results):
        return None
    records = {name: record or UNKNOWN for result in results for name, record in result.half_precision.items()}
    measured = {name: record for name, record in records.items() if "largest_difference" in record}
    reasons = {record["not_measured"]: name for name, record in reversed(records.items()) if name not in measured}
    parts = [_largest(measured)] if measured else []
    for reason, name in reasons.items():
        models = "" if len(records) == 1 else f" in {name}"
        parts.append(f"the difference from float32 is not measured{models} ({reason})")
    return f"Half precision ({results[0].settings.dtype}): {'; '.join(parts)}."


def _largest(measured: Mapping[str, Mapping[str, Any]]) -> str:
    name = max(measured, key=lambda name: float(measured[name]["largest_difference"]))
    worst = measured[name]
    where = "" if len(measured) == 1 else f", most in {name}"
    return (
        f"logit gaps of {worst['prompts']} prompts differ from float32 by up to {number(worst['largest_difference'])} nats "
        f"(mean {number(worst['mean_difference'])}){where}"
    )
