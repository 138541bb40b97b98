"""NeQA (Zhou and Zhang): multiple-choice questions with an added negation.

The row is `conflict`; without the negation it is `distractor_only`; in `congruent` an affirming word replaces the
negation (`isn't` becomes `is indeed`).
"""

import re
from collections.abc import Sequence

from distractor.text.task import Condition, Item, Task

from ..negation_qa import AFFIRMING
from ..rows import Row

NEGATION = re.compile(r" not\b|n't")
# An affirming word is the cue only if no negation follows, because some questions contain both.
AFFIRMED = rf"(?:{'|'.join(AFFIRMING)})\b(?![^\n]* not\b|[^\n]*n't)"
LAYOUT = (
    rf".*?\nQuestion: (?:(?P<opening>.*?)(?P<cue> not\b|n't|{AFFIRMED})(?P<ending>.*?)|(?P<question>.*?))"
    r"\nA\. (?P<first>.*?)\nB\. (?P<second>.*?)\nAnswer(?P<slot>:)"
)


def negated(rows: Sequence[Row], source: str) -> Task:
    """Use the rows as published.

    Rows without exactly one negation in the question are left out and listed: in two official rows the generator wrote a
    contraction into a word.
    """
    return _task("negation_qa", rows, source, orders=(False,))


def options_swapped(rows: Sequence[Row], source: str) -> Task:
    """Swap the two options, as a control for letter bias.

    An effect of letter bias turns its sign; an effect of the question does not.
    """
    return _task("negation_qa.options_swapped", rows, source, orders=(True,))


def both_orders(rows: Sequence[Row], source: str) -> Task:
    """Use each question in both orders, as one group: each letter is right equally often, so letter bias cancels."""
    return _task("negation_qa.both_orders", rows, source, orders=(False, True))


def _task(name: str, rows: Sequence[Row], source: str, orders: Sequence[bool]) -> Task:
    fitting = [row for row in rows if _fits(row)]
    left_out = tuple(f"row {row.index}" for row in rows if not _fits(row))
    return Task(
        name=name,
        question="Is a negated question answered as if there were no negation?",
        items=tuple(_item(row, is_swapped) for row in fitting for is_swapped in orders),
        source=source,
        layout=LAYOUT,
        left_out={"not exactly one negation in the question": left_out} if left_out else {},
    )


def _fits(row: Row) -> bool:
    _, question, _ = _parts(row)
    has_layout = re.fullmatch(LAYOUT, row.prompt, flags=re.DOTALL) is not None
    return has_layout and len(NEGATION.findall(question)) == 1 and row.classes == (" A", " B")


def _parts(row: Row) -> tuple[str, str, str]:
    """Split a row into the text before the question, the question, and the text after it."""
    head, mark, rest = row.prompt.partition("Question: ")
    question, letter, options = rest.partition("\nA. ")
    return head + mark, question, letter + options


def _item(row: Row, is_swapped: bool) -> Item:
    head, question, options = _parts(row)

    def ask(cue: str) -> str:
        text = head + NEGATION.sub(cue, question) + options
        return _swapped(text) if is_swapped else text

    affirmed, *reworded = (ask(cue) for cue in AFFIRMING)
    answers = (row.distractor, row.true) if is_swapped else (row.true, row.distractor)
    return Item(
        id=f"neqa/{row.index}{'/swapped' * is_swapped}",
        group=f"neqa/{row.index}",
        true=answers[0],
        distractor=answers[1],
        prompts={
            Condition.CONFLICT: _swapped(row.prompt) if is_swapped else row.prompt,
            Condition.CONGRUENT: affirmed,
            Condition.DISTRACTOR_ONLY: ask(""),
        },
        rewordings={Condition.CONGRUENT: tuple(reworded)},
    )


def _swapped(prompt: str) -> str:
    r"""Swap the two options of a prompt.

    >>> _swapped("Choose.\n\nQuestion: Ice is not\nA. cold\nB. hot\nAnswer:")
    'Choose.\n\nQuestion: Ice is not\nA. hot\nB. cold\nAnswer:'
    """
    match = re.fullmatch(LAYOUT, prompt, flags=re.DOTALL)
    assert match is not None, prompt
    (a, b), (c, d) = match.span("first"), match.span("second")
    return prompt[:a] + prompt[c:d] + prompt[b:c] + prompt[a:b] + prompt[d:]
