"""Parses model sizes as people write them: 70000000, 7e7, 70M, 70M/seed1."""

import re
from functools import lru_cache

from distractor.statistics.curve import Size

SIZE = re.compile(
    r"(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?P<unit>[kKmMbBtT]?)(?:/seed(?P<seed>\d{1,18}))?", re.ASCII
)
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}

LARGEST = 1e40
"""Larger sizes and values are refused: no model or score is so large, and the judgement needs their fourth power."""

EXACT = 2**53  # up to this number, a float represents every whole number


@lru_cache  # a table has many rows and few sizes
def parse_size(text: str) -> tuple[Size, int | None] | None:
    """Parse a size and, if given, a seed; None if `text` is not a size.

    >>> parse_size("1.5B/seed2"), parse_size("70M"), parse_size("results")
    ((1500000000, 2), (70000000, None), None)
    """
    match = SIZE.fullmatch(text.strip())
    if match is None:
        return None
    size = float(match["number"]) * UNITS[match["unit"].lower()]
    if size and not 1 / LARGEST < size < LARGEST:
        return None
    seed = None if match["seed"] is None else int(match["seed"])
    return (round(size) if 1 <= size <= EXACT and abs(size - round(size)) < 1e-6 else size), seed
