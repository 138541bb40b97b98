"""Draws accuracy in `conflict` with published accuracies, as a figure and as the section of a page."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from distractor.ablation.figures import draw_curve
from distractor.ablation.references import Result, references
from distractor.published.figures import draw_published, panel_drawings, sizes_of, source_line, stacked
from distractor.published.placement import QUANTITY
from distractor.published.tables import page_table
from distractor.runs import colours, style
from distractor.runs.page import blocks
from distractor.runs.page.drawing import PANEL, drawing
from distractor.text.format import Format
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFLICT = Condition.CONFLICT


def published(result: Result) -> Figure:
    """Accuracy in `conflict` over size with published curves."""
    names = f" in {result.sources[0].name}" if len(result.sizes) == 1 else ""
    form = f", {result.task.format.label}" if result.task.format != Format() else ""
    bars = "whiskers" if len(result.sizes) == 1 else "band"
    title = f"{result.task.name}{form}{names}: accuracy in conflict, and published accuracies\n{bars}: {result.interval_name}"
    return stacked(partial(_own_panel, result=result), references(result), title)


def section(result: Result) -> list[blocks.Section]:
    """The section of a page with the figure, the numbers, their caveats and sources; none without published curves."""
    beside = references(result)
    if not beside:
        return []
    size = PANEL[0], PANEL[1] + 0.3 * len(beside.same)
    shows = "; ".join(["Accuracy in conflict", *(curve.title for curve in beside.same)])
    own = drawing("accuracy", f"{shows}.", partial(_page_panel, result=result), size)
    line = source_line(beside)
    figure = blocks.Figure(
        " ".join(["Accuracy in conflict, and published accuracies.", *beside.sentences]),
        (own, *panel_drawings(beside)),
        f"Yours: {result.interval_name}. {line[:1].upper()}{line[1:]}.",
    )
    return [blocks.Section("published", "Published accuracies", (figure, page_table(beside)))]


def _own_panel(axes: "Axes", result: Result) -> None:
    sizes, same = list(result.n_params), references(result).same
    means = [result.mean(models, QUANTITY, CONFLICT) for models in result.sizes]
    seeds = len(result.sizes[0])
    label = f"yours, mean of {seeds} seeds" if seeds > 1 else "yours"
    marker = style.MARKERS[CONFLICT]
    if len(sizes) == 1 and (mean := means[0]):
        errors = np.maximum([[mean.mean - mean.low], [mean.high - mean.mean]], 0)
        axes.errorbar(sizes, [mean.mean], errors, color=colours.INK, marker=marker, ms=6, lw=1.4, capsize=3, ls="",
                      zorder=3, label=label)  # fmt: skip
    else:
        draw_curve(axes, sizes, means, label, colours.INK, marker)
    if seeds > 1:
        dots = [
            (size, mean.mean)
            for size, models in zip(sizes, result.sizes, strict=True)
            for model in models
            if (mean := result.mean([model], QUANTITY, CONFLICT))
        ]
        axes.plot(*zip(*dots, strict=True), ".", ms=3, color=colours.INK, zorder=3, label=style.SEEDS)
    draw_published(axes, same)
    style.log_axis(axes, [*sizes, *sizes_of(same)], "parameters")
    style.share_axis(axes)
    axes.set_ylabel("accuracy in conflict")


def _page_panel(axes: "Axes", result: Result) -> None:
    _own_panel(axes, result)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, borderaxespad=0)
