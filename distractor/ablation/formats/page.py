"""What the page of one task in several prompt formats says: the shapes, accuracy on one axis, and the dips."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from distractor.ablation.figures import draw_curve
from distractor.ablation.formats.curve import FormatCurve, FormatResult
from distractor.ablation.formats.figures import draw_quantity
from distractor.ablation.formats.lead import lead
from distractor.ablation.tables import mean_alone, mean_and_interval
from distractor.numbers import counted
from distractor.runs import colours, style
from distractor.runs.page.blocks import Block, Figure, Page, Quotation, Section, Sentences, Table
from distractor.runs.page.drawing import drawing
from distractor.runs.page.evidence import evidence
from distractor.runs.page.provenance import provenance
from distractor.runs.page.references import bibtex
from distractor.scoring.behaviour import INTERVALS
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = {"formats": "all formats in one figure", "parts": "accuracy on each part of the task"}


def page(
    results: Sequence[FormatResult],
    curves: Sequence[FormatCurve],
    sentences: Sequence[str],
    figures: Sequence[str],
    manifest: Mapping[str, Any],
) -> Page:
    """The page of all formats side by side; `sentences` say how deep each dip is, `figures` names the run's own."""
    task, items = results[0].task.name, counted(int(results[0].complete.sum()), "item")
    warnings = tuple(f"{curve.form.label}: {curve.why}." for curve in curves if curve.why)
    labels = [curve.label for curve in curves]
    level = None if set(labels) == {"undetermined"} else min(curve.level for curve in curves)
    files = {
        **{f"{curve.form.slug}/report.html": f"the page of {curve.form.label}" for curve in curves},
        "summary.json": "the curves of all formats and their comparison",
        **{f"figures/{name}.svg": FIGURES[name] for name in figures},
    }
    return Page(
        title=f"{task} in {counted(len(curves), 'prompt format')}",
        about=f"distractor ablate: {items}, {counted(len(results[0].sizes), 'size')}",
        label=_label(labels),
        sentences=tuple(lead(results, curves)),
        evidence=evidence(results[0].sources, level),
        warnings=len(warnings),
        sections=(
            Section("formats", "Formats side by side", tuple(_formats(curves))),
            Section("dips", "How far accuracy falls", (Sentences(tuple(sentences), is_list=True),)),
            Section("warnings", "Warnings", (Sentences(warnings or ("None.",), is_list=bool(warnings)),)),
            Section(
                "method", "Method, to quote", (Quotation(_method(results, curves), bibtex("wei2022", "distractor")),)
            ),
            *provenance(manifest, files),
        ),
    )


def _label(labels: Sequence[str]) -> str:
    if len(set(labels)) > 1:
        return "The label of the shape differs between formats"
    return f"{'Same shape in every format' if len(labels) > 1 else 'Shape'}: {labels[0]}"


def _formats(curves: Sequence[FormatCurve]) -> Iterator[Block]:
    drawings = [
        drawing(f"format-{k}", f"{curve.form.label}: {curve.label} over size", partial(draw_quantity, curve=curve))
        for k, curve in enumerate(curves)
    ]
    drawings.append(
        drawing("accuracy", "Accuracy in conflict over size in every format", partial(_accuracy, curves=curves))
    )
    yield Figure(
        "The same items in every format: preference or share over size, and accuracy on one axis",
        tuple(drawings),
        f"Bands: {INTERVALS[curves[0].level]}. Preference compares probabilities; the share is of texts with an answer.",
    )
    headings = ["size"]
    for curve in curves:
        quantity = "preference" if curve.quantity == "distractor_preference" else "share"
        headings += [f"{curve.form.label}\n{quantity}", "accuracy", "texts with an answer"]
    rows = [
        [
            name,
            *(
                cell
                for curve in curves
                for cell in (
                    mean_and_interval(curve.means[Condition.CONFLICT][k]),
                    mean_alone(curve.accuracy[Condition.CONFLICT][k]),
                    f"{curve.answered[k]:.2f}",
                )
            ),
        ]
        for k, name in enumerate(curves[0].names)
    ]
    yield Table("Numbers of the figure", headings, rows, frozenset(range(1, len(headings))), folded=True)


def _accuracy(axes: "Axes", curves: Sequence[FormatCurve]) -> None:
    """Accuracy in `conflict` of every format."""
    for k, curve in enumerate(curves):
        colour, marker = colours.SERIES[k % len(colours.SERIES)], style.SERIES_MARKERS[k % len(style.SERIES_MARKERS)]
        draw_curve(axes, curve.sizes, curve.accuracy[Condition.CONFLICT], curve.form.label, colour, marker)
    style.share_axis(axes)
    style.log_axis(axes, curves[0].sizes, "parameters")
    axes.set(title="Accuracy in conflict", ylabel="accuracy")
    style.legend_inside(axes)


def _method(results: Sequence[FormatResult], curves: Sequence[FormatCurve]) -> str:
    sizes = results[0].n_params
    return (
        f"We posed {counted(int(results[0].complete.sum()), 'item')} of {results[0].task.name} to models of "
        f"{counted(len(sizes), 'size')} from {sizes[0]:,} to {sizes[-1]:,} parameters in "
        f"{counted(len(curves), 'prompt format')} "
        f"({'; '.join(curve.form.label for curve in curves)}). Where answers are ranked, distractor preference compares the "
        "probabilities of the two answers. Where models write, the distractor share counts the texts with an answer. "
        f"{' '.join(lead(results, curves))}"
    )
