"""From what a user writes to a task: a name on the shelf, one from an official file, a data file, or path.py:NAME."""

import difflib
from pathlib import Path

from distractor.errors import TaskError, nearest
from distractor.text.task import Task

from . import TASKS, own, prize
from .prize.release import identify

DATA = (".jsonl", ".json", ".csv")


def find_task(named: str, data: Path | None = None, items: int | None = None) -> Task:
    """The task that is meant by `named`, with `data` as its official file; at most `items` of it.

    A name on the shelf is never taken for a file. Of a file all rows are taken, whatever `items` says: its order is
    nobody's random draw, so a first part would be no sample.

    Raises:
        TaskError: nothing of that name is there, or it is not what it should be.

    """
    if data is not None:
        if _is_file(named) and named not in prize.NAMES:
            known = ", ".join(prize.NAMES)
            raise TaskError(f"{named!r} brings its own items; --data is for tasks with an official file: {known}")
        return prize.read(named, prize.locate(named, data))
    if named in TASKS:
        task = TASKS[named]()
    elif named in prize.NAMES:
        return prize.read(named, prize.locate(named))
    elif own.IN_PYTHON.fullmatch(named):
        task = own.from_python(named)
    elif _is_file(named):
        return _from_data(Path(named).expanduser())
    else:
        raise TaskError(f"there is no task {named!r}: {_nearest(named)}{_hint(named)}")
    return task if items is None else task.take(items)


def _is_file(named: str) -> bool:
    """Whether it looks like a file, whether or not there is one."""
    return Path(named).suffix.lower() in (*DATA, ".py") or bool(own.IN_PYTHON.fullmatch(named))


def _from_data(path: Path) -> Task:
    """A user's own data file, or an official one that was given in its place."""
    if path.suffix == ".py":
        raise TaskError(f"{path} is a Python file; wanted is path.py:NAME, with the name of a task in it")
    official = identify(path) if path.is_file() else None
    if official is not None:
        raise TaskError(
            f"{path} is the official {official.file}; give it as `--data {path}` with --task "
            f"{' or '.join(prize.derived_from(official)) or '(none: it offers no classes)'}"
        )
    # Two tasks of one name would be taken for each other in tables.
    name = f"{path.stem}.own" if path.stem in {*TASKS, *prize.NAMES} else path.stem
    return own.from_data(path, name)


def _nearest(named: str) -> str:
    """Names that may have been meant: variants only where one was asked for, the release's only where hardly misspelt."""
    if close := difflib.get_close_matches(named, prize.PLAIN, n=1, cutoff=0.8):
        return f"did you mean {close[0]}?"
    return nearest(named, {*TASKS, *(name for name in prize.DERIVED if "." in named or "." not in name)})


def _hint(named: str) -> str:
    path = Path(named).expanduser()
    if path.is_file():
        return f" (the file of that name is no data file ({', '.join(DATA)}) and no Python file (path.py:NAME))"
    return " (a task of your own is given as a data file (.jsonl, .csv) or as path.py:NAME)"
