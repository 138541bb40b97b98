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


ON_DARK = {
    INK: "#ECECEA",
    SOFT_INK: "#B9B9B4",
    PAPER: "#161719",
    TRUE: "#56B4E9",
    DISTRACTOR: "#F28E2B",
    NEUTRAL: "#9A9A9A",
    PALE: "#3A3B3E",
    MISSING: "#2A2B2E",
    MARKED: "#5CC283",
    ATTENTION: "#3FBFAE",
    CONDITIONS[Condition.CONGRUENT]: "#33C199",
    CONDITIONS[Condition.DISTRACTOR_SWAPPED]: "#DD9CC0",
    SERIES[1]: "#5CC4B3",
    SERIES[2]: "#D46A9C",
    SERIES[3]: "#B8B84A",
    SERIES[4]: "#CF7CC4",
    SERIES[6]: "#DDCC77",
    DIFFICULTY[0]: "#3FA565",
    DIFFICULTY[1]: "#74C476",
    DIFFICULTY[2]: "#B9E3B4",
}
"""The colours of figures on a dark page."""

TEXT_ON_PAGE = {
    "surface": ("#F6F6F4", "#202225"),
    "link": ("#00558A", "#7CC4F0"),
    "on-true": ("#00558A", "#7CC4F0"),
    "on-distractor": ("#A34700", "#F6A95C"),
    "supported": ("#117733", "#5CC283"),
    "contradicted": ("#882255", "#E58FB3"),
    "undetermined": ("#555555", "#B9B9B4"),
}
"""Further colours of a page, light and dark: of surfaces, and of text, which needs more contrast than a curve."""

PAGE_NAMES = {
    INK: "ink", SOFT_INK: "soft-ink", PAPER: "paper", TRUE: "true", DISTRACTOR: "distractor", NEUTRAL: "neutral",
    PALE: "pale",
}  # fmt: skip
"""The colours of figures that the style sheet of a page uses by name."""


def page_palettes() -> tuple[dict[str, str], dict[str, str]]:
    """The colours of a page by the names of its style sheet, light and dark."""
    names = {colour: _page_name(colour) for colour in ON_DARK}
    light = {name: colour for colour, name in names.items()} | {name: one for name, (one, _) in TEXT_ON_PAGE.items()}
    dark = {name: ON_DARK[colour] for colour, name in names.items()}
    return light, dark | {name: other for name, (_, other) in TEXT_ON_PAGE.items()}


def in_page(text: str) -> str:
    """Replace each colour of ours in a style by that of the page, which follows the reader's light or dark mode.

    >>> in_page("fill: #0072b2; stroke: #123456")
    'fill: var(--true); stroke: #123456'
    """
    known = {colour.lower(): f"var(--{_page_name(colour)})" for colour in ON_DARK}
    return re.sub(r"#[0-9a-fA-F]{6}", lambda found: known.get(found[0].lower(), found[0]), text)


def _page_name(colour: str) -> str:
    return PAGE_NAMES.get(colour, f"c{colour[1:]}")
