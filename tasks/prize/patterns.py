"""Pattern Matching Suppression (Korbak): break off a pattern where the instruction says so.

    Generate a sequence of 6 symbols alternating between two symbols (A B) but ending unexpectedly.
    A, B, A, B, A,

The row is `conflict`; the sequence alone, without the instruction, is `distractor_only`. Templates differ: the sequence
may be on the same line as the instruction. So the two answers, by turns, say where it begins.
"""

from collections.abc import Sequence
from itertools import cycle, product

from distractor.text.task import Condition, Item, Task

from ..rows import Row

WIDEST = 8
"""The longest separator of two symbols, in characters."""


def suppressed(rows: Sequence[Row], source: str) -> Task:
    """Use rows that end in both answers by turns; other rows are left out and listed."""
    items, left_out = [], []
    for row in rows:
        true, distractor = row.true.strip(), row.distractor.strip()
        sequence = sequence_of(row.prompt, true, distractor)
        if sequence is None:
            left_out.append(f"row {row.index}")
            continue
        items.append(
            Item(
                id=f"pattern-matching-suppression/{row.index}",
                group=f"pattern: {' '.join(sorted((true, distractor)))}",
                true=row.true,
                distractor=row.distractor,
                prompts={Condition.CONFLICT: row.prompt, Condition.DISTRACTOR_ONLY: sequence},
            )
        )
    return Task(
        name="pattern_matching",
        question="Is a pattern continued although the instruction says to break it?",
        items=tuple(items),
        source=source,
        left_out={"no instruction, then both answers by turns up to the true one": tuple(left_out)} if left_out else {},
    )


def sequence_of(prompt: str, last: str, following: str) -> str | None:
    r"""Return the sequence at the end of a prompt that has the symbols `last` and `following` by turns.

    It ends in `last`, so that `following` continues it. None if it has fewer than three symbols, or no text before it.

    >>> sequence_of("Six symbols (A B), but end unexpectedly:\nA, B, A, B, A,", "A", "B")
    'A, B, A, B, A,'
    """
    for after, width in product(range(WIDEST + 1), repeat=2):
        start = len(prompt) - after - len(last)
        separator = prompt[max(0, start - width) : max(0, start)]
        if prompt[max(0, start) :][: len(last)] != last or not separator.startswith(
            prompt[start + len(last) :].rstrip()
        ):
            continue
        count = 1
        for symbol in cycle((following, last)):
            if not prompt[:start].endswith(symbol + separator):
                break
            start -= len(symbol + separator)
            count += 1
        begins_in_word = prompt[start - 1 : start].isalnum() and prompt[start].isalnum()
        if count >= 3 and not begins_in_word and prompt[:start].strip():
            return prompt[start:]
    return None
