"""Do two models come from one training run, so that sites of one name are the same site?

Heads of models that were trained apart have numbers, but nothing in common; before and after fine-tuning, or at two steps
of a run, they have. Told by the weights themselves where the names do not tell it.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from distractor.models.source import Source

LEAST = 0.5
"""Correlation of weights from which on two models have a common past; apart, it is 0 but for chance."""


MOST_WEIGHTS = 1_000_000
"""Of a larger matrix so many weights are looked at, evenly spread."""


TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def from_same_run(first: Source, second: Source) -> bool:
    """Whether two models are of one run: two steps of the same model and seed, or weights that go together.

    False where it cannot be told (other shapes; no *.safetensors): then no site of one is taken for one of the other.
    """
    if first.seed is not None and second.seed is not None and first.seed != second.seed:
        return False
    is_named = any(s.seed is not None or s.step is not None or "@" in s.model for s in (first, second))
    if is_named and first.family == second.family and _run(first) == _run(second):
        return True
    return _correlation(first.folder, second.folder) >= LEAST


def _run(source: Source) -> tuple[str, int | None]:
    """What the steps of a run have in common; a hub id without its revision."""
    return source.model.partition("@")[0], source.seed


@cache
def _correlation(first: Path, second: Path) -> float:
    """The median correlation of the matrices that both models have in the same shape; −1 where their shapes differ."""
    one, other = dict(_matrices(first)), dict(_matrices(second))
    if not one or {name: told[2] for name, told in one.items()} != {name: told[2] for name, told in other.items()}:
        return -1.0
    found = []
    for name in one:
        a, b = _values(*one[name]), _values(*other[name])
        if a.std() > 0 and b.std() > 0:
            found.append(float(np.corrcoef(a, b)[0, 1]))
    return float(np.median(found)) if found else -1.0


Matrix = tuple[Path, str, tuple[int, ...], int]
"""The file, the type, the shape, and where in the file the numbers begin."""


def _matrices(folder: Path) -> Iterator[tuple[str, Matrix]]:
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length))
        for name, told in header.items():
            if name != "__metadata__" and len(told["shape"]) > 1 and told["dtype"] in TYPES:
                yield name, (path, told["dtype"], tuple(told["shape"]), 8 + length + told["data_offsets"][0])


def _values(path: Path, dtype: str, shape: tuple[int, ...], start: int) -> ndarray:
    """A matrix's numbers, or an even sample of them."""
    every = max(1, int(np.prod(shape)) // MOST_WEIGHTS)
    raw = np.memmap(path, dtype=TYPES[dtype], mode="r", offset=start, shape=(int(np.prod(shape)),))[::every]
    if dtype == "BF16":  # the upper half of a float32
        return (np.asarray(raw, dtype=np.uint32) << 16).view(np.float32).astype(float)
    return np.asarray(raw, dtype=float)
