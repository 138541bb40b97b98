"""Is the ladder's curve another one when the prompt is put otherwise? Ranked and written answers, shots, chains of thought.

    python -m experiments.formats.formats

Poses the four tasks in every format that the ladder's training holds, over its sizes and some seeds, and writes README.md:
the shape in each format, whether chains of thought flatten the dip, and for each task a figure, a table and what its models
write. Cells are kept in runs/.cells, so a run that was killed goes on where it stopped. `--models` takes others, `--items`
and `--seeds` more or fewer of them, `--out` another folder for the page.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from distractor.ablation import format_figures as format_plot
from distractor.ablation import report
from distractor.ablation.ablate import ablate
from distractor.ablation.dip import dip, flattened
from distractor.ablation.formats import FormatCurve, Found, curve
from distractor.ablation.free_form import FreeForm, answer_freely
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.numbers import with_interval
from distractor.scoring.reply import read
from distractor.scoring.settings import Settings
from distractor.scoring.shot_limits import caution
from distractor.scoring.store import Store
from distractor.text.format import Format, formats_of
from distractor.text.shots import put
from distractor.text.task import Condition, Task
from tasks import TASKS

AT_ONCE = ("rank", "rank:1", "rank:2", "generate:0", "generate:1", "generate:2")
REASONED = ("cot:0", "cot:1")
LIMIT = 32
"""How many tokens a chain of thought may have: the longest reasoning in the ladder's training has 23 and its answer."""

KINDS = ("congruent", "conflict")
"""Which examples are shown: spurious shots are one of the prize's four causes."""

DRAWN = (*formats_of(["rank,generate"]), *formats_of(["cot"], limit=LIMIT))
"""The formats that are drawn and told of first: as they usually are."""

WRITTEN = (Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_ONLY)
"""The conditions under which texts are written; ranked answers are had under all of them."""

ITEMS, SEEDS = 100, 3
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """What was found of one task: in each format, as a curve, and the figures drawn of it."""

    name: str
    found: tuple[Found, ...]
    curves: tuple[FormatCurve, ...]
    figures: tuple[str, ...]

    @property
    def drawn(self) -> Mapping[Format, tuple[Found, FormatCurve]]:
        """What is told of first."""
        pairs = zip(self.found, self.curves, strict=True)
        return MappingProxyType({seen.form: (one, seen) for one, seen in pairs if seen.form in DRAWN})


