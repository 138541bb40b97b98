"""Markers, axes and titles shared by all figures; their colours are in `colours.py`."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

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
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": True,  # no frame is drawn, but lines behind the text are pale
    "legend.edgecolor": "none",
    "legend.facecolor": colours.PAPER,
    "legend.framealpha": 0.8,
    "legend.fancybox": False,
    "svg.hashsalt": "distractor",
    "svg.fonttype": "none",
}
LETTERS_PER_INCH = 13  # how many letters of a figure's title fit one inch
FEW_SIZES = 4  # so many sizes have a tick each, if they are apart
APART = 0.25  # of the axis
LEAST_EFFECT = 0.5  # nats; scales of sites' effects reach at least as far on both sides
MANY_BANDS = 0.09  # how opaque the bands of many curves in one panel are
SEEDS = "single seeds"  # the name of dots in a legend

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

    Few sizes have a tick each. Values read 70M or 1B; those of more than 1,000T, such as FLOPs, are powers of ten.
    """
    axes.set_xlabel(label)
    in_words = FuncFormatter(lambda value, _: in_units(value))
    if min(sizes) <= 0:
        first = sorted(sizes)[1]
        decades = max(1, int(np.ceil(np.log10(max(sizes) / first))))
        every = -(-decades // 4)
        axes.set_xscale("symlog", linthresh=first)
        ticks = [10.0**power for power in range(int(np.ceil(np.log10(first))), int(np.log10(max(sizes))) + 1, every)]
        axes.set_xticks([0, *ticks], ["0", *map(in_units, ticks)])
        return
    axes.set_xscale("log")
    places = np.log10(np.unique(sizes))
    decades = places[-1] - places[0]
    if len(places) == 1:
        axes.set_xlim(sizes[0] / 3, sizes[0] * 3)
    if len(places) <= FEW_SIZES and max(sizes) < 1e15 and np.diff(places).min(initial=decades) >= APART * decades:
        axes.set_xticks(sorted(set(sizes)), [in_units(size) for size in sorted(set(sizes))])
        axes.xaxis.set_minor_locator(NullLocator())
        return
    if decades < 4:
        close = (1, 2, 3, 5, 7) if decades < 0.7 else (1, 2, 5)
        axes.xaxis.set_major_locator(LogLocator(subs=close if decades < 2 else (1, 3)))
    if max(sizes) < 1e15:
        axes.xaxis.set_major_formatter(in_words)
    axes.xaxis.set_minor_formatter(NullFormatter())


def in_cell(value: float, reach: float) -> str:
    """Format a number in a cell of a heat map whose colour scale ends at `reach`."""
    return number(value, 1 if reach >= 1 else 2)


def line_with_band(
    axes: Axes,
    x: Sequence[float],
    mean: Sequence[Any],
    label: str | None,
    colour: str,
    marker: str,
    style: str = "-",
    alpha: float = 0.18,
) -> None:
    """A line of means with a band for their intervals; `mean` is (mean, low, high), each one value per `x`."""
    middle, low, high = mean
    axes.plot(x, middle, color=colour, marker=marker, ms=4, lw=1.4, ls=style, label=label)
    axes.fill_between(x, low, high, color=colour, alpha=alpha, lw=0)


def reference_line(axes: Axes, value: float, *, vertical: bool = False) -> None:
    """A thin dotted line at a value of reference, such as 0 or chance."""
    (axes.axvline if vertical else axes.axhline)(value, color=colours.INK, lw=0.8, ls=":", zorder=0)


def share_axis(axes: "Axes") -> None:
    """Limit the y axis to shares, with a reference line at one half."""
    axes.set_ylim(-0.03, 1.03)
    reference_line(axes, 0.5)


def widen_to(axes: Axes, least: float = 1.0, *, horizontal: bool = False) -> None:
    """Extend the limits of an axis, in nats by default, to at least -`least` to `least`, so that noise looks like nothing."""
    low, high = axes.get_xlim() if horizontal else axes.get_ylim()
    (axes.set_xlim if horizontal else axes.set_ylim)(min(low, -least), max(high, least))


def legend_inside(axes: Axes, **options: Any) -> None:
    """A legend inside a panel, if the panel has anything to name."""
    if entries := _entries([axes]):
        axes.legend(list(entries.values()), list(entries), **{"loc": "best", **options})


def legend_below(figure: Figure, panels: "Sequence[Axes]", columns: int = 8) -> None:
    """One legend below the figure, of at most so many columns, and as many as fit its width."""
    entries = _entries(panels)
    widest = 0.7 + max(map(len, entries), default=0) / LETTERS_PER_INCH
    columns = max(1, min(columns, len(entries), int(figure.get_figwidth() / widest)))
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)


def _entries(panels: "Sequence[Axes]") -> dict[str, Any]:
    """Each label of the panels once, with what it names; seeds come last."""
    named = [pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    return {label: handle for handle, label in sorted(named, key=lambda pair: pair[1].startswith(SEEDS))}


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
