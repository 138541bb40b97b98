"""What models do with official rows and with fresh ones: their answers, and the next words after a row's beginning."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.scoring import quantities
from distractor.scoring.keys import cell_key
from distractor.scoring.lazy_model import LazyModel, keeping_encodings
from distractor.scoring.prompt_tokens import estimate_tokens
from distractor.scoring.settings import Settings
from distractor.scoring.steps import score_steps
from distractor.scoring.store import Cell, Key, Store
from distractor.scoring.sweep import Scores, score_model
from distractor.text.task import Answer, Condition, Item, Task
from distractor.work import Step

POSED = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY)
"""The conditions under which rows are posed; `distractor_only` shows how difficult they are without the distractor."""

CONSTANT_SHARE = 0.95
NEXT_TOKENS = 8  # the greedy continuation is compared with so many tokens, or with all of a shorter continuation
NEXT_WORDS = "next words"  # the name of the step


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one origin: as items, and as beginnings whose "true" answer is the row's own continuation."""

    origin: str
    items: tuple[Item, ...]
    completions: tuple[Item, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Each row's group."""
        return tuple(item.group for item in self.items)


@dataclass(frozen=True, eq=False)
class RowValues:
    """What one model does with rows of one origin, row by row; NaN where a row is not shown under a condition.

    `accuracy[condition]` is 0, ½ or 1, and `gap[condition]` the lead of the right answer in nats. `order_lead` is
    log p(continuation as the row has it) − log p(continuation in the other order), in nats. `is_next[answer]` says
    whether the greedy continuation equals the first tokens of either. `constant` is the answer that the model gives to
    more than `CONSTANT_SHARE` of the rows in `conflict`, if there is one.
    """

    groups: tuple[str, ...]
    accuracy: dict[Condition, Float[ndarray, " item"]]
    gap: dict[Condition, Float[ndarray, " item"]]
    order_lead: Float[ndarray, " item"]
    is_next: Float[ndarray, "answer=2 item"]
    constant: str | None = None


def joined(task: Task, every: Sequence[Rows]) -> Task:
    """One task with all rows as items and as beginnings, so that each model is loaded once.

    Conditions other than `POSED` are left out, so that no tokenizer drops a row for them.
    """
    items = []
    for rows in every:
        for item in rows.items:
            prompts = {c: item.prompts[c] for c in POSED if c in item.prompts}
            items.append(replace(item, id=f"{rows.origin} {item.id}", prompts=prompts, rewordings={}, reasons={}))
        items += [replace(item, id=f"{rows.origin} {item.id} {NEXT_WORDS}") for item in rows.completions]
    return replace(task, name=f"{task.name}.contamination", items=tuple(items), layout=None)


def steps_of(
    task: Task, every: Sequence[Rows], sources: Sequence[Source], store: Store, settings: Settings
) -> Iterator[Step]:
    """The steps of `measure`."""
    everything = joined(task, every)
    beginnings = replace(everything, items=_beginnings(everything))
    tokens = estimate_tokens(beginnings)[Condition.CONFLICT] + NEXT_TOKENS * len(beginnings.items)
    yield from score_steps(everything, sources, store, settings)
    for source in sources:
        is_cached = not source.is_missing and store.has(_next_words_key(everything, source, settings))
        yield Step(source.name, NEXT_WORDS, tokens, parameters_of(source), len(beginnings.items), is_cached, "write")


def measure(
    task: Task, every: Sequence[Rows], sources: Sequence[Source], store: Store, settings: Settings
) -> tuple[list[Source], list[list[RowValues]]]:
    """The values of each model (with its number of parameters) for rows of each origin; computes what the store lacks.

    Raises as `sweep`.
    """
    everything = joined(task, every)
    measured, values = [], []
    with keeping_encodings():
        for source in sources:
            lazy = _NextWords(everything, source, store, settings)
            scores = score_model(lazy, everything.conditions)
            measured.append(scores.source)
            values.append(_values(everything, every, scores, lazy.matches()))
    return measured, values


def _values(
    task: Task, every: Sequence[Rows], scores: Scores, is_next: Float[ndarray, "answer=2 item"]
) -> list[RowValues]:
    start, values = 0, []
    for rows in every:
        shown, completed = (slice(first, first + len(rows.items)) for first in (start, start + len(rows.items)))
        start = completed.stop
        accuracy, gap = {}, {}
        for condition in (c for c in POSED if c in rows.items[0].prompts):
            right = task.right[condition] or Answer.TRUE
            log_probs = scores.log_probs[task.conditions.index(condition), shown]
            lead = quantities.logit_gap(log_probs)
            gap[condition] = lead if right is Answer.TRUE else -lead
            accuracy[condition] = np.where(np.isnan(lead), np.nan, quantities.accuracy(log_probs, right))
        order_lead = quantities.logit_gap(scores.log_probs[task.conditions.index(Condition.CONFLICT), completed])
        constant = _constant(rows, gap[Condition.CONFLICT])
        values.append(RowValues(rows.groups, accuracy, gap, order_lead, is_next[:, completed], constant))
    return values


def _constant(rows: Rows, gap: Float[ndarray, " item"]) -> str | None:
    """The answer to almost all rows, None if there is none."""
    given = Counter(
        item.answers[Answer.TRUE if lead > 0 else Answer.DISTRACTOR].strip()
        for item, lead in zip(rows.items, gap.tolist(), strict=True)
    )
    (answer, count), *_ = given.most_common(1)
    return answer if count > CONSTANT_SHARE * len(rows.items) else None


def _beginnings(task: Task) -> tuple[Item, ...]:
    return tuple(item for item in task.items if item.id.endswith(NEXT_WORDS))


def _next_words_key(task: Task, source: Source, settings: Settings) -> Key:
    return {**cell_key(task, source, settings), "next_tokens": NEXT_TOKENS}


class _NextWords(LazyModel):
    """Whether the greedy continuation of each beginning equals one of its two continuations."""

    def matches(self) -> Float[ndarray, "answer=2 item"]:
        """1 or 0 for the row's own order and for the other one, by item; NaN for items that are no beginnings."""
        key = _next_words_key(self.task, self.source, self.settings)
        columns = self.cell(key, self._compute, NEXT_WORDS).table.to_pydict()
        index = {item.id: k for k, item in enumerate(self.task.items)}
        found = np.full((2, len(self.task.items)), np.nan)
        found[:, [index[name] for name in columns["item"]]] = [columns["true"], columns["distractor"]]
        return found

    def _compute(self) -> Cell:
        import pyarrow as pa

        from distractor.scoring.generate import generate

        names = {item.id for item in _beginnings(self.task)}
        encoded = zip(self.encoding.items, self.encoding.rows[Condition.CONFLICT], strict=True)
        shown = [(item, row) for item, row in encoded if item.id in names and row is not None]
        longest = min(NEXT_TOKENS, max(len(answer) for _, row in shown for answer in row.answers))
        items, prompts = [item for item, _ in shown], [row.prompt for _, row in shown]
        texts = generate(self.model, items, prompts, longest, (), self.settings.batch_size)
        columns: dict[str, Any] = {"item": [item.id for item in items]}
        for name, answer in zip(("true", "distractor"), Answer, strict=True):
            wanted = [row.answers[answer][:NEXT_TOKENS] for _, row in shown]
            columns[name] = [float(text.tokens[: len(w)] == w) for text, w in zip(texts, wanted, strict=True)]
        return Cell(pa.table(columns), {"n_params": self.model.n_params})
