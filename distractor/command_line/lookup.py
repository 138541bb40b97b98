"""Finds tasks and probes by name in the packages `tasks` and `probes`."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from distractor.command_line.terminal import say
from distractor.errors import TaskError

if TYPE_CHECKING:
    from distractor.probing.probe import Probe
    from distractor.text.task import Task


def find_package(name: str) -> ModuleType:
    """Import `tasks`, `probes` or a module in them; these are the packages installed with this one.

    Raises:
        TaskError: another file or folder of the same name comes first on the import path.
    """
    top = name.partition(".")[0]
    spec = importlib.util.find_spec(top)
    origin = spec.origin if spec else None
    if origin is None or Path(origin).resolve() != Path(__file__).resolve().parents[2] / top / "__init__.py":
        raise TaskError(
            f"{origin or top} hides this toolkit's package {top!r}; rename it, or run `distractor` from another folder"
        )
    return importlib.import_module(name)


def find_task(name: str, data: Path | None = None, items: int | None = None, *, whole: bool = False) -> "Task":
    """Find a task by name or path, with `data` as its official file; at most `items` of its items.

    Without `items`, it has the default number, or with `whole` all.

    Raises:
        TaskError: no task has this name, or its file is damaged.
    """
    found = find_package("tasks.find")
    task: Task = found.find_task(name, data, items, None if whole else found.DEFAULT_ITEMS)
    if items is not None and len(task.items) < items:
        say(f"{task.name} has {len(task.items):,} items; all are used.", err=True)
    return task


def ladder_task(task: "Task", data: Path | None) -> str:
    """The task whose ladder `--models ladder` means; an official file has none, even if it is read under a task's name."""
    return task.name if data is None else str(data)


def draw_task(name: str, seed: int) -> "Task":
    """Find a task and draw its items with a random seed."""
    tasks = find_package("tasks").TASKS
    if name in tasks:
        return tasks[name](seed=seed)
    task = find_task(name, whole=True)
    if seed:
        raise TaskError(f"the items of {name!r} are fixed, so a seed changes nothing; leave --seed out")
    return task


ALL = "all"
"""The name that stands for all built-in probes."""


def find_probes(names: list[str] | None) -> "dict[str, Probe]":
    """Find probes by name or `path.py:NAME`; `all` means all built-in ones. Without names, those of `DEFAULT`.

    A user's probe is called NAME.

    Raises:
        ProbeError: no probe has this name, or a user's file or probe is not valid.
    """
    package = find_package("probes")
    built_in: dict[str, Probe] = package.PROBES
    named = [each for name in names or package.DEFAULT for each in (built_in if name == ALL else (name,))]
    found: dict[str, Probe] = {}
    for name in dict.fromkeys(named):
        path, _, short = name.rpartition(":")
        label = f"{Path(path).stem}.{short}" if short in built_in or short in found else short
        found[label if path.endswith(".py") else name] = find_package("probes.find").find_probe(name)
    return found


def must_work(names: Sequence[str] | None) -> bool:
    """Whether each probe was named, so that one that a model does not support is an error and not left out."""
    return bool(names) and ALL not in (names or ())
