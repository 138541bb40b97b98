"""Figures of one task in several prompt formats."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.ablation.figures import draw_curve
from distractor.ablation.formats.curve import FormatCurve, FormatResult, part_accuracy, task_parts
from distractor.runs import colours, style
from distractor.runs.style import MARKERS, SERIES_MARKERS, STYLE, legend_below, log_axis, share_axis
from distractor.scoring.behaviour import INTERVALS
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY)
QUANTITY_LABELS = {
    "distractor_preference": "distractor preference",
    "distractor_share": "distractor share\n(of texts with an answer)",
}


def formats(curves: Sequence[FormatCurve], task: str) -> Figure:
    """A column for each format: its own quantity with its shape in the upper panel, accuracy in the lower."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(6.5, 3.2 * len(curves)), 5.6), layout="constrained")
        grid = figure.subplots(2, len(curves), squeeze=False, sharex=True)
        for column, curve in enumerate(curves):
            upper, lower = grid[:, column]
            draw_quantity(upper, curve)
            for c in SHOWN:
                if c in curve.means:
                    draw_curve(lower, curve.sizes, curve.accuracy[c], c.value, colours.CONDITIONS[c], MARKERS[c])
            if min(curve.answered) < 1:
                lower.plot(
                    curve.sizes, curve.answered, color=colours.NEUTRAL, ls="--", lw=1.0, label="texts with an answer"
                )
            upper.set(xlabel="")
            if legend := upper.get_legend():
                legend.remove()
            lower.set(ylabel="accuracy")
            share_axis(lower)
            log_axis(lower, curve.sizes, "parameters")
            if curve.why:
                lower.set_xlabel(f"parameters\n{textwrap.fill(curve.why, 44)}", fontsize=7.5)
        legend_below(figure, figure.axes)
        style.headline(figure, f"{task} by prompt format (bands: {INTERVALS[curves[0].level]})")
        return figure


def draw_quantity(axes: "Axes", curve: FormatCurve) -> None:
    """Preference or share of one format in `conflict` and `distractor_only` over size, with its shape."""
    for c in SHOWN:
        if c in curve.means:
            draw_curve(axes, curve.sizes, curve.means[c], c.value, colours.CONDITIONS[c], MARKERS[c])
    share_axis(axes)
    log_axis(axes, curve.sizes, "parameters")
    axes.set(title=f"{curve.form.label}:\n{curve.label}", ylabel=QUANTITY_LABELS[curve.quantity])
    style.legend_inside(axes)


def by_part(results: Sequence[FormatResult]) -> Figure | None:
    """Accuracy on each part of the task: a panel for each part, a line for each format. None if the task has no parts."""
    names = list(task_parts(results[0].task))
    if not names:
        return None
    with mpl.rc_context(STYLE):
        columns = min(4, len(names))
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(2.7 * columns, 0.9 + 2.2 * rows), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
        for axes, name in zip(panels, names, strict=False):
            log_axis(axes, results[0].n_params, "")
            for index, result in enumerate(results):
                means = zip(result.n_params, part_accuracy(result, name), strict=True)
                defined = [(size, *mean) for size, mean in means if mean is not None]
                if defined:
                    # Bars, because bands of many lines would hide each other.
                    size, mean, low, high = np.transpose(defined)
                    errors = np.maximum([mean - low, high - mean], 0)  # rounding may put the mean outside
                    colour, marker = colours.SERIES[index % len(colours.SERIES)], SERIES_MARKERS[index % 8]
                    axes.errorbar(size, mean, errors, color=colour, marker=marker,
                                  ms=3.5, lw=1.2, elinewidth=0.6, label=result.task.format.label)  # fmt: skip
            axes.set_title(name.replace("_", " "), fontsize=8.5)
            share_axis(axes)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes in panels[max(0, len(names) - columns) : len(names)]:
            axes.set_xlabel("parameters")
            axes.tick_params(labelbottom=True)  # also above an empty place of the last row
        legend_below(figure, figure.axes, 4)
        figure.supylabel("accuracy in conflict", fontsize=9)
        intervals = INTERVALS[results[0].interval_level]
        style.headline(
            figure,
            f"{results[0].task.name} by part\n(bars: {intervals}; written formats: texts with an answer only)",
        )
        return figure
