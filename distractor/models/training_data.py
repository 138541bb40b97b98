"""Which models have seen official rows in training, by what their makers say."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from distractor.files import read_file
from distractor.models.adapter import base_of
from distractor.models.source import Source

TABLE = Path(__file__).with_name("training_data.toml")


@dataclass(frozen=True)
class TrainingData:
    """What a maker says about a model's training data: `names` is a pattern of names, `source` an address.

    `files` are the official files that may be meant.
    """

    names: str
    files: tuple[str, ...]
    says: str
    source: str


@cache
def known() -> tuple[TrainingData, ...]:
    """All entries of the table."""
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))["model"]
    return tuple(TrainingData(**{**entry, "files": tuple(entry["files"])}) for entry in entries)


def training_data_of(source: Source) -> TrainingData | None:
    """What is known about the training data of a model, from its hub id or from the model that it was made from."""
    names = [name.lower() for name in _names(source)]
    return next((entry for entry in known() if any(fnmatch(name, entry.names) for name in names)), None)


def _names(source: Source) -> Iterator[str]:
    """The names under which a model may be known: its own, those of its folders, and that in its configuration."""
    yield source.model
    yield from source.folder.parts[-3:]  # the hub's cache names the third folder from the end by the hub id
    if source.adapter is not None:
        yield base_of(source.adapter)
    try:
        yield str(json.loads(read_file(source.folder / "config.json"))["_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
