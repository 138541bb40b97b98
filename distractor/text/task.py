"""Tasks and items as text: one question under several conditions, each with the same two answers.

A task contains a *true task* (the instruction) and an easier *distractor task* that the same text invites.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from functools import cached_property
from random import Random
from typing import Any

from distractor.errors import TaskError
from distractor.text.format import Format


class Condition(StrEnum):
    """Which cues an item's prompt contains: that of the true task, that of the distractor task, or changed ones."""

    CONFLICT = "conflict"
    CONGRUENT = "congruent"
    DISTRACTOR_SWAPPED = "distractor_swapped"
    DISTRACTOR_ONLY = "distractor_only"
    TRUE_ONLY = "true_only"
    NEUTRAL = "neutral"


class Answer(IntEnum):
    """The position of each answer on every `answer` axis."""

    TRUE = 0
    DISTRACTOR = 1


ALIGNED = (Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED)  # as many tokens as `conflict`, with one cue changed
RIGHT: Mapping[Condition, Answer | None] = {
    Condition.CONFLICT: Answer.TRUE,
    Condition.CONGRUENT: Answer.DISTRACTOR,
    Condition.DISTRACTOR_SWAPPED: Answer.TRUE,
    Condition.DISTRACTOR_ONLY: Answer.DISTRACTOR,
    Condition.TRUE_ONLY: Answer.TRUE,
    Condition.NEUTRAL: None,
}
"""The right answer under each condition; None if neither is right. A task may override this in `Task.right`."""


def check_text(value: object, name: str, place: str, *, blank: bool = False) -> None:
    """Check that a value is text that a tokenizer accepts, and not blank unless `blank` allows it.

    Raises:
        TaskError: the value is not text, is blank, or holds a NUL character or a lone surrogate.
    """
    if not isinstance(value, str) or not (blank or value.strip()):
        shown = "nothing" if value is None or value == "" else f"{value!r:.60}"
        raise TaskError(f"{place}: {name} is {shown}; expected text")
    if "\0" in value:
        raise TaskError(f"{place}: {name} holds a NUL character; remove it")
    if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise TaskError(f"{place}: {name} holds half a character (a lone surrogate); write it as UTF-8")


@dataclass(frozen=True)
class Item:
    """One question under every condition, with its two answers.

    `true` and `distractor` continue the prompt directly, with a space where one is needed. `group` is the unit of
    resampling: items about the same fact share one. `rewordings` are alternative prompts for the aligned conditions;
    the first as long as `conflict` is used. `reasons` is the reasoning of a worked example, up to "The answer is".
    `more_answers` counts further answers that the source offers: they are not scored, so their probability is lost coverage.
    """

    id: str
    group: str
    true: str
    distractor: str
    prompts: Mapping[Condition, str]
    rewordings: Mapping[Condition, tuple[str, ...]] = field(default_factory=dict)
    reasons: Mapping[Condition, str] = field(default_factory=dict)
    more_answers: int = 0

    def __post_init__(self) -> None:
        for name in ("id", "group", "true", "distractor"):
            check_text(getattr(self, name), name, f"item {self.id!r:.60}")
        for condition, texts in self.prompts.items():
            if not isinstance(condition, Condition):
                raise TaskError(
                    f"item {self.id}: {condition!r:.60} is no condition; use distractor.text.task.Condition"
                )
            for text in (texts, *self.rewordings.get(condition, ())):
                check_text(text, f"the prompt for {condition}", f"item {self.id}", blank=True)
        if self.true == self.distractor:
            raise TaskError(f"item {self.id}: the true and the distractor answer are both {self.true!r}")
        if Condition.CONFLICT not in self.prompts:
            raise TaskError(f"item {self.id} has no prompt for {Condition.CONFLICT}, which every item needs")

    @property
    def answers(self) -> tuple[str, str]:
        """The two answers in the order of the `answer` axis: true, distractor."""
        return self.true, self.distractor

    def map_prompts(self, change: Callable[[str], str]) -> "Item":
        """Return the item with `change` applied to every wording of every prompt."""
        prompts = {c: change(prompt) for c, prompt in self.prompts.items()}
        rewordings = {c: tuple(map(change, prompts)) for c, prompts in self.rewordings.items()}
        return replace(self, prompts=prompts, rewordings=rewordings)

    def wordings(self, condition: Condition) -> tuple[str, ...]:
        """The prompt under `condition`, followed by its rewordings."""
        return self.prompts[condition], *self.rewordings.get(condition, ())


@dataclass(frozen=True)
class _Known:
    """A task as a function that returns it."""

    task: "Task"

    def __call__(self) -> "Task":
        return self.task


