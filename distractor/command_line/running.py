"""Shared by commands that compute: the store, the run's folder and the printed summary."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.command_line.terminal import say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from distractor.models.source import Source
    from distractor.runs.folder import RunFolder
    from distractor.scoring.settings import Settings
    from distractor.scoring.store import Store
    from distractor.text.task import Task
    from distractor.work import Step


@contextmanager
def run_folder(store: "Store", out: Path | None, name: str, manifest: dict[str, Any]) -> "Iterator[RunFolder]":
    """Open the folder of a run, and delete what killed runs left in `store`."""
    from distractor.runs.folder import open_run

    store.delete_stale_files()
    with open_run(out, name, manifest) as folder:
        yield folder


def print_tables(tables: "Iterable[RenderableType]", folder: Path, figures: Mapping[str, Any]) -> None:
    """Print tables and the folder of a run; `figures` is the entry of the summary."""
    from distractor.runs.tables import console

    terminal = console()
    for table in tables:
        terminal.print(table)
        terminal.print()
    terminal.print(folder_line("Readings, figures and summary", folder, figures), soft_wrap=True)


def folder_line(what: str, folder: Path, figures: Mapping[str, Any]) -> str:
    """Where the results are, and how to get the figures that were left out."""
    return f"{what}: {folder}" + " (more figures: --figures all)" * bool(figures["left_out"])


def print_plan(
    steps: "Sequence[Step]",
    tasks: "Sequence[Task]",
    sources: "Sequence[Source]",
    settings: "Settings",
    figures: int,
    *,
    is_long: bool = True,
) -> None:
    """Measure this machine and print what a run costs: time, the most costly part, memory; if long, also each part's time."""
    from distractor.runs.plan.cost import cost_of

    for line in cost_of(steps, tasks, sources, settings, figures).lines(is_long=is_long):
        say(line)


def print_json(summary: dict[str, Any]) -> None:
    """Print a summary as JSON on stdout."""
    say(json.dumps(summary, indent=1))
