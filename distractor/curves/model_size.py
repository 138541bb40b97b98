"""Parses model sizes as people write them: 70000000, 7e7, 70M, 70 million, 70M/seed1, pythia-70m."""

import re
from functools import lru_cache

from distractor.statistics.curve import Size

SIZE = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|\d{1,3}(?:,\d{3})+) ?"
    r"(?P<unit>(?:[kmbt]n?|thousand|million|billion|trillion)?)(?: param(?:eter)?s)?(?:/seed(?P<seed>\d{1,18}))?",
    re.ASCII | re.IGNORECASE,
)
IN_NAME = re.compile(r"(?<![A-Za-z0-9.])(?:\d+_)?\d+(?:\.\d+)?[mb](?![A-Za-z0-9])", re.ASCII | re.IGNORECASE)
"""A size in a model's name; 1_6b may be 6b or 1.6b, so it is none. Thousands are left out: the 4k of Phi-3-mini-4k is the
length of its context.
"""

SEED = re.compile(r"[-_/]seed[-_]?(\d{1,18})(?!\d)", re.ASCII | re.IGNORECASE)
STEP = re.compile(r"(?<![A-Za-z])step[-_]?(\d{1,15})(?![\dA-Za-z])", re.ASCII | re.IGNORECASE)
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
UNIT_WORDS = {"k": "thousands", "m": "millions", "b": "billions", "t": "trillions"}

LARGEST = 1e40
"""Larger sizes and values are refused: no model or score is so large, and the judgement needs their fourth power."""

FEWEST, MOST = 1000, 1e15
"""A number of parameters outside is taken for a number without its unit."""

EXACT = 2**53  # up to this number, a float represents every whole number


def parse_size(text: str) -> tuple[Size, int | None] | None:
    """Parse a size and, if given, a seed; None if `text` is not a size.

    >>> parse_size("1.5B/seed2"), parse_size("70M"), parse_size("results")
    ((1500000000, 2), (70000000, None), None)
    """
    match = SIZE.fullmatch(text.strip())
    if match is None:
        return None
    size = float(match["number"].replace(",", "")) * UNITS[match["unit"].lower()[:1]]
    if size and not 1 / LARGEST < size < LARGEST:
        return None
    seed = None if match["seed"] is None else int(match["seed"])
    return _exact(size), seed


@lru_cache  # a table has many rows and few sizes
def parse_model(
    text: str, axis: str = "parameters", unit: str = "", *, is_count: bool = False
) -> tuple[Size, int | None]:
    """The place on `axis` and the seed of a model; `unit` is the one in the header of the column.

    With `is_count`, a small number is a number of parameters; otherwise it may be one without its unit.

    Raises ValueError, with the rest of a sentence for the user, if `text` has no size, several, or one without a unit.

    >>> parse_model("EleutherAI/pythia-1.4b-seed3"), parse_model("7", unit="b"), parse_model("step1000", "step")
    ((1400000000, 3), (7000000000, None), (1000, None))
    """
    parsed = parse_size(text)
    if parsed is None or (axis == "parameters" and not parsed[0]):
        found = steps_in(text) if axis == "step" else sizes_in(text) if axis == "parameters" else ()
        if len(found) > 1:
            raise ValueError(f"names several sizes: {text!r}; write one, such as 70M")
        if not found:
            example = {"parameters": "70000000, 7e7, 70M or pythia-70m", "step": "1000 or step1000"}
            raise ValueError(f"must be a size ({example.get(axis, '1000000, 1e6 or 1M')}), not {text!r}")
        return found[0], seed_in(text)
    size, seed = parsed
    match = SIZE.fullmatch(text.strip())
    own = match["unit"].lower()[:1] if match else ""
    if own and unit and own != unit:
        raise ValueError(f"is {text!r}, but its header says {UNIT_WORDS[unit]}; use one unit")
    if unit and not own:
        size = _exact(size * UNITS[unit])
    if axis == "parameters" and not own and not is_count and not FEWEST <= size <= MOST:
        raise ValueError(
            f"is {text}, which would be {size:,.15g} parameters; does it mean billions? Write {text}B (M for millions, K for "
            'thousands), or name the column "size (B)"'
        )
    return size, seed


def sizes_in(name: str) -> tuple[Size, ...]:
    """The different sizes that a model's name contains.

    >>> sizes_in("Llama-2-7b-hf"), sizes_in("Mixtral-8x7B"), sizes_in("1B-105b")
    ((7000000000,), (), (1000000000, 105000000000))
    """
    found = IN_NAME.findall(name)
    if any("_" in text for text in found):
        return ()
    return tuple(dict.fromkeys(_exact(float(text[:-1]) * UNITS[text[-1].lower()]) for text in found))


def steps_in(name: str) -> tuple[Size, ...]:
    """The training steps that the name of a checkpoint contains, as in pythia-70m-step1000."""
    return tuple(dict.fromkeys(int(step) for step in STEP.findall(name)))


def seed_in(name: str) -> int | None:
    """The seed that a model's name contains, as in pythia-70m-seed3; None without one."""
    match = SEED.search(name)
    return int(match[1]) if match else None


def family_in(name: str) -> str | None:
    """A model's name without its size, seed, step and folder; None if it contains no size.

    >>> family_in("EleutherAI/pythia-70m-deduped"), family_in("facebook/opt-1.3b"), family_in("gpt2")
    ('pythia-*-deduped', 'opt-*', None)
    """
    name = re.split(r"[/\\]|__", name.rstrip("/"))[-1]
    if not sizes_in(name):
        return None
    family = IN_NAME.sub("*", STEP.sub("", SEED.sub("", name))).rstrip("-_").lower()
    return None if family == "*" else family


def _exact(size: float) -> Size:
    """A whole number as an int, as far as a float is exact."""
    return round(size) if 1 <= size <= EXACT and abs(size - round(size)) < 1e-6 else size
