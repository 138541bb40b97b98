"""The lines of a run of `distractor shape` in the index of many runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from distractor.curves.folder_name import folder_name
from distractor.runs.folder import PAGE
from distractor.runs.index.row import IndexRow, family_text, models_text, peak_of
from distractor.runs.style import in_units, quantity_title


def rows(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[IndexRow]:
    """One line for each task: the shape, and the quantity that has it."""
    if "tasks" not in summary:
        yield _row(manifest, summary, PAGE)
        return
    for task, judged in summary["tasks"].items():
        yield _row(manifest, judged, f"tasks/{folder_name(task)}/{PAGE}")


def _row(manifest: Mapping[str, Any], judged: Mapping[str, Any], page: str) -> IndexRow:
    files = [file["name"] for file in manifest["files"]]
    peak = None
    if judged["quantity"] == "distractor_preference" and judged["against"] == "parameters":
        peak = peak_of((in_units(size["size"]), round(size["size"]), size["mean"]) for size in judged["sizes"])
    label = f"{quantity_title(judged['quantity'])}: {judged['shape']['label']}"
    families = dict.fromkeys(map(family_text, judged["families"]))
    models = ", ".join(families) or models_text((), files)
    return IndexRow(judged["task"] or "–", models, "–", label, peak, page)
