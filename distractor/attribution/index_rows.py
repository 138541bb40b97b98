"""The line of a run of `distractor attribute` in the index of many runs."""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from distractor.models.source import NO_FAMILY
from distractor.runs.index.row import IndexRow, models_text, peak_of
from distractor.runs.style import in_units
from distractor.text.format import Format


def rows(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[IndexRow]:
    """One line: how the largest size or model overcomes the distractor."""
    by_size: dict[int, list[float]] = {}
    for model in summary["models"]:
        if model["n_params"] and model["distractor_preference"]:
            by_size.setdefault(model["n_params"], []).append(model["distractor_preference"]["mean"])
    peak = peak_of((in_units(size), size, fmean(means)) for size, means in by_size.items())
    models = models_text(
        (model.get("family", NO_FAMILY) for model in summary["models"]),
        [model["model"] for model in summary["models"]],
    )
    yield IndexRow(summary["task"], models, Format.from_dict(manifest).label, summary.get("label", "–"), peak)
