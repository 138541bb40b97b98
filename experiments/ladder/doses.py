"""Does the conflict rate change the rise and fall of preference? `python -m experiments.ladder.doses`.

Trains small models on bets, for several conflict rates and seeds. Writes `doses.csv` (one row per model), `doses.md`
and `doses.png` in this folder. Models in `doses.csv` are not trained again.

Prediction: with a higher rate, the peak is lower, and preference turns at a smaller model.
"""

import argparse
import csv
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from matplotlib.figure import Figure

from distractor.numbers import number
from distractor.runs.colours import INK, SERIES
from distractor.statistics.shape_test import DELTA
from experiments.markdown import markdown_table
from tasks import TASKS

from .corpus import held_out, tokenizer_of
from .measure import COLUMNS, measure
from .plans import PLANS
from .train import read_records, train

TASK = "hindsight_neglect"
RATES = (0.02, 0.05, 0.15, 0.5)
SIZES = ("4x1", "12x1", "16x2", "24x2", "32x2")
STEPS = 1000
SEEDS = (830, 831, 832, 833, 834)
HERE = Path(__file__).parent
FIELDS = ("rate", "size", "seed", "n_params", "loss", *COLUMNS)
LOSSES = (2, 1, 0.5, 0.3)


class Cell(NamedTuple):
    """The settings of one model."""

    rate: float
    seed: int
    size: str


Rows = dict[Cell, dict[str, str]]


def read_rows(path: Path) -> Rows:
    """The rows of `doses.csv`, by cell."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {Cell(float(row["rate"]), int(row["seed"]), row["size"]): row for row in rows}


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Write all rows in one step."""
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)


def train_all(out: Path, work: Path) -> None:
    """Train each missing model and add its row to the file `out`."""
    task, tokenizer, plan = TASKS[TASK](), tokenizer_of(TASK), PLANS[TASK]
    for rate, size in product(RATES, SIZES):
        cells = [Cell(rate, seed, size) for seed in SEEDS]
        if read_rows(out).keys() >= {*cells}:
            continue
        recipe = replace(plan.recipe, conflict=rate, agreeing=0)
        cell_plan = replace(plan, recipe=recipe, budget=replace(plan.budget, steps=STEPS), seeds=SEEDS)
        folder = work / f"{rate}"
        train(cell_plan, size, folder, work, tokenizer)
        records = {record["seed"]: record for record in read_records(folder) if record["size"] == size}
        rows = read_rows(out)
        for cell in cells:
            model = folder / size / f"seed{cell.seed}"
            values = measure(model, model, task, held_out(TASK))
            rows[cell] = {
                "rate": str(rate),
                "size": size,
                "seed": str(cell.seed),
                "n_params": str(records[cell.seed]["n_params"]),
                "loss": f"{records[cell.seed]['loss']:.4f}",
                **{column: f"{value:.4f}" for column, value in zip(COLUMNS, values, strict=True)},
            }
        write_rows(out, [rows[cell] for cell in sorted(rows)])


def column_of(rows: Rows, rate: float, column: str) -> np.ndarray:
    """A column at one rate, [seed size]."""
    seeds = sorted({cell.seed for cell in rows})
    return np.array([[float(rows[Cell(rate, seed, size)][column]) for size in SIZES] for seed in seeds])


def turn(preference: np.ndarray, n_params: np.ndarray) -> float | None:
    """The size in parameters at which preference falls through .5 after its peak.

    None if it does not, or if the peak exceeds .5 by less than δ.
    """
    if preference.max() < 0.5 + DELTA:
        return None
    for index in range(int(preference.argmax()) + 1, len(preference)):
        before, after = preference[index - 1 : index + 1]
        if after < 0.5 < before:
            part = (before - 0.5) / (before - after)
            return float(np.exp(np.interp(part, (0, 1), np.log(n_params[index - 1 : index + 1]))))
    return None


def peaks_table(rows: Rows) -> str:
    """One row per rate: the peak of each seed, and the size at which its preference turns."""
    lines = []
    for rate in RATES:
        preference, sizes = column_of(rows, rate, "preference"), column_of(rows, rate, "n_params")[0]
        turns = [turn(line, sizes) for line in preference]
        lines.append(
            [
                f"{rate:g}",
                *(", ".join(number(float(line.max())) for line in preference), number(float(preference.max(1).mean()))),
                ", ".join("–" if size is None else f"{size:,.0f}" for size in turns),
            ]
        )
    seeds = ", ".join(str(seed) for seed in sorted({cell.seed for cell in rows}))
    return markdown_table(("rate", f"peak, seeds {seeds}", "mean", "turns at (parameters), the same seeds"), lines)


def table(rows: Rows) -> str:
    """One row per rate and size: preference of each seed, then means over seeds."""
    seeds = sorted({cell.seed for cell in rows})
    heads = ("rate", "size", "parameters", *(f"seed {seed}" for seed in seeds), "loss", *COLUMNS)
    lines = []
    for rate in RATES:
        for index, size in enumerate(SIZES):
            each = column_of(rows, rate, "preference")[:, index]
            means = [column_of(rows, rate, column)[:, index].mean() for column in ("loss", *COLUMNS)]
            n_params = int(rows[Cell(rate, seeds[0], size)]["n_params"])
            lines.append([f"{rate:g}", size, f"{n_params:,}", *map(number, [*each, *means])])
    return markdown_table(heads, lines)


def page_of(rows: Rows) -> str:
    """The content of `doses.md`."""
    return f"{peaks_table(rows)}\n\n{table(rows)}\n"


def draw(rows: Rows, path: Path) -> None:
    """Preference by size, with a thin line per seed, and preference of all models by training loss."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    by_size, by_loss = figure.subplots(1, 2, sharey=True)
    for rate, colour in zip(RATES, SERIES[1:], strict=False):
        preference, sizes = column_of(rows, rate, "preference"), column_of(rows, rate, "n_params")[0]
        by_size.plot(sizes, preference.T, color=colour, lw=0.6, alpha=0.4)
        by_size.plot(sizes, preference.mean(0), "o-", color=colour, ms=3, label=f"{rate:g}")
        loss = column_of(rows, rate, "loss")
        by_loss.plot(loss.ravel(), preference.ravel(), "o", color=colour, ms=3, mew=0, alpha=0.8)
    by_size.set(
        xscale="log", xlabel="size", ylabel="distractor preference in conflict", title="five seeds and their mean"
    )
    by_size.set_xticks(sizes, SIZES)
    by_loss.set(xscale="log", xlabel="training loss, nats", title="every model")
    by_loss.set_xticks(LOSSES, [f"{loss:g}" for loss in LOSSES])
    by_loss.invert_xaxis()
    for panel in (by_size, by_loss):
        panel.minorticks_off()
        panel.axhline(0.5, color=INK, lw=0.6, ls=":")
        panel.set_ylim(-0.03, 1.03)
    by_size.legend(title="conflict rate", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Train missing models, then write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the tables and the figure")
    parser.add_argument("--work", type=Path, default=Path("runs/doses-work"), help="folder of streams and models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    arguments.work.mkdir(parents=True, exist_ok=True)
    train_all(arguments.out / "doses.csv", arguments.work)
    rows = read_rows(arguments.out / "doses.csv")
    (arguments.out / "doses.md").write_text(page_of(rows))
    draw(rows, arguments.out / "doses.png")
    print(f"{len(rows)} models in {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
