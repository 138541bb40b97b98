"""The colour of each meaning, in all figures and in the terminal. No other module names a colour.

Orange is the distractor task, its cue and its answer. Blue is the true task, its cue and its answer. Nothing else is orange
or blue. Colours are safe for colour-blind readers (palettes of Okabe and Ito, and of Tol).
"""

import re

from distractor.text.task import Condition

TRUE = "#0072B2"
DISTRACTOR = "#D55E00"
NEUTRAL = "#7F7F7F"  # neither: the condition without a task, controls, sites that did not change

INK = "#000000"  # text, axes, intervals, and curves that belong to both tasks
SOFT_INK = "#444444"  # small text beside a figure
PAPER = "#FFFFFF"
PALE = "#DDDDDD"  # what noise alone would give
MISSING = "#E8E8E8"  # cells without a value

CONDITIONS = {
    Condition.CONFLICT: INK,
    Condition.CONGRUENT: "#009E73",
    Condition.DISTRACTOR_SWAPPED: "#CC79A7",
    Condition.DISTRACTOR_ONLY: DISTRACTOR,
    Condition.TRUE_ONLY: TRUE,
    Condition.NEUTRAL: NEUTRAL,
}

QUANTITIES = {
    "accuracy": TRUE,
    "true_pull": TRUE,
    "distractor_preference": DISTRACTOR,
    "distractor_share": DISTRACTOR,
    "distractor_pull": DISTRACTOR,
}
"""Curves of one answer or task. Other quantities, such as the logit gap, belong to both: see `of_quantity`."""

ANSWERS = (DISTRACTOR, PAPER, TRUE)
"""The scale of heat maps, from what supports the distractor's answer to what supports the true answer."""

SERIES = (INK, "#44AA99", "#882255", "#999933", "#AA4499", "#117733", "#DDCC77", NEUTRAL)
"""Models, formats, groups of items and other series without an answer of their own."""

MARKED = "#117733"  # what changed, or passes a test
ATTENTION = "#2A9D8F"
DIFFICULTY = ("#00441B", "#238B45", "#74C476")  # hard, middle, easy


def of_quantity(quantity: str) -> str:
    """The colour of the curve of a quantity.

    >>> of_quantity("true_pull") == TRUE, of_quantity("logit_gap") == INK
    (True, True)
    """
    return QUANTITIES.get(quantity, INK)


LIGHT_PAGE = {
    "ink": INK,
    "soft-ink": SOFT_INK,
    "paper": PAPER,
    "true": TRUE,
    "distractor": DISTRACTOR,
    "neutral": NEUTRAL,
    "pale": PALE,
    "marked": MARKED,
    "congruent": "#009E73",
    "swapped": "#CC79A7",
    "surface": "#F6F6F4",
    "link": "#00558A",
    "on-true": "#00558A",
    "on-distractor": "#A34700",
    "supported": "#117733",
    "contradicted": "#882255",
    "undetermined": "#555555",
}
"""The colours of a page by the names that its style sheet uses; "on-…" are those of text."""

DARK_PAGE = LIGHT_PAGE | {
    "ink": "#ECECEA",
    "soft-ink": "#B9B9B4",
    "paper": "#161719",
    "true": "#56B4E9",
    "distractor": "#F28E2B",
    "neutral": "#9A9A9A",
    "pale": "#3A3B3E",
    "marked": "#5CC283",
    "congruent": "#33C199",
    "swapped": "#DD9CC0",
    "surface": "#202225",
    "link": "#7CC4F0",
    "on-true": "#7CC4F0",
    "on-distractor": "#F6A95C",
    "supported": "#5CC283",
    "contradicted": "#E58FB3",
    "undetermined": "#B9B9B4",
}

IN_PAGE = {value.lower(): f"var(--{name})" for name, value in reversed(list(LIGHT_PAGE.items())[:10])}


def in_page(text: str) -> str:
    """Replace each colour of ours in a style by that of the page, which follows the reader's light or dark mode.

    >>> in_page("fill: #0072b2; stroke: #123456")
    'fill: var(--true); stroke: #123456'
    """
    return re.sub(r"#[0-9a-fA-F]{6}", lambda found: IN_PAGE.get(found[0].lower(), found[0]), text)
