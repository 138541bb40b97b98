"""Colours, markers and axes shared by all figures."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from distractor.numbers import number
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Okabe and Ito's colours, which readers of all kinds of sight can tell apart.
COLOURS = {
    Condition.CONFLICT: "#D55E00",
    Condition.CONGRUENT: "#009E73",
    Condition.DISTRACTOR_SWAPPED: "#CC79A7",
    Condition.DISTRACTOR_ONLY: "#E69F00",
    Condition.TRUE_ONLY: "#0072B2",
    Condition.NEUTRAL: "#7F7F7F",
}


MARKERS = dict(zip(Condition, "osD^vx", strict=True))


PULL_STYLES = {"true_pull": ("true pull T", "#0072B2", "v"), "distractor_pull": ("distractor pull D", "#D55E00", "o")}


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


LETTERS_AN_INCH = 13
"""How many letters of a figure's title fit into an inch."""


QUANTITY_TITLES = {
    "accuracy": "accuracy",
    "distractor_preference": "distractor preference",
    "logit_gap": "logit gap (nats)",
    "true_pull": "true pull T (nats)",
    "distractor_pull": "distractor pull D (nats)",
    "coverage": "coverage",
}


AXIS_TITLES = {
    "parameters": "parameters",
    "tokens": "training tokens",
    "flops": "training FLOPs",
    "step": "training step",
}


SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")


PART_COLOURS = ("#D55E00", "#7F7F7F", "#0072B2")  # hard, middle, easy


def literal(name: str) -> str:
    """A user's name, in which a dollar is no beginning of mathematics."""
    return name.replace("$", r"\$")


def headline(figure: Figure, text: str) -> None:
    """A title over the whole figure, in lines that fit its width and are about as long as each other."""
    width = int(figure.get_figwidth() * LETTERS_AN_INCH)

    def even(line: str) -> list[str]:
        fewest = len(textwrap.wrap(line, width))
        tried = (textwrap.wrap(line, narrow) for narrow in range(len(line) // fewest, width + 1))
        return next(lines for lines in tried if len(lines) == fewest)

    whole = text.replace(" %", "\u00a0%").splitlines()
    figure.suptitle("\n".join(part for line in whole for part in even(line)), fontsize=9)


def log_axis(axes: "Axes", sizes: Sequence[float], label: str) -> None:
    """A log axis; where a step of 0 is on it, linear below the first step. Short ones get few, short numbers."""
    axes.set_xlabel(label)
    if min(sizes) <= 0:
        axes.set_xscale("symlog", linthresh=sorted(sizes)[1])
        return
    axes.set_xscale("log")
    decades = np.log10(max(sizes) / min(sizes))
    if decades < 2:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 0.7 else range(1, 10)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def in_cell(value: float, reach: float) -> str:
    """A number as it is written into a cell of a map whose colours reach so far."""
    return number(value, 1 if reach >= 1 else 2)
