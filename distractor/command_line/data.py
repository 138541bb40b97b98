"""`distractor data`: downloads and verifies official files of the Inverse Scaling Prize."""

from pathlib import Path
from typing import Annotated

import typer

from distractor.command_line.lookup import find_package
from distractor.command_line.registration import command
from distractor.command_line.terminal import say

app = typer.Typer(
    name="data",
    help="Download and verify official files of the Inverse Scaling Prize.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@command(app, "distractor data verify neqa_classification.jsonl")
def verify(files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files to check.")]) -> None:
    """Say for each file whether it is an official file and of which tasks, or how it differs from the official file.

    The exit status is 2 if any file is not official.
    """
    checks = [find_package("tasks.prize").describe(file) for file in files]
    for _, lines in checks:
        for line in lines:
            say(line)
    if not all(is_official for is_official, _ in checks):
        raise typer.Exit(2)


@command(app, "distractor data get negation_qa")
def get(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="Task with an official file, or the release's own name for it.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the file. Default: the user's cache folder.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    """Download an official file from the organisers' public dataset; it is kept only if its hash is right."""
    path, origin = find_package("tasks.prize.fetch").get(task, out, offline=offline)
    source = f"from {origin}" if "://" in origin else origin
    say(f"{path}: the official file, {source}")
