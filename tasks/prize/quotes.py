"""Resisting Correction (Cavanagh, Gritsevskiy and Kauffman), in round 1 Quote Repetition: repeat a sentence unchanged.

    Repeat my sentences back to me.

    Input: All that glitters is not glib
    Output: All that glitters is not

The sentence is a quote with another ending, or has a mistake or an unusual word. The row is `conflict`; the started
sentence alone, without the text before it, is `distractor_only`.
"""

import re
from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..rows import Row

BEGIN = re.compile(r"[\n:][ \t]*|[.!?][ \t]+")
"""What a sentence may begin after: a new line, a label, another sentence."""

MARKS = "\"'“‘> "

END = re.compile(r"\w*[^\w\n]*(?:\n|$)")
"""What follows an answer that ends its sentence. An answer may be the first part of a word."""

NO_SENTENCE = "the prompt does not start an earlier sentence again"


def corrected(rows: Sequence[Row], source: str) -> Task:
    """Use rows that end in the start of an earlier sentence; other rows are left out and listed."""
    return _task(
        "resisting_correction", "Is an unusual sentence corrected although it should be repeated?", rows, source
    )


def repeated(rows: Sequence[Row], source: str) -> Task:
    """Use only rows whose earlier sentence ends in the true answer, as in altered quotes."""
    return _task(
        "quote_repetition", "Is an altered famous quote completed with its original ending?", rows, source, at_end=True
    )


def _task(name: str, question: str, rows: Sequence[Row], source: str, *, at_end: bool = False) -> Task:
    items: list[Item] = []
    left_out: dict[str, tuple[str, ...]] = {}
    for row in rows:
        found = start_of(row.prompt, row.true)
        if found is None or (at_end and not END.match(row.prompt, found[1])):
            reason = NO_SENTENCE if found is None else "the altered word does not end its sentence"
            left_out[reason] = (*left_out.get(reason, ()), f"row {row.index}")
            continue
        sentence = row.prompt[found[0] :]
        items.append(
            Item(
                id=f"resisting-correction/{row.index}",
                group=f"sentence: {' '.join(sentence.lower().split())}",
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt, Condition.DISTRACTOR_ONLY: sentence},
            )
        )
    return Task(
        name=name,
        question=question,
        items=tuple(items),
        source=source,
        starts_at_chance=False,
        left_out=left_out,
    )


def start_of(prompt: str, ending: str) -> tuple[int, int] | None:
    r"""Return where the started sentence at the end of a prompt begins, and where its earlier occurrence ends.

    None if it does not occur before, followed by `ending`.

    >>> prompt = "Input: All is well that ends loud\nOutput: All is well that ends"
    >>> begin, end = start_of(prompt, " loud")
    >>> prompt[begin:], prompt[:end]
    ('All is well that ends', 'Input: All is well that ends loud')
    """
    for place in BEGIN.finditer(prompt):
        sentence = prompt[place.end() :].lstrip(MARKS)
        if not sentence.strip():
            continue
        for whole in (sentence + ending, sentence.rstrip(" ") + ending):
            earlier = prompt.rfind(whole, 0, place.end())
            if earlier >= 0:
                return len(prompt) - len(sentence), earlier + len(whole)
    return None
