"""The tables and the figure of the model card: `python -m experiments.ladder.card [--write]`.

The results of each task, the shares of the documents if its own ladder is embedded, then a curve for each task: preference
for the distractor's answer in `conflict` with its interval at level 2, the range over seeds, and means over seeds of the
other columns. The results come from `distractor ablate` on the first 600 items, the verdict from the first 200. A last table
has the sub-tasks of redefine_math. `--write` renews the tables and the figure of the card.
"""

import argparse
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import distractor
from distractor.ablation.ablate import AblationResult
from distractor.ablation.report import summary
from distractor.numbers import number, p_value
from distractor.runs.colours import DISTRACTOR, INK
from distractor.text.task import Condition
from experiments.markdown import markdown_table

from .corpus import MODULES
from .plans import PLANS

CARD = Path(__file__).parents[2] / "distractor/ladder/README.md"
ITEMS, JUDGED = 600, 200
COLUMNS = {
    "only": ("accuracy", "distractor_only"),
    "true only": ("accuracy", "true_only"),
    "coverage": ("coverage", "conflict"),
    "T": ("true_pull", None),
    "D": ("distractor_pull", None),
}
"""Means over seeds: the quantity and its condition. `only` is the accuracy in `distractor_only`."""

SUB_TASKS = ("redefine_math",)
"""Tasks with sub-tasks, one of which is never in conflict in training."""

Summary = Mapping[str, Any]


def data(tasks: Iterable[str] = PLANS) -> str:
    """One row per task: its conflict rate and its kinds in the whole stream; kinds in conflict are bold."""
    rows = []
    for task in tasks:
        recipe = PLANS[task].recipe
        early, late = recipe.shares(agreeing=True), recipe.shares()
        shares = {kind: recipe.agreeing * early[kind] + (1 - recipe.agreeing) * late[kind] for kind in late}
        kinds = [
            f"**{kind} {100 * share:.3g}**" if kind in MODULES[task].CONFLICT else f"{kind} {100 * share:.3g}"
            for kind, share in sorted(shares.items(), key=lambda pair: -pair[1])
        ]
        rows.append([f"`{task}`", f"**{100 * recipe.conflict_rate():.2g} %**", ", ".join(kinds)])
    return markdown_table(["task", "conflict rate", "kinds, in per cent of documents"], rows)


def results(content: Summary, judged: Summary) -> list[str]:
    """One row of the table of results: the summary on all items, and the one on the items of the verdict."""
    names = [size["model"] for size in content["sizes"]]
    seeds = sorted({model["seed"] for model in content["models"]})
    by_model = {(model["model"], model["seed"]): model for model in content["models"]}

    def preferences(name: str, seed: int, held_out: bool = False) -> float:
        model = by_model[name, seed]
        chosen = model["distractor_preference_held_out"] if held_out else model["distractor_preference"]["conflict"]
        return float(chosen["mean"])

    peaks = [max(preferences(name, seed) for name in names) for seed in seeds]
    largest = [[preferences(names[-1], seed, held_out) for seed in seeds] for held_out in (False, True)]
    final = [by_model[names[-1], seed] for seed in seeds]
    means = [
        float(np.mean([model[quantity][condition]["mean"] for model in final]))
        for quantity, condition in COLUMNS.values()
        if condition
    ]
    shape, verdict = judged["shape"]["distractor_preference"], judged["verdict"]
    labels = [seed["label"] for seed in verdict["by_seed"]]
    supported = f"{labels.count('supported')} of {len(labels)} supported"
    rise, fall = (p_value(shape[side]) for side in ("p_left", "p_right"))
    return [
        f"`{content['task']}`",
        *(" ".join(map(short, values)) for values in (peaks, *largest)),
        ", ".join(map(short, means)),
        supported,
        f"{verdict['label']}, p {rise} and {fall}",
    ]


RESULTS = (
    "task",
    "peak, by seed",
    "largest, by seed",
    "the same, held out",
    "largest: only, true only, coverage",
    "level 1",
    "level 2, p of rise and fall",
)


