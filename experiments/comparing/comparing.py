"""What changes between sizes, between steps and between seeds of the ladder, beyond what noise makes?

    python -m experiments.comparing.comparing

Compares, on one task, the size where preference for the distractor's answer is highest with the largest (all seeds), the
first and the last step kept of one run and all steps between, and three seeds of the size at the peak; writes README.md with
what `distractor compare` prints of each, and its figures. Cells are kept in runs/.cells, so a run that was killed goes on
where it stopped. `--models` takes another family, `--task` another task, `--items` fewer items.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from distractor.ablation import report
from distractor.ablation.ablate import peak_and_top
from distractor.comparison import report as compare_report
from distractor.comparison.compare import PROBES as COMPARED
from distractor.comparison.compare import compare
from distractor.comparison.tables import tables
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.runs.tables import WIDTH
from distractor.scoring.behaviour import complete_items
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.text.task import Task
from probes import PROBES
from tasks import TASKS

TASK, ITEMS, SEEDS = "negation_qa", 200, 3
HERE = Path(__file__).parent


def questions(task: Task, family: str, store: Store) -> Iterator[tuple[str, str, list[str]]]:
    """What is compared: what it is called, a heading, and the models as they are named on the command line."""
    every = find_models([family])
    scores = sorted(sweep(task, every, store, Settings()), key=lambda one: one.source.n_params or 0)
    ends = peak_and_top(task, scores, complete_items(task, scores))
    sizes = [one.model for one in ends]
    if len(sizes) == 2:
        yield "sizes", "Two sizes: at the peak of preference, and the largest", [f"{family}/{size}" for size in sizes]
    if (kept := last_kept(every, family)) is not None:
        steps = [one.step for one in find_models([f"{kept}@all"])]
        yield "steps", "Two steps of one run: the first and the last", [f"{kept}@{steps[0]}", f"{kept}@{steps[-1]}"]
        yield "training", "Along training: every step of the same run", [f"{kept}@all"]
    seeds = [one.name for one in every if one.model == sizes[0]][:SEEDS]
    if len(seeds) > 1:
        yield "seeds", "Seeds of one size: what training again changes", seeds


def last_kept(every: Sequence[Source], family: str) -> str | None:
    """The largest model of which steps along training are kept, as it is named; None where there is none."""
    from distractor.models.families import find_family

    steps = {member.name: member.steps for member in find_family(family).members}
    names = [f"{one.model}/seed{one.seed}" if one.seed is not None else one.model for one in every]
    return next((f"{family}/{name}" for name in reversed(names) if steps.get(name)), None)


def section(called: str, heading: str, names: Sequence[str], task: Task, store: Store) -> Iterator[str]:
    """What is said of one comparison; its figures are written beside the page."""
    probes = {name: PROBES[name] for name in COMPARED}
    found = compare(task, find_models(names), probes, store=store, settings=Settings(), forgive=True)
    figures = {f"{called}-{name}": figure for name, figure in compare_report.figures(found).items()}
    report.write_figures(HERE, figures, kinds=("png",))
    yield f"## {heading}\n"
    yield f"```bash\ndistractor compare {' '.join(names)} --task {task.name}\n```\n"
    yield from (f"![{heading}]({name}.png)\n" for name in figures)
    console = Console(width=WIDTH, highlight=False, force_terminal=False, color_system=None)
    with console.capture() as written:
        for table in tables(found):
            console.print(table)
            console.print()
    lines = [line.rstrip() for line in written.get().rstrip().splitlines()]
    yield "```text\n" + "\n".join(lines) + "\n```\n"


def main() -> None:
    """Run everything and write the page."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--models", default="ladder", help="a family by name")
    asked.add_argument("--task", default=TASK, choices=list(TASKS))
    asked.add_argument("--items", type=int, default=ITEMS)
    told = asked.parse_args()
    task, store = TASKS[told.task]().take(told.items), Store(Path("runs/.cells"))
    lines = [
        "# What changes between sizes, steps and seeds, beyond noise?\n",
        f"Written by `python -m experiments.comparing.comparing`: {task.name}, {told.items} items. A difference is held\n"
        "against what random halves of the items differ by, and against seeds where both sides have three; how often halves\n"
        "of one model would pass for two stands under each table, and over 1,000 simulated comparisons in\n"
        "[compare_null](../compare_null/README.md).\n",
    ]
    for called, heading, names in questions(task, told.models, store):
        print(heading, flush=True)
        lines += section(called, heading, names, task, store)
        (HERE / "README.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
