"""Quote Repetition, in the release Resisting Correction (Cavanagh, Gritsevskiy and Kauffman): say it as it stands.

    Repeat my sentences back to me.

    Input: All that glitters is not glib
    Output: All that glitters is not

The row is `conflict`; the quote as far as it is begun, without what was said before, is `distractor_only`.
"""

import re
from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..rows import Row

LINE = re.compile(r"\n(?P<label>\w+:[ \t]*)?")
"""Where a quote may begin: at the start of a line, or behind a label of one word."""

MARKS = "\"'“‘"


def repeated(rows: Sequence[Row], source: str) -> Task:
    """Rows in which no sentence is begun again that was said before, altered end included, are left out and named."""
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
        question="Is a famous sentence finished as it is known, though an altered one was to be repeated?",
        items=tuple(items),
        source=source,
        left_out={"no sentence is begun that was said before": tuple(left_out)} if left_out else {},
    )


def quote_of(prompt: str, ending: str) -> str | None:
    r"""The sentence that is begun at the end of a prompt; None where it was not said before, with the `ending`.

    >>> quote_of("Input: All is well that ends loud\nOutput: All is well that ends", " loud")
    'All is well that ends'
    """
    for line in LINE.finditer(prompt):
        for start in (line.start() + 1, line.end()):
            quote = prompt[start:].lstrip(MARKS)
            if quote.strip() and quote + ending in prompt[:start]:
                return quote
    return None
