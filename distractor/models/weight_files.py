"""Which files of a folder transformers loads the weights from."""

import json
import os
from collections.abc import Container
from pathlib import Path
from typing import Any

from distractor.errors import ModelError
from distractor.files import read_file
from distractor.models.gguf_file import is_gguf

PRECEDENCE = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""transformers loads the first of these that exists, unless config.json names another file (`transformers_weights`)."""


def weight_files(folder: Path, present: Container[str] = ()) -> list[Path]:
    """The files with the weights that transformers loads; they may be missing, as may all of them. A GGUF file is one.

    `present` holds names of files that count as being there.

    Raises ModelError if an index cannot be read or names a file outside the folder. A link inside the folder may lead
    outside: the hub's cache consists of such links.
    """
    if is_gguf(folder):
        return [folder]
    explicit = _read(folder / "config.json").get("transformers_weights")
    there = [name for name in PRECEDENCE if name in present or (folder / name).is_file()]
    names = [explicit] if isinstance(explicit, str) else there
    if not names:
        return []
    if not names[0].endswith(".index.json"):
        return [_inside(folder, names[0], "config.json")]
    shards = _read(_inside(folder, names[0], "config.json")).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise ModelError(
            f"{folder / names[0]} is no readable index of weights; copy or download the model's files again"
        )
    return [_inside(folder, name, names[0]) for name in sorted(set(shards.values()))]


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none."""
    try:
        content = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _inside(folder: Path, name: str, origin: str) -> Path:
    path = os.path.normpath(name)
    if os.path.isabs(path) or path.split(os.sep)[0] == os.pardir or "\0" in name:
        raise ModelError(
            f"{folder / origin} names weights outside its folder: {name!r}; move them into the folder and correct the name"
        )
    return folder / path
