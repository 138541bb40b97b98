"""Is the ladder's curve another one when the prompt is put otherwise? Ranked and written answers, shots, chains of thought.

    python -m experiments.formats.formats

Poses the four tasks in every format that the ladder's training holds, over all its sizes and seeds, and writes README.md
with one table and one figure a task, the shape in each format, and whether chains of thought flatten the dip. Cells are
kept in runs/.cells, so a run that was killed goes on where it stopped. `--models` takes others, `--items` fewer items.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from distractor import report
from distractor.ablate import ablate
from distractor.families import Source, find_models
from distractor.format import Format, formats_of
from distractor.formats import plot as format_plot
from distractor.formats.free_form import FreeForm, answer_freely
from distractor.formats.shots import put
from distractor.formats.side_by_side import Curve, Found, curve, flattens
from distractor.formats.trained import caution
from distractor.store import Store
from distractor.sweep import Settings
from distractor.task import Condition, Task
from tasks import TASKS

FORMATS = ("rank", "rank:1", "rank:2", "generate:0", "generate:1", "generate:2", "cot:0", "cot:1")
KINDS = ("congruent", "conflict")
"""Which examples are shown: spurious shots are one of the prize's four causes."""

ITEMS = 200
HERE = Path(__file__).parent


def found_in(task: Task, whole: Task, form: Format, sources: Sequence[Source], store: Store) -> Found:
    """A task in one format on all models."""
    posed = put(task, form, whole)
    if form.is_free:
        return answer_freely(posed, sources, store=store, settings=Settings())
    return ablate(posed, sources, store=store, settings=Settings())


def table(curves: Sequence[Curve]) -> Iterator[str]:
    """A row a format: its quantity and accuracy in `conflict` at the ends and at the worst size, and the shape."""
    yield "| format | quantity | smallest | highest | largest | accuracy, lowest | accuracy, largest | shape |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for one in curves:
        values = [
            (mean.mean, name) for mean, name in zip(one.means[Condition.CONFLICT], one.names, strict=True) if mean
        ]
        right = [
            (mean.mean, name) for mean, name in zip(one.accuracy[Condition.CONFLICT], one.names, strict=True) if mean
        ]
        if not values:
            yield f"| {one.form.label} | {one.quantity.replace('_', ' ')} | – | – | – | – | – | {one.label} |"
            continue
        highest, lowest = max(values), min(right)
        why = f" ({one.why})" if one.why else ""
        yield (
            f"| {one.form.label} | {one.quantity.replace('_', ' ')} | {values[0][0]:.2f} ({values[0][1]}) | "
            f"{highest[0]:.2f} ({highest[1]}) | {values[-1][0]:.2f} | {lowest[0]:.2f} ({lowest[1]}) | {right[-1][0]:.2f} | "
            f"{one.label}{why} |"
        )


def goes_by(found: FreeForm) -> Iterator[str]:
    """What the answers of a chain of thought go by, a row a size."""
    yield "| size | the question, nats | the reasoning, nats |"
    yield "| --- | --- | --- |"
    for places in found.sizes:
        cells = [
            "–" if mean is None else f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"
            for mean in found.follows(places).values()
        ]
        yield f"| {found.replies[places[0]].source.model} | {cells[0]} | {cells[1]} |"


def formats() -> tuple[Format, ...]:
    """All of them; kinds of examples make a difference where there are any."""
    every = [one for kind in KINDS for one in formats_of(FORMATS, kind=kind)]
    return tuple(dict.fromkeys(one for one in every if not (one.scoring == "cot" and one.kind == "conflict")))


def section(name: str, sources: Sequence[Source], store: Store, items: int) -> Iterator[str]:
    """What is said of one task; its figures are written beside the page."""
    whole = TASKS[name]()
    found = [found_in(whole.take(items), whole, form, sources, store) for form in formats()]
    curves = [curve(one) for one in found]
    drawn = [one for one in curves if one.form in formats_of(["rank,generate,cot"])]
    figures = {name: format_plot.formats(drawn, name)}
    if (figure := format_plot.by_part([found[curves.index(one)] for one in drawn])) is not None:
        figures[f"{name}-parts"] = figure
    report.write_figures(HERE, figures)
    yield f"## {name}\n"
    for figure_name in figures:
        yield f"![{name} by prompt format]({figure_name}.png)\n"
    yield from table(curves)
    yield ""
    for said in dict.fromkeys(caution(name, one.task.format, sources[0]) for one in found):
        if said:
            yield f"Mind: {said}\n"
    yield from (f"- {sentence}" for sentence in flattens(curves))
    yield ""
    for one in found:
        if isinstance(one, FreeForm) and one.task.format.scoring == "cot" and one.task.format.shots:
            yield f"What the answer goes by ({one.task.format.label}):\n"
            yield from goes_by(one)
            yield ""


def main() -> None:
    """Run everything and write the page."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--models", nargs="*", default=["ladder"])
    asked.add_argument("--items", type=int, default=ITEMS)
    asked.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    told = asked.parse_args()
    sources, store = find_models(told.models), Store(Path("runs/.cells"))
    lines = [
        "# Is the curve another one when the prompt is put otherwise?\n",
        "Written by `python -m experiments.formats.formats`"
        + (f" on {', '.join(told.models)}" if told.models != ["ladder"] else "")
        + f", {told.items} items of each task.\n",
        "*Distractor preference* compares the probabilities of the two answers; *distractor share* is the share of written\n"
        "answers that are the distractor's, of the texts that have an answer. They are two quantities. Sizes of which fewer\n"
        "than 80 % of the texts have an answer are left out of a shape.\n",
    ]
    for name in told.tasks:
        print(name, flush=True)
        lines += section(name, sources, store, told.items)
        (HERE / "README.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
