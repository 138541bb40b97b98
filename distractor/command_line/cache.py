"""`distractor cache`: shows the results that runs share, and deletes some of them."""

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from distractor.command_line.options import CELLS
from distractor.command_line.registration import ListingGroup, command, example_text
from distractor.command_line.terminal import say
from distractor.errors import StoreError

if TYPE_CHECKING:
    from distractor.scoring.store import CellFile

app = typer.Typer(
    name="cache",
    cls=ListingGroup,
    help="Show the stored results that runs share, or delete some.",
    epilog=example_text("distractor cache", "distractor cache prune --older-than 30d"),
    rich_markup_mode="rich",
)

DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0}


@command(app, "distractor cache", name="list")
def list_results() -> None:
    """List the stored results by task and model: their number, size and age."""
    from distractor.runs.tables import FittedTable, console
    from distractor.scoring.store import Store

    files = Store(CELLS).cell_files()
    if files:
        table = FittedTable(
            ("task", "model", "results", "size", "oldest", "newest"), names=("task", "model"), left=("model",)
        )
        groups: dict[tuple[str, str], list[CellFile]] = {}
        for file in files:
            groups.setdefault((file.task, file.model), []).append(file)
        for (task, model), group in sorted(groups.items()):
            ages = [_age(group[index].age) for index in (0, -1)]
            table.add_row(task, model, f"{len(group):,}", _size(group), *ages)
        console().print(table)
    say(f"{_results(files)} in {CELLS}")


@command(
    app,
    "distractor cache prune --older-than 30d",
    "distractor cache prune --task negation_qa --model ladder --dry-run",
    "distractor cache prune --all --yes",
)
def prune(
    *,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only results computed longer ago: 12h, 30d or 8w.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only results of this task.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Only results of this model, or of all models of a family.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All results, the damaged and unnamed ones too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be deleted; delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete stored results. A later run computes them again when it needs them."""
    from distractor.scoring.store import Store

    if everything == any(choice is not None for choice in (older_than, task, model)):
        raise StoreError("say which results to delete: --older-than, --task or --model, or --all alone")
    days = None if older_than is None else _days(older_than)
    store = Store(CELLS)
    files = [
        file
        for file in store.cell_files()
        if (days is None or file.age > days)
        and (task is None or file.task == task)
        and (model is None or _is_of(file, model))
    ]
    if dry_run or not files:
        say(f"{_results(files)} would be deleted from {CELLS}")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise StoreError(f"{_results(files)} would be deleted from {CELLS}; confirm with --yes")
        typer.confirm(f"Delete {_results(files)} from {CELLS}?", abort=True)
    store.delete(files)
    say(f"{_results(files)} deleted from {CELLS}")


def _is_of(file: "CellFile", model: str) -> bool:
    """Whether a result belongs to a model or a family; `ladder/80x2` is in the ladder of the result's own task."""
    own = f"ladder/{file.task}/"
    short = f"ladder/{file.model.removeprefix(own)}" if file.model.startswith(own) else file.model
    return any(name == model or name.startswith((f"{model}/", f"{model}@")) for name in (file.model, short))


def _days(text: str) -> float:
    match = re.fullmatch(r"(\d{1,6})([hdw])", text, re.ASCII)
    if match is None:
        raise StoreError(f"--older-than is {text!r}; write hours, days or weeks, such as 12h, 30d or 8w")
    return int(match[1]) * DAYS[match[2]]


def _results(files: "Sequence[CellFile]") -> str:
    return f"{len(files):,} result{'s' * (len(files) != 1)} ({_size(files)})"


def _size(files: "Sequence[CellFile]") -> str:
    size = float(sum(file.size for file in files))
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _age(days: float) -> str:
    """An age in the largest unit that fits.

    >>> _age(400), _age(1.2), _age(0.01)
    ('400 d', '1 d', '14 min')
    """
    if days >= 1:
        return f"{days:.0f} d"
    return f"{days * 24:.0f} h" if days * 24 >= 1 else f"{max(days, 0) * 1440:.0f} min"
