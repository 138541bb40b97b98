"""Scores every model on a task: computes the cells that the store lacks, with one model in memory at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.scoring.keys import cell_name, score_keys
from distractor.scoring.lazy_model import LazyModel, keeping_encodings
from distractor.scoring.requests import compute_first
from distractor.scoring.settings import Settings
from distractor.scoring.store import Cell, Store
from distractor.text.format import Format
from distractor.text.task import Condition, Task


@dataclass(frozen=True, eq=False)
class Scores:
    """The log-probabilities of both answers in one model, NaN for items that are not shown.

    `bos` says whether prompts began with the model's BOS token. `tokens` counts the tokens of all prompts. `dropped`
    counts the items without a prompt of the right length, for each condition. `treatment` holds the settings chosen for
    this model and its tokenizer (see `Model.treatment`). `prompts` holds the prompts as sent, by condition and item id,
    if the format is not the bare prompt.
    """

    source: Source
    log_probs: Float[ndarray, "condition item answer=2"]
    bos: bool
    tokens: int
    dropped: Mapping[Condition, int]
    treatment: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[Condition, Mapping[str, str]] = field(default_factory=dict)


def sweep(
    task: Task,
    sources: Iterable[Source],
    store: Store,
    settings: Settings,
    *,
    only: Sequence[Condition] | None = None,
) -> list[Scores]:
    """Score every model under every condition, or `only` under some, and compute only what the store lacks.

    Raises:
        ModelError: a model cannot be loaded or trusted.
        EncodeError: a model's tokenizer cannot encode the task.
        StoreError: results cannot be read or saved.
    """
    requests = score_requests(task, sources, settings, only=only)
    compute_first(requests, store)
    with keeping_encodings():
        return [request.compute(store) for request in requests]


@dataclass(frozen=True)
class ScoreRequest:
    """The scores of a model on a task under some conditions."""

    task: Task
    source: Source
    settings: Settings
    conditions: tuple[Condition, ...]

    def compute(self, store: Store) -> Scores:
        """Score the model."""
        return score_model(LazyModel(self.task, self.source, store, self.settings), self.conditions)


def score_requests(
    task: Task, sources: Iterable[Source], settings: Settings, *, only: Sequence[Condition] | None = None
) -> list[ScoreRequest]:
    """What `sweep` computes, by model."""
    conditions = tuple(task.conditions if only is None else only)
    return [ScoreRequest(task, source, settings, conditions) for source in sources]


def score_model(lazy: LazyModel, conditions: Sequence[Condition]) -> Scores:
    """Score one model under some conditions, as `sweep`."""

    @cache
    def score_together() -> ndarray:
        return _log_probs(lazy, lazy.task.conditions)

    cells = {}
    keys = score_keys(lazy.task, lazy.source, lazy.settings)
    for condition in conditions:
        # All conditions share their worked examples, so they are scored together. This includes conditions that are in
        # the store, so that batches do not depend on the store.
        together = score_together if lazy.task.format.shots else None
        name = cell_name(lazy.task, condition)
        cells[condition] = lazy.cell(keys[condition], partial(_cell, lazy, condition, together), name)
    return _gather(lazy.task, lazy.source, cells)


def _log_probs(lazy: LazyModel, conditions: Sequence[Condition]) -> Float[ndarray, "condition item answer=2"]:
    from distractor.scoring.score import score_all

    rows = [list(row) for row in zip(*(lazy.encoding.rows[condition] for condition in conditions), strict=True)]
    return score_all(lazy.model, lazy.encoding.items, rows, lazy.settings.batch_size)


def _cell(lazy: LazyModel, condition: Condition, score_together: Callable[[], ndarray] | None) -> Cell:
    """Compute the cell of one condition."""
    import pyarrow as pa

    model, encoding = lazy.model, lazy.encoding
    if score_together is None:
        (log_probs,) = _log_probs(lazy, (condition,))
    else:
        log_probs = score_together()[lazy.task.conditions.index(condition)]
    shown = [(k, row) for k, row in enumerate(encoding.rows[condition]) if row is not None]
    log_probs = log_probs[[k for k, _ in shown]]
    columns: dict[str, Any] = {
        "item": [encoding.items[k].id for k, _ in shown],
        "log_prob_true": log_probs[:, 0],
        "log_prob_distractor": log_probs[:, 1],
    }
    if lazy.task.format != Format():
        columns["prompt"] = [model.tokenizer.decode(row.prompt) for _, row in shown]
    facts = {
        "n_params": model.n_params,
        "bos": model.bos is not None,
        "treatment": model.treatment | ({"half_precision": half} if (half := lazy.half_precision) else {}),
        "tokens": sum(len(row.prompt) for _, row in shown),
        "dropped": encoding.dropped.get(condition, 0),
    }
    return Cell(pa.table(columns), facts)


def _gather(task: Task, source: Source, cells: Mapping[Condition, Cell]) -> Scores:
    """Combine the cells of one model; log-probabilities under other conditions are NaN."""
    index = {item.id: k for k, item in enumerate(task.items)}
    log_probs = np.full((len(task.conditions), len(task.items), 2), np.nan)
    prompts = {}
    for condition, cell in cells.items():
        columns = cell.table.to_pydict()
        rows = [index[name] for name in columns["item"]]
        log_probs[task.conditions.index(condition), rows] = np.transpose(
            [columns["log_prob_true"], columns["log_prob_distractor"]]
        )
        if "prompt" in columns:
            prompts[condition] = dict(zip(columns["item"], columns["prompt"], strict=True))
    facts = next(iter(cells.values())).facts
    return Scores(
        source=replace(source, n_params=facts["n_params"]),
        log_probs=log_probs,
        bos=facts["bos"],
        tokens=sum(cell.facts["tokens"] for cell in cells.values()),
        dropped={condition: cell.facts["dropped"] for condition, cell in cells.items()},
        treatment=facts["treatment"],
        prompts=prompts,
    )
