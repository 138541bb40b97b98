"""Pattern Matching Suppression: break off a pattern where the instruction says so.

    Generate a sequence of 6 symbols alternating between two symbols (A B) but ending unexpectedly.
    A, B, A, B, A,

The row is `conflict`; the sequence alone, without the instruction, is `distractor_only`.
"""

from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..rows import Row


def suppressed(rows: Sequence[Row], source: str) -> Task:
    """Use rows with a sequence below the instruction; other rows are left out and listed."""
    items, left_out = [], []
    for row in rows:
        instruction, _, sequence = row.prompt.rstrip("\n").rpartition("\n")
        if not instruction.strip() or not sequence.strip():
            left_out.append(f"row {row.index}")
            continue
        items.append(
            Item(
                id=f"pattern-matching-suppression/{row.index}",
                group=f"sequence: {' '.join(sequence.split())}",
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
        left_out={"there is no sequence below the instruction": tuple(left_out)} if left_out else {},
    )
