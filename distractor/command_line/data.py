"""`distractor data`: adds, downloads and verifies official files of the Inverse Scaling Prize and of BIG-bench."""

from pathlib import Path
from typing import Annotated

import typer

from distractor.command_line.lookup import find_package
from distractor.command_line.registration import command
from distractor.command_line.terminal import say

app = typer.Typer(
    name="data",
    help="Add, download and verify official files: of the Inverse Scaling Prize, and of BIG-bench.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@command(app, "distractor data verify neqa_classification.jsonl")
def verify(files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files to check.")]) -> None:
    """Say for each file whether it is an official file and of which tasks, or how it differs from the official file.

    The exit status is 2 if any file is not official.
    """
    checks = [find_package("tasks.official").describe(file) for file in files]
    for _, lines in checks:
        for line in lines:
            say(line)
    if not all(is_official for is_official, _ in checks):
        raise typer.Exit(2)


@command(app, "distractor data add bigbench-1.0.0.tar.gz", "distractor data add neqa_classification.jsonl")
def add(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Official files of the prize, or the archive of BIG-bench.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files. Default: the user's cache folder.")
    ] = None,
) -> None:
    """Verify your copy of official files by size and SHA-256, and save them where tasks look for them.

    Of bigbench-1.0.0.tar.gz only the task files are saved. Nothing in it is run.
    """
    for file in files:
        path, is_new = find_package("tasks.official").add(file.expanduser(), out)
        say(f"{path}: {'verified and saved' if is_new else 'already there'}")


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
    path, origin = find_package("tasks.official").get(task, out, offline=offline)
    source = f"from {origin}" if "://" in origin else origin
    say(f"{path}: the official file, {source}")
