"""Into the Unknown: which of two pieces of information helps to answer a question?

    We know: The shop has two floors. Shoes are on the upper floor.

    Now, we want to infer whether shoes sell better in winter. Which of the following information would help the most?
    A. Shoes are on the upper floor.
    B. In January the shop sold 300 pairs.
    Answer:

B is right, and A repeats what is known. The row is `conflict`. Without the question, the known facts and the options are
`distractor_only`: nothing is asked, and only A occurs before.
"""

import re
from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..rows import Row
from .options import options_of

QUESTION = re.compile(r"(?:^|(?<=[.!?]\s))(?:Now\b|Q(?:uestion)?:)", re.MULTILINE)
PARAGRAPH = re.compile(r"\n+(?=[^\n]*\?[^\n]*\s*\Z)")
"""The start of a last line with a question mark."""


def repeated(rows: Sequence[Row], source: str) -> Task:
    """Use rows whose facts repeat the distractor's option alone; other rows are left out and listed."""
    items, left_out = [], []
    for row in rows:
        parts = without_question(row)
        if parts is None:
            left_out.append(f"row {row.index}")
            continue
        facts, prompt = parts
        items.append(
            Item(
                id=f"into-the-unknown/{row.index}",
                group=f"facts: {' '.join(facts.split())}",
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt, Condition.DISTRACTOR_ONLY: prompt},
            )
        )
    reason = "not facts that repeat the distractor's option alone, then a question and two options"
    return Task(
        name="into_the_unknown",
        question="Is known information chosen although new information would help?",
        items=tuple(items),
        source=source,
        left_out={reason: tuple(left_out)} if left_out else {},
    )


def without_question(row: Row) -> tuple[str, str] | None:
    """Return the facts, and the prompt without its question; None unless the facts repeat the distractor's option alone."""
    options = options_of(row)
    if (
        options is None
        or options.examples
        or "?" in options.tail.replace(options.true, "").replace(options.distractor, "")
    ):
        return None
    start = QUESTION.search(options.question) or PARAGRAPH.search(options.question)
    facts = options.question[: start.start()].rstrip() if start else ""
    if plain(options.distractor) not in plain(facts) or plain(options.true) in plain(facts):
        return None
    gap = options.question[len(options.question.rstrip()) :]
    return facts, f"{facts}{gap}{options.tail}"


def plain(text: str) -> str:
    """A text without capitals, outer punctuation and line breaks."""
    return " ".join(text.lower().split()).strip(" .,;:!?\"'“”")
