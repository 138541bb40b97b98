"""`distractor ablate`: the main command; every condition on models of many sizes, and a verdict."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distractor.command_line.lookup import find_package, find_task
from distractor.command_line.options import (
    COMPUTING,
    METHOD,
    MODEL_HELP,
    MODELS,
    PROMPT_FORMAT,
    AsJson,
    Bos,
    Device,
    DeviceMap,
    Dtype,
    OfficialFile,
    Offline,
    Out,
    SelfCheck,
    ShotKind,
    TaskName,
    Threads,
    WeightType,
    as_truth,
    hidden_option,
)
from distractor.command_line.registration import command
from distractor.command_line.running import CELLS, print_json, progress_bar, run_folder
from distractor.runs.tables import console

if TYPE_CHECKING:
    from distractor.ablation.ablate import AblationResult
    from distractor.models.source import Source
    from distractor.probing.probe import Probe
    from distractor.scoring.settings import Settings
    from distractor.scoring.store import Store
    from distractor.text.task import Task

app = typer.Typer()


@command(
    app,
    "distractor ablate --task negation_qa",
    "distractor ablate --task negation_qa --models path/to/model --json",
    "distractor ablate --task negation_qa --format rank,generate,cot",
)
def ablate(
    task: TaskName,
    items: Annotated[int, typer.Option(min=1, metavar="N", help="Number of items, in their fixed order.")] = 200,
    data: OfficialFile = None,
    knockout: Annotated[
        bool,
        typer.Option(
            help="Knock out every head and MLP of two models: at the peak, and the largest.", rich_help_panel=METHOD
        ),
    ] = True,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print cost and minimum detectable dip; run nothing.", rich_help_panel=METHOD)
    ] = False,
    models: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help=f"{MODEL_HELP} Default: the whole ladder.", rich_help_panel=MODELS),
    ] = None,
    offline: Offline = False,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="How the answer is obtained: rank (default) compares probabilities, generate reads what the model writes, "
            "cot lets it reason first. Several, with shots: rank,cot:1.",
            rich_help_panel=PROMPT_FORMAT,
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Worked examples before each question. Default: 0 for rank, else 1.",
            rich_help_panel=PROMPT_FORMAT,
        ),
    ] = None,
    shot_kind: Annotated[
        ShotKind,
        hidden_option(
            panel=PROMPT_FORMAT,
            help="Examples in which the two tasks agree (congruent), disagree (conflict), or both in turn (mixed).",
        ),
    ] = ShotKind.CONGRUENT,
    shot_seed: Annotated[
        int, hidden_option(panel=PROMPT_FORMAT, min=0, metavar="N", help="Random seed for the examples.")
    ] = 0,
    inline: Annotated[
        bool,
        hidden_option("--inline", panel=PROMPT_FORMAT, help="Separate examples by a space instead of a blank line."),
    ] = False,
    lead: Annotated[
        bool,
        hidden_option(
            "--lead", panel=PROMPT_FORMAT, help='Write "The answer is" before each example\'s answer; cot always does.'
        ),
    ] = False,
    options: Annotated[
        bool | None,
        hidden_option(
            "--options/--no-options",
            panel=PROMPT_FORMAT,
            help="Offer both answers in the prompt, or not. Default: the task's own format.",
        ),
    ] = None,
    hint: Annotated[
        str, hidden_option(panel=PROMPT_FORMAT, metavar="TEXT", help="First line of each prompt.", show_default=False)
    ] = "",
    chat: Annotated[
        bool, typer.Option("--chat", help="Apply the tokenizer's chat template.", rich_help_panel=PROMPT_FORMAT)
    ] = False,
    limit: Annotated[
        int | None,
        hidden_option(
            panel=PROMPT_FORMAT,
            min=1,
            metavar="N",
            help="Most tokens that a model writes. Default: 24 for generate, 96 for cot.",
        ),
    ] = None,
    bos: Bos = None,
    device: Device = "auto",
    dtype: WeightType = Dtype.FLOAT32,
    batch_size: Annotated[
        int | None,
        hidden_option(
            panel=COMPUTING, min=1, metavar="N", help="Prompts in a batch. Default: depends on their length."
        ),
    ] = None,
    device_map: DeviceMap = None,
    threads: Threads = None,
    self_check: SelfCheck = True,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Run a task under every condition on models of many sizes; judge whether a distractor makes the U."""
    from distractor.models.families import find_models
    from distractor.scoring.settings import Settings
    from distractor.scoring.shot_limits import refuse_too_many_shots
    from distractor.scoring.store import Store
    from distractor.text.format import parse_formats
    from distractor.text.shots import format_task

    formats = parse_formats(
        form or ["rank"], shots, kind=shot_kind.value, seed=shot_seed, inline=inline, lead=lead, options=options, hint=hint,
        chat=chat, limit=limit,
    )  # fmt: skip
    plain = find_task(task, data, items)
    example_pool = find_task(task, data) if any(one.shots for one in formats) else plain
    tasks = [format_task(plain, one, example_pool) for one in formats]
    ranked = [one for one in tasks if not one.format.is_free]
    knockout = knockout and bool(ranked)
    if knockout and (reason := _why_no_knockout(ranked[0])):
        knockout = False
        typer.echo(f"Nothing is knocked out: {reason}.", err=True)
    sources = find_models(models or ["ladder"], offline=offline or plan)
    settings = Settings(
        device, dtype.value, batch_size, as_truth(bos), self_check=self_check, device_map=device_map, threads=threads
    )
    store = Store(CELLS)
    for source in sources:
        for one in tasks:
            refuse_too_many_shots(one.format, source)
    if plan:
        _print_plan(tasks, sources, store, settings, knockout=knockout)
        return
    probe = find_package("probes").PROBES["ablation"] if knockout else None
    run = _run_one if len(tasks) == 1 and ranked else _run_formats
    run(plain, tasks, sources, store, settings, probe, out, as_json=as_json)


