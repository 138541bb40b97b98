"""A model before it is loaded: where it is, where it stands in its family, and the hash of what it computes with."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from distractor.errors import ModelError

TEXTS = ("*.json", "*.model", "*.txt", "*.jinja")


WEIGHTS = ("*.safetensors", "*.bin")


HASHED = (*WEIGHTS, *TEXTS)
"""The files of a model folder that decide what it computes."""


OWN = "models"
"""The family of folders and hub ids that are given one by one."""


Shots = Mapping[str, Mapping[str, int]]
"""{task: {"shots": so many before a question, "reasoned": so many with their reasoning}}."""


@dataclass(frozen=True)
class Source:
    """Where a model is, and where it stands in its family.

    `n_params` is None until the model has been loaded, where it is not known beforehand; `tokens` were seen in training
    up to `step`, None where nobody tells. A model in the middle of its training (`is_final` False) may have its tokenizer
    in another folder. `held_out` names, for each task, the groups of items whose conflict was kept out of training, and
    `shots` says how many worked examples in a row its training holds, with and without their reasoning, where that is known.
    """

    family: str
    model: str
    folder: Path
    seed: int | None = None
    step: int | None = None
    n_params: int | None = None
    held_out: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    tokens: int | None = None
    is_final: bool = True
    tokenizer: Path | None = None
    shots: Shots | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """How it is called in messages: `ladder/80x2/seed780`, `ladder/80x2/seed780@750`."""
        if self.family == OWN:
            return self.model
        seed = "" if self.seed is None else f"/seed{self.seed}"
        return f"{self.family}/{self.model}{seed}{'' if self.is_final else f'@{self.step}'}"

    @property
    def is_embedded(self) -> bool:
        """Whether it came with this package, whose tests know it."""
        return self.family == "ladder"

    @property
    def tokenizer_folder(self) -> Path:
        """Where its tokenizer is."""
        return self.tokenizer or self.folder

    def fingerprint(self) -> str:
        """A hash of the files that decide what the model computes.

        Raises:
            ModelError: a file cannot be read, or there is none.

        """
        try:
            files = {path for pattern in HASHED for path in self.folder.glob(pattern)}
            files |= {path for pattern in TEXTS for path in (self.tokenizer.glob(pattern) if self.tokenizer else ())}
            kept = sorted(path for path in files if path.is_file() and path.name != "training.json")
            if not any(path.parent == self.folder for path in kept):
                raise ModelError(f"{self.name}: there is no model in {self.folder} any more")
            return _hash_of(tuple((path, *_stamp(path)) for path in kept))
        except OSError as error:
            raise ModelError(f"{self.name}: {error.filename} cannot be read ({error.strerror})") from error


def group_by_size(sources: Iterable[Source]) -> tuple[tuple[int, ...], ...]:
    """The models of each size, the smallest first, as places in `sources`: those that differ in their seed alone.

    A model without a seed is nobody's other seed, even where another has as many parameters; nor is one of another shape
    with as many parameters and the same seed.
    """
    sources = list(sources)
    shapes: dict[tuple[int | None, int | None], set[str]] = {}
    for one in sources:
        shapes.setdefault((one.n_params, one.seed), set()).add(one.model)
    apart = {n_params for (n_params, _), models in shapes.items() if len(models) > 1}
    by_size: dict[tuple[int, str], list[int]] = {}
    for place, one in enumerate(sources):
        name = one.name if one.seed is None else one.model if one.n_params in apart else ""
        by_size.setdefault((one.n_params or 0, name), []).append(place)
    return tuple(tuple(by_size[size]) for size in sorted(by_size))


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does."""
    told = path.stat()
    return told.st_ino, told.st_size, told.st_mtime_ns


@cache
def _hash_of(stamps: tuple[tuple[Any, ...], ...]) -> str:
    """The hash of files that are named with their stamps, so that each is read once as long as it does not change."""
    digest = hashlib.sha256()
    for path, *_ in stamps:
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
