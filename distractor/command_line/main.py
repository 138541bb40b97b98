"""The `distractor` command. Heavy libraries are imported inside the commands, so that the help appears at once."""

import sys
from typing import Annotated

import typer

from distractor.command_line import (
    ablate,
    attribute,
    cache,
    compare,
    data,
    models,
    probes,
    report,
    rerun,
    shape,
    study,
    tasks,
    view,
)
from distractor.command_line.terminal import accept_any_text, print_error, say
from distractor.version import __version__

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
for module in (ablate, attribute, compare, shape, study, report, view, rerun, tasks, models, probes, data, cache):
    app.add_typer(module.app)


def main() -> None:
    """Run the command line; exit status 0 for success, 2 for a user error, 130 after an interrupt."""
    accept_any_text()
    try:
        app()
    except OSError as error:  # help that cannot be printed
        print_error(error)
        sys.exit(2)


def _show_version(is_requested: bool) -> bool:
    if is_requested:
        say(__version__)
        raise typer.Exit
    return is_requested


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Test why language models get worse and then better with size: is it a distractor task?

    Start with: [bold]distractor ablate --task negation_qa[/bold]
    """
