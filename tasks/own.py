"""Reads a user's own task: a data file with the official columns, or a name in a Python file.

    prompt,classes,answer_index,distractor_only,group
    "Say the other word than yes:","[' no', ' yes']",0,"Say yes:",yes

The right class is the true answer, and the other class is the distractor answer.
"""

import difflib
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from distractor.errors import DistractorError, TaskError, nearest
from distractor.text.task import Condition, Item, Task

from .rows import Row, check_text, read_rows

CONDITIONS = tuple(c for c in Condition if c is not Condition.CONFLICT)
"""Optional columns with the prompts of the other conditions; `prompt` is that of `conflict`."""

GROUP = "group"
"""Optional column with the item's group. Without it each row is its own group."""

IN_PYTHON = re.compile(r"(?P<path>.+\.py):(?P<name>\w+)")


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
    name = name or path.stem
    groups = [_group(path, row, name) for row in rows]
    return Task(
        name=name,
        question="Is the other class preferred to the right one?",
        items=tuple(
            Item(
                id=f"{name}/{row.index}",
                group=group,
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt} | {c: row.more[c] for c in CONDITIONS if _has(row, c)},
            )
            for row, group in zip(rows, groups, strict=True)
        ),
        source=path.name,
    )


def from_python(name: str) -> Task:
    """Return the task `path.py:NAME`: a `Task`, or the result of a function without arguments.

    The file runs under a unique module name, so it may be called `tasks.py`. It can import modules of its folder.

    Raises:
        TaskError: the file or the name does not exist, the file fails, or the result is not a task.

    """
    match = IN_PYTHON.fullmatch(name)
    if match is None:
        raise TaskError(f"{name!r} is not a name in a Python file; write path.py:NAME")
    path = Path(match["path"]).expanduser()
    if not path.is_file():
        raise TaskError(f"there is no file {path}; write path.py:NAME")
    with _importable_neighbours(path), _errors_with_line(path):
        module = _run(path)
        if not hasattr(module, match["name"]):
            known = [name for name, value in vars(module).items() if _may_be_task(value, module)]
            hint = nearest(match["name"], known) if known else "it has neither tasks nor functions"
            raise TaskError(f"{path} has no {match['name']!r}: {hint}")
        value = getattr(module, match["name"])
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
        if close := difflib.get_close_matches(column, known, n=1, cutoff=0.8):
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


@contextmanager
def _importable_neighbours(path: Path) -> Iterator[None]:
    """Make modules in the file's folder importable, after all others, so that they hide no installed module."""
    folder = str(path.resolve().parent)
    sys.path.append(folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the last entry is this one, unless the file removed it
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


@contextmanager
def _errors_with_line(path: Path) -> Iterator[None]:
    """Turn any error in the user's file into one message with its line."""
    try:
        yield
    except DistractorError:
        raise
    except (Exception, SystemExit) as error:
        line = _line_in(path, error)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise TaskError(f"{path}{f', line {line}' if line else ''}: {text}") from error


def _line_in(path: Path, error: BaseException) -> int | None:
    """The last line of the file that ran before the error."""
    if isinstance(error, SyntaxError):
        return error.lineno
    lines = []
    step = error.__traceback__
    while step is not None:
        if Path(step.tb_frame.f_code.co_filename) == path.resolve():
            lines.append(step.tb_lineno)
        step = step.tb_next
    return lines[-1] if lines else None


def _run(path: Path) -> ModuleType:
    """Run the file as a module with a unique name."""
    file = path.resolve()
    name = f"_own_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path} cannot be run as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _may_be_task(value: Any, module: ModuleType) -> bool:
    return isinstance(value, Task) or (inspect.isfunction(value) and value.__module__ == module.__name__)
