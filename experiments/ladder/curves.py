"""What the ladder does on its tasks, size by size: `python -m experiments.ladder.curves [FOLDER]`.

Prints a table for each task: preference for the distractor's answer in `conflict` by seed (in brackets on groups that were
never in conflict in training), and as means over seeds what else the ladder is tuned to and the two pulls. Everything is
computed from the stored weights in float32 by plain Hugging Face models. `--figure FILE` draws preference against size, a
line a seed; with `--along SIZE` tables and figure follow that size along training instead.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from distractor.numbers import number
from distractor.scoring.quantities import accuracy, coverage, distractor_pull, logit_gap, preference, true_pull
from distractor.text.task import Answer, Condition, Task
from tasks import TASKS

from .markdown import in_a_table

COLUMNS = ("preference", "held out", "only", "true only", "congruent", "coverage", "T", "D")


@dataclass(frozen=True)
class Row:
    """The numbers of one model on one task, in the order of `COLUMNS`; `place` is its size or its step."""

    place: str
    seed: int
    n_params: int
    numbers: tuple[float, ...]


def log_probs(folder: Path, tokenizer: Path, task: Task) -> dict[Condition, np.ndarray]:
    """Log-probabilities [item answer] under each condition, in nats."""
    encode = AutoTokenizer.from_pretrained(tokenizer, padding_side="right")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = torch.tensor([[encode.convert_tokens_to_ids(a.strip()) for a in i.answers] for i in task.items])
    found = {}
    for condition in task.conditions:
        batch = encode([item.prompts[condition] for item in task.items], padding=True, return_tensors="pt")
        last = batch["attention_mask"].sum(1) - 1
        with torch.no_grad():
            hidden = model.base_model(**batch).last_hidden_state[torch.arange(len(last)), last]
            log_prob = model.get_output_embeddings()(hidden).log_softmax(-1)
        found[condition] = log_prob.gather(1, answers).numpy().astype(float)
    return found


def numbers(found: dict[Condition, np.ndarray], away: np.ndarray) -> tuple[float, ...]:
    """What one model does on one task; `away` marks the items of groups that are held out."""
    preferred = preference(found[Condition.CONFLICT])
    gap = {condition: logit_gap(values) for condition, values in found.items()}
    pair = gap[Condition.CONFLICT], gap[Condition.CONGRUENT]
    return (
        preferred.mean(),
        preferred[away].mean(),
        accuracy(found[Condition.DISTRACTOR_ONLY], Answer.DISTRACTOR).mean(),
        accuracy(found[Condition.TRUE_ONLY], Answer.TRUE).mean(),
        accuracy(found[Condition.CONGRUENT], Answer.DISTRACTOR).mean(),
        coverage(found[Condition.CONFLICT]).mean(),
        true_pull(*pair).mean(),
        distractor_pull(*pair, gap[Condition.NEUTRAL]).mean(),
    )


def rows(ladder: Path, task: Task, along: str | None) -> list[Row]:
    """A row a model, the smallest first; or a row a step of the size `along`."""
    held_out = set(json.loads((ladder / "held_out.json").read_text())[task.name])
    away = np.array([item.group in held_out for item in task.items])
    found = []
    for told in json.loads((ladder / "ladder.json").read_text())["models"]:
        home = ladder / told["size"] / f"seed{told['seed']}"
        places = {told["size"]: home}
        if along:
            steps = told["kept"] if told["size"] == along else []
            places = {str(step): home / f"step{step}" for step in steps} | ({str(told["steps"]): home} if steps else {})
        for place, folder in places.items():
            values = numbers(log_probs(folder, home, task), away)
            found.append(Row(place, told["seed"], told["n_params"], values))
    return found


def table(name: str, found: Iterable[Row], first: str) -> str:
    """A row a size or step in Markdown: preference of each seed (on held-out groups), then means over seeds."""
    by_place: dict[str, list[Row]] = {}
    for row in found:
        by_place.setdefault(row.place, []).append(row)
    seeds = sorted({row.seed for rows in by_place.values() for row in rows})
    heads = [first, "parameters", *(f"seed {seed} (held out)" for seed in seeds), *COLUMNS[2:]]
    lines = []
    for place, rows in by_place.items():
        of = {row.seed: f"{row.numbers[0]:.2f} ({row.numbers[1]:.2f})" for row in rows}
        means = np.mean([row.numbers[2:] for row in rows], axis=0)
        lines.append([place, f"{rows[0].n_params:,}", *(of.get(seed, "–") for seed in seeds), *map(number, means)])
    return f"### {name}\n\n{in_a_table(heads, lines)}"


def draw(found: dict[str, list[Row]], path: Path, is_along: bool) -> None:
    """Preference by size or step, one panel a task: a thin line a seed, and their mean, also on held-out groups."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat

    def x(row: Row) -> int:
        return int(row.place) if is_along else row.n_params

    for panel, (name, all_rows) in zip(panels, found.items(), strict=False):
        seeds = sorted({row.seed for row in all_rows})
        for seed in seeds:
            line = [row for row in all_rows if row.seed == seed]
            panel.plot([x(row) for row in line], [row.numbers[0] for row in line], color="#999999", lw=0.8)
        places = sorted({x(row) for row in all_rows})
        for column, colour, label in ((0, "#0072B2", "all groups"), (1, "#D55E00", "held-out groups")):
            mean = [np.mean([row.numbers[column] for row in all_rows if x(row) == place]) for place in places]
            panel.plot(places, mean, "o-" if column == 0 else "o--", color=colour, lw=1.8, ms=3, label=label)
        panel.axhline(0.5, color="black", lw=0.6, ls=":")
        panel.set(xscale="log", ylim=(-0.03, 1.03), title=f"{name} ({len(seeds)} seed{'s' * (len(seeds) > 1)})")
    figure.supxlabel("steps of training" if is_along else "parameters")
    figure.supylabel("preference for the distractor's answer in conflict")
    figure.axes[0].legend(fontsize=8, frameon=False, handlelength=3)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Print the tables; draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("distractor/ladder"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--along", metavar="SIZE")
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    found = {}
    for name in asked.tasks:
        found[name] = rows(asked.folder, TASKS[name]().take(asked.items), asked.along)
        print(table(name, found[name], "step" if asked.along else "size"))
    if asked.figure:
        draw(found, asked.figure, bool(asked.along))


if __name__ == "__main__":
    main()
