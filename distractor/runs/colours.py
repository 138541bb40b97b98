"""The colour of each meaning, in all figures and in the terminal. No other module names a colour.

Orange is the distractor task, its cue and its answer. Blue is the true task, its cue and its answer. Nothing else is orange
or blue. Colours are safe for colour-blind readers (palettes of Okabe and Ito, and of Tol).
"""

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
