"""Draws the curve of `distractor shape` with its intervals, and published curves below it."""

import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.curves.judge_curve import JudgedCurve
from distractor.curves.published import Published
from distractor.runs import colours, style
from distractor.statistics.shape_test import SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKERS = 100  # a longer curve is a line without dots


def _spans(sizes: Sequence[float], chosen: Collection[float]) -> Iterator[tuple[float, float]]:
    """The spans around neighbouring inner sizes, half-way to the next sizes on the logarithmic axis."""
    start = None
    for before, size, after in zip(sizes, sizes[1:], sizes[2:], strict=False):
        if size in chosen:
            start = (before * size) ** 0.5 if start is None else start
            if after not in chosen:
                yield start, (size * after) ** 0.5
                start = None


def shape(judged: JudgedCurve) -> Figure:
    """The curve with intervals at both levels, the sizes where it may turn, and published curves below."""
    with mpl.rc_context(style.STYLE):
        rows = [[curve for curve in judged.references if curve.sizes_known is known] for known in (True, False)]
        rows = [row for row in rows if row]
        heights = [3.6, *(max(2.0, 0.7 + 0.24 * len(row)) for row in rows)]
        figure = Figure(figsize=(7.2, 0.6 + sum(heights)), layout="constrained")
        axes = figure.subplots(1 + len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        _draw_curve(axes[0], judged)
        for panel, row in zip(axes[1:], rows, strict=True):
            _draw_published(panel, row)
        style.headline(
            figure,
            f"{style.quantity_title(judged.curve.quantity)} over {style.AXIS_TITLES[judged.curve.axis]}\n"
            f"{judged.shape.in_words}",
        )
        return figure


def curve_panel(axes: "Axes", judged: JudgedCurve) -> None:
    """The curve as one panel of a page."""
    _draw_curve(axes, judged)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)


def published_panel(axes: "Axes", curves: Sequence[Published]) -> None:
    """Published curves as one panel of a page."""
    _draw_published(axes, curves)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=7, borderaxespad=0)


def _draw_curve(axes: "Axes", judged: JudgedCurve) -> None:
    curve = judged.curve
    x, colour = list(curve.sizes), colours.of_quantity(curve.quantity)
    axes.plot(
        x, judged.mean, "-" if len(x) > MOST_MARKERS else "-o", color=colour, ms=4, lw=1.4, zorder=3, label="mean"
    )
    axes.fill_between(x, judged.low, judged.high, color=colour, alpha=0.22, lw=0, label="these weights (level 1)")
    if judged.models_low is not None and judged.models_high is not None:
        errors = [judged.mean - judged.models_low, judged.models_high - judged.mean]
        axes.errorbar(x, judged.mean, errors, fmt="none", ecolor=colours.INK, elinewidth=0.9, capsize=3, zorder=2,
                      label="models like these (level 2)")  # fmt: skip
    if len(curve.seeds) > 1:
        for row in curve.means:
            axes.plot(x, row, ".", ms=3, color=colours.INK, alpha=0.6, zorder=4)
    if curve.quantity in SHARES:
        style.share_axis(axes)
    else:
        style.reference_line(axes, 0)
    level = judged.shape.models or judged.shape.weights[0]
    has_one_label = judged.shape.models is not None or len(judged.shape.weights) == 1
    if has_one_label and level.label in ("U-shaped", "inverted-U", "undetermined") and level.turn.turning_set:
        for index, span in enumerate(_spans(x, set(level.turn.turning_set))):
            axes.axvspan(*span, color=colours.INK, alpha=0.1, lw=0, zorder=0,
                         label=f"may turn here (level {level.level})" if index == 0 else None)  # fmt: skip
    style.log_axis(axes, x, style.AXIS_TITLES[curve.axis])
    axes.set_ylabel(style.quantity_title(curve.quantity))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)


def _draw_published(axes: "Axes", curves: Sequence[Published]) -> None:
    for index, curve in enumerate(curves):
        sizes, shares = [p.size for p in curve.points], [p.accuracy for p in curve.points]
        colour, marker = colours.SERIES[index % len(colours.SERIES)], style.SERIES_MARKERS[index % 8]
        errors = [1.96 * (p.accuracy * (1 - p.accuracy) / p.n) ** 0.5 if p.n else 0 for p in curve.points]
        axes.errorbar(sizes, shares, errors, color=colour, marker=marker, ms=4, lw=1.1, elinewidth=0.7,
                      label=textwrap.fill(curve.title, 44))  # fmt: skip
    axes.set_ylabel("accuracy")
    style.share_axis(axes)
    if curves[0].sizes_known:
        style.log_axis(axes, [p.size for curve in curves for p in curve.points], "parameters (published)")
    else:
        axes.set_xlabel("rank by size (parameters unpublished)")
        axes.set_xticks(range(max(len(curve.points) for curve in curves)))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, title="published; 95 % where n is known",
                title_fontsize=7)  # fmt: skip
