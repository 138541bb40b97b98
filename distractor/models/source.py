"""A model that is not loaded yet: its folder, its position in a family, and a hash of its files."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from distractor.errors import ModelError
from distractor.models.adapter import adapter_files
from distractor.models.downloads import Weights
from distractor.models.remote_code import code_files
from distractor.models.weight_files import weight_files

TEXT_FILES = ("*.json", "*.model", "*.txt", "*.jinja")
NO_FAMILY = "models"  # the family name of folders and hub ids that are named one by one
EMBEDDED = "ladder"  # the embedded families are called ladder/TASK; other families have no / in their names

ShotCounts = Mapping[str, Mapping[str, int]]
"""{task: {"shots": number of worked examples before a question, "reasoned": number of those with reasoning}}."""


@dataclass(frozen=True)
class Source:
    """The folder of a model, or its GGUF file, and its position in a family.

    `tokens` counts the training tokens up to `step`. A checkpoint (`is_final` False) may have its tokenizer in another
    folder. `held_out` names, for each task, the item groups whose conflict was kept out of training. `shots` gives the
    longest run of worked examples in the training data of each task. `adapter` is the folder of an adapter that is merged
    into the model. `weights` are those that are downloaded when the model is loaded. None means unknown.
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
    shots: ShotCounts | None = field(default=None, compare=False)
    adapter: Path | None = None
    weights: Weights | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The model's full name: `ladder/negation_qa/80x2/seed780`, `pythia/70m@1000`."""
        if self.family == NO_FAMILY:
            return self.model
        seed = "" if self.seed is None else f"/seed{self.seed}"
        return f"{self.family}/{self.model}{seed}{'' if self.is_final else f'@{self.step}'}"

    @property
    def is_embedded(self) -> bool:
        """Whether the model belongs to an embedded ladder, which the tests of this package check."""
        return self.family.startswith(f"{EMBEDDED}/")

    @property
    def tokenizer_folder(self) -> Path:
        """The folder that holds the tokenizer."""
        return self.tokenizer or self.folder

    @property
    def place(self) -> str:
        """Where the model is: its folder or file, with the folder of its adapter."""
        return str(self.folder) if self.adapter is None else f"{self.folder}+{self.adapter}"

    @property
    def is_missing(self) -> bool:
        """Whether the model is not downloaded."""
        return not self.folder.exists()

    def fingerprint(self) -> str:
        """Return a hash of the files that decide what the model computes. Raises ModelError if one cannot be read."""
        try:
            hashes = self.weights.hashes if self.weights else {}
            weights = list(hashes) or [path for path in weight_files(self.folder) if path.is_file()]
            if not weights:
                raise ModelError(f"{self.name}: the folder {self.folder} no longer holds a model")
            folders = {self.folder, self.tokenizer_folder}
            texts = {path for folder in folders for pattern in TEXT_FILES for path in folder.glob(pattern)}
            code = {path for folder in folders for path in code_files(folder)}
            hashed = sorted(
                {path for path in {*texts, *code} if path.is_file() and path.name != "training.json"} | {*weights}
            )
            hashed += adapter_files(self.adapter) if self.adapter else []
            digest = hashlib.sha256()
            for path in hashed:
                known = hashes.get(path)
                digest.update(self._label(path).encode() + (bytes.fromhex(known) if known else _hash_file(path)))
            return digest.hexdigest()
        except OSError as error:
            raise ModelError(f"{self.name}: {error.filename} cannot be read ({error.strerror})") from error

    def _label(self, path: Path) -> str:
        """The name of a file in its folder: `model.safetensors`, `shards/1.safetensors`."""
        if self.adapter and path.parent == self.adapter:
            return f"adapter/{path.name}"
        folder = self.folder if path.is_relative_to(self.folder) else self.tokenizer_folder
        return path.relative_to(folder).as_posix()


def group_by_size(sources: Iterable[Source]) -> tuple[tuple[int, ...], ...]:
    """Group models that differ only in their seed; return their indices in `sources`, the smallest size first.

    Models without a seed are never grouped, even with equal parameter counts. If two models of one seed have equal counts,
    models of that count are grouped by their model name.
    """
    sources = list(sources)
    models: dict[tuple[int | None, int | None], set[str]] = {}
    for source in sources:
        models.setdefault((source.n_params, source.seed), set()).add(source.model)
    ambiguous = {n_params for (n_params, _), names in models.items() if len(names) > 1}
    groups: dict[tuple[int, str], list[int]] = {}
    for index, source in enumerate(sources):
        name = source.name if source.seed is None else source.model if source.n_params in ambiguous else ""
        groups.setdefault((source.n_params or 0, name), []).append(index)
    return tuple(tuple(groups[key]) for key in sorted(groups))


def _hash_file(path: Path) -> bytes:
    stat = path.stat()
    return _hash_content(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@cache
def _hash_content(path: Path, *stamp: int) -> bytes:
    """The stamp (inode, size, time of change) makes the cache read a file again only after a change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
