"""`distractor rerun`: runs a manifest again without stored results, and says whether the numbers are the same."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from distractor.command_line import options as opt
from distractor.command_line.earlier_command import command_words
from distractor.command_line.registration import command
from distractor.command_line.terminal import say
from distractor.scratch import scratch_folder

app = typer.Typer()
DROPPED = {"--out": 1, "--store": 1, "--json": 0}
"""Options of the earlier command that are not used again, and how many words follow each."""


@command(app, "distractor rerun runs/ablate-negation_qa-1a2b3c4d/manifest.json")
def rerun(
    *,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="manifest.json of a run, or the run's folder.")],
    out: opt.Out = None,
) -> None:
    """Run a manifest's command again, without stored results, and compare the numbers. Exit status 1 if they differ.

    Start it where the command was started: paths in the command are relative. The new results go to a folder beside the
    old one.
    """
    from distractor.errors import StoreError
    from distractor.runs.same_results import compare_results

    path = manifest / "manifest.json" if manifest.is_dir() else manifest
    words = command_words(path, DROPPED)
    before = path.parent
    after = out or before.with_name(f"{before.name}-rerun")
    if after.resolve() == before.resolve():
        raise StoreError(f"{after} is the folder of the run itself; choose another folder with --out")
    with scratch_folder() as store:
        computes = ["--store", str(store)] if words[:1] != ["shape"] else []
        again = [sys.executable, "-m", "distractor", *words, "--out", str(after), *computes]
        status = subprocess.run(again, stdout=subprocess.DEVNULL, check=False).returncode
    if status:
        raise typer.Exit(status)
    result = compare_results(before, after)
    for sentence in result.sentences:
        say(sentence)
    if not result.match:
        raise typer.Exit(1)
