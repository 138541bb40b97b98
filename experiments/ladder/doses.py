"""What does the conflict rate do to the rise and fall? `python -m experiments.ladder.doses`.

Trains small ladders on one task alone, one for each conflict rate, budget and seed, and writes `doses.csv` (a row a model),
`doses.md` and `doses.png` beside this file. A model that stands in `doses.csv` is not trained again.

Predicted: the higher the rate, the lower the peak, and the smaller the model at which preference turns.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from matplotlib.figure import Figure
from transformers import GPTNeoXForCausalLM

from distractor.numbers import number
from distractor.statistics.shape_test import DELTA
from tasks import TASKS

from .corpus import Recipe, held_out, words
from .curves import COLUMNS, log_probs, numbers
from .markdown import in_a_table
from .train import Budget, checked, key_of, plan, train, write_stream
from .vocabulary import tokenizer_for, words_of

TASK = "hindsight_neglect"
RATES = (0.02, 0.05, 0.15, 0.5)
SIZES = ("4x1", "12x2", "16x2", "24x2", "32x2")
STEPS = (500, 1000)
SEEDS = (580, 581, 582, 583, 584)
HERE = Path(__file__).parent
FIELDS = ("rate", "steps", "size", "seed", "n_params", "loss", *COLUMNS)
LOSSES = (2, 1, 0.5, 0.3)
COLOURS = ("#0072B2", "#009E73", "#E69F00", "#D55E00")


class Cell(NamedTuple):
    """What sets a model apart."""

    steps: int
    rate: float
    seed: int
    size: str


Rows = dict[Cell, dict[str, str]]


def cells(path: Path) -> Rows:
    """The rows that are there."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {Cell(int(row["steps"]), float(row["rate"]), int(row["seed"]), row["size"]): row for row in rows}


def keep(path: Path, rows: list[dict[str, str]]) -> None:
    """All rows, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)


def train_all(out: Path, work: Path, seeds: Sequence[int]) -> None:
    """Train every model that is missing, and enter it."""
    tokenizer = tokenizer_for(words_of(words()))
    tokenizer.save_pretrained(work / "tokenizer")
    task = TASKS[TASK]()
    away = np.array([item.group in held_out()[TASK] for item in task.items])
    for seed, steps, rate in product(seeds, reversed(STEPS), RATES):
        missing = [size for size in SIZES if Cell(steps, rate, seed, size) not in cells(out)]
        if not missing:
            continue
        budget, recipe = Budget(steps=steps), Recipe(tasks=(TASK,), conflict={TASK: rate})
        key = key_of(recipe, budget, seed, tokenizer)
        stream = write_stream(work, recipe, budget, seed, tokenizer)
        checked(work / f"{key}.json", stream, tokenizer)
        for size in missing:
            folder, checkpoint = work / key / size, work / f"{key}-{size}.pt"
            loss, _ = train(plan(size), stream, budget, seed, folder, checkpoint, "cpu")
            checkpoint.unlink(missing_ok=True)
            found = numbers(log_probs(folder, work / "tokenizer", task), away)
            row = {
                "rate": str(rate),
                "steps": str(steps),
                "size": size,
                "seed": str(seed),
                "n_params": str(GPTNeoXForCausalLM(plan(size)).num_parameters()),
                "loss": f"{loss:.4f}",
                **{column: f"{value:.4f}" for column, value in zip(COLUMNS, found, strict=True)},
            }
            keep(out, [*cells(out).values(), row])


def of(rows: Rows, steps: int, rate: float, column: str) -> np.ndarray:
    """A column of one rate and budget, (seed, size)."""
    seeds = sorted({cell.seed for cell in rows})
    return np.array([[float(rows[Cell(steps, rate, seed, size)][column]) for size in SIZES] for seed in seeds])


def turn(preference: np.ndarray, n_params: np.ndarray) -> float | None:
    """Where preference over sizes, past its peak, comes down through a half, in parameters.

    None where it does not, or where the peak is not above a half by δ.
    """
    if preference.max() < 0.5 + DELTA:
        return None
    for at in range(int(preference.argmax()) + 1, len(preference)):
        before, after = preference[at - 1 : at + 1]
        if after < 0.5 < before:
            past = (before - 0.5) / (before - after)
            return float(np.exp(np.interp(past, (0, 1), np.log(n_params[at - 1 : at + 1]))))
    return None


def peaks_table(rows: Rows) -> str:
    """A row a budget and rate, in Markdown: each seed's peak, and where its preference turns."""
    lines = []
    for steps, rate in product(STEPS, RATES):
        preference, sizes = of(rows, steps, rate, "preference"), of(rows, steps, rate, "n_params")[0]
        turns = [turn(line, sizes) for line in preference]
        lines.append(
            [
                f"{steps:,}",
                f"{rate:g}",
                *(", ".join(number(float(line.max())) for line in preference), number(float(preference.max(1).mean()))),
                ", ".join("–" if at is None else f"{at:,.0f}" for at in turns),
            ]
        )
    seeds = ", ".join(str(seed) for seed in sorted({cell.seed for cell in rows}))
    return in_a_table(("steps", "rate", f"peak, seeds {seeds}", "mean", "turns at (parameters), the same seeds"), lines)