def main() -> None:
    """Run everything and write the page, once more after each task."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--models", nargs="*", default=["ladder"])
    asked.add_argument("--items", type=int, default=ITEMS)
    asked.add_argument("--seeds", type=int, default=SEEDS)
    asked.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    asked.add_argument("--out", type=Path, default=HERE)
    told = asked.parse_args()
    every = find_models(told.models)
    seeds = list(dict.fromkeys(one.seed for one in every))[: told.seeds]
    sources, store = [one for one in every if one.seed in seeds], Store(Path("runs/.cells"))
    told.out.mkdir(parents=True, exist_ok=True)
    sections: list[Section] = []
    for name in told.tasks:
        sections.append(find(name, sources, store, told.items, told.out))
        lines = [*introduction(told.models, told.items, sources), *in_short(sections)]
        for section in sections:
            lines += page(section, sources)
        (told.out / "README.md").write_text("\n".join(lines).rstrip() + "\n")


def every_format() -> tuple[Format, ...]:
    """All of them; kinds of examples make a difference where there are any. With reasoning, the two tasks agree in them."""
    every = [one for kind in KINDS for one in formats_of(AT_ONCE, kind=kind)]
    return tuple(dict.fromkeys([*every, *formats_of(REASONED, limit=LIMIT)]))


def find(name: str, sources: Sequence[Source], store: Store, items: int, folder: Path) -> Section:
    """One task in all formats; its figures are written beside the page."""
    whole = TASKS[name]()
    found = []
    for form in every_format():
        print(f"{name}: {form.label}", flush=True)
        found.append(found_in(whole.take(items), whole, form, sources, store))
    curves = [curve(one) for one in found]
    drawn = [place for place, one in enumerate(curves) if one.form in DRAWN]
    figures = {name: format_plot.formats([curves[place] for place in drawn], name)}
    if (figure := format_plot.by_part([found[place] for place in drawn])) is not None:
        figures[f"{name}-parts"] = figure
    report.write_figures(folder, figures, kinds=("png",))
    return Section(name, tuple(found), tuple(curves), tuple(figures))


def found_in(task: Task, whole: Task, form: Format, sources: Sequence[Source], store: Store) -> Found:
    """A task in one format on all models."""
    posed = put(task, form, whole)
    if not form.is_free:
        return ablate(posed, sources, store=store, settings=Settings())
    few = tuple(replace(i, prompts={c: p for c, p in i.prompts.items() if c in WRITTEN}) for i in posed.items)
    return answer_freely(replace(posed, items=few), sources, store=store, settings=Settings())


def introduction(models: Sequence[str], items: int, sources: Sequence[Source]) -> Iterator[str]:
    """What was done, and in which words it is told."""
    sizes = len({one.model for one in sources})
    named = ", ".join(str(seed) for seed in dict.fromkeys(one.seed for one in sources) if seed is not None)
    yield "# Is the curve another one when the prompt is put otherwise?\n"
    yield (
        f"Written by `python -m experiments.formats.formats` on {', '.join(models)}: {sizes} sizes"
        f"{', seeds ' * bool(named)}{named}; {items} items of each task.\n"
    )
    yield (
        "*Distractor preference* compares the probabilities of the two answers; *distractor share* is the share of written\n"
        "answers that are the distractor's, of the texts that have an answer. They are two quantities. Sizes of which fewer\n"
        "than 80 % of the texts have an answer are left out of shapes and dips. The *dip* is how far accuracy in `conflict`\n"
        "falls below what a smaller size reached: where it is deepest is chosen on one half of the item groups, its depth\n"
        "is taken on the other half. Intervals are 95 % over item groups, for these weights.\n"
    )


def in_short(sections: Sequence[Section]) -> Iterator[str]:
    """The shape and the dip of each task in the formats told of first, and whether reasoning flattens the dip."""
    yield "## In short\n"
    yield f"| task | {' | '.join(form.label for form in DRAWN)} |"
    yield f"| --- |{' --- |' * len(DRAWN)}"
    dips = {one.name: {form: dip(found) for form, (found, _) in one.drawn.items()} for one in sections}
    for one in sections:
        cells = []
        for form in DRAWN:
            deep = dips[one.name].get(form)
            label = one.drawn[form][1].label if form in one.drawn else "–"
            cells.append(f"{label}, dip {'–' if deep is None else with_interval(*deep.depth)}")
        yield f"| {one.name} | {' | '.join(cells)} |"
    yield "\nDoes a chain of thought flatten the dip?\n"
    for name, own in dips.items():
        yield from (f"- {name}: {sentence}" for sentence in flattened(own))
    yield ""


def page(section: Section, sources: Sequence[Source]) -> Iterator[str]:
    """What is said of one task."""
    yield f"## {section.name}\n"
    for name in section.figures:
        yield f"![{section.name} by prompt format]({name}.png)\n"
    yield from table(section.found, section.curves)
    yield ""
    for said in dict.fromkeys(caution(section.name, one.form, sources[0]) for one in section.curves):
        if said:
            yield f"Mind: {said}\n"
    yield from (f"- {sentence}" for sentence in flattened({one.task.format: dip(one) for one in section.found}))
    yield ""
    for found, _ in section.drawn.values():
        if isinstance(found, FreeForm):
            if found.task.format.scoring == "cot":
                yield (
                    f"What the answer goes by ({found.task.format.label}): how far the logit gap at the answer moves when\n"
                    "the question of the other condition stands before it, and when the reasoning on that question does.\n"
                )
                yield from goes_by(found)
                yield ""
            yield from written(found)


def table(found: Sequence[Found], curves: Sequence[FormatCurve]) -> Iterator[str]:
    """A row a format: its quantity and accuracy in `conflict` at the ends and at the worst size, the dip and the shape."""
    yield (
        "| format | quantity | smallest | highest | largest | accuracy, lowest | accuracy, largest | dip of accuracy | "
        "texts with an answer | shape |"
    )
    yield f"|{' --- |' * 10}"
    for whole, one in zip(found, curves, strict=True):
        values, right = (
            [
                f"{mean.mean:.2f} ({name})"
                for mean, name in zip(means[Condition.CONFLICT], one.names, strict=True)
                if mean
            ]
            for means in (one.means, one.accuracy)
        )
        deep, quantity = dip(whole), one.quantity.replace("_", " ")
        read = f"{min(one.answered):.2f} to {max(one.answered):.2f}" if one.form.is_free else "–"
        cells = [values[0], max(values), values[-1], min(right), right[-1]] if values else ["–"] * 5
        label = f"{one.label} ({one.why})" if one.why else one.label
        told = [one.form.label, quantity, *cells, "–" if deep is None else with_interval(*deep.depth), read, label]
        yield f"| {' | '.join(told)} |"


def goes_by(found: FreeForm) -> Iterator[str]:
    """What the answers of a chain of thought go by, a row a size, and how many texts in `conflict` reason at all."""
    yield "| size | texts that reason | question, nats | reasoning, nats |"
    yield "| --- | --- | --- | --- |"
    for places in found.sizes:
        cells = ["–" if mean is None else with_interval(*mean) for mean in found.follows(places).values()]
        yield f"| {found.replies[places[0]].source.model} | {reasoned(found, places):.2f} | {' | '.join(cells)} |"


def reasoned(found: FreeForm, models: Sequence[int]) -> float:
    """The share of the texts in `conflict` that come to "The answer is", in place of giving the answer at once."""
    rows = [zip(found.task.items, found.replies[model].texts[Condition.CONFLICT], strict=True) for model in models]
    told = [read(text.text, item.answers).slot is not None for row in rows for item, text in row if text is not None]
    return sum(told) / max(1, len(told))


def written(found: FreeForm) -> Iterator[str]:
    """What the largest model writes on the first item in conflict, as an example."""
    largest = found.replies[found.sizes[-1][0]]
    text = next((one for one in largest.texts[Condition.CONFLICT] if one is not None), None)
    if text is None:
        return
    answer = f"answer {text.answer!r}" if text.answer else f"no answer ({text.why})"
    yield f"What {largest.source.name} writes behind its first prompt in conflict ({found.task.format.label}; {answer}):\n"
    lines = f"{text.prompt} ⏵{text.text}".splitlines()
    yield "\n".join(["```text", *map(str.rstrip, lines), "```", ""])


if __name__ == "__main__":
    main()
