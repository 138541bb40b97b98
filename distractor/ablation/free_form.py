"""What models write where they answer freely: texts, the answers read from them, and the gap behind their reasoning.

Texts are kept as cells, one a condition, like scores. The quantity is the *distractor share*, the share of answers that
are the distractor's: another one than preference, which compares probabilities.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.models.source import Source, group_by_size
from distractor.progress import Advance
from distractor.scoring.behaviour import ONE_PLACE, refuse_steps
from distractor.scoring.free_answers import ANOTHER, OTHER_REASONING, Replies, Writer
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.groups import Mean, known_group_means, known_mean_interval
from distractor.statistics.shape_test import Shape, delta_of, judge
from distractor.text.task import Answer, Condition, Task

SHARES = ("distractor_share", "accuracy", "parsed", "another")
"""Shares of the texts with an answer: that give the distractor's, the right one, and one that was not offered; and, of
all texts, those with an answer."""


ENOUGH = 0.8
"""A size counts for the shape if so many of its texts in `conflict` have an answer: fewer are no sample of all."""


EXAMPLES = 5


@dataclass(frozen=True, eq=False)
class JudgedShare:
    """The shape of distractor share over size: of the sizes `used`, those `left_out` having too few answers.

    Groups of items count that have an answer everywhere. `why` says why there is no shape, where there is none.
    """

    shape: Shape | None
    used: tuple[int, ...]
    left_out: Mapping[int, float]
    groups: int
    why: str | None = None

    @property
    def label(self) -> str:
        """The shape's label, `undetermined` where there is none."""
        return self.shape.label if self.shape else "undetermined"


