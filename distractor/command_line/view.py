"""`distractor view`: opens the page of a run in the browser."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from distractor.command_line.registration import command
from distractor.command_line.report import INDEX
from distractor.command_line.terminal import say
from distractor.errors import StoreError, nearest
from distractor.runs.folder import PAGE

app = typer.Typer()


@command(app, "distractor view runs/ablate-negation_qa-1a2b3c4d", "distractor view runs")
def view(
    *,
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or a folder of runs that has an index.html.")
    ],
) -> None:
    """Open a run's report.html, or the index.html of many runs, in the browser; print its path."""
    page = _page(run)
    say(str(page))
    if not _open(page):
        say("No browser was found; open this file in one.", err=True)


def _page(run: Path) -> Path:
    """The page in a folder. Raises StoreError if there is none."""
    if not run.exists():
        try:
            known = [each.name for each in run.parent.iterdir() if each.is_dir() and not each.name.startswith(".")]
        except OSError:
            known = []
        hint = nearest(run.name, known) if known else "name the folder of a run"
        raise StoreError(f"there is no folder {run}; {hint}")
    if run.is_file() and run.suffix == ".html":
        return run
    for name in (PAGE, INDEX):
        if (run / name).is_file():
            return run / name
    raise StoreError(f"{run} has neither {PAGE} nor {INDEX}; write one with `distractor report {run}`")


def _open(page: Path) -> bool:
    """Whether a browser opened the page."""
    try:
        return webbrowser.open(page.absolute().as_uri())
    except (webbrowser.Error, OSError):
        return False
