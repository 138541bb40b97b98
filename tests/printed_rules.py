"""Reads printed rules and numbers as a reader would: from the text alone."""

import re
from collections.abc import Sequence

NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


def read(numbers: str) -> list[float]:
    """The numbers of a text, such as "0.39 [0.19, 0.55]"."""
    return [float(number) for number in re.findall(NUMBER, numbers)]


def answer(rule: str, numbers: Sequence[float]) -> str:
    """What a rule in words, or in the short form of the table, says about an estimate and its interval."""
    limits = read(rule)
    if "at most" in rule or "≤" in rule:
        (share,), (most,) = numbers, limits
        return "yes" if share <= most else "no"
    _, low, high = numbers
    if "from" in rule or " to " in rule:
        lowest, highest = limits
        return "yes" if lowest <= low and high <= highest else "no" if high < lowest or low > highest else "unclear"
    is_no_first = rule.startswith("no") or "no:" in rule
    if is_no_first and rule.startswith("no"):
        below, above = limits
    elif is_no_first:
        above, below = limits
    else:
        above = below = limits[0]
    return "no" if high < below else "yes" if low > above else "unclear"