@dataclass(frozen=True)
class Task:
    """A named list of items, in which every initial part is balanced over the answers.

    `layout` is a regular expression that matches every prompt. Its named groups are the *roles* of the prompt's parts
    (`cue`, `first`, …); roles match positions between prompts. `true_only_is_pure` says that `true_only` contains
    nothing of the distractor task and can serve as a control. `distractor_only_is_pure` says that `distractor_only` differs
    from `neutral` by the distractor's cue alone. `starts_at_chance` is False where small models copy: they are right in
    `conflict` before they know the distractor task. `left_out` lists source rows that gave no item:
    {reason: names}. `caution` is a sentence that every report of this task repeats. `official` is the published
    name of the official file that the rows come from (`neqa`, `truthful_qa`); empty for all other tasks. Such rows must not
    be changed, so those whose answers a tokenizer cannot score apart are dropped and counted, and are no error.

    The other fields describe prompt formats. `lead` comes between prompt and answer if the answer is a sentence.
    `closing` ends an answered prompt. `format` is the current format. `with_options` returns the task with or without
    its answers in the prompts; `with_shots` returns it with another number of worked examples, and `bare` for ranking without
    any. `cue_alone` returns the task with other `distractor_only` prompts, see `with_cue_alone`.
    """

    name: str
    question: str
    items: tuple[Item, ...]
    source: str
    layout: str | None = None
    right: Mapping[Condition, Answer | None] = field(default_factory=lambda: RIGHT)
    true_only_is_pure: bool = True
    distractor_only_is_pure: bool = True
    starts_at_chance: bool = True
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    caution: str = ""
    official: str = ""
    lead: str = " The answer is"
    closing: str = ""
    with_options: "Callable[[bool], Task] | None" = field(default=None, compare=False, repr=False)
    format: Format = field(default_factory=Format)
    with_shots: "Callable[[int], Task] | None" = field(default=None, compare=False, repr=False)
    bare: "Callable[[], Task] | None" = field(default=None, compare=False, repr=False)
    cue_alone: "Callable[[], Task] | None" = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("name", "question", "source"):
            check_text(getattr(self, name), name, f"task {self.name!r:.60}")
        if not self.name.isprintable():
            raise TaskError(f"task {self.name!r:.60}: its name holds control characters; choose another name")
        if not all(isinstance(item, Item) for item in self.items):
            raise TaskError(f"task {self.name!r} has items that are no distractor.text.task.Item")
        if not self.items:
            raise TaskError(f"task {self.name!r} has no items")
        (common, count), *_ = Counter(item.id for item in self.items).most_common(1)
        if count > 1:
            raise TaskError(f"task {self.name!r} has two items called {common!r}; give every item its own id")

    def __getstate__(self) -> dict[str, Any]:
        """What other processes get. Their tasks are formatted already, so `with_options` is not needed."""
        return {**self.__dict__, "with_options": None, "cue_alone": self._known_cue_alone}

    @cached_property
    def _known_cue_alone(self) -> "Callable[[], Task] | None":
        return None if self.cue_alone is None else _Known(self.cue_alone())

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions of at least one item, in the order of `Condition`."""
        return tuple(c for c in Condition if any(c in item.prompts for item in self.items))

    @property
    def limits(self) -> str:
        """What the conditions do not allow; empty if nothing."""
        if self.conditions == (Condition.CONFLICT,):
            return f"no conditions: {'scored as published; ' * bool(self.official)}no pulls"
        return "" if Condition.CONGRUENT in self.conditions else f"no pulls without {Condition.CONGRUENT} prompts"

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """The task's own caution, how many of its items have answers that are not scored, and `limits`."""
        count = sum(item.more_answers > 0 for item in self.items)
        most = 2 + max(item.more_answers for item in self.items)
        sentences = (
            self.caution,
            f"{count:,} of {len(self.items):,} items have more than two answers (up to {most}): the right one and the "
            "distractor's are scored, and the probability of the others is lost coverage."
            if count
            else "",
            f"{self.limits[0].upper()}{self.limits[1:]}." if self.limits else "",
        )
        return tuple(filter(None, sentences))

    def take(self, count: int) -> "Task":
        """Return the task with its first `count` items, or with all if it has fewer."""
        if count < 1:
            raise TaskError(f"asked for {count} items; ask for at least 1")
        return replace(self, items=self.items[:count])

    def sample(self, count: int) -> "Task":
        """Return the task with `count` random items, always the same, in their order; with all if it has fewer."""
        if count < 1:
            raise TaskError(f"asked for {count} items; ask for at least 1")
        chosen = sorted(Random(0).sample(range(len(self.items)), min(count, len(self.items))))
        return replace(self, items=tuple(self.items[index] for index in chosen))

    def with_cue_alone(self) -> "Task":
        """Return the task whose `distractor_only` differs from `neutral` by the distractor's cue alone, if there is one.

        Otherwise, and if this task is so already, return it unchanged.
        """
        if self.cue_alone is None or self.format != Format():
            return self
        alone = {item.id: item.prompts[Condition.DISTRACTOR_ONLY] for item in self.cue_alone().items}
        items = tuple(
            replace(item, prompts={**item.prompts, Condition.DISTRACTOR_ONLY: alone[item.id]}) for item in self.items
        )
        return replace(self, items=items, distractor_only_is_pure=True, cue_alone=None)

    def fingerprint(self) -> str:
        """A hash of everything that a model sees and is scored by."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        items = [
            [i.id, i.group, i.true, i.distractor, {c: i.wordings(c) for c in Condition if c in i.prompts}]
            for i in self.items
        ]
        right = {c: self.right.get(c) for c in Condition}
        text = json.dumps([self.name, self.layout, right, items], ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def roles(self, prompt: str) -> dict[str, tuple[int, int]]:
        """The span of each role in `prompt`, {role: (start, end)} in characters; empty if no layout matches."""
        match = re.fullmatch(self.layout, prompt, flags=re.DOTALL) if self.layout else None
        return {role: match.span(role) for role, text in match.groupdict().items() if text} if match else {}
