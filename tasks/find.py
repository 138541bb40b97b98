"""Finds the task that a user names: a built-in task, a task of an official file, a data file, or path.py:NAME."""

import difflib
from pathlib import Path

from distractor.errors import TaskError, nearest
from distractor.text.task import Task
from distractor.text.user_file import IN_PYTHON

from . import TASKS, bigbench, official, own, prize

DATA_SUFFIXES = (".jsonl", ".json", ".csv")


DEFAULT_ITEMS = 200
"""The number of items of a task without a file that commands use."""


def find_task(name: str, data: Path | None = None, items: int | None = None, default: int | None = None) -> Task:
    """Return the task `name` with at most `items` items; `data` is its official file.

    Without `items`, a task in Python has its first `default` items, and a file all rows. The rows of a file are not in random
    order, so `items` draws a random sample, which is always the same. The name of a built-in task never means a file.

    Raises:
        TaskError: no task has this name, or its file is not valid.
    """
    if data is not None:
        if _is_file_name(name) and name not in official.NAMES:
            known = ", ".join(prize.NAMES)
            raise TaskError(f"{name!r} has its own items; use --data only with a task of an official file: {known}")
        return _sample(official.read(name, data), items)
    if name in TASKS:
        task = TASKS[name]()
    elif name in official.NAMES:
        return _sample(official.read(name), items)
    elif IN_PYTHON.fullmatch(name):
        task = own.from_python(name)
    elif _is_file_name(name):
        return _sample(_from_data(Path(name).expanduser()), items)
    else:
        raise TaskError(f"unknown task {name!r}: {_nearest(name)}{_hint(name)}")
    count = default if items is None else items
    return task if count is None else task.take(count)


def _sample(task: Task, items: int | None) -> Task:
    return task if items is None else task.sample(items)


def _is_file_name(name: str) -> bool:
    """Whether the name looks like a file; the file need not exist."""
    return Path(name).suffix.lower() in (*DATA_SUFFIXES, ".py") or bool(IN_PYTHON.fullmatch(name))


def _from_data(path: Path) -> Task:
    """Read a user's own data file; an official file is refused with the option that it needs."""
    if path.suffix == ".py":
        raise TaskError(f"{path} is a Python file; write path.py:NAME, with the name of a task in it")
    if path.is_file() and (usage := official.how_to_use(path)):
        raise TaskError(usage)
    # Tables could not tell two tasks of one name apart.
    name = f"{path.stem}.own" if path.stem in {*TASKS, *official.NAMES} else None
    return own.from_data(path, name)


def _nearest(name: str) -> str:
    """Suggest names: those of the release for small misspellings, variants only if the name has a dot."""
    if close := difflib.get_close_matches(name, prize.PLAIN, n=1, cutoff=0.8):
        return f"did you mean {close[0]}?"
    derived = (*prize.DERIVED, *bigbench.NAMES)
    return nearest(name, {*TASKS, *(known for known in derived if "." in name or "." not in known)})


def _hint(name: str) -> str:
    if Path(name).expanduser().is_file():
        return f" (the file is neither a data file ({', '.join(DATA_SUFFIXES)}) nor a Python file (path.py:NAME))"
    return " (write your own task as a data file (.jsonl, .csv) or as path.py:NAME)"
