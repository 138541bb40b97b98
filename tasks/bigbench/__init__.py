"""Tasks from BIG-bench 1.0.0, read from the user's copy of its source archive; rules derive the conditions.

Their text is not part of this repository. Srivastava et al. 2022 (arXiv 2206.04615). The archive has no licence file; the
catalogue of TensorFlow Datasets names BIG-bench Apache-2.0.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from distractor.errors import TaskError, nearest
from distractor.text.task import Task

from ..copies import hash_of
from ..counts import counts
from . import archive, arithmetic, choices, knowledge
from .archive import ARCHIVE, TaskFile, identify
from .document import parse

__all__ = ["NAMES", "derived_from", "describe", "is_archive", "read"]

Derive = Callable[..., Task]

ADDITION, SUBTRACTION, MULTIPLICATION = (
    "modified_arithmetic",
    "modified_arithmetic.subtraction",
    "modified_arithmetic.multiplication",
)


def _arithmetic(name: str, operation: str) -> tuple[tuple[str, ...], Derive]:
    return (f"{operation}_control", f"{operation}_plus_one"), partial(arithmetic.add_one, name=name)


DERIVED: dict[str, tuple[tuple[str, ...], Derive]] = {
    ADDITION: _arithmetic(ADDITION, "three_digit_addition"),
    SUBTRACTION: _arithmetic(SUBTRACTION, "three_digit_subtraction"),
    MULTIPLICATION: _arithmetic(MULTIPLICATION, "two_digit_multiplication"),
    knowledge.NAME: ((knowledge.NAME,), knowledge.as_published),
    knowledge.RESTORED: ((knowledge.NAME,), knowledge.context_restored),
    choices.THEOREMS: ((choices.THEOREMS,), choices.theorems),
    choices.FALSE_THEOREMS: ((choices.THEOREMS,), choices.false_theorems),
    choices.TRUTHFUL: ((choices.TRUTHFUL,), choices.truthful),
}
"""{task: (the names of its task files, the rule)}. A dot separates the name of a variant."""

NAMES = tuple(DERIVED)


def read(task: str, first: Path | None = None) -> Task:
    """Read a task from its verified task files, in `first`, DISTRACTOR_DATA or the cache folder.

    Raises:
        TaskError: BIG-bench has no task of this name here, a file is missing, or differs from the one in the archive.
    """
    if task not in DERIVED:
        raise TaskError(f"no file of BIG-bench has a task {task!r}: {nearest(task, NAMES)}")
    names, rule = DERIVED[task]
    documents = [parse(archive.read(name, first)) for name in names]
    return replace(rule(*documents, source=f"BIG-bench 1.0.0 ({', '.join(names)})"), official=names[0])


def derived_from(file: TaskFile) -> tuple[str, ...]:
    """Return the names of all tasks that need a task file."""
    return tuple(task for task, (names, _) in DERIVED.items() if file.name in names)


def is_archive(path: Path) -> bool:
    """Whether a file has the name or the first bytes of a packed archive; it need not be the right one."""
    if path.name == ARCHIVE:
        return True
    if not path.is_file():  # a pipe could block
        return False
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError:
        return False


def describe(path: Path) -> tuple[bool, list[str]] | None:
    """Return whether a file is the archive or a task file of it, and lines that describe it; None if it is neither.

    Raises:
        TaskError: the file does not exist, or cannot be read.
    """
    if is_archive(path):
        try:
            archive.verify(path)
        except TaskError as error:
            return False, [str(error)]
        add = f"  `distractor data add {path}` saves its task files for --task {', '.join(NAMES)}"
        return True, [f"{path}: the source archive of BIG-bench 1.0.0 ({archive.ARCHIVE_BYTES:,} bytes)", add]
    size, digest = hash_of(path)
    file = identify(digest)
    if file is None:
        return None
    lines = [f"{path}: the task file {file.name} of BIG-bench 1.0.0, {size:,} bytes, {file.examples:,} examples"]
    for task in derived_from(file):
        try:
            lines.append(f"  --task {task}: {counts(read(task, path.parent))}")
        except TaskError as error:
            lines.append(f"  --task {task}: {error}")
    return True, lines
