"""Tasks from the official files of the Inverse Scaling Prize, read from the user's copy; rules derive the conditions.

Their text is not part of this repository, as the organisers wish. McKenzie et al. 2023 (arXiv 2306.09479), CC BY 4.0.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from distractor.errors import TaskError, nearest
from distractor.text.task import Condition, Item, Task

from ..copies import hash_of
from ..counts import counts
from ..rows import Row, read_rows
from . import algebra, hindsight, memo, neqa, patterns, quotes, redefine, rounding, tollens, unknown
from .release import BY_NAME, FILES, ReleaseFile, difference, find, identify

__all__ = ["NAMES", "derived_from", "describe", "locate", "read"]

Derive = Callable[[Sequence[Row], str], Task]

DERIVED: dict[str, tuple[str, Derive]] = {
    "negation_qa": ("neqa", neqa.negated),
    "negation_qa.options_swapped": ("neqa", neqa.options_swapped),
    "negation_qa.both_orders": ("neqa", neqa.both_orders),
    "hindsight_neglect": ("hindsight-neglect", hindsight.as_published),
    "hindsight_neglect.amounts_swapped": ("hindsight-neglect", hindsight.amounts_swapped),
    "hindsight_neglect.verbs_swapped": ("hindsight-neglect", hindsight.verbs_swapped),
    "resisting_correction": ("resisting-correction", quotes.corrected),
    "quote_repetition": ("resisting-correction", quotes.repeated),
    "redefine_math": ("redefine", redefine.redefined),
    "memo_trap": ("memo-trap", memo.sayings),
    "memo_trap.word_in_opening": ("memo-trap", memo.word_in_opening),
    "pattern_matching": ("pattern-matching-suppression", patterns.suppressed),
    "into_the_unknown": ("into-the-unknown", unknown.repeated),
    "modus_tollens": ("modus-tollens", tollens.inferred),
    "repetitive_algebra": ("repetitive-algebra", algebra.copied),
    "sig_figs": ("sig-figs", rounding.rounded),
}
"""{task: (the release's name of its file, the rule)}. A dot separates the name of a variant."""

BASE = {name: task for task, (name, _) in reversed(DERIVED.items()) if "." not in task}
"""{the release's name of a file: its task without a variant}."""

PLAIN = tuple(file.name for file in FILES if file.is_classification)
"""The release's own names, under which a file is scored unchanged, with `conflict` only."""

NAMES = (*DERIVED, *PLAIN)  # all names of tasks from official files


NO_ROW = "not a prompt with two different classes, one of which is right"
"""Why a row of an official file is left out under every task."""


def read(task: str, path: Path) -> Task:
    """Read a task from its official file.

    Raises:
        TaskError: no official file has a task of this name, or `path` is not exactly that file; the message gives the
            first bad line.
    """
    expected = official_of(task)
    identified = identify(path)
    if identified is not None and identified != expected:
        raise TaskError(
            f"{path} is the official {identified.file}, but {task} needs {expected.file}; tasks of {identified.file}: "
            f"{', '.join(derived_from(identified)) or 'none, it has no classes'}"
        )
    # Official files may repeat a prompt, and may hold rows that cannot be used.
    unfit: list[str] = []
    rows = read_rows(path) if identified is None else read_rows(path, unique=False, unfit=unfit)
    if identified is None:
        raise TaskError(
            f"{path} is not the official {expected.file}: {difference(path, expected)}; use the unchanged file of the "
            "release (or `--task FILE` for a file of your own)"
        )
    return derive(task, rows, f"{path.name} (official release)", unfit)


def derive(task: str, rows: Sequence[Row], source: str, unfit: Sequence[str] = ()) -> Task:
    """Derive a task from the rows of its file. `unfit` names the rows that cannot be used under any task.

    Raises:
        TaskError: the rule fits no row.
    """
    made = _by_rule(task, rows, source)
    left_out = {**made.left_out, NO_ROW: tuple(unfit)} if unfit else made.left_out
    return replace(made, left_out=left_out, official=official_of(task).name)


def _by_rule(task: str, rows: Sequence[Row], source: str) -> Task:
    if task not in DERIVED:
        return unchanged(task, rows, source)
    name, rule = DERIVED[task]
    try:
        return rule(rows, source)
    except TaskError as error:
        raise TaskError(
            f"{task}: no row of {source} has the form that its rules need; "
            f"`--task {name}` scores the rows unchanged ({error})"
        ) from error


def unchanged(name: str, rows: Sequence[Row], source: str) -> Task:
    """Use the rows unchanged, with `conflict` only; rows with the same prompt are one group."""
    groups: dict[str, str] = {}
    return Task(
        name=name,
        question="Is the other class preferred to the right one?",
        items=tuple(
            Item(
                id=f"{name}/{row.index}",
                group=groups.setdefault(row.prompt, f"{name}/{row.index}"),
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt},
            )
            for row in rows
        ),
        source=source,
        caution=hindsight.EXPECTED_OR_ODDS if name == "hindsight-neglect" else "",
    )


def official_of(task: str) -> ReleaseFile:
    """Return the official file of a task.

    Raises:
        TaskError: it has none.
    """
    if task in BY_NAME and task not in NAMES:
        raise TaskError(f"{BY_NAME[task].file} has sequences to predict instead of classes; it cannot be scored here")
    if task not in NAMES:
        raise TaskError(f"no official file has a task {task!r}: {nearest(task, NAMES)}")
    return BY_NAME[DERIVED[task][0] if task in DERIVED else task]


def derived_from(official: ReleaseFile) -> tuple[str, ...]:
    """Return the names of all tasks of an official file."""
    derived = tuple(task for task, (name, _) in DERIVED.items() if name == official.name)
    return (*derived, official.name) if official.is_classification else derived


def locate(task: str, data: Path | None = None) -> Path:
    """Return the path of a task's official file: `data`, or a file of that name in the data folders.

    Raises:
        TaskError: no folder contains it.
    """
    if data is None:
        return find(official_of(task).file)
    data = data.expanduser()
    return data if data.exists() or data.name != str(data) else find(data.name)


def describe(path: Path) -> tuple[bool, list[str]]:
    """Return whether a file is official, and lines that describe its tasks, or how it differs from an official file.

    Raises:
        TaskError: the file does not exist, or cannot be read.
    """
    official = identify(path)
    if official is None:
        return False, [f"{path}: not an official file: {difference(path)}"]
    size, digest = hash_of(path)
    lines = [f"{path}: the official {official.file} ({official.name}), {size:,} bytes, SHA-256 {digest[:12]}…"]
    if not official.is_classification:
        return True, [*lines, "  sequences to predict instead of classes: cannot be scored here"]
    unfit: list[str] = []
    rows = read_rows(path, unique=False, unfit=unfit)
    for task in derived_from(official):
        try:
            lines.append(f"  --task {task}: {counts(derive(task, rows, official.file, unfit))}")
        except TaskError as error:
            lines.append(f"  {error}")
    return True, lines
