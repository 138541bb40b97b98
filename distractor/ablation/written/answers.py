"""Computes written answers: what models write, which answer it contains, and the logit gap after their reasoning.

The main quantity is the *distractor share*: the share of answers that are the distractor's. It differs from distractor
preference, which compares probabilities. Texts are stored as cells, one for each condition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.ablation.ablate import NO_COMPLETE_ITEM
from distractor.ablation.bare import bare_accuracy
from distractor.errors import ScalingError
from distractor.models.source import Source
from distractor.published.curves import Published
from distractor.scoring.behaviour import SAME_SIZE_AND_SEED, TaskResult, refuse_several_steps
from distractor.scoring.requests import compute_first
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.written_answers import ANOTHER, OTHER_REASONING, Replies, TextRequest
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.group_values import count_items, group_values
from distractor.statistics.intervals import MIN_SEEDS, Mean, known_interval_of_models, known_mean_interval
from distractor.statistics.shape_test import Shape, delta_of, judge
from distractor.statistics.standard_errors import effective_groups
from distractor.text.task import Answer, Condition, Task

SHARES = ("distractor_share", "accuracy", "parsed", "another")
"""`parsed` is the share of texts with an answer. The others are shares of those: the distractor's answer, the right
answer, and an answer that was not offered."""

MIN_PARSED = 0.8  # a size counts for the shape if at least this share of its texts in `conflict` has an answer

EXAMPLES = 5


@dataclass(frozen=True, eq=False)
class JudgedShare:
    """The shape of distractor share over the sizes `used`; the sizes `left_out` have too few answers.

    Items with an answer at no used size of a seed do not count. `why` gives the reason if there is no shape.
    """

    shape: Shape | None
    used: tuple[int, ...]
    left_out: Mapping[int, float]
    groups: int
    why: str | None = None

    @property
    def label(self) -> str:
        """The shape's label; `undetermined` if there is no shape."""
        return self.shape.label if self.shape else "undetermined"


