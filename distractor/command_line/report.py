"""`distractor report`: writes the pages of runs again from stored results, and an index of many runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distractor.command_line import options as opt
from distractor.command_line.earlier_command import write_pages_again
from distractor.command_line.registration import command
from distractor.command_line.terminal import print_error, say
from distractor.errors import StoreError

if TYPE_CHECKING:
    from distractor.runs.index.found import FoundRun
    from distractor.runs.index.row import Rows

app = typer.Typer()
INDEX = "index.html"


@command(app, "distractor report runs/ablate-negation_qa-1a2b3c4d", "distractor report runs")
def report(
    *,
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Folder of a run, or a folder with runs below it. Repeatable.")
    ],
    index_only: Annotated[
        bool, typer.Option("--index-only", help="Write only index.html; leave the runs' own pages.")
    ] = False,
    store: Annotated[
        Path | None,
        opt.hidden_option(opt.OUTPUT, "Folder of the stored results. Default: that of each command.", metavar="DIR"),
    ] = None,
    out: Annotated[
        Path | None,
        opt.option(opt.OUTPUT, "Folder for index.html. Default: the one that holds all runs.", metavar="DIR"),
    ] = None,
) -> None:
    """Write each run's report.html again from stored results, and an index.html over several runs. No model is loaded.

    Start it where the commands were started. A page is refused (exit status 2) if a number would change.
    """
    from distractor.runs.index.found import UNFINISHED, find_runs, is_run

    for folder in folders:
        if not folder.is_dir():
            raise StoreError(f"there is no folder {folder}; name the folder of a run, or one with runs below it")
    runs = list({run.path.resolve(): run for folder in folders for run in find_runs(folder)}.values())
    if not runs:
        raise StoreError(f"no run in or below {', '.join(map(str, folders))}; a run's folder has a manifest.json")
    is_alone = len(folders) == 1 and is_run(folders[0])
    has_failed = False
    for run in () if index_only and not is_alone else runs:
        try:
            for page in _write_pages(run, store):
                say(str(page))
        except StoreError as error:
            if is_alone:
                raise
            if run.problem == UNFINISHED:
                say(f"{error}.", err=True)
            else:
                has_failed = True
                print_error(error)
    if not is_alone:
        home = out or Path(os.path.relpath(os.path.commonpath([folder.resolve() for folder in folders])))
        say(str(write_index(runs, home)))
    if has_failed:
        raise typer.Exit(2)


def write_index(runs: "Sequence[FoundRun]", home: Path) -> Path:
    """Write index.html over runs in the folder `home`, and give its path."""
    from distractor.files import write_text
    from distractor.runs.index.page import index_page
    from distractor.runs.page.render import render_page

    write_text(home / INDEX, render_page(index_page(runs, home.resolve(), _rows())))
    return home / INDEX


def _write_pages(run: "FoundRun", store: Path | None) -> list[Path]:
    """Write the pages of a run. Raises StoreError if it is unfinished or damaged, or if a page cannot be written."""
    if run.problem:
        raise StoreError(f"{run.path} is {run.problem}, so it has no page; run its command again")
    return write_pages_again(run.path, store)


def _rows() -> "dict[str, Rows]":
    """For each command, what gives the rows of its runs."""
    from distractor.ablation.index_rows import rows as of_ablation
    from distractor.attribution.index_rows import rows as of_attribution
    from distractor.comparison.index_rows import rows as of_comparison
    from distractor.curves.index_rows import rows as of_shape

    return {"ablate": of_ablation, "attribute": of_attribution, "compare": of_comparison, "shape": of_shape}
