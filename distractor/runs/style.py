"""Markers, axes and titles shared by all figures; their colours are in `colours.py`."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from distractor.numbers import number
from distractor.runs import colours
from distractor.text.task import Condition

MARKERS = dict(zip(Condition, "osD^vx", strict=True))
PULL_STYLES = {
    "true_pull": ("true pull T", colours.TRUE, "v"),
    "distractor_pull": ("distractor pull D", colours.DISTRACTOR, "o"),
}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.hashsalt": "distractor",
    "svg.fonttype": "none",
}
LETTERS_PER_INCH = 13  # how many letters of a figure's title fit one inch

QUANTITY_TITLES = {
    "distractor_preference": "distractor preference",
    "logit_gap": "logit gap (nats)",
    "true_pull": "true pull T (nats)",
    "distractor_pull": "distractor pull D (nats)",
}
AXIS_TITLES = {
    "parameters": "parameters",
    "tokens": "training tokens",
    "flops": "training FLOPs",
    "step": "training step",
}
SERIES_MARKERS = "osD^v<>P"
UNITS = {1e12: "T", 1e9: "B", 1e6: "M", 1e3: "k"}


def quantity_title(quantity: str) -> str:
    """The title of a quantity on an axis."""
    return QUANTITY_TITLES.get(quantity, quantity)


def headline(figure: Figure, text: str) -> None:
    """Set the title of a figure, wrapped to its width in lines of about equal length; a line break stays."""
    width = int(figure.get_figwidth() * LETTERS_PER_INCH)

    def wrap_evenly(paragraph: str) -> list[str]:
        fewest = len(textwrap.wrap(paragraph, width))
        candidates = (textwrap.wrap(paragraph, narrow) for narrow in range(len(paragraph) // fewest, width + 1))
        return next(lines for lines in candidates if len(lines) == fewest)

    paragraphs = text.replace(" %", "\u00a0%").splitlines()
    figure.suptitle("\n".join(line for paragraph in paragraphs for line in wrap_evenly(paragraph)), fontsize=9)


def extend_headline(figure: Figure, sentence: str | None) -> None:
    """Add a sentence to the title of a figure, if there is one."""
    if sentence:
        headline(figure, f"{figure.get_suptitle()}\n{sentence}".strip())


def in_units(value: float) -> str:
    """A size as researchers write it.

    >>> in_units(2126), in_units(70_000_000), in_units(1_500_000_000), in_units(800)
    ('2.13k', '70M', '1.5B', '800')
    """
    rounded = float(f"{value:.3g}")
    unit, name = next(((u, name) for u, name in UNITS.items() if rounded >= u), (1.0, ""))
    return f"{rounded / unit:g}{name}"


def log_axis(axes: Axes, sizes: Sequence[float], label: str) -> None:
    """Make the x axis logarithmic, and linear below the first step if there is a step 0. Short axes get few tick labels.

    Values read 70M or 1B; those of more than 1,000T, such as FLOPs, are powers of ten.
    """
    axes.set_xlabel(label)
    if min(sizes) <= 0:
        axes.set_xscale("symlog", linthresh=sorted(sizes)[1])
        return
    axes.set_xscale("log")
    decades = np.log10(max(sizes) / min(sizes))
    if decades < 4:
        close = (1, 2, 3, 5, 7) if 0 < decades < 0.7 else (1, 2, 5)
        axes.xaxis.set_major_locator(LogLocator(subs=close if decades < 2 else (1, 3)))
    if max(sizes) < 1e15:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_units(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def in_cell(value: float, reach: float) -> str:
    """Format a number in a cell of a heat map whose colour scale ends at `reach`."""
    return number(value, 1 if reach >= 1 else 2)


def line_with_band(
    axes: Axes, x: Sequence[float], mean: Sequence[Any], label: str | None, colour: str, marker: str, style: str = "-"
) -> None:
    """A line of means with a band for their intervals; `mean` is (mean, low, high), each one value per `x`."""
    middle, low, high = mean
    axes.plot(x, middle, color=colour, marker=marker, ms=4, lw=1.4, ls=style, label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)


def reference_line(axes: Axes, value: float, *, vertical: bool = False) -> None:
    """A thin dotted line at a value of reference, such as 0 or chance."""
    (axes.axvline if vertical else axes.axhline)(value, color=colours.INK, lw=0.8, ls=":", zorder=0)


def share_axis(axes: "Axes") -> None:
    """Limit the y axis to shares, with a reference line at one half."""
    axes.set_ylim(-0.03, 1.03)
    reference_line(axes, 0.5)


def legend_inside(axes: Axes, **options: Any) -> None:
    """A legend inside a panel, if the panel has anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**{"loc": "best", **options})


def legend_below(figure: Figure, panels: "Sequence[Axes]", columns: int = 8) -> None:
    """One legend below the figure, with each label of the panels once."""
    entries = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = max(1, min(columns, len(entries)))
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)


def footnote(figure: Figure, sentences: Sequence[str]) -> None:
    """Small sentences below the figure, wrapped to its width."""
    width = int(figure.get_figwidth() * 20)
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, width, subsequent_indent="    ")]
    if lines:
        figure.supxlabel("\n".join(lines), fontsize=6.5, color=colours.SOFT_INK, x=0.01, ha="left")


SITE_NAMES = {"z": "", "pattern": "", "mlp_out": " MLP", "attn_bias": " attention bias"}


def short_site(name: str) -> str:
    """A site's name on an axis.

    >>> short_site("L0H1.z"), short_site("L1H2-3.v"), short_site("L0.mlp_out"), short_site("L1.resid_post at slot")
    ('L0H1', 'L1H2-3 v', 'L0 MLP', 'L1 resid post at slot')
    """
    component, at, role = name.partition(" at ")
    where, dot, part = component.partition(".")
    return where.replace("_", " ") + SITE_NAMES.get(part, dot and f" {part.replace('_', ' ')}") + at + role
