"""Contextual against parametric knowledge: a context in which another name has taken the place of the answer.

    Believe the context.

    Question: who wrote the opera fidelio?
    Context: Fidelio is the only opera of Joe Smith.
    Answer:

`Joe Smith` is right, and the answer from memory is the distractor's. The question alone, without the instruction and the
context, is `distractor_only`. The variant `context_restored` adds `congruent`: the answer from memory is put back into the
context, wherever the other name is. The data are those of Longpre et al. 2021 (arXiv 2109.05052).
"""

import re
from dataclasses import replace

from distractor.text.task import Condition, Item, Task

from .document import Document, Example

NAME = "contextual_parametric_knowledge_conflicts"
RESTORED = f"{NAME}.context_restored"
CONTEXT = "\nContext: "

LAYOUT = (
    r"(?:(?P<instruction>[^\n]+)\n\s*)?Question: (?P<question>[^\n]*)\n(?:Context: (?P<context>.*)\n)?Answer(?P<slot>:)"
)

ONE_ANSWER = "it has one answer"
ALIKE = "one answer begins with the other"
OTHER_LENGTH = "the answers differ in their number of words"

FREQUENCY = (
    "There is no neutral prompt, so D also holds how much likelier the remembered name is than the other in any text."
)


def as_published(document: Document, source: str) -> Task:
    """Use every example whose answers can be told apart; the others are left out and listed."""
    return _task(document, source, NAME)


def context_restored(document: Document, source: str) -> Task:
    """Use the examples whose answers have equally many words, so that most pairs can have equally many tokens."""
    return _task(document, source, RESTORED)


def _task(document: Document, source: str, name: str) -> Task:
    is_restored = name == RESTORED
    items: list[Item] = []
    left_out: dict[str, list[str]] = {}
    for example in document.examples:
        if reason := _unfit(example, is_restored=is_restored):
            left_out.setdefault(reason, []).append(f"example {example.index}")
            continue
        (true,), (distractor,) = example.right, example.false
        question, _, context = example.input.partition(CONTEXT)
        prompts = {
            Condition.CONFLICT: document.prompt(example),
            Condition.DISTRACTOR_ONLY: question.lstrip("\n") + document.output_prefix,
        }
        if is_restored:
            restored = question + CONTEXT + _replaced(context, true, distractor)
            prompts[Condition.CONGRUENT] = document.prompt(replace(example, input=restored))
        items.append(
            Item(
                id=f"{NAME}/{example.index}",
                group=question.strip(),
                true=true,
                distractor=distractor,
                prompts=prompts,
            )
        )
    return Task(
        name=name,
        question="Is an answer from memory given although the context says otherwise?",
        items=tuple(items),
        source=source,
        layout=LAYOUT,
        starts_at_chance=False,
        left_out={reason: tuple(names) for reason, names in left_out.items()},
        caution=FREQUENCY if is_restored else "",
    )


def _unfit(example: Example, *, is_restored: bool) -> str | None:
    """Why an example gives no item; None if it gives one."""
    if len(example.right) != 1 or len(example.false) != 1:
        return ONE_ANSWER
    (true,), (distractor,) = example.right, example.false
    if true.startswith(distractor) or distractor.startswith(true):
        return ALIKE
    if is_restored and len(re.split(r"\s+", true)) != len(re.split(r"\s+", distractor)):
        return OTHER_LENGTH
    return None


def _replaced(text: str, name: str, other: str) -> str:
    """The text with another name, but not within words.

    >>> _replaced("Ann and Annie", "Ann", "Eve")
    'Eve and Annie'
    """
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda _: other, text)
