"""A user's own task: a data file in the official columns, or a name in a Python file.

    prompt,classes,answer_index,distractor_only,group
    "Say the other word than yes:","[' no', ' yes']",0,"Say yes:",yes

Of the two classes, the right one is the true answer and the other the distractor's.
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
"""Optional columns: the prompt of the row under another condition; `prompt` is `conflict`."""

GROUP = "group"
"""Optional column: what errors are clustered by. Without it each row is a group of its own."""

IN_PYTHON = re.compile(r"(?P<path>.+\.py):(?P<name>\w+)")


def from_data(path: Path, name: str | None = None) -> Task:
    """The rows of a data file (JSON lines, or CSV where it ends in `.csv`), all of them, in their order.

    A column is filled in every row or in none: an item that lacks a condition would count under no other. Only
    `distractor_swapped` may have gaps.

    Raises:
        TaskError: the file cannot be read, or a line is not what it should be; file and line are named.

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


def from_python(named: str) -> Task:
    """The task that `path.py:NAME` means: a `Task`, or a function without arguments that returns one.

    The file is run under a name of its own, so it may be called `tasks.py`; modules beside it can be imported.

    Raises:
        TaskError: there is no such file or name, running it fails, or what it gives is no task.

    """
    match = IN_PYTHON.fullmatch(named)
    if match is None:
        raise TaskError(f"{named!r} names nothing in a Python file; wanted is path.py:NAME")
    path = Path(match["path"]).expanduser()
    if not path.is_file():
        raise TaskError(f"there is no file {path}; wanted is path.py:NAME")
    with _neighbours(path), _told(path):
        module = _run(path)
        if not hasattr(module, match["name"]):
            known = [name for name, value in vars(module).items() if _may_be_task(value, module)]
            hint = nearest(match["name"], known) if known else "it has neither tasks nor functions"
            raise TaskError(f"{path} has no {match['name']!r}: {hint}")
        found = getattr(module, match["name"])
        task = found() if callable(found) else found
    if not isinstance(task, Task):
        what = f"gives a {type(task).__name__}" if callable(found) else f"is a {type(task).__name__}"
        raise TaskError(f"{named} {what}; wanted is a distractor.text.task.Task, or a function that returns one")
    return task


def _has(row: Row, column: str) -> bool:
    """Whether a row says anything in an optional column."""
    return row.more.get(column) not in (None, "")


def _check_columns(path: Path, rows: list[Row]) -> None:
    known = (*CONDITIONS, GROUP)
    first = {column: row.line for row in reversed(rows) for column in row.more if column not in known}
    for column, line in first.items():
        # A misspelt condition would be missed in silence.
        if close := difflib.get_close_matches(column, known, n=1, cutoff=0.8):
            raise TaskError(f"{path}, line {line}: there is no column {column!r}; did you mean {close[0]}?")
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
                f"{path}, line {row.line}: {column} is empty, and filled in line {rows[filled.index(True)].line}; fill it in "
                "every row or in none (without it, the item would not count under any condition)"
            )


def _group(path: Path, row: Row, name: str) -> str:
    if not _has(row, GROUP):
        return f"{name}/{row.index}"
    group = row.more[GROUP]
    if isinstance(group, bool) or not isinstance(group, str | int):
        raise TaskError(f"{path}, line {row.line}: group is {group!r}; wanted is a name or a number")
    return str(group)


@contextmanager
def _neighbours(path: Path) -> Iterator[None]:
    """Modules beside the file can be imported; behind all others, so that none of theirs hides one of ours."""
    folder = str(path.resolve().parent)
    sys.path.append(folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the last one is ours, unless the file took it away
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong in the user's file is told with its line there, in one message."""
    try:
        yield
    except DistractorError:
        raise
    except (Exception, SystemExit) as error:
        line = _line_in(path, error)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise TaskError(f"{path}{f', line {line}' if line else ''}: {what}") from error


def _line_in(path: Path, error: BaseException) -> int | None:
    """The last line of the file that was run before the error."""
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
    """Run the file as a module whose name nothing else has."""
    where = path.resolve()
    name = f"_own_{where.stem}_{hashlib.sha256(str(where).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, where)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path} cannot be run as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _may_be_task(value: Any, module: ModuleType) -> bool:
    return isinstance(value, Task) or (inspect.isfunction(value) and value.__module__ == module.__name__)
