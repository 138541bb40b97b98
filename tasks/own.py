"""Reads a user's own task: a data file with the official columns, or a name in a Python file.

    prompt,classes,answer_index,distractor_only,group
    "Say the other word than yes:","[' no', ' yes']",0,"Say yes:",yes

The right class is the true answer, and the other class is the distractor answer. In rows with more than two classes, a
column `distractor_index` names the distractor's; the others are not scored.
"""

import difflib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from distractor.errors import TaskError
from distractor.names import printable
from distractor.text.task import Condition, Item, Task, check_text
from distractor.text.user_file import user_value

from .rows import DISTRACTOR_INDEX, Row, read_rows

CONDITIONS = tuple(c for c in Condition if c is not Condition.CONFLICT)
"""Optional columns with the prompts of the other conditions; the column `prompt` holds the prompts of `conflict`."""

GROUP = "group"
"""Optional column with the item's group. Without it each row is its own group."""


def from_data(path: Path, name: str | None = None) -> Task:
    """Make a task of all rows of a data file (JSON lines, or CSV with the suffix `.csv`), in their order.

    A column is filled in every row or in none, because an item that lacks a condition would be dropped from the others.
    Only `distractor_swapped` may have gaps.

    Raises:
        TaskError: the file cannot be read or a line is not valid; the message gives file and line.
    """
    path = path.expanduser()
    rows = read_rows(path)
    _check_columns(path, rows)
    name = name or printable(path.stem)
    groups = [_group(path, row, name) for row in rows]
    return Task(
        name=name,
        question="Is the distractor's class preferred to the right one?"
        if any(len(row.classes) > 2 for row in rows)
        else "Is the other class preferred to the right one?",
        items=tuple(
            Item(
                id=f"{name}/{row.index}",
                group=group,
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt} | {c: row.more[c] for c in CONDITIONS if _has(row, c)},
                more_answers=len(row.classes) - 2,
            )
            for row, group in zip(rows, groups, strict=True)
        ),
        source=printable(path.name),
    )


def from_python(name: str) -> Task:
    """Return the task `path.py:NAME`: a `Task`, or the result of a function without arguments.

    Raises:
        TaskError: the file or the name does not exist, the file fails, or the result is not a task.
    """
    with user_value(name, TaskError, _may_be_task, "tasks or functions") as value:
        task = value() if callable(value) else value
    if not isinstance(task, Task):
        verb = "returns" if callable(value) else "is"
        raise TaskError(
            f"{name} {verb} a {type(task).__name__}; make it a distractor.text.task.Task, or a function that returns one"
        )
    return task


def _has(row: Row, column: str) -> bool:
    """Whether an optional column is filled in this row."""
    return row.more.get(column) not in (None, "")


def _check_columns(path: Path, rows: list[Row]) -> None:
    known = (*CONDITIONS, GROUP)
    first = {column: row.line for row in reversed(rows) for column in row.more if column not in known}
    for column, line in first.items():
        # A misspelt condition would be ignored silently.
        if close := difflib.get_close_matches(column, (*known, DISTRACTOR_INDEX), n=1, cutoff=0.8):
            raise TaskError(f"{path}, line {line}: unknown column {column!r}; did you mean {close[0]}?")
    for row in rows:
        where = f"{path}, line {row.line}"
        for condition in CONDITIONS:
            if _has(row, condition):
                check_text(row.more[condition], condition, where)
    for column in (c for c in known if c != Condition.DISTRACTOR_SWAPPED):
        filled = [_has(row, column) for row in rows]
        if any(filled) and not all(filled):
            row = rows[filled.index(False)]
            raise TaskError(
                f"{path}, line {row.line}: {column} is empty, but line {rows[filled.index(True)].line} has a value; fill the "
                "column in every row or in none (an item that lacks a condition is dropped from all)"
            )


def _group(path: Path, row: Row, name: str) -> str:
    if not _has(row, GROUP):
        return f"{name}/{row.index}"
    group = row.more[GROUP]
    if isinstance(group, bool) or not isinstance(group, str | int):
        raise TaskError(f"{path}, line {row.line}: group is {group!r}; write a name or a number")
    return str(group)


def _may_be_task(value: Any, module: ModuleType) -> bool:
    return isinstance(value, Task) or (inspect.isfunction(value) and value.__module__ == module.__name__)
