"""All official files, of the prize and of BIG-bench: their tasks, what a file is, and saving a user's copy."""

from pathlib import Path

from distractor.errors import TaskError
from distractor.files import read_file, write_bytes
from distractor.text.task import Task

from . import bigbench, prize
from .bigbench import archive
from .copies import hash_of
from .prize import release

NAMES = (*prize.NAMES, *bigbench.NAMES)


def read(task: str, data: Path | None = None) -> Task:
    """Read a task from the user's copy of its official file, `data` or a file in the data folders.

    Raises:
        TaskError: no copy is found, or it is not official; or `data` is given for a task of BIG-bench.
    """
    if task not in bigbench.NAMES:
        return prize.read(task, prize.locate(task, data))
    if data is not None:
        raise TaskError(
            f"{task} is a task of BIG-bench, whose files are not named by --data; save them with `distractor data add "
            f"{archive.ARCHIVE}`, and leave --data out"
        )
    return bigbench.read(task)


def how_to_use(path: Path) -> str | None:
    """The options with which an official file is used; None if the file is not official.

    Raises:
        TaskError: the file does not exist, or cannot be read.
    """
    _, digest = hash_of(path)
    if official := release.BY_HASH.get(digest):
        tasks = " or ".join(prize.derived_from(official)) or "(none: the file has no classes)"
        return f"{path} is the official {official.file}; use `--data {path}` with --task {tasks}"
    if file := archive.identify(digest):
        return (
            f"{path} is a task file of BIG-bench; `distractor data add {path}` saves it, then use --task "
            f"{' or '.join(bigbench.derived_from(file))}"
        )
    return None


def describe(path: Path) -> tuple[bool, list[str]]:
    """Return whether a file is official, and lines that describe its tasks, or how it differs from an official file.

    Raises:
        TaskError: the file does not exist, or cannot be read.
    """
    return bigbench.describe(path) or prize.describe(path)


def add(path: Path, folder: Path | None = None) -> tuple[Path, bool]:
    """Verify an official file and save it in `folder` (default: the cache folder); return where, and if it is new there.

    Of the archive of BIG-bench, only the task files are saved.

    Raises:
        TaskError: the file is not official, or cannot be read.
        StoreError: a file cannot be written.
    """
    if bigbench.is_archive(path):
        return archive.add(path, folder)
    _, digest = hash_of(path)
    if official := release.BY_HASH.get(digest):
        target = (folder or release.cache_folder()) / official.file
    elif file := archive.identify(digest):
        target = (folder or archive.cache_folder()) / file.file
    else:
        raise TaskError(
            f"{path} is not an official file: {release.difference(path)}; nothing was saved; give a file of the release "
            f"({release.ADDRESS}) or {archive.ARCHIVE}"
        )
    if target.is_file() and hash_of(target)[1] == digest:
        return target, False
    write_bytes(target, read_file(path))
    return target, True


def get(task: str, folder: Path | None = None, *, offline: bool = False) -> tuple[Path, str]:
    """Download the official file of a task, as `prize.fetch.get` does.

    Raises:
        TaskError: as there, or the task is one of BIG-bench, which has no public copy of single files.
        StoreError: the file cannot be written.
    """
    from .prize import fetch

    if task in bigbench.NAMES:
        raise TaskError(f"{task} is a task of BIG-bench: {archive.GET}, then `distractor data add {archive.ARCHIVE}`")
    return fetch.get(task, folder, offline=offline)
