"""Quote Repetition, in the release Resisting Correction (Cavanagh, Gritsevskiy and Kauffman): repeat it unchanged.

    Repeat my sentences back to me.

    Input: All that glitters is not glib
    Output: All that glitters is not

The row is `conflict`; the started quote alone, without the text before it, is `distractor_only`.
"""

import re
from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..rows import Row

LINE = re.compile(r"\n(?P<label>\w+:[ \t]*)?")
"""The places where a quote may begin: at the start of a line, or after a label of one word."""

MARKS = "\"'“‘"


def repeated(rows: Sequence[Row], source: str) -> Task:
    """Use rows that end in the start of an earlier sentence; other rows are left out and listed."""
    items, left_out = [], []
    for row in rows:
        quote = quote_of(row.prompt, row.true)
        if quote is None:
            left_out.append(f"row {row.index}")
            continue
        items.append(
            Item(
                id=f"resisting-correction/{row.index}",
                group=f"quote: {' '.join(quote.lower().split())}",
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt, Condition.DISTRACTOR_ONLY: quote},
            )
        )
    return Task(
        name="quote_repetition",
        question="Is an altered famous quote completed with its original ending?",
        items=tuple(items),
        source=source,
        starts_at_chance=False,
        left_out={"the prompt does not start an earlier sentence again": tuple(left_out)} if left_out else {},
    )


def quote_of(prompt: str, ending: str) -> str | None:
    r"""Return the started sentence at the end of a prompt; None if it does not occur before, followed by `ending`.

    >>> quote_of("Input: All is well that ends loud\nOutput: All is well that ends", " loud")
    'All is well that ends'
    """
    for line in LINE.finditer(prompt):
        for start in (line.start() + 1, line.end()):
            quote = prompt[start:].lstrip(MARKS)
            if quote.strip() and quote + ending in prompt[:start]:
                return quote
    return None
