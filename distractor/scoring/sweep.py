"""Models × task × conditions → cells: what is not on disk yet is computed, one model in memory at a time."""

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
from distractor.text.task import Condition, Item, Task

if TYPE_CHECKING:
    from distractor.scoring.encode import Encoded, Encoding


@dataclass(frozen=True, eq=False)
class Scores:
    """What one model gives on a task: log-probabilities of both answers, NaN where an item is not posed.

    `tokens` counts the tokens of all prompts, `bos` says whether each began with the model's BOS token, `dropped` how
    many items were left out of each aligned condition because no wording was as long as `conflict`. `treatment` is what
    was decided for this model and its tokenizer (see `Model.treatment`). `prompts` are what was sent, by condition and
    item, where the format is another than the bare prompt.
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
    """Score every model under every condition; only what the store does not have is computed.

    Raises:
        ModelError, EncodeError, StoreError: a model, the task's text under it, or the store is not what it should be.

    """
    encodings: dict[tuple[Any, ...], Encoding] = {}
    found = []
    for source in sources:
        wanted = score_keys(task, source, settings)
        missing = [condition for condition, key in wanted.items() if not store.has(key)]
        for _ in range(len(wanted) - len(missing)):
            advance(source.name)
        if missing:
            store.check_writable()
            _score(task, source, missing, wanted, store, settings, encodings, advance)
        cells = {condition: store.get(key) for condition, key in wanted.items()}
        for condition in cells.keys() - missing:
            record_cache_hit(cells[condition].facts.get("passes", 0), store.path(wanted[condition]))
        found.append(_gather(task, source, cells))
    return found


def _score(
    task: Task,
    source: Source,
    missing: Sequence[Condition],
    wanted: Mapping[Condition, Key],
    store: Store,
    settings: Settings,
    encodings: dict[tuple[Any, ...], "Encoding"],
    advance: Advance,
) -> None:
    """Compute the missing cells of one model. Models that share a tokenizer share the encoding."""
    import pyarrow as pa

    from distractor.scoring.encode import encode
    from distractor.scoring.score import score_all

    model = load_model(source, settings)
    template = str(getattr(model.tokenizer, "chat_template", None))
    same = (model.tokenizer.backend_tokenizer.to_str(), model.bos, model.context, model.vocab, template)
    if same not in encodings:
        encodings[same] = encode(task, model)
    encoding = encodings[same]
    # Worked examples are the same under all conditions, so these are scored together, whichever are missing: what is
    # computed in one pass does not depend on what is on disk.
    together = None
    if task.format.shots:
        with time_computation() as counter:
            together = score_all(model, encoding.items, _rows(encoding, task.conditions), settings.batch_size)
    for condition in missing:
        if together is not None:
            found, passes = together[task.conditions.index(condition)], counter.forward_passes // len(task.conditions)
        else:
            with time_computation() as counter:
                (found,) = score_all(model, encoding.items, _rows(encoding, (condition,)), settings.batch_size)
            passes = counter.forward_passes
        posed = [(i, r) for i, r in zip(encoding.items, encoding.rows[condition], strict=True) if r is not None]
        items: list[Item] = [item for item, _ in posed]
        log_probs = found[[row is not None for row in encoding.rows[condition]]]
        columns: dict[str, Any] = {
            "item": [item.id for item in items],
            "log_prob_true": log_probs[:, 0],
            "log_prob_distractor": log_probs[:, 1],
        }
        if task.format != Format():
            columns["prompt"] = [model.tokenizer.decode(row.prompt) for _, row in posed]
        table = pa.table(columns)
        facts = {
            "n_params": model.n_params,
            "bos": model.bos is not None,
            "treatment": model.treatment,
            "tokens": sum(len(row.prompt) for _, row in posed),
            "dropped": encoding.dropped.get(condition, 0),
            "passes": passes,
        }
        store.save(wanted[condition], Cell(table, facts))
        record_computed(store.path(wanted[condition]))
        advance(source.name)


def _rows(encoding: "Encoding", conditions: Sequence[Condition]) -> "list[list[Encoded | None]]":
    """Each item's prompts under some conditions."""
    return [[encoding.rows[condition][k] for condition in conditions] for k in range(len(encoding.items))]


def _gather(task: Task, source: Source, cells: Mapping[Condition, Cell]) -> Scores:
    place = {item.id: i for i, item in enumerate(task.items)}
    log_probs = np.full((len(task.conditions), len(task.items), 2), np.nan)
    for c, cell in enumerate(cells.values()):
        here = [place[name] for name in cell.table["item"].to_pylist()]
        log_probs[c, here, 0] = cell.table["log_prob_true"].to_numpy()
        log_probs[c, here, 1] = cell.table["log_prob_distractor"].to_numpy()
    facts = next(iter(cells.values())).facts
    return Scores(
        source=replace(source, n_params=facts["n_params"]),
        log_probs=log_probs,
        bos=facts["bos"],
        tokens=sum(cell.facts["tokens"] for cell in cells.values()),
        dropped={condition: cell.facts["dropped"] for condition, cell in cells.items()},
        treatment=facts.get("treatment", {}),  # cells of earlier versions do not tell it
        prompts={
            condition: dict(zip(cell.table["item"].to_pylist(), cell.table["prompt"].to_pylist(), strict=True))
            for condition, cell in cells.items()
            if "prompt" in cell.table.column_names
        },
    )
