"""A figure with one curve for each part of the items."""

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.numbers import shortened
from distractor.runs import colours, style
from distractor.runs.item_parts import ItemParts
from distractor.scoring.behaviour import INTERVALS
from distractor.statistics.curve import Curve
from distractor.statistics.shape_test import NATS, SHARES

LONGEST = 24  # characters of a group's name


def parts(curve: Curve, item_parts: ItemParts) -> Figure:
    """Draw the mean of each group of items, or of each third by difficulty, over size. A caution goes below the axes."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        palette = colours.DIFFICULTY if item_parts.cut == "difficulty" else colours.SERIES
        for index, (name, row) in enumerate(zip(item_parts.names, item_parts.means, strict=True)):
            low, high = (row if end is None else end[index] for end in (item_parts.low, item_parts.high))
            look = shortened(name, LONGEST), palette[index], style.SERIES_MARKERS[index]
            style.line_with_band(axes, curve.sizes, (row, low, high), *look)
        axes.plot(curve.sizes, curve.means.mean(0), color=colours.INK, lw=1, ls="--", label="all")
        title = style.quantity_title(curve.quantity)
        style.log_axis(axes, curve.sizes, style.AXIS_TITLES[curve.axis])
        axes.set_ylabel(title)
        if curve.quantity in SHARES:
            style.share_axis(axes)
        elif curve.quantity in NATS:
            style.widen_to(axes)
            style.reference_line(axes, 0)
        bands = f" (bands: {INTERVALS[item_parts.level]})" if item_parts.low is not None else ""
        of_task = f"{curve.task}: " if curve.task else ""
        style.headline(figure, f"{of_task}{title} by {item_parts.cut} of the items{bands}")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        if item_parts.caution:
            style.footnote(figure, [f"Caution: {item_parts.caution}."])
        return figure
