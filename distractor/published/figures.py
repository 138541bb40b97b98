"""Draws published curves: dashed with open markers, under a user's curve or in panels of their own below it."""

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.published.curves import Published
from distractor.published.label import CONSTANT, constant_share
from distractor.published.placement import QUANTITY, Panel, References
from distractor.runs import colours, style
from distractor.runs.page.drawing import PANEL, Drawing, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (colours.NEUTRAL, *colours.SERIES[1:-1])
LEGEND_WIDTH = 34  # letters
INTERVAL = "95 % over items where their number is known"


def stacked(draw_own: "Callable[[Axes], object]", references: References, title: str) -> Figure:
    """The user's curve with the published ones on its axes, and below it those that are apart, each panel with the reason."""
    with mpl.rc_context(style.STYLE):
        panels = references.panels
        heights = [3.6 + 0.3 * len(references.same), *(max(2.3, 1.0 + 0.3 * len(panel.curves)) for panel in panels)]
        figure = Figure(figsize=(7.2, 0.6 + sum(heights)), layout="constrained")
        axes = figure.subplots(1 + len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        draw_own(axes[0])
        for below, panel in zip(axes[1:], panels, strict=True):
            _draw_panel(below, panel, 72)
        for each in axes:
            each.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7.5)
        style.headline(figure, f"{title}\n{source_line(references)}".strip())
        return figure


def source_line(references: References) -> str:
    """How published curves are drawn, and whose they are; empty without any."""
    if not references:
        return ""
    authors = "; ".join(dict.fromkeys(curve.authors for curve in references.curves))
    return f"dashed: published, {INTERVAL} ({authors})"


def draw_published(axes: "Axes", curves: Sequence[Published]) -> None:
    """Published curves with their intervals, under all other curves."""
    for index, curve in enumerate(curves):
        named = f"{curve.legend}: {CONSTANT}" if constant_share(curve) else curve.legend
        sizes, shares = [p.size for p in curve.points], [p.accuracy for p in curve.points]
        colour, marker = COLOURS[index % len(COLOURS)], style.SERIES_MARKERS[index % len(style.SERIES_MARKERS)]
        halves = [1.96 * point.error for point in curve.points]
        errors = [
            [min(half, end) for half, end in zip(halves, ends, strict=True)]
            for ends in (shares, [1 - share for share in shares])
        ]
        axes.errorbar(sizes, shares, errors, color=colour, marker=marker, ms=4.5, mfc=colours.PAPER, lw=1.1, ls="--",
                      elinewidth=0.7, zorder=1, label=textwrap.fill(named, LEGEND_WIDTH))  # fmt: skip


def sizes_of(curves: Sequence[Published]) -> list[float]:
    """The places of all points on the axis."""
    return [point.size for curve in curves for point in curve.points]


def panel_drawings(references: References, place: str = "") -> list[Drawing]:
    """A drawing of each panel of curves that are apart, for a page; `place` keeps names of drawings unique there."""
    return [
        drawing(
            f"published{place}-{panel.axis}",
            "; ".join([*(curve.title for curve in panel.curves), panel.why]),
            partial(_page_panel, panel=panel),
            (PANEL[0], PANEL[1] + 0.2 * len(panel.curves)),
        )
        for panel in references.panels
    ]


def _page_panel(axes: "Axes", panel: Panel) -> None:
    _draw_panel(axes, panel, None)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=7, borderaxespad=0)


def _draw_panel(axes: "Axes", panel: Panel, title_width: int | None) -> None:
    """A panel of its own; its title of lines of so many letters is the reason."""
    draw_published(axes, panel.curves)
    axes.set_ylabel(QUANTITY)
    style.share_axis(axes)
    if panel.axis == "rank":
        axes.set_xlabel("rank by size (parameters unpublished)")
        axes.set_xticks(range(max(len(curve.points) for curve in panel.curves)))
    else:
        style.log_axis(axes, sizes_of(panel.curves), f"{style.AXIS_TITLES[panel.axis]} (published)")
    if title_width:
        axes.set_title(textwrap.fill(panel.why, title_width), fontsize=8, loc="left")
