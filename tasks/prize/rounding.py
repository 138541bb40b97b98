"""Sig Figs: round a number to significant figures.

    Please round 4.7261 to 2 significant figures.
    A. 4.7
    B. 4.73
    Answer:

A is right, and B is rounded to as many decimal places. The row is `conflict`. In `congruent` the question asks for decimal
places, so that B is right; arithmetic checks this in each row. Worked examples before the question stay.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from distractor.text.task import Condition, Item, Task

from ..rows import Row
from .options import options_of

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FIGURES = re.compile(
    rf"\b(?P<count>[0-9]{{1,2}}|{'|'.join(WORDS)})(?P<gap>[ -])"
    r"(?P<unit>(?:significant|sig\.?)[ -](?:figure|fig|digit)s?\b)",
    re.IGNORECASE,
)
NUMBER = re.compile(r"-?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)")
PLACES = (
    "decimal place",
    "decimal digit",
    "decimal",
    "place of decimal",
    "digit after the point",
    "digit after the decimal point",
)
"""Wordings of decimal places, so that one has as many tokens as the row's unit."""


def rounded(rows: Sequence[Row], source: str) -> Task:
    """Use rows whose last question has one number, and as other option its decimal places; others are left out, listed."""
    items, left_out = [], []
    for row in rows:
        item = _item(row)
        if item is None:
            left_out.append(f"row {row.index}")
        else:
            items.append(item)
    reason = "not one number to round, whose other option is the number at as many decimal places"
    return Task(
        name="sig_figs",
        question="Is a number rounded to decimal places instead of significant figures?",
        items=tuple(items),
        source=source,
        left_out={reason: tuple(left_out)} if left_out else {},
    )


def _item(row: Row) -> Item | None:
    """The item of a row; None if the rule does not fit."""
    options = options_of(row)
    units = list(FIGURES.finditer(options.question)) if options else []
    if options is None or len(units) != 1:
        return None
    (unit,), question = units, options.question
    numbers = NUMBER.findall(question[: unit.start()] + question[unit.end() :])
    count = unit["count"].lower()
    places = WORDS.index(count) + 1 if count in WORDS else int(count)
    right = at_places(numbers[0], places) if len(numbers) == 1 else ()
    if options.distractor.replace(",", "") not in right or options.true.replace(",", "") in right:
        return None

    def ask(wording: str) -> str:
        noun, space, rest = wording.partition(" after ")
        plural = "s" if unit["unit"].lower().endswith("s") else ""
        asked = f"{question[: unit.start('unit')]}{noun}{plural}{space}{rest}{question[unit.end('unit') :]}"
        return f"{options.examples}{asked}{options.tail}"

    congruent, *others = map(ask, PLACES)
    return Item(
        id=f"sig-figs/{row.index}",
        group=f"number: {numbers[0]}",
        true=row.true,
        distractor=row.distractor,
        prompts={Condition.CONFLICT: row.prompt, Condition.CONGRUENT: congruent},
        rewordings={Condition.CONGRUENT: tuple(others)},
    )


def at_places(number: str, places: int) -> tuple[str, ...]:
    """A number rounded to decimal places, halves up and halves to even.

    >>> at_places("4.125", 2), at_places("1,864", 1)
    (('4.13', '4.12'), ('1864.0', '1864.0'))
    """
    value, step = Decimal(number.replace(",", "")), Decimal(1).scaleb(-places)
    return tuple(str(value.quantize(step, rounding)) for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN))
