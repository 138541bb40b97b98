"""Published accuracies over model size and training, with their source and prompt format, for comparison with a curve.

The shape of a task's curve depends on its prompt, so every curve has a prompt format. Many models have no published
parameter count; their sizes are ranks. Every number was read at its source.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median
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
PRIZE_FORMAT = "rank classification of the prize's prompts as they are"
"""Zero-shot: the classes are ranked by their log-probability, and nothing is added to the prompts of the file."""
ONE_SEED = "one seed of each size"
CUT_CLASSES = "classes with an apostrophe were cut there, so such rows were scored otherwise than in the prize"
PYTHIA_NOTES = {"memo_trap": CUT_CLASSES, "quote_repetition": CUT_CLASSES}
NO_SHARE = ("truthfulqa_mc2",)
"""Tasks whose accuracy is no share of right items."""

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
        """The standard error, as published or over `n` items; 0 if unknown.

        Over items, one right and one wrong item are added (Agresti and Caffo 2000), so that 0 and 1 have an error, too.
        """
        if self.stderr is not None:
            return self.stderr
        if not self.n:
            return 0.0
        eased = (self.accuracy * self.n + 1) / (self.n + 2)
        return float((eased * (1 - eased) / (self.n + 2)) ** 0.5)


@dataclass(frozen=True)
class Published:
    """One published curve, smallest model or earliest step first. `axis` says what sizes are; ranks start at 0.

    `authors_label` is the shape that the authors named by eye from few points; it is not ground truth. `file` names the
    prize's file where it is an earlier one than that of the release.
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
    file: str = ""

    @property
    def title(self) -> str:
        """The series and its prompt format."""
        return f"{self.series}, {self.prompt_format}"

    @property
    def legend(self) -> str:
        """The title, without the format of the prize, which most curves have."""
        rest = self.prompt_format.removeprefix(PRIZE_FORMAT).removeprefix(", ")
        return f"{self.series}, {rest}" if rest else self.series

    @property
    def is_prize_format(self) -> bool:
        """Whether the prompts are those of the prize's file, and the classes were ranked."""
        return self.prompt_format.startswith(PRIZE_FORMAT)

    @property
    def authors(self) -> str:
        """The source in a few words.

        >>> find_published("quote_repetition", ["palm"])[0].authors
        'Wei, Tay and Le 2022'
        """
        return re.split(r", (?:arXiv|inverse|pull)", self.source)[0]

    @property
    def n_items(self) -> int | None:
        """The number of items, as published or from the standard errors (p (1 − p) / (n − 1), as in the harness)."""
        if self.task in NO_SHARE:
            return None
        if known := [point.n for point in self.points if point.n]:
            return known[0]
        errors = [(p.accuracy * (1 - p.accuracy), p.stderr) for p in self.points if p.stderr]
        return round(median(spread / error**2 for spread, error in errors) + 1) if errors else None

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
            "prompt_format": PRIZE_FORMAT,
            "authors_label": None,
            "source": PYTHIA_SOURCE,
            "note": "; ".join([*([PYTHIA_NOTES[str(task)]] if task in PYTHIA_NOTES else []), ONE_SEED]),
        }
        last = rows[rows["step"] == rows["step"].max()]
        yield Published(
            series=f"Pythia at step {rows['step'].max():,}",
            axis="parameters",
            points=tuple(_points(last["model"], last["n_params"], last)),
            **common,
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
        file=first["file"] if isinstance(first["file"], str) else "",
    )


def find_published(task: str, references: Sequence[str], axis: str = "parameters") -> tuple[Published, ...]:
    """The published curves of `references`, in this order, on `task`: over steps for an `axis` of steps, else over sizes.

    A variant of a task, such as `negation_qa.options_swapped`, has the curves of the task. A reference without curves over
    steps has those over sizes in both cases. Raises ScalingError if one has none.
    """
    known = {curve.reference for curve in published()}
    if unknown := [name for name in references if name not in known]:
        raise ScalingError(f"there are no published results of {unknown[0]!r}: {nearest(unknown[0], known)}")
    name = official_name(task)
    of_task = [curve for curve in published() if curve.task == name and curve.reference in references]
    with_steps = {curve.reference for curve in of_task if curve.axis == "step" == axis}
    curves = [curve for curve in of_task if (curve.axis == "step") is (curve.reference in with_steps)]
    if missing := [name for name in references if name not in {curve.reference for curve in curves}]:
        here = dict.fromkeys(curve.reference for curve in published() if curve.task == name)
        known_here = f"that task has {', '.join(here)}" if here else f"choose from {known_references()}"
        there = [f"{one} has {', '.join(_tasks_of(one))}" for one in missing if here]
        raise ScalingError(
            f"there are no published results of {', '.join(missing)} for the task {task}; {'; '.join([known_here, *there])}"
        )
    return tuple(sorted(curves, key=lambda curve: references.index(curve.reference)))


def _tasks_of(reference: str) -> list[str]:
    return list(dict.fromkeys(curve.task for curve in published() if curve.reference == reference))


def official_name(task: str) -> str:
    """The name of a task in `published`, from its name here or in the release.

    >>> official_name("neqa"), official_name("negation_qa.both_orders"), official_name("memo-trap")
    ('negation_qa', 'negation_qa', 'memo_trap')
    """
    plain = task.partition(".")[0].replace("-", "_")
    return OFFICIAL.get(plain, plain)


def parse_references(names: Iterable[str]) -> tuple[str, ...]:
    """The names of an option that may be repeated or hold several names.

    >>> parse_references(["opt, pythia", "opt"])
    ('opt', 'pythia')
    """
    return tuple(dict.fromkeys(name for text in names for part in text.split(",") if (name := part.strip())))


def known_references() -> str:
    """Tasks and their references, in one line."""
    by_task: dict[str, dict[str, None]] = {}
    for curve in published():
        by_task.setdefault(curve.task, {})[curve.reference] = None
    return "; ".join(f"{task}: {', '.join(references)}" for task, references in by_task.items())
