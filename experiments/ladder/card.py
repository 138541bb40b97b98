"""The tables of the card that tell data and training: `python -m experiments.ladder.card [FOLDER]`.

The shares of the documents are those of the present table; streams and times are those that `ladder.json` tells.
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from .corpus import MODULES, Recipe
from .markdown import in_a_table


def data(recipe: Recipe) -> str:
    """A row a task: its share of the stream, its conflict rate and its kinds; those in conflict are bold."""
    lines = []
    for task in recipe.tasks:
        whole, contrary = recipe.share_of(task), MODULES[task].CONFLICT
        parts = {kind: 100 * recipe.share_of(task, kind) / whole for kind in recipe.shares(task)}
        kinds = [
            f"**{kind} {part:.3g}**" if kind in contrary else f"{kind} {part:.3g}"
            for kind, part in sorted(parts.items(), key=lambda one: -one[1])
        ]
        rate = 100 * recipe.conflict_rate(task)
        lines.append([f"`{task}`", f"{100 * whole:.1f} %", f"**{rate:.2g} %**", ", ".join(kinds)])
    heads = ["task", "share of documents", "conflict rate", "kinds, in per cent of the task's documents"]
    return in_a_table(heads, lines)


def streams(models: list[dict[str, Any]]) -> str:
    """A row a seed: what the check of its stream has counted."""
    by_seed = {told["seed"]: told for told in models}
    columns = ("documents", "distinct_documents", "evaluation_prompts", "evaluation_prompts_found")
    lines = [
        [str(seed), *(f"{told['stream'][column]:,}" for column in columns), f"{told['tokens']:,}"]
        for seed, told in sorted(by_seed.items())
    ]
    return in_a_table(["seed", "documents", "distinct", "prompts looked for", "found", "tokens"], lines)


def times(models: list[dict[str, Any]]) -> str:
    """A row a size: seconds of training and the last loss, over seeds; then what all took."""
    by_size: dict[str, list[dict[str, Any]]] = {}
    for told in models:
        by_size.setdefault(told["size"], []).append(told)
    lines = []
    for size, of in by_size.items():
        seconds = [told["seconds"] for told in of]
        spread = f"{mean(seconds):.0f} ({min(seconds)}, {max(seconds)})"
        lines.append([size, f"{of[0]['n_params']:,}", spread, f"{mean(told['loss'] for told in of):.3f}"])
    minutes = sum(told["seconds"] for told in models) / 60
    heads = ["size", "parameters", "seconds of training, mean (least, most)", "loss, mean"]
    return f"{in_a_table(heads, lines)}\n{len(models)} models, {minutes:.0f} minutes added up.\n"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("distractor/ladder"))
    models = json.loads((parser.parse_args().folder / "ladder.json").read_text())["models"]
    print(data(Recipe()), streams(models), times(models), sep="\n")


if __name__ == "__main__":
    main()