@dataclass(frozen=True, eq=False)
class WrittenResult(TaskResult):
    """The replies of all models, smallest first. `bare` and `published` are as in `AblationResult`."""

    replies: tuple[Replies, ...]
    bare: Float[ndarray, " item"] | None = None
    published: tuple[Published, ...] = ()

    @cached_property
    def complete(self) -> Bool[ndarray, " item"]:
        """Whether each item was shown to every model under every condition except `distractor_swapped`."""
        needed = [c is not Condition.DISTRACTOR_SWAPPED for c in self.task.conditions]
        return np.all([replies.shown[needed].all(0) for replies in self.replies], axis=0)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The models, in the order of `replies`."""
        return tuple(replies.source for replies in self.replies)

    @property
    def half_precision(self) -> Mapping[str, Mapping[str, Any] | None]:
        """See `TaskResult`."""
        return {replies.source.name: replies.half_precision for replies in self.replies}

    def item_values(self, model: int, quantity: str, condition: Condition) -> Float[ndarray, " item"]:
        """A share's values of one model, item by item: 0 or 1, and NaN where it is not defined."""
        if condition not in self.task.conditions:
            return np.full(len(self.task.items), np.nan)
        row = self.task.conditions.index(condition)
        given = self.replies[model].given[row]
        if quantity == "parsed":
            return np.where(self.replies[model].shown[row], (~np.isnan(given)).astype(float), np.nan)
        counted = {
            "distractor_share": Answer.DISTRACTOR,
            "another": ANOTHER,
            "accuracy": self.task.right.get(condition),
        }
        target = counted[quantity]
        return np.where(np.isnan(given) | (target is None), np.nan, (given == target).astype(float))

    def mean(
        self, models: Sequence[int], quantity: str, condition: Condition, only: Bool[ndarray, " item"] | None = None
    ) -> Mean | None:
        """Mean over the texts of some models, with the 95 % interval of `interval_level`; None if it is not defined."""
        rows = [self.item_values(model, quantity, condition) for model in models]
        return self._mean(rows, (0.0, 1.0), only)

    def gap(self, models: Sequence[int], reasoning: str, condition: Condition) -> Mean | None:
        """Mean logit gap after the model's `own` or the `swapped` reasoning, over items that have both."""
        row = self.task.conditions.index(condition)
        rows = []
        for model in models:
            gaps = self.replies[model].gaps
            rows.append(np.where(np.isfinite(gaps["own"][row] + gaps["swapped"][row]), gaps[reasoning][row], np.nan))
        return self._mean(rows)

    def follows(self, models: Sequence[int]) -> dict[str, Mean | None]:
        """How much the logit gap follows the `question` and how much the `reasoning`, in nats, with intervals.

        Both questions (`conflict`, `congruent`) are crossed with both reasonings. Each effect is the gap under `conflict`
        minus the gap under `congruent`, averaged over the other factor. Only items with all four gaps count.
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
        return {"question": self._mean(question), "reasoning": self._mean(reasoning)}

    def _mean(
        self,
        rows: Sequence[ndarray],
        limits: tuple[float, float] | None = None,
        only: Bool[ndarray, " item"] | None = None,
    ) -> Mean | None:
        used = self.complete if only is None else self.complete & only
        if self.interval_level == 2 and len(rows) >= MIN_SEEDS:
            return known_interval_of_models(np.where(used, rows, np.nan), self.group_numbers, limits=limits)
        values = np.concatenate([row[used] for row in rows])
        groups = np.tile(self.group_numbers[used], len(rows))
        return known_mean_interval(values, groups, limits=limits)

    @cached_property
    def judged(self) -> JudgedShare:
        """The shape of distractor share in `conflict` over size."""
        if self.why_mixed:
            return JudgedShare(None, (), {}, 0, self.why_mixed)
        conflict = Condition.CONFLICT
        parsed = {models: self.mean(models, "parsed", conflict) for models in self.sizes}
        kept = [models for models, share in parsed.items() if share is not None and share.mean >= MIN_PARSED]
        size_of = dict(zip(self.sizes, self.n_params, strict=True))
        used = tuple(size_of[models] for models in kept)
        shares = {size_of[models]: share.mean if share else 0.0 for models, share in parsed.items()}
        left_out = {size: share for size, share in shares.items() if size not in used}
        seeds = sorted({source.seed or 0 for source in self.sources})
        if len(set(used)) < len(used):
            return JudgedShare(None, used, left_out, 0, SAME_SIZE_AND_SEED)
        if len(used) < MIN_SIZES:
            why = f"only {len(used)} sizes have an answer in {MIN_PARSED:.0%} of the texts; {MIN_SIZES} are needed"
            return JudgedShare(None, used, left_out, 0, why)
        if any(sorted(self.sources[model].seed or 0 for model in models) != seeds for models in kept):
            return JudgedShare(None, used, left_out, 0, "not every seed has every size")
        per_item = np.full((len(seeds), len(kept), len(self.groups)), np.nan)
        for index, models in enumerate(kept):
            for model in models:
                values = np.where(self.complete, self.item_values(model, "distractor_share", conflict), np.nan)
                per_item[seeds.index(self.sources[model].seed or 0), index] = values
        is_answered = (~np.isnan(per_item)).any(1).all(0)
        groups = self.group_numbers[is_answered]
        n_groups = len(set(groups.tolist()))
        try:
            table = group_values(per_item[..., is_answered], groups)
            shape = judge(
                table,
                [float(size) for size in used],
                delta=delta_of("distractor_preference"),
                n_effective=effective_groups(count_items(groups)),
            )
        except ScalingError as error:
            return JudgedShare(None, used, left_out, n_groups, str(error))
        return JudgedShare(shape, used, left_out, n_groups)

    def examples(self, given: str | None = None) -> list[dict[str, Any]]:
        """Examples of texts without an answer, or with `another` answer: up to five for each model and condition."""
        examples = []
        for replies in self.replies:
            for condition, row in replies.texts.items():
                pairs = zip(self.task.items, row, strict=True)
                kept = [(item, text) for item, text in pairs if text is not None and text.given == given]
                for item, text in kept[:EXAMPLES]:
                    names = {"model": replies.source.name, "condition": condition.value, "item": item.id}
                    examples.append({**names, "why": text.why, "answer": text.answer, "text": text.text})
        return examples


def ablate_written(
    task: Task,
    sources: Sequence[Source],
    *,
    store: Store,
    settings: Settings | None = None,
    published: Sequence[Published] = (),
) -> WrittenResult:
    """Let every model write its answer to every item under every condition. Only what the store lacks is computed.

    The task's prompts need a format in which models write (see `format_task`). For chains of thought, the logit gap is
    measured after the model's own reasoning and after its reasoning under the other condition.

    Raises:
        DistractorError: a model, the task's text or the store is invalid.
    """
    settings = settings or Settings()
    if not task.format.is_written:
        raise ScalingError(
            f"the prompts of {task.name} have the format {task.format.scoring}, in which models write nothing; use ablate"
        )
    refuse_several_steps(sources)
    requests = [TextRequest(task, source, settings) for source in sources]
    compute_first(requests, store)
    replies = [request.compute(store) for request in requests]
    replies.sort(key=lambda each: (each.source.n_params or 0, each.source.seed or 0))
    bare = bare_accuracy(task, [each.source for each in replies], store, settings)
    result = WrittenResult(task, settings, tuple(replies), bare, tuple(published))
    if not result.complete.any():
        raise ScalingError(NO_COMPLETE_ITEM.format(task=task.name))
    return result
