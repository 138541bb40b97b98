"""From a task to the same task in another format: worked examples before each question, a hint, options, turns of a chat.

The examples of an item are the same under each of its conditions, so that conditions differ in what is asked alone, and
prompts that were equally long stay so.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Literal, NamedTuple

from distractor.errors import TaskError
from distractor.text.format import Format, ShotKind
from distractor.text.task import Answer, Condition, Item, Task

TURN = "\x1e"
"""What parts the turns of a chat in a prompt, until a model's own template is put in its place."""


RARE = 0.1
"""A word in the items of at most this share of groups is rare: it may name what is asked about."""


POSED = {"congruent": Condition.CONGRUENT, "conflict": Condition.CONFLICT}


def put(task: Task, form: Format, pool: Task | None = None) -> Task:
    """The same items, their prompts put as `form` says; examples are drawn from `pool`, or else from the task itself.

    An example is never of the item's own group, nor what the item asks under any condition. It shares no rare word with
    the item either, where the pool allows of that, so that it says nothing about what is asked. The first examples of
    many are the ones that few would be.

    Raises:
        TaskError: the task has been put already, has no prompts with or without options or no such examples, or too few.

    """
    if task.format != Format():
        raise TaskError(
            f"the prompts of {task.name} are put as {task.format.label} already; begin with the task itself"
        )
    form = form.plain()
    if form == Format():
        return task
    pool = pool or task
    offered, drawn_from = (_offered(one, form) for one in (task, pool))
    shots = _Shots(drawn_from, form) if form.shots else None
    items = tuple(_put(item, offered, form, shots.of(item) if shots else ()) for item in offered.items)
    before = r"(?P<before>.*\n\n)?" if not (form.inline or form.chat) else None
    return replace(
        offered,
        items=items,
        layout=None if before is None or offered.layout is None else before + offered.layout,
        format=form,
        fewer=lambda count: put(task, replace(form, shots=count), pool),
        with_options=None,
    )


def worked(item: Item, kind: ShotKind, task: Task, form: Format) -> tuple[str, str]:
    """An item as an example: its prompt, and what is answered, with the reasoning before it in `cot`.

    Raises:
        TaskError: its reasoning is wanted, and not written.

    """
    condition = POSED[kind]
    prompt, answer = item.prompts[condition].rstrip(" "), item.answers[_right(task, condition)]
    if form.scoring == "cot":
        if condition not in item.reasons:
            raise TaskError(
                f"item {item.id} of {task.name} has no reasoning written for {condition}, which examples of a chain of "
                "thought need; take cot:0, or give the item `reasons`"
            )
        return prompt, f"{item.reasons[condition]}{_spaced(answer)}."
    if form.lead:
        return prompt, f"{task.lead}{_spaced(answer)}."
    return prompt, f"{_spaced(answer) if item.prompts[condition] == prompt else answer}{task.closing}"


def _right(task: Task, condition: Condition) -> Answer:
    """Which answer an example gives."""
    right = task.right.get(condition)
    if right is None:
        raise TaskError(f"{task.name} says of {condition} that no answer is right, so it cannot be an example")
    return right


def _spaced(answer: str) -> str:
    """With one space in front."""
    return f" {answer.strip()}" if answer[:1] != "\n" else answer


class _Example(NamedTuple):
    """What may be shown: an item of the pool, as it is posed and answered there, and every word that it holds."""

    item: Item
    prompt: str
    answer: str
    words: set[str]


