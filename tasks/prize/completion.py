"""The beginning of a row, and its next words: as the row has them, and with two parts exchanged.

A row names its two options (NeQA) or the two branches of its bet (Hindsight Neglect) in a random order. So the other order
is a paraphrase, and as likely to someone who does not know the row. Exchangeability as the null of a test for contamination:
Oren et al. 2023 (arXiv 2310.17623), there of the order of rows.
"""

import re

from distractor.errors import TaskError
from distractor.text.task import Condition, Item, Task

from . import hindsight, neqa

FROM_ANOTHER_SET = (
    "The questions come from OpenBookQA: a model may know the order of their options from there, without this file."
)


def completions(task: Task) -> Task:
    r"""Return a task whose prompts are beginnings; the "true" answer is the row's next words, the other the exchanged ones.

    >>> rows = "Choose.\n\nQuestion: Ice is not\nA. cold\nB. hot\nAnswer:"
    >>> item = Item("1", "1", " B", " A", {Condition.CONFLICT: rows})
    >>> made, = completions(Task("rows", "?", (item,), "here")).items
    >>> made.prompts[Condition.CONFLICT], made.true, made.distractor
    ('Choose.\n\nQuestion: Ice is not\nA.', ' cold\nB. hot', ' hot\nB. cold')

    Raises:
        TaskError: an item has neither options nor a bet.
    """
    items = [_completion(item) for item in task.items]
    has_options = any(item.true.strip() in "AB" for item in task.items)
    return Task(
        name=f"{task.name}.next_words",
        question="Does the model know in which order the row goes on?",
        items=tuple(items),
        source=task.source,
        caution=FROM_ANOTHER_SET if has_options and task.official else "",
    )


def _completion(item: Item) -> Item:
    prompt = item.prompts[Condition.CONFLICT]
    (start, end), (other, last) = _exchangeable(item, prompt)
    first, between, second = prompt[start:end], prompt[end:other], prompt[other:last]
    return Item(
        id=item.id,
        group=item.group,
        true=f" {first}{between}{second}",
        distractor=f" {second}{between}{first}",
        prompts={Condition.CONFLICT: prompt[:start].removesuffix(" ")},
    )


def _exchangeable(item: Item, prompt: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """The spans of the two parts whose order is random."""
    if options := re.fullmatch(neqa.LAYOUT, prompt, flags=re.DOTALL):
        return options.span("first"), options.span("second")
    if bet := hindsight.QUERY.fullmatch(prompt, max(prompt.rfind("Question: "), 0)):
        return (bet.start("odds_1"), bet.end("amount_1")), (bet.start("odds_2"), bet.end("amount_2"))
    raise TaskError(
        f"item {item.id}: the prompt has neither two options nor two branches of a bet, whose order is random"
    )
