"""The front door, and the only module that opens onto every room. Heavy imports wait inside the commands."""

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from distractor import __version__
from distractor.errors import DistractorError, TaskError

if TYPE_CHECKING:
    from distractor.ablate import Ablation
    from distractor.sweep import Advance
    from distractor.task import Task

app = typer.Typer(
    help="Test why language models get worse and then better with size: is it a distractor task?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

CELLS = Path("runs/.cells")
P = ParamSpec("P")
R = TypeVar("R")


class Dtype(StrEnum):
    """The types that weights and activations can have."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def main() -> None:
    """The console script."""
    app()


def _door(command: Callable[P, R]) -> Callable[P, R]:
    """Errors that a user can put right are told in one message, exit status 2, without a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except DistractorError as error:
            typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            typer.echo("Stopped. The same command goes on where this one was.", err=True)
            raise typer.Exit(130) from error

    return wrapped


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Test why language models get worse and then better with size: is it a distractor task?

    Start with: [bold]distractor ablate --task negation_qa[/bold]
    """


@app.command(
    epilog="Examples:\n\n"
    "  distractor ablate --task negation_qa\n\n"
    "  distractor ablate --task negation_qa --models ladder/64x3 --models ladder/2x1 --json\n\n"
    "  distractor ablate --task negation_qa --data neqa_classification.jsonl --models path/to/model"
)
@_door
def ablate(
    task: Annotated[str, typer.Option(help="The task: `distractor tasks` lists them.")],
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="ladder, ladder/64x3, ladder/64x3/seed0, a folder, or a hub id owner/name[@revision]; may be repeated. "
            "Default: the whole ladder.",
            show_default=False,
        ),
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="How many of the task's items; their order is fixed.")] = 200,
    data: Annotated[
        Path | None,
        typer.Option(help="An official file of the Inverse Scaling Prize, used instead of the task's items."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. Default: runs/ablate-TASK-HASH.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[Dtype, typer.Option(help="Type of weights and activations.")] = Dtype.FLOAT32,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Prompts at a time. Default: by their length.", show_default=False)
    ] = None,
    knockout: Annotated[
        bool, typer.Option(help="Knock out every head and MLP in the model at the peak and in the largest.")
    ] = True,
    offline: Annotated[bool, typer.Option("--offline", help="Never touch the network.")] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print what would run, its cost and the smallest detectable dip; run nothing."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary alone, as JSON.")] = False,
) -> None:
    """Pose a task under every condition to models of many sizes, and judge whether a distractor makes the U."""
    from distractor.families import find_models
    from distractor.store import Store
    from distractor.sweep import Settings

    chosen = _task(task, data)
    # All rows of a file are used: its order is nobody's random draw, so a first part would be no sample.
    chosen = chosen if data else chosen.take(items)
    sources = find_models(models or ["ladder"], offline=offline or plan)
    settings = Settings(device=device, dtype=dtype.value, batch_size=batch_size)
    store = Store(CELLS)
    if plan:
        from distractor.plan import plan as make_plan

        for line in make_plan(chosen, sources, store, settings, knockout=knockout).lines():
            typer.echo(line)
        return

    from distractor import report
    from distractor.ablate import ablate as run

    probe = _room("probes").PROBES["ablation"] if knockout else None
    manifest = report.manifest(chosen, sources, settings, probe, sys.argv)
    folder = out or Path("runs") / f"ablate-{chosen.name}-{report.run_hash(manifest)[:8]}"
    store.make_ready()
    store.clear_scraps()
    report.open_run(folder, manifest)
    with _progress(len(sources) * len(chosen.conditions) + 2 * knockout) as advance:
        found = run(chosen, sources, store=store, settings=settings, knockout=probe, advance=advance)
    told = report.write(folder, found)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        _print(found, told, folder)


@app.command()
@_door
def tasks() -> None:
    """List the tasks: name, question, conditions, items and groups."""
    for name, make in _room("tasks").TASKS.items():
        task = make()
        groups = len({item.group for item in task.items})
        typer.secho(name, bold=True)
        typer.echo(f"  {task.question}")
        typer.echo(f"  {len(task.items)} items in {groups} groups, from {task.source}")
        typer.echo(f"  conditions: {', '.join(task.conditions)}")


@app.command()
@_door
def models() -> None:
    """List the embedded models: size, parameters and seeds."""
    from distractor.families import ladder

    seeds: dict[tuple[str, int | None], list[str]] = {}
    for source in ladder():
        seeds.setdefault((source.model, source.n_params), []).append(str(source.seed))
    for (model, n_params), found in seeds.items():
        typer.echo(f"ladder/{model:<6} {n_params:>9,} parameters   seeds {', '.join(found)}")


def _task(name: str, data: Path | None) -> "Task":
    from distractor.task import nearest

    room = _room("tasks")
    if name not in room.TASKS:
        raise TaskError(f"there is no task {name!r}: {nearest(name, room.TASKS)}")
    task: Task = room.TASKS[name]() if data is None else _room("tasks.prize").read(name, data)
    return task


def _room(name: str) -> ModuleType:
    """`tasks` or `probes`, the packages beside this one, and not a file of that name in the user's folder."""
    import importlib.util

    first = name.split(".")[0]
    found = importlib.util.find_spec(first)
    origin = found.origin if found else None
    if origin is None or Path(origin).resolve() != Path(__file__).resolve().parent.parent / first / "__init__.py":
        raise TaskError(
            f"{origin or first} hides this toolkit's package {first!r}; rename it, or run `distractor` from another folder"
        )
    return importlib.import_module(name)


@contextmanager
def _progress(total: int) -> "Iterator[Advance]":
    """A bar on stderr, gone when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("starting", total=total)
        yield lambda name: bar.update(row, advance=1, description=name)


def _print(found: "Ablation", told: dict[str, Any], folder: Path) -> None:
    from rich.console import Console

    from distractor.table import WIDTH, components_table, models_table, notes, verdict_table

    console = Console(width=WIDTH, highlight=False)
    console.print(models_table(found))
    for note in notes(found):
        console.print(note, markup=False)
    console.print()
    console.print(verdict_table(found))
    for knockout in told["knockouts"]:
        console.print()
        console.print(components_table(knockout))
    console.print(f"\nResults, figures and summary: {folder}", markup=False)
