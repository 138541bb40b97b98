"""Decides whether two models come from one training run, so that sites of the same name correspond.

The names decide this if they can, otherwise the weights: those of separate runs do not correlate.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy import ndarray

from distractor.models.downloads import fetch
from distractor.models.source import Source
from distractor.models.weight_files import weight_files

MIN_CORRELATION = 0.5  # weights of one run correlate at least this much; weights of separate runs correlate near 0
MAX_WEIGHTS = 1_000_000  # number of weights compared per matrix; larger matrices are sampled at even steps
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

WeightTensor = tuple[
    Path, str, tuple[int, ...], int, int
]  # a file, its dtype and shape, the first byte, number of bytes


def from_same_run(first: Source, second: Source) -> bool:
    """Whether two models are two steps of one model and seed, or have correlated weights; False if these have other
    shapes.
    """
    if first.seed is not None and second.seed is not None and first.seed != second.seed:
        return False
    is_named = any(s.seed is not None or s.step is not None or "@" in s.model for s in (first, second))
    runs = [(s.family, s.model.partition("@")[0], s.seed) for s in (first, second)]  # shared by all steps of a run
    if is_named and runs[0] == runs[1]:
        return True
    for source in (first, second):
        fetch(source.weights, alone=False)
    return _correlation(first.folder, second.folder) >= MIN_CORRELATION


@cache
def _correlation(first: Path, second: Path) -> float:
    """Return the median correlation over all weight matrices; -1 if the models differ in matrices or shapes."""
    ours, theirs = dict(_matrices(first)), dict(_matrices(second))
    shapes = [{name: shape for name, (_, _, shape, *_) in matrices.items()} for matrices in (ours, theirs)]
    if not ours or shapes[0] != shapes[1]:
        return -1.0
    correlations = []
    for name in ours:
        a, b = _sample(*ours[name]), _sample(*theirs[name])
        if a.std() > 0 and b.std() > 0:
            correlations.append(float(np.corrcoef(a, b)[0, 1]))
    return float(np.median(correlations)) if correlations else -1.0


def tensors(folder: Path) -> Iterator[tuple[str, WeightTensor]]:
    """Yield the tensors named in the headers of safetensors weights. Reading headers needs no torch."""
    for path in weight_files(folder):
        if path.suffix == ".safetensors" and path.is_file():
            yield from stored_tensors(path)


def stored_tensors(path: Path) -> Iterator[tuple[str, WeightTensor]]:
    """Yield the tensors named in the header of a safetensors file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            yield name, (path, entry["dtype"], tuple(entry["shape"]), 8 + length + start, end - start)


def _matrices(folder: Path) -> Iterator[tuple[str, WeightTensor]]:
    return ((name, tensor) for name, tensor in tensors(folder) if len(tensor[2]) > 1 and tensor[1] in DTYPES)


def _sample(path: Path, dtype: str, shape: tuple[int, ...], start: int, _: int) -> ndarray:
    """Return the numbers of a matrix, evenly sampled if it is large."""
    size = int(np.prod(shape))
    raw = np.memmap(path, dtype=DTYPES[dtype], mode="r", offset=start, shape=(size,))[:: max(1, size // MAX_WEIGHTS)]
    if dtype == "BF16":  # bfloat16 is the upper half of a float32
        return (np.asarray(raw, dtype=np.uint32) << 16).view(np.float32).astype(float)
    return np.asarray(raw, dtype=float)
