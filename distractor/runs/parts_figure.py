"""A figure with one curve for each part of the items."""

import textwrap

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.runs import colours, style
from distractor.runs.item_parts import ItemParts
from distractor.statistics.curve import Curve


def parts(curve: Curve, item_parts: ItemParts) -> Figure:
    """Draw the mean of each group of items, or of each third by difficulty, over size. A caution goes below the axes."""
    errors = item_parts.errors
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        palette = colours.DIFFICULTY if item_parts.cut == "difficulty" else colours.SERIES
        for index, (name, row) in enumerate(zip(item_parts.names, item_parts.means, strict=True)):
            look = name, palette[index], style.SERIES_MARKERS[index]
            reach = 0 if errors is None else 1.96 * errors[index]
            style.line_with_band(axes, curve.sizes, (row, row - reach, row + reach), *look)
        axes.plot(curve.sizes, curve.means.mean(0), color=colours.INK, lw=1, ls="--", label="all")
        title = style.quantity_title(curve.quantity)
        style.log_axis(axes, curve.sizes, style.AXIS_TITLES[curve.axis])
        axes.set_ylabel(title)
        if curve.quantity in ("accuracy", "distractor_preference"):
            axes.set_ylim(-0.03, 1.03)
            style.reference_line(axes, 0.5)
        bands = "" if errors is None else " (bands: 95 % over item groups)"
        axes.set_title(f"{title} by {item_parts.cut} of the items{bands}", fontsize=10)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        if item_parts.caution:
            figure.supxlabel(textwrap.fill(f"Caution: {item_parts.caution}.", 110), fontsize=7.5, ha="left", x=0.01)
        return figure
