"""Shared by commands that compute: the store, the run's folder and the printed summary."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.command_line.terminal import say
from distractor.scratch import scratch_folder

if TYPE_CHECKING:
    from rich.console import RenderableType

    from distractor.command_line.options import Computing
    from distractor.models.source import Source
    from distractor.runs.folder import RunFolder
    from distractor.scoring.settings import Settings
    from distractor.text.task import Task
    from distractor.work import Step


@contextmanager
def run_folder(computing: "Computing", out: Path | None, name: str, manifest: dict[str, Any]) -> "Iterator[RunFolder]":
    """Open the folder of a run, delete what killed runs left in the store, and choose where results are computed.

    A shard writes nothing but results in the store, so its folder is a temporary one.
    """
    from distractor.runs.folder import RunFolder, open_run
    from distractor.scoring.requests import executing
    from distractor.scoring.store import Store

    Store(computing.store).delete_stale_files()
    with ExitStack() as stack:
        stack.enter_context(executing(computing.executor()))
        if computing.shard:
            yield RunFolder(stack.enter_context(scratch_folder()))
        else:
            yield stack.enter_context(open_run(out, name, manifest))


def print_script(words: Sequence[str], count: int, rounds: int) -> None:
    """Print the script that submits a command to Slurm, without its own option `--sbatch`."""
    from distractor.execution.slurm import script

    kept = list(words)
    for place in [k for k, word in enumerate(kept) if word.partition("=")[0] == "--sbatch"][::-1]:
        del kept[place : place + (1 if "=" in kept[place] else 2)]
    say(script(kept, count, rounds).rstrip())


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
    from distractor.runs.plan.cost import RunWork, cost_of, is_collected

    if is_collected(RunWork(tuple(steps), tuple(tasks), tuple(sources), settings, figures)):
        return
    for line in cost_of(steps, tasks, sources, settings, figures).lines(is_long=is_long):
        say(line)


def print_json(summary: dict[str, Any]) -> None:
    """Print a summary as JSON on stdout."""
    say(json.dumps(summary, indent=1))
