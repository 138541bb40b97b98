"""Draws the curve of `distractor shape` with its intervals, and published curves below it."""

import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.curves.judge_curve import JudgedCurve
from distractor.curves.published import Published, PublishedAxis
from distractor.runs import colours, style
from distractor.statistics.shape_test import NATS, SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKERS = 100  # a longer curve is a line without dots
INTERVAL = "95 % over items where their number is known"


def _spans(sizes: Sequence[float], chosen: Collection[float]) -> Iterator[tuple[float, float]]:
    """The spans around neighbouring inner sizes, half-way to the next sizes on the logarithmic axis."""
    start = None
    for before, size, after in zip(sizes, sizes[1:], sizes[2:], strict=False):
        if size in chosen:
            start = (before * size) ** 0.5 if start is None else start
            if after not in chosen:
                yield start, (size * after) ** 0.5
                start = None


def on_same_axis(judged: JudgedCurve) -> list[Published]:
    """The published curves over parameters or steps, if the curve is, too. Their quantity is always the curve's."""
    return [one for one in judged.references if one.axis == judged.curve.axis]


def on_other_axes(judged: JudgedCurve) -> list[list[Published]]:
    """The other published curves: those over parameters, and those over ranks."""
    axes: tuple[PublishedAxis, ...] = ("parameters", "rank")
    rows = [[one for one in judged.references if one.axis == axis != judged.curve.axis] for axis in axes]
    return [row for row in rows if row]


def shape(judged: JudgedCurve) -> Figure:
    """The curve with intervals at both levels, the sizes where it may turn, and published curves.

    Published curves over parameters lie under the curve, those whose sizes are unknown in a panel below.
    """
    with mpl.rc_context(style.STYLE):
        rows = on_other_axes(judged)
        heights = [3.6 + 0.3 * len(on_same_axis(judged)), *(max(2.0, 0.7 + 0.3 * len(row)) for row in rows)]
        figure = Figure(figsize=(7.2, 0.6 + sum(heights)), layout="constrained")
        axes = figure.subplots(1 + len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        _draw_curve(axes[0], judged)
        for panel, row in zip(axes[1:], rows, strict=True):
            _draw_published_panel(panel, row)
        for panel in axes:
            panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7.5)
        of_task = f"{judged.curve.task}: " if judged.curve.task else ""
        published = f"\npublished curves: {INTERVAL}" if judged.references else ""
        style.headline(
            figure,
            f"{of_task}{style.quantity_title(judged.curve.quantity)} over {style.AXIS_TITLES[judged.curve.axis]}\n"
            f"{judged.shape.in_words}{published}",
        )
        return figure


def curve_panel(axes: "Axes", judged: JudgedCurve) -> None:
    """The curve, with published curves under it, as one panel of a page."""
    _draw_curve(axes, judged)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=1 if on_same_axis(judged) else 2, fontsize=8, borderaxespad=0
    )


def published_panel(axes: "Axes", curves: Sequence[Published]) -> None:
    """Published curves as one panel of a page."""
    _draw_published_panel(axes, curves)
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
        for index, row in enumerate(curve.means):
            label = style.SEEDS if index == 0 else None
            axes.plot(x, row, ".", ms=3, color=colours.INK, alpha=0.6, zorder=4, label=label)
    published = on_same_axis(judged)
    _draw_published(axes, published, first=1)
    if curve.quantity in SHARES:
        style.share_axis(axes)
    else:
        style.reference_line(axes, 0)
    if curve.quantity in NATS:
        style.widen_to(axes)
    level = judged.shape.models or judged.shape.weights[0]
    has_one_label = judged.shape.models is not None or len(judged.shape.weights) == 1
    if has_one_label and level.label in ("U-shaped", "inverted-U", "undetermined") and level.turn.turning_set:
        for index, span in enumerate(_spans(x, set(level.turn.turning_set))):
            axes.axvspan(*span, color=colours.INK, alpha=0.1, lw=0, zorder=0,
                         label=f"may turn here (level {level.level})" if index == 0 else None)  # fmt: skip
    style.log_axis(axes, [*x, *_sizes(published)], style.AXIS_TITLES[curve.axis])
    axes.set_ylabel(style.quantity_title(curve.quantity))


def _draw_published(axes: "Axes", curves: Sequence[Published], first: int = 0) -> None:
    """Published curves with their intervals, under all other curves; `first` is the place of the first in the palette."""
    for index, curve in enumerate(curves, first):
        sizes, shares = [p.size for p in curve.points], [p.accuracy for p in curve.points]
        colour, marker = colours.SERIES[index % len(colours.SERIES)], style.SERIES_MARKERS[index % 8]
        halves = [1.96 * point.error for point in curve.points]
        errors = [
            [min(half, end) for half, end in zip(halves, ends, strict=True)]
            for ends in (shares, [1 - share for share in shares])
        ]
        axes.errorbar(sizes, shares, errors, color=colour, marker=marker, ms=4, lw=1.1, elinewidth=0.7, zorder=1,
                      label=textwrap.fill(curve.title, 34))  # fmt: skip


def _sizes(curves: Sequence[Published]) -> list[float]:
    return [point.size for curve in curves for point in curve.points]


def _draw_published_panel(axes: "Axes", curves: Sequence[Published]) -> None:
    _draw_published(axes, curves)
    axes.set_ylabel("accuracy")
    style.share_axis(axes)
    if curves[0].axis == "parameters":
        style.log_axis(axes, _sizes(curves), "parameters (published)")
    else:
        axes.set_xlabel("rank by size (parameters unpublished)")
        axes.set_xticks(range(max(len(curve.points) for curve in curves)))
