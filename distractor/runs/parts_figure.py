"""The figure of a curve for each part of the items."""

import textwrap

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.runs.item_parts import ItemParts
from distractor.runs.style import (
    AXIS_TITLES,
    PART_COLOURS,
    QUANTITY_TITLES,
    SERIES,
    SERIES_MARKERS,
    STYLE,
    literal,
    log_axis,
)
from distractor.statistics.curve import Curve


def quantity_title(curve: Curve) -> str:
    """The title of a curve's quantity."""
    return QUANTITY_TITLES.get(curve.quantity) or literal(curve.quantity)


def parts(curve: Curve, found: ItemParts) -> Figure:
    """One line for each group of items, or third by difficulty, over size; what must be minded is written under it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        colours = PART_COLOURS if found.cut == "difficulty" else SERIES
        for place, (name, row) in enumerate(zip(found.names, found.means, strict=True)):
            axes.plot(curve.sizes, row, color=colours[place], marker=SERIES_MARKERS[place], ms=4, lw=1.4,
                      label=literal(name))  # fmt: skip
            if found.errors is not None:
                reach = 1.96 * found.errors[place]
                axes.fill_between(curve.sizes, row - reach, row + reach, color=colours[place], alpha=0.18, lw=0)
        axes.plot(curve.sizes, curve.means.mean(0), color="black", lw=1, ls="--", label="all")
        name = quantity_title(curve)
        log_axis(axes, curve.sizes, AXIS_TITLES[curve.axis])
        axes.set_ylabel(name)
        if curve.quantity in ("accuracy", "distractor_preference"):
            axes.set_ylim(-0.03, 1.03)
            axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        bands = " (bands: 95 % over item groups)" if found.errors is not None else ""
        axes.set_title(f"{name} by {found.cut} of the items{bands}", fontsize=10)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        if found.caution:
            figure.supxlabel(textwrap.fill(f"Mind: {found.caution}.", 110), fontsize=7.5, ha="left", x=0.01)
        return figure
