"""Shared by commands that compute: the store, the run's folder, the progress bar and the printed summary."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.command_line.terminal import say
from distractor.numbers import shortened

if TYPE_CHECKING:
    from rich.console import RenderableType

    from distractor.progress import Advance
    from distractor.runs.folder import RunFolder
    from distractor.scoring.store import Store


@contextmanager
def run_folder(store: "Store", out: Path | None, name: str, manifest: dict[str, Any]) -> "Iterator[RunFolder]":
    """Open the folder of a run, and delete what killed runs left in `store`."""
    from distractor.runs.folder import open_run

    store.delete_stale_files()
    with open_run(out, name, manifest) as folder:
        yield folder


@contextmanager
def progress_bar(total: int) -> "Iterator[Advance]":
    """Show a progress bar of `total` steps on stderr; it disappears at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from distractor.runs.tables import console

    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        row = bar.add_task("starting", total=total)
        yield lambda name: bar.update(row, advance=1, description=shortened(name, 24))


def print_tables(tables: "Iterable[RenderableType]", folder: Path) -> None:
    """Print tables and the folder of a run."""
    from distractor.runs.tables import console

    terminal = console()
    for table in tables:
        terminal.print(table)
        terminal.print()
    terminal.print(f"Readings, figures and summary: {folder}", soft_wrap=True)


def print_json(summary: dict[str, Any]) -> None:
    """Print a summary as JSON on stdout."""
    say(json.dumps(summary, indent=1))
