"""Official files of the Inverse Scaling Prize: read from the user's copy, with our conditions derived by rule.

Their text stays out of this repository, as the organisers wish. McKenzie et al. 2023 (arXiv 2306.09479), CC BY 4.0.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from distractor.errors import TaskError, nearest
from distractor.text.task import Condition, Item, Task

from ..rows import Row, read_rows
from . import hindsight, neqa, quotes, redefine
from .release import BY_NAME, FILES, Official, difference, find, hash_of, identify

__all__ = ["NAMES", "derived_from", "locate", "read", "tell"]

Derive = Callable[[Sequence[Row], str], Task]

DERIVED: dict[str, tuple[str, Derive]] = {
    "negation_qa": ("neqa", neqa.negated),
    "negation_qa.options_swapped": ("neqa", neqa.options_swapped),
    "negation_qa.both_orders": ("neqa", neqa.both_orders),
    "hindsight_neglect": ("hindsight-neglect", hindsight.as_published),
    "hindsight_neglect.amounts_swapped": ("hindsight-neglect", hindsight.amounts_swapped),
    "hindsight_neglect.verbs_swapped": ("hindsight-neglect", hindsight.verbs_swapped),
    "quote_repetition": ("resisting-correction", quotes.repeated),
    "redefine_math": ("redefine", redefine.redefined),
}
"""{task: the release's name of the file it is derived from, and the rule}. Behind the dot: a variant of the task."""

PLAIN = tuple(one.name for one in FILES if one.is_classification)
"""The release's own names: the file is scored as it is, under `conflict` alone."""

NAMES = (*DERIVED, *PLAIN)
"""Every name that a task from an official file can be asked for by."""


def read(task: str, path: Path) -> Task:
    """A task from its official file.

    Raises:
        TaskError: no task of that name is read from an official file, or `path` is not that file, to the byte; the
            first bad line is named.

    """
    wanted = official_of(task)
    came = identify(path)
    if came is not None and came != wanted:
        raise TaskError(
            f"{path} is the official {came.file}, and {task} is read from {wanted.file}; from this one come: "
            f"{', '.join(derived_from(came)) or 'no tasks, since it offers no classes'}"
        )
    # Official files are what they are: some may ask the same twice.
    rows = read_rows(path, unique=came is None)
    if came is None:
        raise TaskError(
            f"{path} is not the official {wanted.file}: {difference(path, wanted)}; take the file of the release, "
            "unchanged (a file of your own is given as `--task FILE`)"
        )
    return derive(task, rows, f"{path.name} (official release)")


def derive(task: str, rows: Sequence[Row], source: str) -> Task:
    """The task of that name from rows of its file.

    Raises:
        TaskError: the rule fits no row.

    """
    if task not in DERIVED:
        return as_it_is(task, rows, source)
    name, rule = DERIVED[task]
    try:
        return rule(rows, source)
    except TaskError as error:
        raise TaskError(
            f"{task}: no row of {source} is of the form that its conditions are derived from; "
            f"`--task {name}` scores the rows as they are ({error})"
        ) from error


def as_it_is(name: str, rows: Sequence[Row], source: str) -> Task:
    """The rows under `conflict` alone; those that ask the same are one group."""
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


def official_of(task: str) -> Official:
    """The official file that a task is read from.

    Raises:
        TaskError: none is.

    """
    if task in BY_NAME and task not in NAMES:
        raise TaskError(f"{BY_NAME[task].file} has sequences to be predicted, no classes, and cannot be scored here")
    if task not in NAMES:
        raise TaskError(f"no official file is read for the task {task!r}: {nearest(task, NAMES)}")
    return BY_NAME[DERIVED[task][0] if task in DERIVED else task]


def derived_from(official: Official) -> tuple[str, ...]:
    """The names of all tasks that come from an official file."""
    derived = tuple(task for task, (name, _) in DERIVED.items() if name == official.name)
    return (*derived, official.name) if official.is_classification else derived


def locate(task: str, data: Path | None = None) -> Path:
    """Where the official file of a task is: where `data` says, or a file of its name in the folders for data.

    Raises:
        TaskError: it is in none of them.

    """
    if data is None:
        return find(official_of(task).file)
    data = data.expanduser()
    return data if data.exists() or data.name != str(data) else find(data.name)


def tell(path: Path) -> tuple[bool, list[str]]:
    """Whether a file is official, and in lines what it is and what comes of it, or how it differs.

    Raises:
        TaskError: there is no such file, or it cannot be read.

    """
    official = identify(path)
    if official is None:
        return False, [f"{path}: no official file: {difference(path)}"]
    size, digest = hash_of(path)
    lines = [f"{path}: the official {official.file} ({official.name}), {size:,} bytes, SHA-256 {digest[:12]}…"]
    if not official.is_classification:
        return True, [*lines, "  sequences to be predicted, no classes: not scored here"]
    rows = read_rows(path, unique=False)
    for task in derived_from(official):
        try:
            lines.append(f"  --task {task}: {_counts(derive(task, rows, official.file))}")
        except TaskError as error:
            lines.append(f"  {error}")
    return True, lines


def _counts(task: Task) -> str:
    """How many items a task has under which condition, and what was left out."""
    count = Counter(condition for item in task.items for condition in item.prompts)
    told = f"{len(task.items)} items ({', '.join(f'{c} {count[c]}' for c in task.conditions)})"
    return "; ".join([told, *(f"{len(names)} left out: {reason}" for reason, names in task.left_out.items())])