def short(value: float) -> str:
    """A number between 0 and 1 without its zero: .93."""
    return number(value).removeprefix("0")


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


def sub_tasks(result: AblationResult) -> str:
    """Preference of the largest size in `conflict`, one row per sub-task, the first part of the names of its groups.

    `in conflict` tells whether training had conflicts of this sub-task.
    """
    largest = result.sizes[-1]
    of_item = np.array([item.group.partition("/")[0] for item in result.task.items])
    is_held_out = result.held_out(result.sources[largest[0]])
    rows = []
    for name in dict.fromkeys(of_item.tolist()):
        is_here = of_item == name
        each = [
            mean.mean for model in largest
            if (mean := result.mean([model], "distractor_preference", Condition.CONFLICT, is_here))
        ]  # fmt: skip
        rows.append([f"`{name}`", "no" if is_held_out[is_here].all() else "yes", " ".join(map(short, each))])
    return markdown_table(["sub-task", "in conflict in training", "largest, by seed"], rows)


def draw(contents: Mapping[str, Summary], path: Path) -> None:
    """Preference by size, one panel per task: a dot per seed, the mean and its band at level 2."""
    from matplotlib.figure import Figure

    columns = min(2, len(contents))
    rows = -(-len(contents) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for panel in panels[len(contents) :]:
        panel.remove()
    for panel, (task, content) in zip(panels, contents.items(), strict=False):
        sizes = [size["n_params"] for size in content["sizes"]]
        low, mean, high = (
            [size["distractor_preference"][bound] for size in content["sizes"]] for bound in ("low", "mean", "high")
        )
        panel.fill_between(sizes, low, high, color=DISTRACTOR, alpha=0.2, lw=0, label="95 %, level 2")
        panel.plot(sizes, mean, color=DISTRACTOR, lw=1.8, label="mean")
        seeds = [(model["n_params"], model["distractor_preference"]["conflict"]["mean"]) for model in content["models"]]
        panel.plot(*zip(*seeds, strict=True), "o", color=INK, ms=2.5, alpha=0.6, mew=0, label="seed")
        panel.axhline(0.5, color=INK, lw=0.6, ls=":")
        panel.set(xscale="log", ylim=(-0.03, 1.03), title=task)
    figure.supxlabel("parameters")
    figure.supylabel("distractor preference in conflict")
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def replace_table(text: str, heading: str, table: str) -> str:
    """Replace the first table below a heading."""
    changed, count = re.subn(
        rf"(^{re.escape(heading)}\n.*?)^\|.*?(?=\n\n|\Z)",
        lambda match: match[1] + table,
        text,
        count=1,
        flags=re.MULTILINE | re.DOTALL,
    )
    if not count:
        raise ValueError(f"the card has no table below {heading!r}")
    return changed


def main() -> None:
    """Print the tables, or renew them in the card together with its figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--models", help="models in place of those that are installed (for one task)")
    parser.add_argument("--write", action="store_true", help="renew the tables and the figure of the card")
    arguments = parser.parse_args()
    measured, judged = (
        {
            task: distractor.ablate(task, arguments.models or "ladder", items=items, knockout=False).result
            for task in arguments.tasks
        }
        for items in (ITEMS, JUDGED)
    )
    contents = {task: summary(result) for task, result in measured.items()}
    tables = {
        "## Results": markdown_table(
            RESULTS, [results(contents[task], summary(judged[task])) for task in arguments.tasks]
        ),
        "## Data": data(
            task for task in arguments.tasks if {m.seed for m in measured[task].sources} == {*PLANS[task].seeds}
        ),
        **{f"### {task}": curves(content) for task, content in contents.items()},
        **{f"### Sub-tasks of {task}": sub_tasks(measured[task]) for task in arguments.tasks if task in SUB_TASKS},
    }
    if not arguments.write:
        print("\n\n".join(f"{heading}\n\n{table}" for heading, table in tables.items()))
        return
    text = CARD.read_text(encoding="utf-8")
    for heading, table in tables.items():
        text = replace_table(text, heading, table)
    CARD.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    draw(contents, CARD.with_name("preference.png"))


if __name__ == "__main__":
    main()