def _why_no_knockout(task: "Task") -> str | None:
    """Explain why a task allows no knock-out: a component is replaced by its mean over the items of other groups."""
    from distractor.text.task import Condition

    if Condition.CONGRUENT not in task.conditions:
        return f"{task.name} has no congruent prompts to take means over"
    if len({item.group for item in task.items}) < 2:
        return f"all items of {task.name} are in one group, so there are no other groups to take means over"
    return None


def _print_plan(
    tasks: "Sequence[Task]", sources: "Sequence[Source]", store: "Store", settings: "Settings", *, knockout: bool
) -> None:
    from distractor.ablation.plan import plan

    for task in tasks:
        if len(tasks) > 1:
            typer.secho(task.format.label, bold=True)
        for line in plan(task, sources, store, settings, knockout=knockout).lines():
            typer.echo(line)


def _run_one(
    plain: "Task",
    tasks: "Sequence[Task]",
    sources: "Sequence[Source]",
    store: "Store",
    settings: "Settings",
    probe: "Probe | None",
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run and print one format in which answers are ranked."""
    from distractor.ablation import report
    from distractor.ablation.ablate import ablate as run_ablation
    from distractor.runs.manifest import run_manifest

    (task,) = tasks
    manifest = run_manifest(task, sources, settings, probe, sys.argv)
    with run_folder(store, out, f"ablate-{plain.name}", manifest) as folder:
        with progress_bar(len(sources) * len(task.conditions) + 2 * (probe is not None)) as advance:
            result = run_ablation(task, sources, store=store, settings=settings, knockout=probe, advance=advance)
        summary = report.write(folder, result)
    if as_json:
        print_json(summary)
    else:
        _print_result(result, summary, folder.path)


def _run_formats(
    plain: "Task",
    tasks: "Sequence[Task]",
    sources: "Sequence[Source]",
    store: "Store",
    settings: "Settings",
    probe: "Probe | None",
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run and print several formats, or one in which models write: each alone, then all in one table."""
    from distractor.ablation.ablate import ablate as run_ablation
    from distractor.ablation.formats import report as format_report
    from distractor.ablation.written.answers import WrittenResult, ablate_written

    manifest = format_report.manifest(plain, tasks, sources, settings, probe, sys.argv)
    results: list[AblationResult | WrittenResult] = []
    ranked = sum(not task.format.is_free for task in tasks)
    steps = len(sources) * sum(len(task.conditions) for task in tasks) + 2 * ranked * (probe is not None)
    with run_folder(store, out, f"ablate-{plain.name}", manifest) as folder:
        with progress_bar(steps) as advance:
            for task in tasks:
                if task.format.is_free:
                    results.append(ablate_written(task, sources, store=store, settings=settings, advance=advance))
                else:
                    results.append(
                        run_ablation(task, sources, store=store, settings=settings, knockout=probe, advance=advance)
                    )
        summary = format_report.write(folder, results)
    if as_json:
        print_json(summary)
        return
    from distractor.ablation.formats.curve import format_curve
    from distractor.ablation.formats.tables import formats_table
    from distractor.ablation.written.tables import written_notes, written_table

    terminal = console()
    for result in results:
        subfolder = folder.path / result.task.format.slug
        if not isinstance(result, WrittenResult):
            _print_result(result, summary["by_format"][result.task.format.label], subfolder)
        else:
            terminal.print(written_table(result))
            for note in written_notes(result):
                terminal.print(note, markup=False)
            terminal.print(f"\nTexts, values, figure and summary: {subfolder}", markup=False)
        terminal.print()
    terminal.print(formats_table([format_curve(result) for result in results]))
    for sentence in summary["sentences"]:
        terminal.print(sentence, markup=False)
    terminal.print(f"\nFormats side by side: {folder.path}", markup=False)


def _print_result(result: "AblationResult", summary: dict[str, Any], folder: Path) -> None:
    from distractor.ablation.tables import components_table, models_table, notes, verdict_table

    terminal = console()
    terminal.print(models_table(result))
    for note in notes(result):
        terminal.print(note, markup=False)
    terminal.print()
    terminal.print(verdict_table(result))
    for knockout in summary["knockouts"]:
        terminal.print()
        terminal.print(components_table(knockout))
    terminal.print(f"\nResults, figures and summary: {folder}", markup=False)
