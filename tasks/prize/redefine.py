"""Redefine (Shen): a question about a sign, a number or a word with a new meaning.

    Redefine π as 462. Q: What is the first digit of π? A:

The row is `conflict`; the question without the text before it is `distractor_only`.
"""

import re
from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..rows import Row

LABEL = re.compile(r"(?:^|(?<=\s))Q(?:uestion)?: ")
SENTENCE = re.compile(r"(?<=[.!;:])\s+|\n+")


def redefined(rows: Sequence[Row], source: str) -> Task:
    """Use rows with one question after a redefinition; other rows are left out and listed."""
    items, left_out = [], []
    for row in rows:
        question = question_of(row.prompt)
        if question is None:
            left_out.append(f"row {row.index}")
            continue
        items.append(
            Item(
                id=f"redefine/{row.index}",
                group=f"redefine: {question if re.search(r'[0-9]', question) else row.prompt}",
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt, Condition.DISTRACTOR_ONLY: question},
            )
        )
    return Task(
        name="redefine_math",
        question="Is a redefined sign, number or word read in its usual meaning?",
        items=tuple(items),
        source=source,
        left_out={"not exactly one question after a redefinition": tuple(left_out)} if left_out else {},
    )


def question_of(prompt: str) -> str | None:
    """Return the question without the text before it; None unless there is one question with a text before it.

    The question begins at its label (Q: or Question:). Without a label, it is the sentence with the only question mark.

    >>> question_of("View + as the digit 5. Q: What is the first digit of 2+7? A:")
    'Q: What is the first digit of 2+7? A:'
    >>> question_of("Redefine tall as short. Is a tower tall?")
    'Is a tower tall?'
    """
    starts = [match.start() for match in LABEL.finditer(prompt)]
    if not starts and prompt.count("?") == 1:
        starts = [match.end() for match in SENTENCE.finditer(prompt, 0, prompt.index("?"))][-1:]
    return prompt[starts[0] :] if len(starts) == 1 and prompt[: starts[0]].strip() else None
