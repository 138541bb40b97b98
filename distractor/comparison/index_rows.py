"""The lines of a run of `distractor compare` in the index of many runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from distractor.runs.index.row import MOST_NAMED, IndexRow
from distractor.text.format import Format


def rows(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[IndexRow]:
    """One line for all tasks: whether preference changed. The sides are named in their order."""
    first: Mapping[str, Any] = next(iter(summary["tasks"].values()), {})  # none: the summary is damaged
    names = [side["name"] for side in first["sides"]]
    family = names[0].rpartition("/")[0] + "/"
    if all(name.startswith(family) for name in names):
        names = [name.removeprefix(family) for name in names]
    sides = " → ".join(names) if len(names) <= MOST_NAMED else f"{names[0]} → … → {names[-1]} ({len(names):,})"
    form, label = Format.from_dict(first["format"]).label, summary.get("label", "–")
    yield IndexRow(", ".join(summary["tasks"]), sides, form, label)
