"""What is asked: a task is a list of items, an item is one question posed under several conditions.

Text only, no torch. A task holds a *true task* (what was asked) and an easier *distractor task* that the same text
invites. Each item has two fixed answers, one for each; they are the same two under every condition.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from types import MappingProxyType

from distractor.errors import TaskError
from distractor.text.format import Format


class Condition(StrEnum):
    """How an item is posed: which of the two cues, for the true task and for the distractor task, is there."""

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


ALIGNED = (Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED)
"""Conditions whose prompt has as many tokens as `conflict`, and differs from it in one cue only."""


RIGHT: Mapping[Condition, Answer | None] = MappingProxyType(
    {
        Condition.CONFLICT: Answer.TRUE,
        Condition.CONGRUENT: Answer.DISTRACTOR,
        Condition.DISTRACTOR_SWAPPED: Answer.TRUE,
        Condition.DISTRACTOR_ONLY: Answer.DISTRACTOR,
        Condition.TRUE_ONLY: Answer.TRUE,
        Condition.NEUTRAL: None,
    }
)
"""Which answer is right under each condition; None where neither is. A task may say otherwise for its own."""


@dataclass(frozen=True)
class Item:
    """One question under every condition, with its two answers.

    `true` and `distractor` continue a prompt as they are (mind the leading space). `group` is what errors are
    clustered by: items that share a fact are not independent. `rewordings` are further wordings of a prompt, for
    aligned conditions: the first wording with as many tokens as `conflict` is used. `reasons` are what a worked example
    says between prompt and answer, up to "The answer is", under the conditions that have one.
    """

    id: str
    group: str
    true: str
    distractor: str
    prompts: Mapping[Condition, str]
    rewordings: Mapping[Condition, tuple[str, ...]] = field(default_factory=dict)
    reasons: Mapping[Condition, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.true == self.distractor:
            raise TaskError(f"item {self.id}: the true and the distractor answer are both {self.true!r}")
        if Condition.CONFLICT not in self.prompts:
            raise TaskError(f"item {self.id} has no prompt for {Condition.CONFLICT}, which every item needs")

    @property
    def answers(self) -> tuple[str, str]:
        """The two answers in the order of the `answer` axis: true, distractor."""
        return self.true, self.distractor

    def retold(self, tell: Callable[[str], str]) -> "Item":
        """The same item with each of its prompts, in every wording, as `tell` tells it."""
        return replace(
            self,
            prompts={c: tell(prompt) for c, prompt in self.prompts.items()},
            rewordings={c: tuple(map(tell, prompts)) for c, prompts in self.rewordings.items()},
        )

    def wordings(self, condition: Condition) -> tuple[str, ...]:
        """The prompt under `condition` and its rewordings, the first choice first."""
        return self.prompts[condition], *self.rewordings.get(condition, ())


@dataclass(frozen=True)
class Task:
    """A named list of items. Any first part of `items` is itself balanced over answers.

    `layout` is a regular expression that matches a whole prompt under any condition; its named groups are the
    *roles* of the prompt's parts (`cue`, `first`, …), by which positions of different prompts are matched.
    `true_only_is_pure` says whether `true_only` holds nothing of the distractor task, so that it can serve as a control.
    `left_out` names what was not turned into items, and why: {reason: names}. `caution` is a sentence that whoever reads
    results of this task must know.

    For prompts of other formats: `lead` is what comes between a prompt and an answer that is said in a sentence, `closing`
    what ends an answered prompt, `with_options` the same task with its answers offered in the prompts or not. `format` is
    how the prompts have been put, and `fewer` the same with so many shots.
    """

    name: str
    question: str
    items: tuple[Item, ...]
    source: str
    layout: str | None = None
    right: Mapping[Condition, Answer | None] = field(default_factory=lambda: RIGHT)
    true_only_is_pure: bool = True
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    caution: str = ""
    lead: str = " The answer is"
    closing: str = ""
    with_options: "Callable[[bool], Task] | None" = field(default=None, compare=False, repr=False)
    format: Format = field(default_factory=Format)
    fewer: "Callable[[int], Task] | None" = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.items:
            raise TaskError(f"task {self.name!r} has no items")
        seen: set[str] = set()
        for item in self.items:
            if item.id in seen:
                raise TaskError(f"task {self.name!r} has two items called {item.id!r}; an item's id must be its own")
            seen.add(item.id)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that at least one item has, in the order of `Condition`."""
        return tuple(c for c in Condition if any(c in item.prompts for item in self.items))

    def take(self, count: int) -> "Task":
        """The first `count` items as a task of its own; all of them where there are fewer."""
        if count < 1:
            raise TaskError(f"{count} items were asked for; at least 1 is needed")
        return replace(self, items=self.items[:count])

    def fingerprint(self) -> str:
        """A hash of everything that a model is shown and scored by."""
        told = [
            [i.id, i.group, i.true, i.distractor, {c: i.wordings(c) for c in Condition if c in i.prompts}]
            for i in self.items
        ]
        right = {c: self.right.get(c) for c in Condition}
        text = json.dumps([self.name, self.layout, right, told], ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def roles(self, prompt: str) -> dict[str, tuple[int, int]]:
        """Where each role stands in `prompt`: {role: (first character, one past the last)}; empty without a layout."""
        match = re.fullmatch(self.layout, prompt, flags=re.DOTALL) if self.layout else None
        if match is None:
            return {}
        return {role: match.span(role) for role, text in match.groupdict().items() if text}
