"""What does the conflict rate do to the rise and fall? `python -m experiments.ladder.doses`.

Trains small ladders on one task alone, a ladder for each conflict rate and budget, and writes `doses.csv` (a row a model),
`doses.md` and `doses.png` beside this file. A cell that stands in `doses.csv` is not trained again.

Predicted: the higher the rate, the lower the peak, and the smaller the model at which it stands.
"""

import argparse
import csv
import sys
from itertools import product
from pathlib import Path

import numpy as np
import torch
import transformers
from matplotlib.figure import Figure
from transformers import GPTNeoXForCausalLM

from distractor.paper import number
from tasks import TASKS

from .corpus import Recipe, held_out, words
from .curves import COLUMNS, log_probs, numbers
from .markdown import in_a_table
from .train import Budget, checked, plan, train, write_stream
from .vocabulary import tokenizer_for, words_of

TASK = "hindsight_neglect"
RATES = (0.02, 0.05, 0.15, 0.5)
SIZES = ("4x1", "12x2", "16x2", "24x2", "32x2")
STEPS = (500, 1000)
SEED = 580
HERE = Path(__file__).parent
FIELDS = ("rate", "steps", "size", "n_params", "loss", *COLUMNS)
LOSSES = (2, 1, 0.5, 0.3)
COLOURS = ("#0072B2", "#009E73", "#E69F00", "#D55E00")


def cells(path: Path) -> dict[tuple[float, int, str], dict[str, str]]:
    """The rows that are there, by rate, steps and size."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(float(row["rate"]), int(row["steps"]), row["size"]): row for row in csv.DictReader(file)}


def keep(path: Path, rows: list[dict[str, str]]) -> None:
    """All rows, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)


def train_all(out: Path, work: Path) -> None:
    """Train every cell that is missing, and enter it."""
    tokenizer = tokenizer_for(words_of(words()))
    tokenizer.save_pretrained(work / "tokenizer")
    task = TASKS[TASK]()
    away = np.array([item.group in held_out()[TASK] for item in task.items])
    for steps, rate in product(reversed(STEPS), RATES):
        budget, recipe = Budget(steps=steps), Recipe(tasks=(TASK,), conflict={TASK: rate})
        name = work / f"{rate}-{steps}"
        stream = write_stream(name, recipe, budget, SEED, tokenizer)
        checked(name.with_name(f"{name.name}.json"), stream, tokenizer)
        for size in SIZES:
            done = cells(out)
            if (rate, steps, size) in done:
                continue
            folder = work / f"{rate}-{steps}" / size / f"seed{SEED}"
            loss = train(plan(size), stream, budget, SEED, folder, work / "cell.pt", "cpu")
            (work / "cell.pt").unlink(missing_ok=True)
            found = numbers(log_probs(folder, work / "tokenizer", task), away)
            row = {
                "rate": str(rate),
                "steps": str(steps),
                "size": size,
                "n_params": str(GPTNeoXForCausalLM(plan(size)).num_parameters()),
                "loss": f"{loss:.4f}",
                **{column: f"{value:.4f}" for column, value in zip(COLUMNS, found, strict=True)},
            }
            keep(out, [*done.values(), row])


def table(rows: dict[tuple[float, int, str], dict[str, str]]) -> str:
    """A row a cell, in Markdown."""
    lines = []
    for (rate, steps, size), row in rows.items():
        told = [number(float(row[column])) for column in ("loss", *COLUMNS)]
        lines.append([f"{rate:g}", f"{steps:,}", size, f"{int(row['n_params']):,}", *told])
    return in_a_table(FIELDS, lines)


def draw(rows: dict[tuple[float, int, str], dict[str, str]], path: Path) -> None:
    """Preference against size, a panel a budget, and against training loss, a line a rate."""
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    panels = figure.subplots(1, len(STEPS) + 1, sharey=True)
    for panel, steps in zip(panels, STEPS, strict=False):
        for rate, colour in zip(RATES, COLOURS, strict=True):
            line = [row for (r, s, _), row in rows.items() if (r, s) == (rate, steps)]
            sizes = [int(row["n_params"]) for row in line]
            panel.plot(sizes, [float(row["preference"]) for row in line], "o-", color=colour, ms=3, label=f"{rate:g}")
        panel.set(xscale="log", xlabel="size", title=f"{steps:,} steps")
        panel.set_xticks(sizes, [row["size"] for row in line], fontsize=7, rotation=45)
        panel.minorticks_off()
    for rate, colour in zip(RATES, COLOURS, strict=True):
        for steps, style in zip(STEPS, ("o:", "o-"), strict=True):
            line = [row for (r, s, _), row in rows.items() if (r, s) == (rate, steps)]
            loss = [float(row["loss"]) for row in line]
            panels[-1].plot(loss, [float(row["preference"]) for row in line], style, color=colour, ms=3)
    panels[-1].set(xlabel="training loss, nats", title="both (dotted: 500)", xscale="log")
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
    """Train what is missing, then write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="where the table and the figure go")
    parser.add_argument("--work", type=Path, default=Path("runs/doses-work"), help="streams and models")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    asked.work.mkdir(parents=True, exist_ok=True)
    train_all(asked.out / "doses.csv", asked.work)
    rows = dict(sorted(cells(asked.out / "doses.csv").items(), key=lambda one: (one[0][1], one[0][0])))
    (asked.out / "doses.md").write_text(table(rows))
    draw(rows, asked.out / "doses.png")
    print(f"{len(rows)} cells in {asked.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
