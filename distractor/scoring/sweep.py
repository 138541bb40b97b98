"""Scores every model on a task: computes the cells that the store lacks, with one model in memory at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.progress import Advance, record_cache_hit, record_computed, time_computation
from distractor.scoring.keys import score_keys
from distractor.scoring.settings import Settings, load_model
from distractor.scoring.store import Cell, Key, Store
from distractor.text.format import Format
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from distractor.scoring.encode import Encoding


@dataclass(frozen=True, eq=False)
class Scores:
    """The log-probabilities of both answers in one model, NaN for items that are not shown.

    `bos` says whether prompts began with the model's BOS token. `tokens` counts the tokens of all prompts. `dropped`
    counts the items without a prompt of the right length, for each condition. `treatment` describes what was decided for
    this model and its tokenizer (see `Model.treatment`). `prompts` holds the prompts as sent, by condition and item id, if
    the format is not the bare prompt.
    """

    source: Source
    log_probs: Float[ndarray, "condition item answer=2"]
    bos: bool
    tokens: int
    dropped: Mapping[Condition, int]
    treatment: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[Condition, Mapping[str, str]] = field(default_factory=dict)


def sweep(
    task: Task, sources: Iterable[Source], store: Store, settings: Settings, advance: Advance = lambda _: None
) -> list[Scores]:
    """Score every model under every condition, and compute only what the store lacks.

    Raises:
        ModelError: a model cannot be loaded or trusted.
        EncodeError: a model's tokenizer cannot encode the task.
        StoreError: results cannot be read or saved.

    """
    encodings: dict[tuple[Any, ...], Encoding] = {}
    scores = []
    for source in sources:
        keys = score_keys(task, source, settings)
        missing = [condition for condition, key in keys.items() if not store.has(key)]
        for _ in range(len(keys) - len(missing)):
            advance(source.name)
        if missing:
            store.check_writable()
            _compute(
                task, source, {condition: keys[condition] for condition in missing}, store, settings, encodings, advance
            )
        cells = {condition: store.get(key) for condition, key in keys.items()}
        for condition in cells.keys() - missing:
            record_cache_hit(cells[condition].facts.get("passes", 0), store.path(keys[condition]))
        scores.append(_gather(task, source, cells))
    return scores


def _compute(
    task: Task,
    source: Source,
    missing: Mapping[Condition, Key],
    store: Store,
    settings: Settings,
    encodings: dict[tuple[Any, ...], "Encoding"],
    advance: Advance,
) -> None:
    """Compute and save the missing cells of one model. Models that share a tokenizer share the encoding."""
    import pyarrow as pa

    from distractor.scoring.encode import encode
    from distractor.scoring.score import score_all

    model = load_model(source, settings)
    template = str(getattr(model.tokenizer, "chat_template", None))
    same = (model.tokenizer.backend_tokenizer.to_str(), model.bos, model.context, model.vocab, template)
    if same not in encodings:
        encodings[same] = encode(task, model)
    encoding = encodings[same]

    def score(conditions: Sequence[Condition]) -> tuple[ndarray, int]:
        """Log-probabilities under some conditions, and the forward passes for each of them."""
        rows = [list(row) for row in zip(*(encoding.rows[condition] for condition in conditions), strict=True)]
        with time_computation() as counter:
            log_probs = score_all(model, encoding.items, rows, settings.batch_size)
        return log_probs, counter.forward_passes // len(conditions)

    # All conditions share their worked examples, so they are scored together. This includes conditions that are on disk,
    # so that batches do not depend on what is on disk.
    together = score(task.conditions) if task.format.shots else None
    for condition, key in missing.items():
        if together is not None:
            log_probs, passes = together[0][task.conditions.index(condition)], together[1]
        else:
            (log_probs,), passes = score((condition,))
        shown = [(k, row) for k, row in enumerate(encoding.rows[condition]) if row is not None]
        log_probs = log_probs[[k for k, _ in shown]]
        columns: dict[str, Any] = {
            "item": [encoding.items[k].id for k, _ in shown],
            "log_prob_true": log_probs[:, 0],
            "log_prob_distractor": log_probs[:, 1],
        }
        if task.format != Format():
            columns["prompt"] = [model.tokenizer.decode(row.prompt) for _, row in shown]
        facts = {
            "n_params": model.n_params,
            "bos": model.bos is not None,
            "treatment": model.treatment,
            "tokens": sum(len(row.prompt) for _, row in shown),
            "dropped": encoding.dropped.get(condition, 0),
            "passes": passes,
        }
        store.save(key, Cell(pa.table(columns), facts))
        record_computed(store.path(key))
        advance(source.name)


def _gather(task: Task, source: Source, cells: Mapping[Condition, Cell]) -> Scores:
    """Combine the cells of all conditions of one model."""
    index = {item.id: k for k, item in enumerate(task.items)}
    log_probs = np.full((len(task.conditions), len(task.items), 2), np.nan)
    prompts = {}
    for c, (condition, cell) in enumerate(cells.items()):
        columns = cell.table.to_pydict()
        rows = [index[name] for name in columns["item"]]
        log_probs[c, rows] = np.transpose([columns["log_prob_true"], columns["log_prob_distractor"]])
        if "prompt" in columns:
            prompts[condition] = dict(zip(columns["item"], columns["prompt"], strict=True))
    facts = next(iter(cells.values())).facts
    return Scores(
        source=replace(source, n_params=facts["n_params"]),
        log_probs=log_probs,
        bos=facts["bos"],
        tokens=sum(cell.facts["tokens"] for cell in cells.values()),
        dropped={condition: cell.facts["dropped"] for condition, cell in cells.items()},
        treatment=facts.get("treatment", {}),  # absent from cells of older versions
        prompts=prompts,
    )
