"""Draws the curve of `distractor shape` with its intervals, and published curves below it."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from distractor.curves.judge_curve import JudgedCurve
from distractor.published.figures import draw_published, sizes_of, stacked
from distractor.runs import colours, style
from distractor.statistics.shape_test import NATS, SHARES

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
    """The curve with intervals at both levels, the sizes where it may turn, and published curves under it or below it."""
    of_task = f"{judged.curve.task}: " if judged.curve.task else ""
    over = f"{style.quantity_title(judged.curve.quantity)} over {style.AXIS_TITLES[judged.curve.axis]}"
    title = f"{of_task}{over}\n{judged.shape.in_words}"
    return stacked(partial(_draw_curve, judged=judged), judged.references, title)


def curve_panel(axes: "Axes", judged: JudgedCurve) -> None:
    """The curve, with published curves under it, as one panel of a page."""
    _draw_curve(axes, judged)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=1 if judged.references.same else 2, fontsize=8, borderaxespad=0
    )


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
    draw_published(axes, judged.references.same)
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
    style.log_axis(axes, [*x, *sizes_of(judged.references.same)], style.AXIS_TITLES[curve.axis])
    axes.set_ylabel(style.quantity_title(curve.quantity))
