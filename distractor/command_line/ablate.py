"""`distractor ablate`: the main command; every condition on models of many sizes, and a verdict."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distractor.command_line import options as opt
from distractor.command_line.lookup import find_package, find_task, ladder_task
from distractor.command_line.progress import FINAL_STAGE, show_progress
from distractor.command_line.registration import command
from distractor.command_line.running import folder_line, print_json, print_plan, print_script, run_folder
from distractor.command_line.terminal import say
from distractor.runs.figure_set import FigureSet
from distractor.runs.tables import console
from distractor.work import Step

if TYPE_CHECKING:
    from rich.console import Console

    from distractor.ablation.ablate import AblationResult
    from distractor.ablation.written.answers import WrittenResult
    from distractor.text.task import Task

app = typer.Typer()
ROUNDS = 2  # of a job array: results of one depend on those of the one before
FIGURES_DRAWN = 9  # with those of the page; for the time in a plan


@command(
    app,
    "distractor ablate --task negation_qa",
    "distractor ablate --task negation_qa --models path/to/model --json",
    "distractor ablate --task negation_qa --format rank,generate,cot",
)
def ablate(
    *,
    task: opt.TaskName,
    items: Annotated[int | None, typer.Option(min=1, **opt.ITEMS)] = None,
    data: opt.OfficialFile = None,
    reference: Annotated[list[str] | None, typer.Option(metavar="NAME", help=opt.REFERENCE)] = None,
    knockout: Annotated[
        bool, opt.option(opt.METHOD, "Knock out heads and MLPs of two models: at the peak, and the largest.")
    ] = True,
    exact: Annotated[
        bool,
        opt.option(
            opt.METHOD,
            "Knock out all heads and MLPs. Default: of many, the 10 largest by gradients and some at random.",
            "--exact",
        ),
    ] = False,
    plan: Annotated[
        bool,
        opt.option(
            opt.METHOD,
            "Print time, memory, cost and minimum detectable dip; run nothing.",
            "--plan",
        ),
    ] = False,
    models: Annotated[
        list[str] | None,
        opt.option(opt.MODELS, f"{opt.MODEL_HELP} Default: ladder.", metavar="MODEL"),
    ] = None,
    offline: opt.Offline = False,
    mixed_families: opt.MixedFamilies = False,
    form: Annotated[
        list[str] | None,
        opt.option(
            opt.PROMPT_FORMAT,
            "How the answer is obtained: rank (default) compares probabilities, generate reads what the model writes, "
            "cot lets it reason first. Several formats and their shots: rank,cot:1.",
            "--format",
            metavar="FORMAT",
        ),
    ] = None,
    shots: Annotated[
        int | None,
        opt.option(
            opt.PROMPT_FORMAT,
            "Worked examples before each question. Default: 0 for rank alone, else 1.",
            min=0,
            metavar="N",
        ),
    ] = None,
    shot_kind: Annotated[
        opt.ShotKind,
        opt.hidden_option(
            opt.PROMPT_FORMAT,
            "Examples in which the two tasks agree (congruent), disagree (conflict), or alternate (mixed).",
        ),
    ] = opt.ShotKind.CONGRUENT,
    shot_seed: Annotated[
        int, opt.hidden_option(opt.PROMPT_FORMAT, "Random seed for the examples.", min=0, metavar="N")
    ] = 0,
    inline: Annotated[
        bool, opt.hidden_option(opt.PROMPT_FORMAT, "Separate examples by a space instead of a blank line.", "--inline")
    ] = False,
    lead: Annotated[
        bool,
        opt.hidden_option(
            opt.PROMPT_FORMAT, 'Write "The answer is" before each example\'s answer; cot always does.', "--lead"
        ),
    ] = False,
    options: Annotated[
        bool | None,
        opt.hidden_option(
            opt.PROMPT_FORMAT, "Offer both answers in the prompt, or not. Default: the task's own format."
        ),
    ] = None,
    hint: Annotated[
        str, opt.hidden_option(opt.PROMPT_FORMAT, "First line of each prompt.", metavar="TEXT", show_default=False)
    ] = "",
    chat: Annotated[bool, opt.option(opt.PROMPT_FORMAT, "Apply the tokenizer's chat template.", "--chat")] = False,
    limit: Annotated[
        int | None,
        opt.hidden_option(
            opt.PROMPT_FORMAT,
            "Most tokens that a model writes. Default: 24 for generate, 96 for cot.",
            min=1,
            metavar="N",
        ),
    ] = None,
    computing: opt.Computing,
    batch_size: Annotated[
        int | None,
        opt.hidden_option(opt.COMPUTING, "Prompts in a batch. Default: depends on their length.", min=1, metavar="N"),
    ] = None,
    figures: opt.Figures = FigureSet.MAIN,
    out: opt.Out = None,
    as_json: opt.AsJson = False,
) -> None:
    """Run a task under every condition on models of many sizes; judge whether a distractor task explains the curve."""
    from distractor.ablation.ablate import ablate as run_ablation
    from distractor.ablation.plan import plan as plan_run
    from distractor.ablation.plan import run_steps, score_or_text_requests
    from distractor.models.families import find_models
    from distractor.published.curves import find_published, parse_references
    from distractor.runs.folder import run_hash
    from distractor.runs.manifest import run_manifest
    from distractor.scoring.prompt_tokens import TokenCounter
    from distractor.scoring.requests import compute_first
    from distractor.scoring.shot_limits import refuse_too_many_shots
    from distractor.scoring.store import Store
    from distractor.statistics.remember import remembering
    from distractor.text.format import parse_formats
    from distractor.text.format_task import format_task

    formats = parse_formats(
        form or ["rank"], shots, kind=shot_kind.value, seed=shot_seed, inline=inline, lead=lead, options=options, hint=hint,
        chat=chat, limit=limit,
    )  # fmt: skip
    plain = find_task(task, data, items)
    references = parse_references(reference or ())
    published = find_published(plain.name, references) if references else ()
    example_pool = find_task(task, data, whole=True) if any(each.shots for each in formats) else plain
    tasks = [format_task(plain, each, example_pool) for each in formats]
    ranked = [each for each in tasks if not each.format.is_written]
    knockout = knockout and bool(ranked)
    if knockout and (reason := _why_no_knockout(ranked[0])):
        knockout = False
        say(f"Nothing is knocked out: {reason}.", err=True)
    sources = find_models(models or ["ladder"], task=ladder_task(plain, data), offline=offline, is_planned=plan)
    settings = replace(computing.settings(batch_size), mixed_families=mixed_families)
    store = Store(computing.store)
    for source in sources:
        for each in tasks:
            refuse_too_many_shots(each.format, source)
    screened = find_package("probes").KNOCKOUT
    probe = None if not knockout else screened.unscreened if exact else screened
    if plan:
        count, planned = TokenCounter(), list[Step]()
        for each in tasks:
            if len(tasks) > 1:
                say(each.format.label, bold=True)
            of_task = run_steps(each, sources, probe, store, settings, count)
            planned += of_task
            for line in plan_run(each, sources, of_task).lines():
                say(line)
        print_plan(planned, tasks, sources, settings, FIGURES_DRAWN * len(tasks), is_long=False)
        return
    if computing.sbatch:
        print_script(["distractor", *sys.argv[1:]], computing.sbatch, ROUNDS)
        return
    is_alone = len(tasks) == 1 and bool(ranked)
    if is_alone:
        from distractor.ablation import report

        manifest = run_manifest(tasks[0], sources, settings, probe, sys.argv)
    else:
        from distractor.ablation.formats import report as format_report
        from distractor.ablation.written.answers import ablate_written

        manifest = format_report.manifest(plain, tasks, sources, settings, probe, sys.argv)
    manifest |= {"references": list(references)} if references else {}
    remembered = store.folder / "statistics" / f"{run_hash(manifest)[:16]}.pickle"
    with remembering(remembered):
        with run_folder(computing, out, f"ablate-{plain.name}", manifest) as folder:
            steps = (step for each in tasks for step in run_steps(each, sources, probe, store, settings))
            with show_progress(lambda: steps, folder) as shown:
                compute_first(score_or_text_requests(tasks, sources, settings), store)
                results: list[Any] = [
                    run_ablation(each, sources, store=store, settings=settings, knockout=probe, published=published)
                    if each in ranked
                    else ablate_written(each, sources, store=store, settings=settings, published=published)
                    for each in tasks
                ]
                shown.stage(FINAL_STAGE)
                if is_alone:
                    summary = report.write(folder, results[0], figures)
                else:
                    summary = format_report.write(folder, results, figures)
        if as_json:
            print_json(summary)
        elif is_alone:
            _print_result(results[0], summary, folder.path)
        else:
            _print_formats(results, summary, folder.path)


def _why_no_knockout(task: "Task") -> str | None:
    """Give the reason if a task allows no knock-out, which needs a mean over the items of other groups."""
    from distractor.text.task import Condition

    if Condition.CONGRUENT not in task.conditions:
        return f"{task.name} has no congruent prompts to take means over"
    if len({item.group for item in task.items}) < 2:
        return f"all items of {task.name} are in one group, so there are no other groups to take means over"
    return None


def _print_result(result: "AblationResult", summary: dict[str, Any], folder: Path) -> None:
    from distractor.ablation.tables import components_table, models_table, notes, verdict_table

    terminal = console()
    terminal.print(models_table(result))
    for note in notes(result):
        terminal.print(note)
    terminal.print()
    terminal.print(verdict_table(result))
    for knockout in summary["knockouts"]:
        terminal.print()
        terminal.print(components_table(knockout))
    _print_published(terminal, result)
    terminal.print(f"\n{folder_line('Results, figures and summary', folder, summary['figures'])}", soft_wrap=True)


def _print_published(terminal: "Console", result: "AblationResult | WrittenResult") -> None:
    from distractor.ablation.references import references
    from distractor.published.tables import published_table

    if result.published:
        terminal.print()
        terminal.print(published_table(references(result)))


def _print_formats(results: "list[AblationResult | WrittenResult]", summary: dict[str, Any], folder: Path) -> None:
    from distractor.ablation.formats.curve import format_curve
    from distractor.ablation.formats.tables import FormatsTable
    from distractor.ablation.written.answers import WrittenResult
    from distractor.ablation.written.tables import written_notes, written_table

    terminal = console()
    for result in results:
        subfolder = folder / result.task.format.slug
        if isinstance(result, WrittenResult):
            terminal.print(written_table(result))
            for note in written_notes(result):
                terminal.print(note)
            _print_published(terminal, result)
            terminal.print(f"\nTexts, values, figure and summary: {subfolder}", soft_wrap=True)
        else:
            _print_result(result, summary["by_format"][result.task.format.label], subfolder)
        terminal.print()
    terminal.print(FormatsTable([format_curve(result) for result in results]))
    for sentence in (*summary["lead"], *summary["sentences"]):
        terminal.print(sentence)
    terminal.print(f"\nFormats side by side: {folder}", soft_wrap=True)
