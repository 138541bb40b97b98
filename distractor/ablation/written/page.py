"""What the page of one format with written answers says: the curve of the share, its numbers, and every text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.ablation.published_figure import section
from distractor.ablation.tables import mean_alone, mean_and_interval
from distractor.ablation.written.answers import WrittenResult
from distractor.ablation.written.figures import SHOWN, panels
from distractor.ablation.written.tables import written_notes
from distractor.models.source import Source
from distractor.numbers import counted
from distractor.published.tables import bibtex_keys
from distractor.runs import style
from distractor.runs.page.blocks import Block, Figure, ItemRow, ItemTable, Page, Quotation, Section, Sentences, Table
from distractor.runs.page.drawing import drawing
from distractor.runs.page.evidence import evidence
from distractor.runs.page.items import LONGEST, MOST_ROWS
from distractor.runs.page.provenance import provenance
from distractor.runs.page.references import bibtex
from distractor.text.format_task import last_question
from distractor.text.task import Answer, Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILES = {
    "summary.json": "every mean with its interval, the shape, and texts without an answer",
    "texts.parquet": "every prompt and text, the answer read from it, and why it has none",
    "results.parquet": "one row per model, condition, item and quantity",
}


FIGURES = {"curves": "the figure above in one file", "published": "accuracy in conflict with published accuracies"}


def page(result: WrittenResult, figures: Sequence[str], manifest: Mapping[str, Any]) -> Page:
    """The page of one format in which models write their answers, with the names of its `figures`."""
    notes = tuple(written_notes(result))
    judged = result.judged
    cited = "wei2022", *bibtex_keys(result.published), "distractor"
    level = None if judged.shape is None else 2 if judged.shape.models else 1
    return Page(
        title=f"{result.task.name}, {result.task.format.label}",
        about=f"distractor ablate: {int(result.complete.sum()):,} items in {result.n_groups:,} groups",
        label=f"Distractor share: {judged.label}",
        sentences=tuple(_lead(result)),
        evidence=evidence(result.sources, level),
        warnings=len(notes),
        sections=(
            Section("curve", "Over size", tuple(_curve(result))),
            *section(result),
            Section("items", "All items and texts", (_texts(result),)),
            Section("warnings", "Notes and warnings", (Sentences(notes, is_list=True),)),
            Section(
                "method",
                "Method, to quote",
                (
                    Quotation(
                        _method(result),
                        bibtex(*dict.fromkeys(cited)),
                    ),
                ),
            ),
            *provenance(manifest, FILES | {f"figures/{name}.svg": FIGURES[name] for name in figures}),
        ),
    )


def _lead(result: WrittenResult) -> Iterator[str]:
    judged = result.judged
    if judged.shape is None:
        yield f"No shape over size: {judged.why}."
    else:
        yield f"Shape of the distractor share over size: {judged.shape.in_words}."
    ends = [(result.size_names[k], result.sizes[k]) for k in dict.fromkeys((0, len(result.sizes) - 1))]
    shares = " and ".join(
        f"{mean_and_interval(result.mean(models, 'distractor_share', Condition.CONFLICT))} in {name}"
        for name, models in ends
    )
    yield f"Of the texts with an answer in conflict, the share that gives the distractor's answer is {shares}."


def _curve(result: WrittenResult) -> Iterator[Block]:
    def with_legend(draw: Any) -> Any:
        def both(axes: "Axes") -> None:
            draw(axes)
            if not axes.get_legend():
                style.legend_inside(axes, fontsize=8)

        return both

    yield Figure(
        f"What models write over size: the distractor share is {result.judged.label}",
        tuple(
            drawing(
                name, f"{SHOWN[name][0] if name in SHOWN else 'What the answer follows'} over size", with_legend(draw)
            )
            for name, draw in panels(result).items()
        ),
        f"Bands: {result.interval_name}. Shares are of the texts with an answer.",
    )
    right = [c for c in result.task.conditions if result.task.right.get(c) is not None]
    headings = (
        "size", "parameters", "distractor share in conflict", *(f"accuracy in {c}" for c in right), "texts with an answer",
    )  # fmt: skip
    rows = [
        [
            name,
            f"{n_params:,}",
            mean_and_interval(result.mean(models, "distractor_share", Condition.CONFLICT)),
            *(mean_and_interval(result.mean(models, "accuracy", c)) for c in right),
            mean_alone(result.mean(models, "parsed", Condition.CONFLICT)),
        ]
        for name, n_params, models in zip(result.size_names, result.n_params, result.sizes, strict=True)
    ]
    yield Table("Numbers of the figure", headings, rows, frozenset(range(1, len(headings))), folded=True)


def _texts(result: WrittenResult) -> ItemTable:
    """Every complete item with the text in `conflict` of the first seed of the smallest and of the largest size."""
    task, conflict = result.task, Condition.CONFLICT
    ends = list(dict.fromkeys((result.sizes[0][0], result.sizes[-1][0])))
    names = [_short(result.sources[model]) for model in ends]
    filters = {f"{given}-{k}": f"{words} in {name}" for k, name in enumerate(names) for given, words in KINDS.items()}
    rows = []
    for index in np.flatnonzero(result.complete)[:MOST_ROWS]:
        item = task.items[index]
        texts = [result.replies[model].texts[conflict][index] for model in ends]
        prompt = " ".join(last_question(item.prompts[conflict], task.format).split())
        true, distractor = (item.answers[answer].strip() for answer in Answer)
        rows.append(
            ItemRow(
                item.id, item.group, prompt[-LONGEST:], true, distractor,
                tuple("" if text is None else text.text.strip()[:LONGEST] for text in texts),
                frozenset(f"{text.given}-{k}" for k, text in enumerate(texts) if text is not None),
            )
        )  # fmt: skip
    caption = f"What {' and '.join(names)} wrote in conflict."
    columns = tuple(f"text of {name}" for name in names)
    return ItemTable(caption, columns, rows, filters, int(result.complete.sum()), "that come first", "texts.parquet")


KINDS = {
    "true": "the true answer",
    "distractor": "the distractor's answer",
    "another": "another answer",
    "None": "no answer",
}


def _short(source: Source) -> str:
    return source.model if source.seed is None else f"{source.model}, seed {source.seed}"


def _method(result: WrittenResult) -> str:
    task, sizes = result.task, result.n_params
    several = f"{len(sizes)} sizes from {sizes[0]:,} to {sizes[-1]:,} parameters"
    span = several if len(sizes) > 1 else f"{sizes[0]:,} parameters"
    shots = f", after {counted(task.format.shots, 'worked example')}" if task.format.shots else ""
    reasons = "reason and then answer" if task.format.scoring == "cot" else "write their answer"
    return (
        f"We posed {counted(int(result.complete.sum()), 'item')} of {task.name} ({counted(result.n_groups, 'group')}) to "
        f"models of {span}{shots}, and let them {reasons}, greedily, with at most "
        f"{counted(task.format.max_tokens, 'token')}. The distractor share is the "
        "share of texts with an answer that give the distractor's answer in conflict. Texts without an answer are counted "
        f"separately. {' '.join(_lead(result))}"
    )
