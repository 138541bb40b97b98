"""`distractor tasks check`: is a task sound? One table of checks, plain warnings, and an exit status."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from distractor.command_line import options as opt
from distractor.command_line.lookup import find_task, ladder_task
from distractor.command_line.progress import show_progress
from distractor.command_line.registration import command
from distractor.command_line.running import print_json
from distractor.runs.tables import FittedTable, console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from distractor.soundness.findings import Finding

app = typer.Typer()

UNSOUND = 1  # exit status with warnings


@command(
    app,
    "distractor tasks check my_rows.csv",
    "distractor tasks check negation_qa --models ladder/16x2",
)
def check(
    *,
    task: opt.TaskArgument,
    data: opt.OfficialFile = None,
    items: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Check only this number of items. Default: all.")
    ] = None,
    models: Annotated[
        list[str] | None,
        opt.option(opt.MODELS, f"Check prompts and answers in these models, too. {opt.MODEL_HELP}", metavar="MODEL"),
    ] = None,
    offline: opt.Offline = False,
    computing: opt.Computing,
    as_json: opt.AsJson = False,
) -> None:
    """Check whether a task is sound: balance, duplicates, lengths, and what its surface gives away.

    The exit status is 0 without warnings, 1 with warnings, and 2 if the task or a model cannot be read.
    """
    from distractor.soundness.findings import text_findings
    from distractor.soundness.surface import surface_findings

    chosen = find_task(task, data, items, whole=True)
    findings = [*text_findings(chosen), *surface_findings(chosen)]
    if models:
        from distractor.models.families import find_models
        from distractor.scoring.steps import score_steps
        from distractor.scoring.store import Store
        from distractor.soundness.models import asked, model_findings

        sources = find_models(models, task=ladder_task(chosen, data), offline=offline, mixed=True)
        store, settings = Store(computing.store), computing.settings()
        with show_progress(lambda: score_steps(chosen, sources, store, settings, only=asked(chosen))):
            findings += model_findings(chosen, sources, store, settings)
    if as_json:
        print_json({"task": chosen.name, "findings": [finding.as_dict() for finding in findings]})
    else:
        for line in shown(chosen.name, findings):
            console().print(line)
    if any(finding.warning for finding in findings):
        raise typer.Exit(UNSOUND)


def shown(name: str, findings: "Sequence[Finding]") -> "Iterator[RenderableType]":
    """The table of checks and the warnings, for the terminal."""
    from rich.text import Text

    table = FittedTable(("check", "found", "sound"), wrapped=("found",), left=("found", "sound"), drop=(), names=())
    for finding in findings:
        table.add_row(finding.check, finding.found, finding.answer)
    yield table
    warnings = [finding for finding in findings if finding.warning]
    yield Text("")
    for finding in warnings:
        yield Text(f"Warning, {finding.check}: {finding.warning}.")
    said = "no warning" if not warnings else f"{len(warnings)} warning{'s' * (len(warnings) > 1)}"
    yield Text(f"{name}: {said} in {len(findings)} checks.", style="bold")
