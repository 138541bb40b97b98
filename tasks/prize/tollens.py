"""Modus Tollens (Huang and Wurgaft): does a conclusion follow from two statements?

    Consider the following statements:
    1. If Ann has a boat, then Ann has a sail.
    2. Ann doesn't have a sail.
    Conclusion: Therefore, Ann doesn't have a boat.
    Question: Is the conclusion correct?
    Answer:

The row is `conflict`. A larger model imitates people, who get this wrong; no part of the text is the cue of this error. So
there is no prompt of the distractor task alone. Without the statements, the question is `neutral`: neither answer is right.
"""

import re
from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..rows import Row

CONCLUSION = re.compile(r"^[ \t]*Conclusion\b", re.MULTILINE)


def inferred(rows: Sequence[Row], source: str) -> Task:
    """Use rows with one conclusion after statements; other rows are left out and listed."""
    items, left_out = [], []
    for row in rows:
        starts = [match.start() for match in CONCLUSION.finditer(row.prompt)]
        if len(starts) != 1 or not row.prompt[: starts[0]].strip():
            left_out.append(f"row {row.index}")
            continue
        unfounded = row.prompt[starts[0] :].lstrip(" \t")
        items.append(
            Item(
                id=f"modus-tollens/{row.index}",
                group=" ".join(unfounded.split()),
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt, Condition.NEUTRAL: unfounded},
            )
        )
    return Task(
        name="modus_tollens",
        question="Is a valid conclusion called wrong?",
        items=tuple(items),
        source=source,
        left_out={"not exactly one conclusion after statements": tuple(left_out)} if left_out else {},
    )