def table(rows: Rows) -> str:
    """A row a rate, budget and size, in Markdown: preference of each seed, then means over seeds."""
    seeds = sorted({cell.seed for cell in rows})
    heads = ("steps", "rate", "size", "parameters", *(f"seed {seed}" for seed in seeds), "loss", *COLUMNS)
    lines = []
    for steps, rate in product(STEPS, RATES):
        for place, size in enumerate(SIZES):
            each = of(rows, steps, rate, "preference")[:, place]
            means = [of(rows, steps, rate, column)[:, place].mean() for column in ("loss", *COLUMNS)]
            n_params = int(rows[Cell(steps, rate, seeds[0], size)]["n_params"])
            lines.append([f"{steps:,}", f"{rate:g}", size, f"{n_params:,}", *map(number, [*each, *means])])
    return in_a_table(heads, lines)


def draw(rows: Rows, path: Path) -> None:
    """Preference against size, a panel a budget: a thin line a seed and their mean; and every model by training loss."""
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    panels = figure.subplots(1, len(STEPS) + 1, sharey=True)
    for (panel, steps), (rate, colour) in product(zip(panels, STEPS, strict=False), zip(RATES, COLOURS, strict=True)):
        preference, sizes = of(rows, steps, rate, "preference"), of(rows, steps, rate, "n_params")[0]
        panel.plot(sizes, preference.T, color=colour, lw=0.6, alpha=0.4)
        panel.plot(sizes, preference.mean(0), "o-", color=colour, ms=3, label=f"{rate:g}")
        panel.set(xscale="log", xlabel="size", title=f"{steps:,} steps")
        panel.set_xticks(sizes, SIZES, fontsize=7, rotation=45)
        panel.minorticks_off()
        face = colour if steps == max(STEPS) else "none"
        loss = of(rows, steps, rate, "loss")
        panels[-1].plot(loss.ravel(), preference.ravel(), "o", color=colour, ms=3, mfc=face, mew=0.7, alpha=0.8)
    panels[-1].set(xlabel="training loss, nats", title=f"every model (open: {min(STEPS):,})", xscale="log")
    panels[-1].set_xticks(LOSSES, [f"{loss:g}" for loss in LOSSES])
    panels[-1].minorticks_off()
    panels[-1].invert_xaxis()
    for panel in panels:
        panel.axhline(0.5, color="black", lw=0.6, ls=":")
        panel.set_ylim(-0.03, 1.03)
    panels[0].set_ylabel("distractor preference in conflict")
    panels[0].legend(title="conflict rate", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Train what is missing, then write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables and the figure go")
    parser.add_argument("--work", type=Path, default=Path("runs/doses-work"), help="streams and models")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="the ladders to train")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    asked.work.mkdir(parents=True, exist_ok=True)
    train_all(asked.out / "doses.csv", asked.work, asked.seeds)
    rows = dict(sorted(cells(asked.out / "doses.csv").items()))
    keep(asked.out / "doses.csv", list(rows.values()))
    per_seed = Counter(cell.seed for cell in rows)
    whole = {cell: row for cell, row in rows.items() if per_seed[cell.seed] == len(STEPS) * len(RATES) * len(SIZES)}
    (asked.out / "doses.md").write_text(f"{peaks_table(whole)}\n{table(whole)}")
    draw(whole, asked.out / "doses.png")
    print(f"{len(rows)} models in {asked.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
