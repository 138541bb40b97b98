"""What models do with official rows and with fresh ones: their answers, and the next words after a row's beginning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.scoring import quantities
from distractor.scoring.keys import cell_key
from distractor.scoring.lazy_model import LazyModel
from distractor.scoring.settings import Settings
from distractor.scoring.steps import score_steps
from distractor.scoring.store import Cell, Store
from distractor.scoring.sweep import Scores, sweep
from distractor.text.task import Answer, Condition, Task
from distractor.work import Step

POSED = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY)
"""The conditions under which rows are posed; `distractor_only` shows how difficult they are without the distractor."""

NEXT_TOKENS = 8  # the greedy continuation is compared with so many tokens, or with all of a shorter continuation


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one origin: as items under `POSED`, and as beginnings whose "true" answer is the row's own continuation."""

    items: Task
    completions: Task

    @classmethod
    def of(cls, task: Task, completions: Task) -> "Rows":
        """The rows of a task; its other conditions are left out, so that no tokenizer drops a row for them."""
        items = (
            replace(item, prompts={c: item.prompts[c] for c in POSED if c in item.prompts}, rewordings={}, reasons={})
            for item in task.items
        )
        return cls(replace(task, items=tuple(items)), completions)

    @property
    def groups(self) -> tuple[str, ...]:
        """Each row's group."""
        return tuple(item.group for item in self.items.items)


@dataclass(frozen=True, eq=False)
class RowValues:
    """What one model does with rows of one origin, row by row; NaN where a row is not shown under a condition.

    `accuracy[condition]` is 0, ½ or 1, and `gap[condition]` the lead of the right answer in nats. `order_lead` is
    log p(continuation as the row has it) − log p(continuation in the other order), in nats. `is_next[answer]` says
    whether the greedy continuation equals the first tokens of either.
    """

    groups: tuple[str, ...]
    accuracy: dict[Condition, Float[ndarray, " item"]]
    gap: dict[Condition, Float[ndarray, " item"]]
    order_lead: Float[ndarray, " item"]
    is_next: Float[ndarray, "answer=2 item"]


def steps_of(every: Sequence[Rows], sources: Sequence[Source], store: Store, settings: Settings) -> Iterator[Step]:
    """The steps of `measure`."""
    for rows in every:
        for task in (rows.items, rows.completions):
            yield from score_steps(task, sources, store, settings)


def measure(
    rows: Rows, sources: Sequence[Source], store: Store, settings: Settings
) -> tuple[list[Source], list[RowValues]]:
    """Measure every model; computes what the store lacks. The sources come back with their numbers of parameters.

    Raises as `sweep`.
    """
    posed = sweep(rows.items, sources, store, settings)
    completed = sweep(rows.completions, sources, store, settings)
    values = []
    for source, answers, orders in zip(sources, posed, completed, strict=True):
        next_tokens = _NextTokens(rows.completions, source, store, settings).matches()
        values.append(_values(rows, answers, orders, next_tokens))
    return [scores.source for scores in posed], values


def _values(rows: Rows, answers: Scores, orders: Scores, is_next: Float[ndarray, "answer=2 item"]) -> RowValues:
    task = rows.items
    accuracy, gap = {}, {}
    for condition in task.conditions:
        right = task.right[condition] or Answer.TRUE
        log_probs = answers.log_probs[task.conditions.index(condition)]
        lead = quantities.logit_gap(log_probs)
        gap[condition] = lead if right is Answer.TRUE else -lead
        accuracy[condition] = np.where(np.isnan(lead), np.nan, quantities.accuracy(log_probs, right))
    return RowValues(rows.groups, accuracy, gap, quantities.logit_gap(orders.log_probs[0]), is_next)


class _NextTokens(LazyModel):
    """Whether the greedy continuation of each beginning equals one of its two continuations."""

    def matches(self) -> Float[ndarray, "answer=2 item"]:
        """1 or 0 for the row's own order and for the other one, by item; NaN for an item that is not shown."""
        key = {**cell_key(self.task, self.source, self.settings), "next_tokens": NEXT_TOKENS}
        columns = self.cell(key, self._compute, "next words").table.to_pydict()
        index = {item.id: k for k, item in enumerate(self.task.items)}
        found = np.full((2, len(self.task.items)), np.nan)
        found[:, [index[name] for name in columns["item"]]] = [columns["true"], columns["distractor"]]
        return found

    def _compute(self) -> Cell:
        import pyarrow as pa

        from distractor.scoring.generate import generate

        items = list(self.encoding.items)
        rows = [row for row in self.encoding.rows[Condition.CONFLICT] if row is not None]
        longest = min(NEXT_TOKENS, max(len(answer) for row in rows for answer in row.answers))
        texts = generate(
            self.model, items, [row.prompt for row in rows], longest, stops=(), batch_size=self.settings.batch_size
        )
        columns: dict[str, Any] = {"item": [item.id for item in items]}
        for name, answer in zip(("true", "distractor"), Answer, strict=True):
            columns[name] = [
                float(text.tokens[:NEXT_TOKENS][: len(row.answers[answer])] == row.answers[answer][:NEXT_TOKENS])
                for text, row in zip(texts, rows, strict=True)
            ]
        return Cell(pa.table(columns), {"n_params": self.model.n_params})
