"""The number of parameters of a model that is not loaded, from the headers of its weight files."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distractor.errors import ModelError
from distractor.models.gguf_file import is_gguf, read_header
from distractor.models.source import Source
from distractor.models.weight_files import weight_files

BUFFER = re.compile(r"\.(?:attn|attention)\.(?:bias|masked_bias)$|\.inv_freq$")
"""Causal masks and rotary frequencies, which older checkpoints store with the weights; they do not count as parameters.
"""


def count_parameters(folder: Path) -> int | None:
    """Parameters in a folder's safetensors weights or in a GGUF file (tied ones once), from the headers; None for others."""
    if is_gguf(folder):
        return read_header(folder).n_params
    files = [path for path in weight_files(folder) if path.suffix == ".safetensors"]
    total = 0
    for path in files:
        with readable(path), path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is cut off")
            header: dict[str, Any] = json.loads(file.read(length))
            shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
        total += sum(math.prod(shape) for name, shape in shapes.items() if not BUFFER.search(name))
    return total if files else None


def parameters_of(source: Source) -> int:
    """The known or counted number of parameters. Weights of other formats are taken as numbers of four bytes."""
    if source.n_params:
        return source.n_params
    if source.weights and not source.weights.are_here:
        return source.weights.n_params
    if counted := count_parameters(source.folder):
        return counted
    return sum(path.stat().st_size for path in weight_files(source.folder) if path.is_file()) // 4


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise ModelError, which names the file, if it cannot be read in this block."""
    try:
        yield
    except Exception as error:  # tokenizers raises nothing narrower
        raise ModelError(f"{path} cannot be read ({error}); copy or download the model's files again") from error
