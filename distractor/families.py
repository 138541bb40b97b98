"""Which models belong together, and where they are: from what a user writes to folders on disk. Text only, no torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from distractor.errors import ModelError
from distractor.task import nearest

LADDER = Path(__file__).parent / "ladder"
WEIGHTS = ("*.safetensors", "*.bin")
HASHED = (*WEIGHTS, "*.json", "*.model", "*.txt")
"""The files of a model folder that decide what it computes."""


@dataclass(frozen=True)
class Source:
    """Where a model is, and where it stands in its family.

    `n_params` is None until the model has been loaded, where it is not known beforehand. `held_out` names, for each
    task, the groups of items whose conflict was kept out of training, where that is known.
    """

    family: str
    model: str
    folder: Path
    seed: int | None = None
    step: int | None = None
    n_params: int | None = None
    held_out: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """How it is called in messages: `ladder/64x3/seed0`."""
        seed = "" if self.seed is None else f"/seed{self.seed}"
        return f"{self.family}/{self.model}{seed}" if self.family == "ladder" else self.model

    def fingerprint(self) -> str:
        """A hash of the files that decide what the model computes."""
        return _hash_of(self.folder)


def find_models(names: Sequence[str], *, offline: bool = False) -> tuple[Source, ...]:
    """The models meant by `names`: `ladder`, `ladder/64x3`, `ladder/64x3/seed0`, folders, hub ids (`owner/name[@revision]`).

    Models that are no family of ours, given together, are taken as one. What looks like a path is never taken for a
    hub id. The network is touched for a hub id alone, and only where it is not in the cache and `offline` is False.

    Raises:
        ModelError: a name means nothing that is there, or one curve would mix families.

    """
    found = [source for name in names for source in _find(name, offline=offline)]
    if len({source.family for source in found}) > 1:
        raise ModelError(
            "the ladder and other models were asked for together, but one curve is drawn over one family; "
            "run them one after the other"
        )
    return tuple(dict.fromkeys(found))


def ladder() -> tuple[Source, ...]:
    """The embedded models, the smallest first."""
    if not (LADDER / "ladder.json").exists():
        raise ModelError(f"the embedded ladder is missing from {LADDER}; install the package again")
    told = json.loads((LADDER / "ladder.json").read_text())["models"]
    held_out = json.loads((LADDER / "held_out.json").read_text())
    groups = {task: frozenset(names) for task, names in held_out.items()}
    return tuple(
        Source(
            family="ladder",
            model=one["size"],
            folder=LADDER / one["size"] / f"seed{one['seed']}",
            seed=one["seed"],
            step=one["steps"],
            n_params=one["n_params"],
            held_out=groups,
        )
        for one in sorted(told, key=lambda one: (one["n_params"], one["seed"]))
    )


def _find(name: str, *, offline: bool) -> tuple[Source, ...]:
    first, *rest = name.rstrip("/").split("/")
    if first == "ladder" and not Path(name).is_dir():
        return _rungs(name, rest)
    path = Path(name).expanduser()
    if path.is_dir():
        return (_folder(path, path.resolve().name),)
    looks_like_path = name[:1] in "./~" or "\\" in name or len(rest) > 1 or (bool(rest) and Path(first).exists())
    if looks_like_path:
        raise ModelError(f"there is no folder {name!r}; wanted is one written by `save_pretrained`")
    if not rest:
        raise ModelError(
            f"there is no model {name!r}: {nearest(name, ['ladder'])}; a folder is given by its path, a hub id as owner/name"
        )
    hub_id, _, revision = name.partition("@")
    return (_folder(_snapshot(hub_id, revision or None, offline=offline), name),)


def _rungs(name: str, rest: Sequence[str]) -> tuple[Source, ...]:
    everything = ladder()
    found = tuple(s for s in everything if f"{s.model}/seed{s.seed}".split("/")[: len(rest)] == list(rest))
    if not found:
        known = {f"ladder/{s.model}" for s in everything} | {f"ladder/{s.model}/seed{s.seed}" for s in everything}
        raise ModelError(f"there is no model {name!r}: {nearest(name, known)}")
    return found


def _folder(path: Path, model: str) -> Source:
    if not (path / "config.json").is_file() or not any(f for pattern in WEIGHTS for f in path.glob(pattern)):
        raise ModelError(
            f"{path} is no model: it has {', '.join(sorted(p.name for p in path.iterdir())[:5]) or 'no files'}; wanted are "
            "config.json, weights (*.safetensors) and a tokenizer, as written by `save_pretrained`"
        )
    return Source(family="models", model=model, folder=path)


def _snapshot(hub_id: str, revision: str | None, *, offline: bool) -> Path:
    """The folder of the hub's cache that holds a model, fetched if need be."""
    import os

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    if offline or os.environ.get("HF_HUB_OFFLINE", "0").lower() in {"1", "true", "yes", "on"}:
        raise ModelError(f"{hub_id} is not in the cache, and fetching it was forbidden (--offline or HF_HUB_OFFLINE)")
    if not _hub_answers():
        raise ModelError(
            f"{hub_id} is not in the cache, and the Hugging Face hub cannot be reached; connect, or give a local folder"
        )
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{hub_id} could not be fetched from the Hugging Face hub: {first}") from error


def _hub_answers() -> bool:
    """Whether a connection to the hub (or the proxy to it) can be opened within two seconds; its own retries take 23 s."""
    import os
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    address = urlsplit(getproxies().get(urlsplit(hub).scheme, hub))
    port = address.port or {"http": 80, "https": 443}.get(address.scheme, 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=2).close()
    except OSError:
        return False
    return True


@lru_cache
def _hash_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in HASHED for path in folder.glob(pattern)}):
        if path.name == "training.json":
            continue
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
