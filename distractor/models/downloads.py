"""Weights of hub checkpoints that are downloaded when a model is loaded, and deleted when its results are stored.

A folder, the ledger, keeps what is known of their files, so that results of a deleted checkpoint are found without its
weights. It also keeps a note of each download until it is deleted, so that later commands delete what a killed one left.
"""

import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distractor.errors import ModelError, first_line
from distractor.files import DAY, write_text
from distractor.models import hub
from distractor.models.weight_files import weight_files

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Weights:
    """The weight files of a commit of a hub id: the SHA-256 and the size of each, by name.

    They may be missing in `folder`, the snapshot in the hub's cache, which has all other files. `may_download` is False
    for commands that must not use the network.
    """

    hub_id: str
    commit: str
    folder: Path
    files: tuple[tuple[str, str, int], ...]
    ledger: Path
    may_download: bool = True

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return [name for name, *_ in self.files]

    @property
    def hashes(self) -> Mapping[Path, str]:
        """The SHA-256 of each file."""
        return {self.folder / name: sha for name, sha, _ in self.files}

    @property
    def are_here(self) -> bool:
        """Whether the files are in the cache."""
        return all((self.folder / name).is_file() for name in self.names)

    @property
    def n_params(self) -> int:
        """The number of parameters, about, from the size of the files and the dtype in config.json."""
        try:
            config: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
            dtype = str(config.get("dtype") or config.get("torch_dtype"))
        except (OSError, ValueError, AttributeError):
            dtype = "float32"
        return sum(size for *_, size in self.files) // BYTES.get(dtype, 4)


_ledger: ContextVar[Path | None] = ContextVar("ledger", default=None)  # None: nothing is deleted
_known: dict[Path, Weights] = {}  # by folder, of checkpoints that this process has found
_notes: dict[Path, Path] = {}  # by folder, the notes of this process


@contextmanager
def deleting_downloads(ledger: Path, *, is_asked: bool) -> Iterator[None]:
    """Delete what killed commands left. If `is_asked`, models that are found in this block are downloaded when they are
    loaded, and deleted at its end at the latest.
    """
    delete_left(ledger)
    token = _ledger.set(ledger if is_asked else None)
    try:
        yield
    finally:
        _ledger.reset(token)
        if is_asked:
            delete_used()
            delete_left(ledger)


def is_deleting() -> bool:
    """Whether models that are found here shall be downloaded later."""
    return _ledger.get() is not None


def weights_of(folder: Path) -> Weights | None:
    """The weights of a folder that `prepare` or `known` returned; None for others."""
    return _known.get(folder)


