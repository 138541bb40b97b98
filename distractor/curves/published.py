"""What others have published of accuracy over size: numbers with their source and prompt format, to lie under a curve.

The same task is inverse, U-shaped or positive by its prompt, so every curve carries its prompt format; and many models'
parameter counts are unpublished, so that such curves have ranks for sizes. Numbers were transcribed as facts; where
something could not be read at its source, it is not here.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from distractor.errors import ScalingError

NUMBERS = Path(__file__).parent / "published.csv"


@dataclass(frozen=True)
class Point:
    """One model's accuracy, from 0 to 1, over `n` items (None: not said)."""

    model: str
    size: float
    accuracy: float
    n: int | None


@dataclass(frozen=True)
class Published:
    """One published curve, smallest model first; `sizes_known` says whether sizes are parameters or ranks (from 0).

    `authors_label` is the authors' own, by eye on few points; it is no ground truth.
    """

    task: str
    reference: str
    series: str
    prompt_format: str
    points: tuple[Point, ...]
    sizes_known: bool
    authors_label: str | None
    source: str
    note: str

    @property
    def title(self) -> str:
        """As a legend says it."""
        return f"{self.series}, {self.prompt_format}"

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json."""
        return {
            "task": self.task,
            "reference": self.reference,
            "series": self.series,
            "prompt_format": self.prompt_format,
            "size": "parameters" if self.sizes_known else "rank",
            "points": [{"model": p.model, "size": p.size, "accuracy": p.accuracy, "n": p.n} for p in self.points],
            "authors_label": self.authors_label,
            "source": self.source,
            "note": self.note,
        }


@cache
def published() -> tuple[Published, ...]:
    """All curves there are, in the order of the file."""
    rows: dict[tuple[str, ...], list[dict[str, str]]] = {}
    with NUMBERS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            place = tuple(row[name] for name in ("task", "reference", "series", "prompt_format"))
            rows.setdefault(place, []).append(row)
    return tuple(_curve(place, of) for place, of in rows.items())


def _curve(place: tuple[str, ...], rows: list[dict[str, str]]) -> Published:
    known = all(row["n_params"] for row in rows)
    points = [
        Point(
            row["model"],
            float(row["n_params"] if known else row["rank"]),
            float(row["accuracy"]),
            int(row["n"]) if row["n"] else None,
        )
        for row in rows
    ]
    task, reference, series, prompt_format = place
    notes = dict.fromkeys(row["note"] for row in rows if row["note"])
    return Published(
        task,
        reference,
        series,
        prompt_format,
        tuple(sorted(points, key=lambda point: point.size)),
        known,
        rows[0]["authors_label"] or None,
        rows[0]["source"],
        "; ".join(notes),
    )


def find_published(task: str, references: Sequence[str]) -> tuple[Published, ...]:
    """The published curves of `references` on `task`.

    Raises:
        ScalingError: one of them has no numbers for the task; the message says what there is.

    """
    found = [one for one in published() if one.task == task and one.reference in references]
    missing = [name for name in references if name not in {one.reference for one in found}]
    if missing:
        raise ScalingError(
            f"no published numbers of {', '.join(missing)} for the task {task}; there are: {what_there_is()}"
        )
    return tuple(found)


def what_there_is() -> str:
    """Tasks and references that have numbers, in one line."""
    by_task: dict[str, dict[str, None]] = {}
    for one in published():
        by_task.setdefault(one.task, {})[one.reference] = None
    return "; ".join(f"{task}: {', '.join(references)}" for task, references in by_task.items())
