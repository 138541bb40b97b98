"""`distractor tasks`: lists the tasks, shows, checks and exports their items."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from distractor.command_line import check, contamination
from distractor.command_line.lookup import draw_task, find_package
from distractor.command_line.options import ItemSeed, TaskArgument
from distractor.command_line.registration import ListingGroup, command, example_text
from distractor.command_line.terminal import say
from distractor.runs.tables import console

app = typer.Typer(
    name="tasks",
    cls=ListingGroup,
    help="List the tasks, show the items of one, check it, or export it.",
    epilog=example_text(
        "distractor tasks",
        "distractor tasks show negation_qa",
        "distractor tasks check negation_qa",
        "distractor tasks contamination negation_qa --models smollm2",
        "distractor tasks export negation_qa --out negation_qa.jsonl",
    ),
    rich_markup_mode="rich",
)


@command(app, "distractor tasks", name="list")
def list_tasks() -> None:
    """List the tasks: name, question, number of items and groups, source and conditions."""
    from distractor.command_line.shown_items import summary_lines

    for name, make in find_package("tasks").TASKS.items():
        task = make()
        say(name, bold=True)
        for line in (task.question, *summary_lines(task)):
            say(f"  {line}")
    prize, big_bench = find_package("tasks.prize"), ", ".join(find_package("tasks.bigbench").NAMES)
    console().print(f"\nTasks of official files (--data FILE; `distractor data`): {', '.join(prize.DERIVED)}")
    console().print(f"\nOfficial files as published, without conditions: {', '.join(prize.PLAIN)}")
    console().print(f"\nTasks of BIG-bench (`distractor data add bigbench-1.0.0.tar.gz`): {big_bench}")


@command(app, "distractor tasks show negation_qa", "distractor tasks show negation_qa --items 30 --seed 1")
def show(
    task: TaskArgument,
    items: Annotated[int, typer.Option(min=1, metavar="N", help="Number of items, from the first.")] = 3,
    seed: ItemSeed = 0,
) -> None:
    """Print items under all conditions, with the right answers; colours mark the words that differ."""
    from distractor.command_line.shown_items import item_table, legend, summary_lines

    chosen = draw_task(task, seed)
    terminal = console()
    for line in (f"{chosen.name}: {chosen.question}", *summary_lines(chosen)):
        terminal.print(line)
    if terminal.is_terminal and not terminal.no_color:
        terminal.print(legend())
    for item in chosen.take(items).items:
        terminal.print()
        terminal.print(item_table(chosen, item))


class ExportFormat(StrEnum):
    """Formats of exported tasks."""

    PRIZE = "prize"
    HARNESS = "lm-eval"


@command(
    app,
    "distractor tasks export negation_qa --out negation_qa.jsonl",
    "distractor tasks export negation_qa --format lm-eval --out negation_qa",
)
def export(
    task: TaskArgument,
    out: Annotated[Path, typer.Option(metavar="PATH", help="File to write, or folder for lm-eval.")],
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="prize: conflict prompts in the columns of the Inverse Scaling Prize. lm-eval: a folder for lm_eval "
            "--include_path, with a task for each condition.",
        ),
    ] = ExportFormat.PRIZE,
    seed: ItemSeed = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file with other content.")] = False,
) -> None:
    """Write a task for other tools."""
    from distractor.command_line.export import export as write_rows
    from distractor.command_line.export_harness import conditions, export_harness

    chosen = draw_task(task, seed)
    if form is ExportFormat.HARNESS:
        export_harness(chosen, out, force=force)
        say(f"{out}: {len(chosen.items):,} items of {chosen.name} under {len(conditions(chosen))} conditions")
        say(f"lm_eval --include_path {out} --tasks distractor_{chosen.name} --model hf --model_args pretrained=MODEL")
        return
    write_rows(chosen, out, force=force)
    say(f"{out}: {len(chosen.items):,} rows of {chosen.name}, one for each conflict prompt")


app.add_typer(check.app)
app.add_typer(contamination.app)
