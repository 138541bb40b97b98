"""Repetitive Algebra (Tseng): a sum after worked examples, of which the last one has another answer.

    Q: Suppose 3 + 9 = k. What is the value of k? A: 12
    Q: Suppose 20 + -8 = m. What is the value of m? A: 12
    Q: Suppose 2 + 15 = n. What is the value of n? A: 17
    Q: Suppose 7 + 5 = x. What is the value of x? A:

12 is right, and 17 copies an example. The row is `conflict`, and the sum without the examples is `true_only`. In
`congruent` one number of the sum is another, so that the copied answer is right.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from distractor.text.task import Condition, Item, Task

from ..rows import Row

LABEL = re.compile(r"^Q(?:uestion)?: ", re.MULTILINE)
EXAMPLE = re.compile(r"\bA(?:nswer)?: *(\S+)\s*$", re.MULTILINE)
QUERY = re.compile(r"(?P<before>\D*?)(?P<first>-?\d+) (?P<sign>[+-]) (?P<second>-?\d+)(?P<after>\D*)", re.DOTALL)
LAYOUT = r"(?s)(?P<examples>.*\n)?Q(?:uestion)?: \D*?(?P<first>-?\d+) (?P<sign>[+-]) (?P<second>-?\d+)\D*(?P<slot>:)"

WORDINGS = 40
"""How many sums with the copied answer are tried, so that one has as many tokens as the row's sum."""


def copied(rows: Sequence[Row], source: str) -> Task:
    """Use rows with a sum after examples, one of which has the distractor's answer; others are left out and listed."""
    items, left_out = [], []
    for row in rows:
        item = _item(row)
        if item is None:
            left_out.append(f"row {row.index}")
        else:
            items.append(item)
    reason = "not a sum with the true answer, after examples that have the distractor's answer"
    return Task(
        name="repetitive_algebra",
        question="Is the answer of a worked example copied although the sum has another value?",
        items=tuple(items),
        source=source,
        layout=LAYOUT,
        caution="The other examples may have the true answer, so D is the net pull of all examples.",
        left_out={reason: tuple(left_out)} if left_out else {},
    )


def _item(row: Row) -> Item | None:
    """The item of a row; None if the rule does not fit."""
    starts = [match.start() for match in LABEL.finditer(row.prompt)]
    examples, query = (row.prompt[: starts[-1]], row.prompt[starts[-1] :]) if starts else ("", row.prompt)
    parts = QUERY.fullmatch(query)
    true, distractor = whole(row.true), whole(row.distractor)
    if parts is None or true is None or distractor is None or row.distractor.strip() not in EXAMPLE.findall(examples):
        return None
    factor = 1 if parts["sign"] == "+" else -1
    first, second = int(parts["first"]), int(parts["second"])
    if first + factor * second != true:
        return None

    def ask(one: int) -> str:
        """The row with the sum `one` and a number that gives the copied answer."""
        other = factor * (distractor - one)
        return f"{examples}{parts['before']}{one} {parts['sign']} {other}{parts['after']}"

    congruent, *others = map(ask, islice(_near(first, distractor - factor * second), WORDINGS))
    return Item(
        id=f"repetitive-algebra/{row.index}",
        group=f"sum: {first} {parts['sign']} {second}",
        true=row.true,
        distractor=row.distractor,
        prompts={
            Condition.CONFLICT: row.prompt,
            Condition.CONGRUENT: congruent,
            Condition.TRUE_ONLY: query,
        },
        rewordings={Condition.CONGRUENT: tuple(others)},
    )


def whole(answer: str) -> int | None:
    """An answer as a whole number; None if it is anything else.

    >>> whole(" -12"), whole(" twelve")
    (-12, None)
    """
    return int(answer) if re.fullmatch(r"\s*-?[0-9]{1,9}\s*", answer) else None


def _near(first: int, other_first: int) -> Iterator[int]:
    """First numbers of sums: the row's own, that which keeps the second number, then their neighbours."""
    near = (number for step in range(1, WORDINGS) for number in (first + step, first - step))
    yield from dict.fromkeys((first, other_first, *near))
