"""The tables and the figure of the model card: `python -m experiments.ladder.card [FOLDER]`.

Prints the shares of the documents in `corpus.py`, then a table of curves for each task: preference for the distractor's
answer in `conflict` by seed (on held-out groups in brackets), and means over seeds of the other columns.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import transformers

from distractor.numbers import number
from distractor.text.task import Task
from experiments.markdown import markdown_table
from tasks import TASKS

from .corpus import MODULES, Recipe
from .measure import COLUMNS, measure


@dataclass(frozen=True)
class Row:
    """The numbers of one model on one task, in the order of `COLUMNS`."""

    size: str
    seed: int
    n_params: int
    numbers: tuple[float, ...]


def data(recipe: Recipe) -> str:
    """One row per task: its share of the stream, its conflict rate and its kinds; kinds in conflict are bold."""
    rows = []
    for task in recipe.tasks:
        whole, contrary = recipe.share_of(task), MODULES[task].CONFLICT
        parts = {kind: 100 * recipe.share_of(task, kind) / whole for kind in recipe.shares(task)}
        kinds = [
            f"**{kind} {part:.3g}**" if kind in contrary else f"{kind} {part:.3g}"
            for kind, part in sorted(parts.items(), key=lambda pair: -pair[1])
        ]
        rate = 100 * recipe.conflict_rate(task)
        rows.append([f"`{task}`", f"{100 * whole:.1f} %", f"**{rate:.2g} %**", ", ".join(kinds)])
    return markdown_table(
        ["task", "share of documents", "conflict rate", "kinds, in per cent of the task's documents"], rows
    )


def measure_ladder(ladder: Path, task: Task, sizes: Iterable[str] | None = None) -> list[Row]:
    """Measure each model in the folder of a ladder (of some `sizes`), the smallest first."""
    held_out = frozenset(json.loads((ladder / "held_out.json").read_text())[task.name])
    rows = []
    for model in json.loads((ladder / "ladder.json").read_text())["models"]:
        if sizes is None or model["size"] in sizes:
            folder = ladder / model["size"] / f"seed{model['seed']}"
            numbers = measure(folder, folder, task, held_out)
            rows.append(Row(model["size"], model["seed"], model["n_params"], numbers))
    return rows


def curves(rows: Iterable[Row]) -> str:
    """One row per size: preference of each seed (on held-out groups), then means over seeds."""
    by_size: dict[str, list[Row]] = {}
    for row in rows:
        by_size.setdefault(row.size, []).append(row)
    seeds = sorted({row.seed for of_size in by_size.values() for row in of_size})
    lines = []
    for size, of_size in by_size.items():
        by_seed = {row.seed: f"{row.numbers[0]:.2f} ({row.numbers[1]:.2f})" for row in of_size}
        means = np.mean([row.numbers[2:] for row in of_size], axis=0)
        preferences = (by_seed.get(seed, "–") for seed in seeds)
        lines.append([size, f"{of_size[0].n_params:,}", *preferences, *map(number, means)])
    return markdown_table(["size", "parameters", *(f"seed {seed} (held out)" for seed in seeds), *COLUMNS[2:]], lines)


def draw(rows_by_task: dict[str, list[Row]], path: Path) -> None:
    """Preference by size, one panel per task: a thin line per seed, and the means on all and on held-out groups."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for panel, (name, rows) in zip(panels, rows_by_task.items(), strict=False):
        seeds = sorted({row.seed for row in rows})
        for seed in seeds:
            of_seed = [row for row in rows if row.seed == seed]
            panel.plot([row.n_params for row in of_seed], [row.numbers[0] for row in of_seed], color="#999999", lw=0.8)
        sizes = sorted({row.n_params for row in rows})
        for column, colour, line, label in (
            (0, "#0072B2", "o-", "all groups"),
            (1, "#D55E00", "o--", "held-out groups"),
        ):
            means = [np.mean([row.numbers[column] for row in rows if row.n_params == size]) for size in sizes]
            panel.plot(sizes, means, line, color=colour, lw=1.8, ms=3, label=label)
        panel.axhline(0.5, color="black", lw=0.6, ls=":")
        panel.set(xscale="log", ylim=(-0.03, 1.03), title=f"{name} ({len(seeds)} seed{'s' * (len(seeds) > 1)})")
    figure.supxlabel("parameters")
    figure.supylabel("preference for the distractor's answer in conflict")
    figure.axes[0].legend(fontsize=8, frameon=False, handlelength=3)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("distractor/ladder"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--figure", type=Path, help="draw preference by size into this file")
    arguments = parser.parse_args()
    transformers.logging.disable_progress_bar()
    print(data(Recipe()))
    rows_by_task = {}
    for name in arguments.tasks:
        rows_by_task[name] = measure_ladder(arguments.folder, TASKS[name]().take(arguments.items))
        print(f"\n### {name}\n\n{curves(rows_by_task[name])}", flush=True)
    if arguments.figure:
        draw(rows_by_task, arguments.figure)


if __name__ == "__main__":
    main()