@dataclass(frozen=True, eq=False)
class FreeForm:
    """What all models wrote, the smallest first."""

    task: Task
    settings: Settings
    replies: tuple[Replies, ...] = field(default=())

    @cached_property
    def complete(self) -> Bool[ndarray, " item"]:
        """Which items every model was posed under every condition but `distractor_swapped`."""
        needed = [c is not Condition.DISTRACTOR_SWAPPED for c in self.task.conditions]
        is_complete: ndarray = np.all([one.posed[needed].all(0) for one in self.replies], axis=0)
        return is_complete

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The models of each size, the smallest first, as places in `replies`: see `group_by_size`."""
        return group_by_size(one.source for one in self.replies)

    def values(self, model: int, quantity: str, condition: Condition) -> Float[ndarray, " item"]:
        """A share's values of one model, item by item: 0 or 1, NaN where it is not defined."""
        row = self.task.conditions.index(condition)
        one, given = self.replies[model], self.replies[model].given[row]
        if quantity == "parsed":
            return np.where(one.posed[row], (~np.isnan(given)).astype(float), np.nan)
        wanted = {"distractor_share": Answer.DISTRACTOR, "another": ANOTHER, "accuracy": self.task.right.get(condition)}
        target = wanted[quantity]
        return np.where(np.isnan(given) | (target is None), np.nan, (given == target).astype(float))

    def mean(
        self,
        models: Sequence[int],
        quantity: str,
        condition: Condition,
        only: Bool[ndarray, " item"] | None = None,
    ) -> Mean | None:
        """Mean over the texts of some models with its 95 % interval over groups of items; None where none is defined."""
        rows = [self.values(model, quantity, condition) for model in models]
        return self._mean(rows, (0.0, 1.0), only)

    def gap(self, models: Sequence[int], behind: str, condition: Condition) -> Mean | None:
        """Mean logit gap behind the model's `own` or the `swapped` reasoning; of the items that have both."""
        row = self.task.conditions.index(condition)
        both = [np.isfinite(one.gaps["own"][row] + one.gaps["swapped"][row]) for one in self.replies]
        rows = [np.where(both[m], self.replies[m].gaps[behind][row], np.nan) for m in models]
        return self._mean(rows, None, None)

    def follows(self, models: Sequence[int]) -> dict[str, Mean | None]:
        """What the answer goes by, in nats, of items with all four gaps: {question, reasoning: …}, each with its interval.

        Two questions (`conflict`, `congruent`) are crossed with the two reasonings written on them. `question`: how much
        the gap is higher under the question in conflict, whatever the reasoning; `reasoning`: how much it is higher behind
        the reasoning written in conflict, whatever the question.
        """
        conditions = self.task.conditions
        if any(c not in conditions for c in OTHER_REASONING):
            return {"question": None, "reasoning": None}
        conflict, congruent = (conditions.index(c) for c in (Condition.CONFLICT, Condition.CONGRUENT))
        question, reasoning = [], []
        for model in models:
            own, swapped = (self.replies[model].gaps[name] for name in ("own", "swapped"))
            question.append((own[conflict] + swapped[conflict] - own[congruent] - swapped[congruent]) / 2)
            reasoning.append((own[conflict] - swapped[conflict] + swapped[congruent] - own[congruent]) / 2)
        return {"question": self._mean(question, None, None), "reasoning": self._mean(reasoning, None, None)}

    def _mean(
        self, rows: Sequence[ndarray], limits: tuple[float, float] | None, only: Bool[ndarray, " item"] | None
    ) -> Mean | None:
        used = self.complete if only is None else self.complete & only
        values = np.concatenate([row[used] for row in rows])
        groups = [item.group for item, is_used in zip(self.task.items, used, strict=True) if is_used] * len(rows)
        return known_mean_interval(values, groups, limits=limits)

    @cached_property
    def judged(self) -> JudgedShare:
        """The shape of distractor share in `conflict` over size."""
        conflict = Condition.CONFLICT
        parsed = {self._size(models): self.mean(models, "parsed", conflict) for models in self.sizes}
        kept = [m for m in self.sizes if (share := parsed[self._size(m)]) is not None and share.mean >= ENOUGH]
        used = tuple(self._size(models) for models in kept)
        left_out = {size: share.mean if share else 0.0 for size, share in parsed.items() if size not in used}
        seeds = sorted({one.source.seed or 0 for one in self.replies})
        if len(set(used)) < len(used):
            return JudgedShare(None, used, left_out, 0, ONE_PLACE)
        if len(used) < 3:
            why = f"sizes with an answer in {ENOUGH:.0%} of the texts: {len(used)}, where 3 are needed"
            return JudgedShare(None, used, left_out, 0, why)
        if any(sorted(self.replies[m].source.seed or 0 for m in models) != seeds for models in kept):
            return JudgedShare(None, used, left_out, 0, "not every seed has every size")
        groups = [item.group for item in self.task.items]
        table = np.full((len(seeds), len(kept), len(set(groups))), np.nan)
        for s, models in enumerate(kept):
            for model in models:
                values = self.values(model, "distractor_share", conflict)
                seed = seeds.index(self.replies[model].source.seed or 0)
                table[seed, s] = known_group_means(np.where(self.complete, values, np.nan), groups)
        whole = table[..., np.isfinite(table).all((0, 1))]
        try:
            shape = judge(whole, [float(size) for size in used], delta=delta_of("distractor_preference"))
        except ScalingError as error:
            return JudgedShare(None, used, left_out, whole.shape[-1], str(error))
        return JudgedShare(shape, used, left_out, whole.shape[-1])

    def unread(self, given: str | None = None) -> list[dict[str, Any]]:
        """Texts without an answer, or with `another`, as examples: at most five of each model and condition."""
        found: list[dict[str, Any]] = []
        for one in self.replies:
            for condition, row in one.texts.items():
                texts = [
                    (item.id, text)
                    for item, text in zip(self.task.items, row, strict=True)
                    if text is not None and text.given == given
                ]
                found += [
                    {"model": one.source.name, "condition": condition.value, "item": name, "why": text.why,
                     "answer": text.answer, "text": text.text}
                    for name, text in texts[:EXAMPLES]
                ]  # fmt: skip
        return found

    def _size(self, models: Sequence[int]) -> int:
        return self.replies[models[0]].source.n_params or 0


def answer_freely(
    task: Task,
    sources: Iterable[Source],
    *,
    store: Store,
    settings: Settings | None = None,
    advance: Advance = lambda _: None,
) -> FreeForm:
    """Let every model write its answer to every item under every condition; only what the store lacks is computed.

    The task's prompts must have been put in a format in which models write (`formats.shots.put`). Of chains of thought the
    gap is read behind the model's own reasoning and behind that of the other condition.

    Raises:
        DistractorError: a model, the task's text under it, or the store is not what it should be.

    """
    settings, sources = settings or Settings(), tuple(sources)
    if not task.format.is_free:
        raise ScalingError(f"the prompts of {task.name} are put for {task.format.scoring}, in which nothing is written")
    refuse_steps(sources)
    replies = []
    for source in sources:
        writer = Writer(task, source, store, settings)
        replies.append(writer.replies(advance))
    replies.sort(key=lambda one: (one.source.n_params or 0, one.source.seed or 0))
    found = FreeForm(task, settings, tuple(replies))
    if not found.complete.any():
        raise ScalingError(
            f"no item of {task.name} is posed to every model under every condition, so nothing can be compared"
        )
    return found