class _Shots:
    """What examples can be drawn from, with what must not be shared with an item."""

    def __init__(self, pool: Task, form: Format) -> None:
        self.pool, self.form = pool, form
        self.kinds: tuple[Literal["congruent", "conflict"], ...] = (
            ("congruent", "conflict") if form.kind == "mixed" else (form.kind,)
        )
        words = [_words(item) for item in pool.items]
        self.examples: dict[ShotKind, list[_Example | None]] = {
            kind: self._examples(kind, words) for kind in self.kinds
        }
        self.answers: dict[ShotKind, set[str]] = {
            kind: {one.answer for one in every if one} for kind, every in self.examples.items()
        }
        groups: dict[str, set[str]] = {}
        for item, own in zip(pool.items, words, strict=True):
            groups.setdefault(item.group, set()).update(own)
        self.count = Counter(word for own in groups.values() for word in own)
        self.most = RARE * len(groups)

    def _examples(self, kind: ShotKind, words: Sequence[set[str]]) -> list[_Example | None]:
        """Each item of the pool as an example of a kind, in the pool's order; None where it is not posed so."""
        condition, pool = POSED[kind], self.pool
        if not any(condition in item.prompts for item in pool.items):
            raise TaskError(f"{pool.name} has no {condition} prompts to be {kind} shots; choose another kind")
        right = _right(pool, condition)
        return [
            _Example(item, item.prompts[condition], item.answers[right], own) if condition in item.prompts else None
            for item, own in zip(pool.items, words, strict=True)
        ]

    def of(self, item: Item) -> tuple[tuple[str, str], ...]:
        """The examples of an item, one after the other, their answers as evenly as can be."""
        rng = Random(f"shots/{self.form.seed}/{item.id}")
        order = sorted(range(len(self.pool.items)), key=[rng.random() for _ in self.pool.items].__getitem__)
        turn = int(rng.random() * len(self.kinds))
        asked = {text for condition in item.prompts for text in item.wordings(condition)}
        rare = {word for word in _words(item) if self.count[word] <= self.most}
        taken = {item.group}
        shown: list[tuple[str, str]] = []
        answered: Counter[str] = Counter()
        for place in range(self.form.shots):
            kind = self.kinds[(turn + place) % len(self.kinds)]
            fewest = min(answered[answer] for answer in self.answers[kind])
            best, least = None, None
            for one in (self.examples[kind][k] for k in order):
                if one is None or one.item.group in taken or one.prompt in asked:  # another group may pose the same
                    continue
                # Whether it contains what is asked, how many words that may tell what that is, how often it is answered so.
                tells = any(text in one.prompt for text in asked), len(rare & one.words), answered[one.answer]
                if least is None or tells < least:
                    best, least = one, tells
                if least == (False, 0, fewest):
                    break
            if best is None:
                raise TaskError(
                    f"{self.form.shots} {self.form.kind} shots were asked for, but for item {item.id} of {self.pool.name} "
                    f"there are {place} of other groups than its own; ask for fewer, or use more items"
                )
            taken.add(best.item.group)
            answered[best.answer] += 1
            shown.append(worked(best.item, kind, self.pool, self.form))
        return tuple(shown)


def _words(item: Item) -> set[str]:
    texts = [*item.answers, *(text for condition in item.prompts for text in item.wordings(condition))]
    return set(re.findall(r"\w+", " ".join(texts).lower()))


def _put(item: Item, task: Task, form: Format, shots: Sequence[tuple[str, str]]) -> Item:
    hint = f"{form.hint}\n\n" if form.hint else ""
    if form.chat:
        before = hint + "".join(f"{prompt}{TURN}{answer.strip()}{TURN}" for prompt, answer in shots)
    else:
        parted = " " if form.inline else "\n\n"
        before = hint + "".join(f"{prompt}{answer}{parted}" for prompt, answer in shots)
    return item.retold(partial(str.__add__, before))


def _offered(task: Task, form: Format) -> Task:
    """The task with options in its prompts or without, as `form` says."""
    if form.options is None:
        return task
    if task.with_options is None:
        has = "with" if form.options else "without"
        raise TaskError(f"{task.name} has no prompts {has} options; leave the options as they are")
    wanted = {item.id for item in task.items}
    whole = task.with_options(form.options)
    return replace(whole, items=tuple(item for item in whole.items if item.id in wanted))


def turns(prompt: str) -> Iterator[tuple[str, str]]:
    """The turns of a chat in a prompt, with who speaks.

    >>> list(turns(f"Is it?{TURN}Yes{TURN}And that?"))
    [('user', 'Is it?'), ('assistant', 'Yes'), ('user', 'And that?')]
    """
    for place, text in enumerate(prompt.split(TURN)):
        yield ("assistant" if place % 2 else "user"), text
