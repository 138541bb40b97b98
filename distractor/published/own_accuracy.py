"""Draws the accuracy of a run in `conflict` with published accuracies, as a figure and as blocks of a page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from distractor.published.figures import draw_published, panel_drawings, sizes_of, source_line, stacked
from distractor.published.placement import References
from distractor.published.tables import page_table
from distractor.runs import colours, style
from distractor.runs.page import blocks
from distractor.runs.page.drawing import PANEL, drawing
from distractor.statistics.intervals import Mean
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHAT = "accuracy in conflict"
MARKER = style.MARKERS[Condition.CONFLICT]


@dataclass(frozen=True)
class OwnAccuracy:
    """The means over seeds at each size or step (None: not defined), a dot for each of several seeds, and published curves.

    `intervals` says what the intervals of the means are of.
    """

    sizes: Sequence[float]
    means: Sequence[Mean | None]
    dots: Sequence[tuple[float, float]]
    n_seeds: int
    intervals: str
    references: References

    @property
    def label(self) -> str:
        """The curve in a legend."""
        return f"yours, mean of {self.n_seeds} seeds" if self.n_seeds > 1 else "yours"


def published(own: OwnAccuracy, name: str) -> Figure:
    """The figure; `name` says what the curve is of."""
    bars = "whiskers" if len(own.sizes) == 1 else "band"
    title = f"{name}: {WHAT}, and published accuracies\n{bars}: {own.intervals}"
    return stacked(partial(_draw, own=own), own.references, title)


def page_blocks(own: OwnAccuracy, place: str = "") -> Iterator[blocks.Block]:
    """The figure, and the numbers with their caveats and sources. `place` keeps names of drawings unique on a page."""
    beside = own.references
    size = PANEL[0], PANEL[1] + 0.3 * len(beside.same)
    shows = "; ".join([WHAT, *(curve.title for curve in beside.same)])
    line = source_line(beside)
    yield blocks.Figure(
        " ".join(["Accuracy in conflict, and published accuracies.", *beside.sentences]),
        (
            drawing(f"accuracy{place}", f"{shows}.", partial(_draw_on_page, own=own), size),
            *panel_drawings(beside, place),
        ),
        f"Yours: {own.intervals}. {line[:1].upper()}{line[1:]}.",
    )
    yield page_table(beside)


def _draw(axes: "Axes", own: OwnAccuracy) -> None:
    defined = [(size, *mean) for size, mean in zip(own.sizes, own.means, strict=True) if mean is not None]
    if defined:
        sizes, mean, low, high = np.transpose(defined)
        if len(defined) == 1:
            errors = np.maximum([mean - low, high - mean], 0)
            axes.errorbar(sizes, mean, errors, color=colours.INK, marker=MARKER, ms=6, lw=1.4, capsize=3, ls="", zorder=3,
                          label=own.label)  # fmt: skip
        else:
            style.line_with_band(axes, sizes.tolist(), (mean, low, high), own.label, colours.INK, MARKER)
    if own.dots:
        axes.plot(*zip(*own.dots, strict=True), ".", ms=3, color=colours.INK, zorder=3, label=style.SEEDS)
    same = own.references.same
    draw_published(axes, same)
    style.log_axis(axes, [*own.sizes, *sizes_of(same)], style.AXIS_TITLES[own.references.own.axis])
    style.share_axis(axes)
    axes.set_ylabel(WHAT)


def _draw_on_page(axes: "Axes", own: OwnAccuracy) -> None:
    _draw(axes, own)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, borderaxespad=0)
