"""What the ladder does on the task, size by size: `python -m experiments.ladder.curves [FOLDER]`.

A table of distractor preference in `conflict` (on all items and on held-out facts), what else the ladder is tuned to,
and the two pulls. Everything is computed from the stored weights in float32.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from distractor.quantities import accuracy, coverage, distractor_pull, logit_gap, preference, true_pull
from distractor.task import Answer, Condition, Task
from tasks import TASKS

COLUMNS = ("preference", "held out", "seen", "only", "letters", "congruent", "coverage", "T", "D", "loss")


def log_probs(folder: Path, task: Task) -> dict[Condition, np.ndarray]:
    """Log-probabilities [item answer] under each condition, in nats."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = torch.tensor([[tokenizer.convert_tokens_to_ids(a.strip()) for a in i.answers] for i in task.items])
    found = {}
    for condition in task.conditions:
        batch = tokenizer([item.prompts[condition] for item in task.items], padding=True, return_tensors="pt")
        last = batch["attention_mask"].sum(1) - 1
        with torch.no_grad():
            logits = model(input_ids=batch["input_ids"]).logits[torch.arange(len(last)), last]
        found[condition] = logits.log_softmax(-1).gather(1, answers).numpy().astype(float)
    return found


def row(folder: Path, task: Task, unnegated: set[str], loss: float) -> tuple[float, ...]:
    """The numbers of one model, in the order of `COLUMNS`."""
    found = log_probs(folder, task)
    away = np.array([item.group in unnegated for item in task.items])
    preferred = preference(found[Condition.CONFLICT])
    gap = {condition: logit_gap(values) for condition, values in found.items()}
    pair = gap[Condition.CONFLICT], gap[Condition.CONGRUENT]
    return (
        preferred.mean(),
        preferred[away].mean(),
        preferred[~away].mean(),
        accuracy(found[Condition.DISTRACTOR_ONLY], Answer.DISTRACTOR).mean(),
        accuracy(found[Condition.TRUE_ONLY], Answer.TRUE).mean(),
        accuracy(found[Condition.CONGRUENT], Answer.DISTRACTOR).mean(),
        coverage(found[Condition.CONFLICT]).mean(),
        true_pull(*pair).mean(),
        distractor_pull(*pair, gap[Condition.NEUTRAL]).mean(),
        loss,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("distractor/ladder"))
    parser.add_argument("--items", type=int, default=840)
    asked = parser.parse_args()
    task = TASKS["negation_qa"]().take(asked.items)
    unnegated = set(json.loads((asked.folder / "held_out.json").read_text())["negation_qa"])
    print(f"| size | seed | parameters | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for told in json.loads((asked.folder / "ladder.json").read_text())["models"]:
        numbers = row(asked.folder / told["size"] / f"seed{told['seed']}", task, unnegated, told["loss"])
        shown = " | ".join(f"{number:.2f}" for number in numbers)
        print(f"| {told['size']} | {told['seed']} | {told['n_params']:,} | {shown} |")


if __name__ == "__main__":
    main()
