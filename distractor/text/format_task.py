"""Writes a task in another prompt format: worked examples before each question, a hint, options, or chat turns.

An item has the same examples under every condition, so that conditions differ only in the question.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, NamedTuple

from distractor.errors import TaskError
from distractor.text.format import Format
from distractor.text.task import Condition, Item, Task

TURN = "\x1e"  # separates the turns of a chat in a prompt, until the tokenizer's template replaces it
RARE = 0.1  # a word is rare if at most this share of groups contains it; a rare word can hint at the answer
SHOT_CONDITIONS = {"congruent": Condition.CONGRUENT, "conflict": Condition.CONFLICT}


def format_task(task: Task, form: Format, pool: Task | None = None) -> Task:
    """Return the task with its prompts in the format `form`; examples are drawn from `pool`, by default the task itself.

    An example never comes from the item's own group and never shows one of the item's prompts. If the pool allows, it
    shares no rare word with the item. The first n examples are the same for every number of shots from n on.

    Raises:
        TaskError: the task already has a format, has no prompts with or without options, or has too few examples.
    """
    if task.format != Format():
        raise TaskError(
            f"the prompts of {task.name} already have the format {task.format.label}; use the original task"
        )
    form, pool = form.plain(), pool or task
    if form == Format():
        return task
    plain, drawn_from = (_set_options(source, form) for source in (task, pool))
    examples = _Examples(drawn_from, form) if form.shots else None
    items = tuple(_prepend(item, form, examples.draw(item) if examples else ()) for item in plain.items)
    has_layout = plain.layout and not (form.inline or form.chat)
    layout = rf"(?P<before>.*\n\n)?{plain.layout}" if has_layout else None

    again = partial(_format_again, task, form, pool)
    bare = partial(again, scoring="rank", shots=0, limit=None)
    return replace(plain, items=items, layout=layout, format=form, with_shots=again, bare=bare, with_options=None)


def _format_again(task: Task, form: Format, pool: Task, shots: int, **changes: Any) -> Task:
    """The task in another format, with examples from the same pool."""
    return format_task(task, replace(form, shots=shots, **changes), pool)


def chat_turns(prompt: str) -> Iterator[tuple[str, str]]:
    """Yield the role and text of each chat turn in a prompt.

    >>> list(chat_turns(f"Is it?{TURN}Yes{TURN}And that?"))
    [('user', 'Is it?'), ('assistant', 'Yes'), ('user', 'And that?')]
    """
    for index, text in enumerate(prompt.split(TURN)):
        yield ("assistant" if index % 2 else "user"), text


def last_question(prompt: str, form: Format) -> str:
    r"""The question of a prompt without its worked examples; with `inline`, which joins them by spaces, the whole prompt.

    >>> last_question("Is it?\nYes\n\nAnd that?", Format(shots=1))
    'And that?'
    """
    if not form.shots or form.inline:
        return prompt
    return prompt.rpartition(TURN if form.chat else "\n\n")[2]


class _Example(NamedTuple):
    """An item of the pool as a candidate example: its prompt, its right answer and all its words."""

    item: Item
    prompt: str
    answer: str
    words: set[str]


class _Examples:
    """The candidate examples of a pool, and how to draw some for an item."""

    def __init__(self, pool: Task, form: Format) -> None:
        self.pool, self.form = pool, form
        self.kinds = ("congruent", "conflict") if form.kind == "mixed" else (form.kind,)
        words = [_words(item) for item in pool.items]
        self.candidates = {kind: self._candidates(kind, words) for kind in self.kinds}
        self.answers = {k: {example.answer for example in each if example} for k, each in self.candidates.items()}
        group_words: dict[str, set[str]] = {}
        for item, own in zip(pool.items, words, strict=True):
            group_words.setdefault(item.group, set()).update(own)
        self.groups_with = Counter(word for own in group_words.values() for word in own)
        self.rare_count = RARE * len(group_words)

    def _candidates(self, kind: str, words: Sequence[set[str]]) -> list[_Example | None]:
        """One entry for each item of the pool, in order; None if it has no prompt of this kind."""
        condition, pool = SHOT_CONDITIONS[kind], self.pool
        if not any(condition in item.prompts for item in pool.items):
            raise TaskError(f"{pool.name} has no {condition} prompts for {kind} shots; choose another kind")
        if (right := pool.right.get(condition)) is None:
            raise TaskError(f"{pool.name} has no right answer under {condition}; choose another kind of shots")
        return [
            _Example(item, item.prompts[condition], item.answers[right], own) if condition in item.prompts else None
            for item, own in zip(pool.items, words, strict=True)
        ]

    def draw(self, item: Item) -> tuple[tuple[str, str], ...]:
        """Return the examples of an item as (prompt, answer), with balanced answers."""
        rng = Random(f"shots/{self.form.seed}/{item.id}")
        order = sorted(range(len(self.pool.items)), key=[rng.random() for _ in self.pool.items].__getitem__)
        first_kind = int(rng.random() * len(self.kinds))
        questions = {text for condition in item.prompts for text in item.wordings(condition)}
        rare = {word for word in _words(item) if self.groups_with[word] <= self.rare_count}
        used_groups = {item.group}
        shots: list[tuple[str, str]] = []
        answered: Counter[str] = Counter()
        for index in range(self.form.shots):
            kind = self.kinds[(first_kind + index) % len(self.kinds)]
            fewest = min(answered[answer] for answer in self.answers[kind])
            best, best_cost = None, None
            for example in (self.candidates[kind][k] for k in order):
                # Another group may ask the same question.
                if example is None or example.item.group in used_groups or example.prompt in questions:
                    continue
                # The costs, largest first: the example contains the question, shares rare words, or has a frequent
                # answer.
                contains_question = any(text in example.prompt for text in questions)
                cost = contains_question, len(rare & example.words), answered[example.answer]
                if best_cost is None or cost < best_cost:
                    best, best_cost = example, cost
                if best_cost == (False, 0, fewest):
                    break
            if best is None:
                raise TaskError(
                    f"asked for {self.form.shots} {self.form.kind} shots, but other groups of {self.pool.name} give only "
                    f"{index} for item {item.id}; ask for fewer, or use more items"
                )
            used_groups.add(best.item.group)
            answered[best.answer] += 1
            shots.append(self._worked(best, SHOT_CONDITIONS[kind]))
        return tuple(shots)

    def _worked(self, example: _Example, condition: Condition) -> tuple[str, str]:
        """The prompt, and the answer that follows it; in `cot` the answer follows its reasoning."""
        item, task, answer = example.item, self.pool, example.answer
        prompt = example.prompt.rstrip(" ")
        spaced = f" {answer.strip()}" if answer[:1] != "\n" else answer
        if self.form.scoring == "cot":
            if condition not in item.reasons:
                raise TaskError(
                    f"item {item.id} of {task.name} has no reasoning for {condition}, which cot examples show; use cot:0, "
                    "or give the item `reasons`"
                )
            return prompt, f"{item.reasons[condition]}{spaced}."
        if self.form.lead:
            return prompt, f"{task.lead}{spaced}."
        return prompt, f"{spaced if example.prompt == prompt else answer}{task.closing}"


def _words(item: Item) -> set[str]:
    texts = [*item.answers, *(text for condition in item.prompts for text in item.wordings(condition))]
    return set(re.findall(r"\w+", " ".join(texts).lower()))


def _prepend(item: Item, form: Format, shots: Sequence[tuple[str, str]]) -> Item:
    """Return the item with hint and examples before each of its prompts."""
    if form.chat:
        examples = "".join(f"{prompt}{TURN}{answer.strip()}{TURN}" for prompt, answer in shots)
    else:
        separator = " " if form.inline else "\n\n"
        examples = "".join(f"{prompt}{answer}{separator}" for prompt, answer in shots)
    return item.map_prompts(partial(str.__add__, (f"{form.hint}\n\n" if form.hint else "") + examples))


def _set_options(task: Task, form: Format) -> Task:
    """Return the task with or without options in its prompts, as `form` says."""
    if form.options is None:
        return task
    if task.with_options is None:
        kind = "with" if form.options else "without"
        raise TaskError(f"{task.name} has no prompts {kind} options; leave out the options setting")
    ids = {item.id for item in task.items}
    whole = task.with_options(form.options)
    return replace(whole, items=tuple(item for item in whole.items if item.id in ids))
