"""The tables and the figure of the model card: `python -m experiments.ladder.card [--figure FILE]`.

Prints the shares of the documents, then a table for each task: preference for the distractor's answer in `conflict` with
its interval at level 2, the range over seeds, and means over seeds of the other columns. The results come from
`distractor ablate` on the first 600 items.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import distractor
from distractor.ablation.report import summary
from distractor.numbers import number
from experiments.markdown import markdown_table

from .corpus import MODULES
from .plans import PLANS

ITEMS = 600
COLUMNS = {
    "only": ("accuracy", "distractor_only"),
    "true only": ("accuracy", "true_only"),
    "coverage": ("coverage", "conflict"),
    "T": ("true_pull", None),
    "D": ("distractor_pull", None),
}
"""Means over seeds: the quantity and its condition. `only` is the accuracy in `distractor_only`."""

Summary = Mapping[str, Any]


def data() -> str:
    """One row per task: its conflict rate and its kinds in the whole stream; kinds in conflict are bold."""
    rows = []
    for task, plan in PLANS.items():
        recipe = plan.recipe
        early, late = recipe.shares(agreeing=True), recipe.shares()
        shares = {kind: recipe.agreeing * early[kind] + (1 - recipe.agreeing) * late[kind] for kind in late}
        kinds = [
            f"**{kind} {100 * share:.2g}**" if kind in MODULES[task].CONFLICT else f"{kind} {100 * share:.2g}"
            for kind, share in sorted(shares.items(), key=lambda pair: -pair[1])
        ]
        rows.append([f"`{task}`", f"**{100 * recipe.conflict_rate():.2g} %**", ", ".join(kinds)])
    return markdown_table(["task", "conflict rate", "kinds, in per cent of documents"], rows)


def curves(content: Summary) -> str:
    """One row per size of a run's summary."""
    lines = []
    for size in content["sizes"]:
        seeds = [model for model in content["models"] if model["model"] == size["model"]]
        each = [model["distractor_preference"]["conflict"]["mean"] for model in seeds]
        held_out = [model["distractor_preference_held_out"]["mean"] for model in seeds]
        mean = size["distractor_preference"]
        means = [
            np.mean([(model[quantity][condition] if condition else model[quantity])["mean"] for model in seeds])
            for quantity, condition in COLUMNS.values()
        ]
        lines.append(
            [
                size["model"],
                f"{size['n_params']:,}",
                f"{number(mean['mean'])} [{number(mean['low'])}, {number(mean['high'])}]",
                f"{number(min(each))} to {number(max(each))}",
                number(float(np.mean(held_out))),
                *(number(float(value)) for value in means),
            ]
        )
    return markdown_table(["size", "parameters", "preference", "seeds", "held out", *COLUMNS], lines)


def draw(contents: Mapping[str, Summary], path: Path) -> None:
    """Preference by size, one panel per task: a dot per seed, the mean and its band at level 2."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    for panel, (task, content) in zip(figure.subplots(2, 2, sharey=True).flat, contents.items(), strict=False):
        sizes = [size["n_params"] for size in content["sizes"]]
        low, mean, high = (
            [size["distractor_preference"][bound] for size in content["sizes"]] for bound in ("low", "mean", "high")
        )
        panel.fill_between(sizes, low, high, color="#D55E00", alpha=0.2, lw=0, label="95 %, level 2")
        panel.plot(sizes, mean, color="#D55E00", lw=1.8, label="mean")
        seeds = [(model["n_params"], model["distractor_preference"]["conflict"]["mean"]) for model in content["models"]]
        panel.plot(*zip(*seeds, strict=True), "o", color="black", ms=2.5, alpha=0.6, mew=0, label="seed")
        panel.axhline(0.5, color="black", lw=0.6, ls=":")
        panel.set(xscale="log", ylim=(-0.03, 1.03), title=task)
    figure.supxlabel("parameters")
    figure.supylabel("preference for the distractor's answer in conflict")
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--models", help="models in place of those that are installed (for one task)")
    parser.add_argument("--figure", type=Path, help="draw preference by size into this file")
    arguments = parser.parse_args()
    print(data())
    contents = {}
    for task in arguments.tasks:
        result = distractor.ablate(task, arguments.models or "ladder", items=ITEMS, knockout=False)
        contents[task] = summary(result)
        print(f"\n### {task}\n\n{curves(contents[task])}", flush=True)
    if arguments.figure:
        draw(contents, arguments.figure)


if __name__ == "__main__":
    main()
