"""Published accuracies over model size and training, with their source and prompt format, for comparison with a curve.

The shape of a task's curve depends on its prompt, so every curve has a prompt format. Many models have no published
parameter count; their sizes are ranks. Every number was read at its source.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distractor.errors import ScalingError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

NUMBERS = Path(__file__).parent / "published.csv"
KEYS = ["task", "reference", "series", "prompt_format"]

PYTHIA = Path(__file__).parent / "pythia.csv"
"""Pythia at eight sizes and eight steps: results of Michaelov and Bergen 2023, MIT (LICENSE-emergent-inabilities)."""

PYTHIA_SOURCE = (
    "Michaelov and Bergen 2023, arXiv 2305.14681, their results at github.com/jmichaelov/emergent-inabilities (MIT)"
)
PYTHIA_FORMAT = "rank classification of the prize's prompts as they are"
ONE_SEED = "one seed of each size"
CUT_CLASSES = "classes with an apostrophe were cut there, so such rows were scored otherwise than in the prize"
PYTHIA_NOTES = {
    "negation_qa": "most accuracies are within one item of 137 of 300, the share of one answer: constant answers",
    "memo_trap": CUT_CLASSES,
    "quote_repetition": CUT_CLASSES,
}

PublishedAxis = Literal["parameters", "rank", "step"]

OFFICIAL = {
    "neqa": "negation_qa",
    "redefine": "redefine_math",
    "resisting_correction": "quote_repetition",
    "pattern_matching_suppression": "pattern_matching",
}
"""The names of tasks in the release, if they differ from those of this toolkit."""


@dataclass(frozen=True)
class Point:
    """The accuracy of one model, from 0 to 1, over `n` items (None: not published), and its standard error if published."""

    model: str
    size: float
    accuracy: float
    n: int | None = None
    stderr: float | None = None

    @property
    def error(self) -> float:
        """The standard error, as published or over `n` items; 0 if unknown."""
        if self.stderr is not None:
            return self.stderr
        return float((self.accuracy * (1 - self.accuracy) / self.n) ** 0.5) if self.n else 0.0


@dataclass(frozen=True)
class Published:
    """One published curve, smallest model or earliest step first. `axis` says what sizes are; ranks start at 0.

    `authors_label` is the shape that the authors named by eye from few points; it is not ground truth.
    """

    task: str
    reference: str
    series: str
    prompt_format: str
    points: tuple[Point, ...]
    axis: PublishedAxis
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
        content["size"] = content.pop("axis")
        return content


@cache
def published() -> tuple[Published, ...]:
    """All published curves, in the order of the file."""
    import pandas as pd

    table = pd.read_csv(NUMBERS)
    return (*(_curve(rows) for _, rows in table.groupby(KEYS, sort=False)), *_pythia())


def _pythia() -> "Iterator[Published]":
    """Pythia over sizes at the last step, and each size over steps."""
    import pandas as pd

    table = pd.read_csv(PYTHIA)
    for task, rows in table.groupby("task", sort=False):
        common: dict[str, Any] = {
            "task": str(task),
            "reference": "pythia",
            "prompt_format": PYTHIA_FORMAT,
            "authors_label": None,
            "source": PYTHIA_SOURCE,
            "note": "; ".join([*([PYTHIA_NOTES[str(task)]] if task in PYTHIA_NOTES else []), ONE_SEED]),
        }
        last = rows[rows["step"] == rows["step"].max()]
        yield Published(
            series="Pythia", axis="parameters", points=tuple(_points(last["model"], last["n_params"], last)), **common
        )
        for model, of_model in rows.groupby("model", sort=False):
            steps = of_model["step"]
            yield Published(
                series=f"Pythia {str(model).upper()}",
                axis="step",
                points=tuple(_points(steps.astype(str), steps, of_model)),
                **common,
            )


def _points(names: "Series[Any]", sizes: "Series[Any]", rows: "DataFrame") -> "Iterator[Point]":
    columns = zip(names, sizes, rows["accuracy"], rows["stderr"], strict=True)
    for name, size, accuracy, stderr in sorted(columns, key=lambda column: float(column[1])):
        yield Point(str(name), float(size), float(accuracy), stderr=float(stderr))


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
        axis="parameters" if sizes_known else "rank",
        authors_label=first["authors_label"] if isinstance(first["authors_label"], str) else None,
        source=first["source"],
        note="; ".join(rows["note"].dropna().unique()),
    )


def find_published(task: str, references: Sequence[str], axis: str = "parameters") -> tuple[Published, ...]:
    """The published curves of `references` on `task`: over training steps for an `axis` of steps, else over sizes.

    A reference without curves over steps has those over sizes in both cases. Raises ScalingError if one has none.
    """
    plain = task.replace("-", "_")
    of_task = [
        curve for curve in published() if curve.task == OFFICIAL.get(plain, plain) and curve.reference in references
    ]
    with_steps = {curve.reference for curve in of_task if curve.axis == "step" == axis}
    curves = [curve for curve in of_task if (curve.axis == "step") is (curve.reference in with_steps)]
    missing = [name for name in references if name not in {curve.reference for curve in curves}]
    known = {curve.reference for curve in published()}
    if unknown := [name for name in missing if name not in known]:
        raise ScalingError(f"there are no published results of {unknown[0]!r}: {nearest(unknown[0], known)}")
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
