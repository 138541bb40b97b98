"""Published accuracies over model size, with their source and prompt format, for comparison with a curve.

The shape of a task's curve depends on its prompt, so every curve has a prompt format. Many models have no published
parameter count; their sizes are ranks. Every number was read at its source.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import ScalingError

if TYPE_CHECKING:
    from pandas import DataFrame

NUMBERS = Path(__file__).parent / "published.csv"
KEYS = ["task", "reference", "series", "prompt_format"]


@dataclass(frozen=True)
class Point:
    """The accuracy of one model, from 0 to 1, over `n` items (None: not published)."""

    model: str
    size: float
    accuracy: float
    n: int | None


@dataclass(frozen=True)
class Published:
    """One published curve, smallest model first. Sizes are parameters if `sizes_known`, else ranks from 0.

    `authors_label` is the shape that the authors named by eye from few points; it is not ground truth.
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
        """Title for a legend."""
        return f"{self.series}, {self.prompt_format}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        content = asdict(self)
        content["size"] = "parameters" if content.pop("sizes_known") else "rank"
        return content


@cache
def published() -> tuple[Published, ...]:
    """All published curves, in the order of the file."""
    import pandas as pd

    table = pd.read_csv(NUMBERS)
    return tuple(_curve(rows) for _, rows in table.groupby(KEYS, sort=False))


def _curve(rows: "DataFrame") -> Published:
    sizes_known = bool(rows["n_params"].notna().all())
    sizes = rows["n_params" if sizes_known else "rank"].astype(float)
    points = [
        Point(model, size, accuracy, None if n != n else int(n))
        for model, size, accuracy, n in zip(rows["model"], sizes, rows["accuracy"], rows["n"], strict=True)
    ]
    first = rows.iloc[0]
    return Published(
        **{str(key): first[key] for key in KEYS},
        points=tuple(sorted(points, key=lambda point: point.size)),
        sizes_known=sizes_known,
        authors_label=first["authors_label"] if isinstance(first["authors_label"], str) else None,
        source=first["source"],
        note="; ".join(rows["note"].dropna().unique()),
    )


def find_published(task: str, references: Sequence[str]) -> tuple[Published, ...]:
    """The published curves of `references` on `task`."""
    curves = [curve for curve in published() if curve.task == task and curve.reference in references]
    missing = [name for name in references if name not in {curve.reference for curve in curves}]
    if missing:
        raise ScalingError(
            f"there are no published results of {', '.join(missing)} for the task {task}; choose from {known_references()}"
        )
    return tuple(curves)


def known_references() -> str:
    """Tasks and their references, in one line."""
    by_task: dict[str, dict[str, None]] = {}
    for curve in published():
        by_task.setdefault(curve.task, {})[curve.reference] = None
    return "; ".join(f"{task}: {', '.join(references)}" for task, references in by_task.items())