def known(folder: Path, *, may_download: bool) -> bool:
    """Whether the ledger knows the weights of a snapshot in the cache that has all other files."""
    ledger = _ledger.get()
    if ledger is None or not (folder / "config.json").is_file():
        return False
    try:
        content = json.loads(_record(ledger, folder).read_text(encoding="utf-8"))
        files = tuple((str(name), str(sha), int(size)) for name, sha, size in content["files"])
        hub_id = str(content["hub_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    _known[folder] = Weights(hub_id, folder.name, folder, files, ledger, may_download)
    return True


def prepare(hub_id: str, folder: Path) -> None:
    """Note the weights of a snapshot whose other files are in the cache, without a download if the hub knows their hashes.

    Raises what the hub's client raises, and ModelError if the repository has no weights.
    """
    from huggingface_hub import HfApi

    ledger = _ledger.get()
    assert ledger is not None
    entries: dict[str, Any] = {
        entry.path: entry
        for entry in HfApi().list_repo_tree(hub_id, revision=folder.name)
        if getattr(entry, "size", None) is not None
    }
    names = [path.name for path in weight_files(folder, present=entries)]
    if not names or not set(names) <= set(entries):
        raise ModelError(f"the repository has no weights that transformers loads ({', '.join(names) or 'none'})")
    files = []
    for name in names:
        lfs = entries[name].lfs
        if lfs is None:  # a small file: the hub does not state its hash
            whole = Weights(hub_id, folder.name, folder, ((name, "", 0),), ledger)
            _download(whole)
        sha = _hash(folder / name) if lfs is None else str(lfs.sha256)
        files.append((name, sha, int(entries[name].size)))
    weights = Weights(hub_id, folder.name, folder, tuple(files), ledger)
    _known[folder] = weights
    write_text(_record(ledger, folder), json.dumps({"hub_id": hub_id, "files": files}, indent=1) + "\n")


def fetch(weights: Weights | None, *, alone: bool = True) -> None:
    """Download weights that are missing. If `alone`, other downloads of this process are deleted first.

    Raises:
        ModelError: the download is forbidden or fails, or the files are not those that the hub described.
    """
    if alone:
        delete_used(but=weights.folder if weights else None)
    if weights is None or weights.are_here:
        if weights is not None and weights.folder not in _notes and is_temporary(weights.folder, weights.ledger):
            _note(weights)
        return
    where = f"{weights.hub_id}@{weights.commit[:12]}"
    if not weights.may_download or hub.is_forbidden():
        raise ModelError(
            f"{where}: its weights were deleted, and downloads are forbidden (--offline or HF_HUB_OFFLINE)"
        )
    if not hub.is_reachable():
        raise ModelError(f"{where}: its weights are needed, but the Hugging Face hub cannot be reached")
    try:
        _download(weights)
    except Exception as error:  # the hub's client also raises errors of its HTTP library and of the system
        raise ModelError(f"{where}: the download failed: {first_line(error)}") from error
    if wrong := [path.name for path, sha in weights.hashes.items() if _hash(path) != sha]:
        raise ModelError(f"{where}: {wrong[0]} is not the file that the hub described; try again")


def delete_used(*, but: Path | None = None) -> None:
    """Delete what this process has downloaded, unless another process uses it; `but` is a folder to keep."""
    for folder in [folder for folder in _notes if folder != but]:
        _delete(_notes.pop(folder))


def delete_left(ledger: Path) -> None:
    """Delete the downloads of processes of this machine that have ended, and those of other machines after a day."""
    for note in _all_notes(ledger):
        content = _read(note)
        if content.get("host") == socket.gethostname():
            import psutil

            has_ended = content.get("pid") != os.getpid() and not psutil.pid_exists(int(content.get("pid", 0)))
        else:  # perhaps with the same cache on a shared disk
            has_ended = _age(note) > DAY and Path(str(content.get("folder"))).is_dir()
        if has_ended:
            _delete(note)


def is_temporary(folder: Path, ledger: Path | None = None) -> bool:
    """Whether a process has downloaded the weights of a folder only for a while."""
    home = ledger or _ledger.get()
    return home is not None and any(_read(note).get("folder") == str(folder) for note in _all_notes(home))


def _record(ledger: Path, folder: Path) -> Path:
    """The file that describes a snapshot, which is the cache's folder `models--owner--name/snapshots/commit`."""
    return ledger / folder.parent.parent.name / f"{folder.name}.json"


def _download(weights: Weights) -> None:
    from huggingface_hub import snapshot_download

    _note(weights)
    snapshot_download(weights.hub_id, revision=weights.commit, allow_patterns=weights.names)


def _note(weights: Weights) -> None:
    """Note, before a download begins, that it is to be deleted."""
    name = f"{os.getpid()}-{secrets.token_hex(4)}.note"
    content = {"host": socket.gethostname(), "pid": os.getpid(), **asdict(weights)}
    path = weights.ledger / name
    write_text(path, json.dumps(content, default=str))
    _notes[weights.folder] = path


def _all_notes(ledger: Path) -> list[Path]:
    return sorted(ledger.glob("*.note"))


def _age(note: Path) -> float:
    """Seconds since a note was written; 0 if it is gone."""
    with suppress(OSError):
        return time.time() - note.stat().st_mtime
    return 0.0


def _read(note: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):  # another process may delete it
        content = json.loads(note.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _delete(note: Path) -> None:
    """Delete the files of a note, unless another note has them, and the note."""
    content = _read(note)
    note_folder = note.parent
    folder = Path(str(content.get("folder", "")))
    names = [str(name) for name, *_ in content.get("files", ())]
    shared = any(_read(other).get("folder") == str(folder) for other in _all_notes(note_folder) if other != note)
    if names and not shared:
        _delete_files(folder, names, [str(sha) for _, sha, _ in content["files"]])
    note.unlink(missing_ok=True)


def _delete_files(folder: Path, names: Collection[str], hashes: Collection[str]) -> None:
    """Delete files of a snapshot from the hub's cache. What other snapshots share stays, and so do the small files."""
    from huggingface_hub import scan_cache_dir

    repository = folder.parent.parent
    if not repository.is_dir():
        return
    revisions = next(
        (repo.revisions for repo in scan_cache_dir(repository.parent).repos if repo.repo_path == repository), ()
    )
    kept = {
        file.blob_path
        for revision in revisions
        for file in revision.files
        if revision.snapshot_path != folder or file.file_name not in names
    }
    for name in names:
        blob = (folder / name).resolve()
        (folder / name).unlink(missing_ok=True)
        if blob not in kept:
            blob.unlink(missing_ok=True)
    for sha in filter(None, hashes):  # what an interrupted download left
        for part in (repository / "blobs").glob(f"{sha}*.incomplete"):
            part.unlink(missing_ok=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
