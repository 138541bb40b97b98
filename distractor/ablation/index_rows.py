"""The lines of a run of `distractor ablate` in the index of many runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from distractor.runs.folder import PAGE
from distractor.runs.index.row import IndexRow, models_text, peak_of
from distractor.text.format import Format
from distractor.text.task import Condition


def rows(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[IndexRow]:
    """One line for a run, or one for each prompt format."""
    if "by_format" not in summary:
        sizes = [
            (size["model"], size["n_params"], (size["distractor_preference"] or {}).get("mean"))
            for size in summary["sizes"]
        ]
        yield _row(manifest, summary, peak_of(sizes), summary["verdict"]["label"])
        return
    for curve in summary["formats"]:
        of_format = summary["by_format"][curve["label"]]
        means = [mean and mean["mean"] for mean in curve["values"][Condition.CONFLICT]]
        peak = peak_of(zip(curve["models"], curve["n_params"], means, strict=True))
        label = of_format["verdict"]["label"] if "verdict" in of_format else curve["shape"]
        yield _row(manifest, of_format, peak, label, f"{Format.from_dict(curve).slug}/{PAGE}")


def _row(
    manifest: Mapping[str, Any], summary: Mapping[str, Any], peak: tuple[str, int] | None, label: str, page: str = PAGE
) -> IndexRow:
    names = [model["name"] for model in manifest["models"]]
    models = models_text((model["family"] for model in summary["models"]), names)
    form = Format.from_dict(summary["format"]).label
    return IndexRow(summary["task"], models, form, label, peak, page, is_verdict="verdict" in summary)
