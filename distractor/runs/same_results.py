"""Compares the results of two run folders: are the numbers the same, and if not, what else differs?"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

CLOSE = 1e-5
"""The largest accepted difference of two numbers, relative to numbers above 1. Other machines round otherwise."""

OF_MACHINE = ("date", "command")  # of a manifest; they differ between runs without any effect


@dataclass(frozen=True)
class SameResults:
    """How the results of two runs differ.

    `same_bytes`: every table and the summary have the same bytes. `largest` is the largest difference between two numbers,
    in the file `where`; infinite if one of them is missing. `labels` are verdicts and other labels that differ. `changed`
    says what else differs: weights, the task, versions, the machine.
    """

    same_bytes: bool
    largest: float
    where: str
    labels: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def match(self) -> bool:
        """Whether all numbers and labels are the same, but for rounding."""
        return self.largest <= CLOSE and not self.labels

    @property
    def sentences(self) -> Iterator[str]:
        """The result in words."""
        if self.same_bytes:
            yield "The results match: every table and the summary have the same bytes."
        elif self.match:
            if not self.largest:
                yield "The results match: every number is equal."
                return
            yield f"The results match: the largest difference of two numbers is {self.largest:.1e} (accepted: {CLOSE:.0e})."
        elif isfinite(self.largest):
            yield f"The results do not match: numbers differ by up to {self.largest:.2g} in {self.where}."
        else:
            yield f"The results do not match: {self.where} does not hold the same rows."
        yield from (f"Another label: {label}." for label in self.labels)
        yield from (f"Changed: {change}." for change in self.changed)


def compare_results(before: Path, after: Path) -> SameResults:
    """Compare the results of two run folders, the earlier run first.

    Raises:
        StoreError: a folder has no finished run, or a file cannot be read.
    """
    names = [sorted(str(file.relative_to(folder)) for file in folder.rglob("*.parquet")) for folder in (before, after)]
    files = [*dict.fromkeys([*names[0], *names[1]]), "summary.json"]
    differences = {name: _difference(name, before / name, after / name) for name in files}
    where = max(differences, key=lambda name: differences[name])
    summaries = [read_json(folder / "summary.json") for folder in (before, after)]
    other = tuple(other_labels(*summaries))
    is_equal = differences[where] == 0 and all(
        (before / name).read_bytes() == (after / name).read_bytes() for name in files
    )
    manifests = (read_json(folder / "manifest.json") for folder in (before, after))
    return SameResults(is_equal, differences[where], where, other, tuple(changes(*manifests)))


def other_labels(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """The verdicts and other labels of a summary that differ in another one."""
    labels = [{path: value for path, value in _leaves(one) if path.endswith("label")} for one in (before, after)]
    for path, label in labels[0].items():
        if labels[1].get(path) != label:
            yield f"{path} is {labels[1].get(path)!r}, and was {label!r}"


def _difference(name: str, before: Path, after: Path) -> float:
    """The largest difference between two numbers of a file, above 1 relative to the earlier one; infinite for other rows."""
    if not (before.is_file() and after.is_file()):
        return float("inf")
    if name == "summary.json":
        return difference_of_summaries(*(read_json(file) for file in (before, after)))
    return difference_of_tables(*(_read_table(file) for file in (before, after)))


def difference_of_summaries(before: Mapping[str, Any], after: Mapping[str, Any], *, gained: bool = False) -> float:
    """The same for two summaries. With `gained`, the later one may have more numbers."""
    import numpy as np

    numbers = [{path: n for path, n in _leaves(one) if _is_number(n)} for one in (before, after)]
    if gained:
        numbers[1] = {path: n for path, n in numbers[1].items() if path in numbers[0]}
    if numbers[0].keys() != numbers[1].keys():
        return float("inf")
    return _largest(*(np.array([one[path] for path in numbers[0]], dtype=float) for one in numbers))


def difference_of_tables(before: "pa.Table", after: "pa.Table") -> float:
    """The same for two tables."""
    import pyarrow as pa

    if before.column_names != after.column_names or before.num_rows != after.num_rows:
        return float("inf")
    largest = 0.0
    for column in before.column_names:
        one, two = before[column], after[column]
        if pa.types.is_floating(one.type):
            largest = max(largest, _largest(one.to_numpy(), two.to_numpy()))
        elif one.to_pylist() != two.to_pylist():
            return float("inf")
    return largest


def _read_table(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path.name} cannot be read ({error}); the folder of the run is damaged") from error


def _largest(before: Any, after: Any) -> float:
    import numpy as np

    if not np.array_equal(np.isnan(before), np.isnan(after)):
        return float("inf")
    off = np.nan_to_num(np.abs(before - after) / np.maximum(1, np.abs(before)))
    return float(off.max(initial=0.0))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All single values of a JSON document with their paths."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two manifests, models by name."""
    models = [{model["name"]: model["hash"] for model in one.get("models", ())} for one in (before, after)]
    for name, sha256 in models[0].items():
        if name in models[1] and models[1][name] != sha256:
            yield f"the files of the model {name}"
    was, now = (
        dict(_leaves({name: value for name, value in one.items() if name not in (*OF_MACHINE, "models")}))
        for one in (before, after)
    )
    for path in dict.fromkeys([*was, *now]):
        if was.get(path) != now.get(path):
            yield f"{path} is {now.get(path)}, and was {was.get(path)}"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a run. Raises StoreError if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} cannot be read ({error}); name the folder of a finished run") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} holds no JSON object; name the folder of a finished run")
    return content
