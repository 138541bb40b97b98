"""The tidy table of a run, `results.parquet`: one row per model, condition, item and quantity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "task", "format", "shots", "bos", "family", "model", "n_params", "seed", "step",
    "condition", "item", "group", "held_out", "quantity", "value",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ModelValues:
    """All values of one model: (condition, quantity) → one value per item; condition None combines several conditions."""

    source: Source
    bos: bool
    values: Mapping[tuple[Condition | None, str], Float[ndarray, " item"]]


def model_columns(task: Task, source: Source, *, bos: bool) -> dict[str, Any]:
    """The first nine columns of a results table, which name the task, its format and the model."""
    return {
        "task": task.name, "format": task.format.scoring, "shots": task.format.shots, "bos": bos,
        "family": source.family, "model": source.model, "n_params": source.n_params, "seed": source.seed,
        "step": source.step,
    }  # fmt: skip


def is_held_out(task: Task, source: Source) -> list[bool | None]:
    """For each item, whether its group was held out of the model's training; None if that is unknown."""
    groups = source.held_out.get(task.name)
    return [None if groups is None else item.group in groups for item in task.items]


def results_table(task: Task, used: Bool[ndarray, " item"], models: Sequence[ModelValues]) -> "pa.Table":
    """Every finite value of the `used` items as a table with the columns `COLUMNS`."""
    import pyarrow as pa

    blocks, rows, items, held_out, values = [], [], [], [], []
    for model in models:
        fixed = model_columns(task, model.source, bos=model.bos)
        held = np.array(is_held_out(task, model.source), dtype=object)
        for (condition, quantity), row in model.values.items():
            kept = np.flatnonzero(np.isfinite(row) & used)
            if not len(kept):
                continue
            blocks.append({**fixed, "condition": condition and condition.value, "quantity": quantity})
            rows.append(np.full(len(kept), len(blocks) - 1))
            items.append(kept)
            held_out.append(held[kept])
            values.append(row[kept])
    types = {"bos": pa.bool_()} | dict.fromkeys(("shots", "n_params", "seed", "step"), pa.int64())
    text = pa.dictionary(pa.int32(), pa.string())
    row, item = np.concatenate(rows), np.concatenate(items)
    columns = {
        name: pa.array([block[name] for block in blocks], type=types.get(name, text)).take(pa.array(row))
        for name in blocks[0]
    }
    in_order = item[np.sort(np.unique(item, return_index=True)[1])]  # items as they first appear, each once
    position = np.zeros(len(task.items), dtype=np.int64)
    position[in_order] = np.arange(len(in_order))
    for name in ("item", "group"):
        texts = [getattr(task.items[k], name if name == "group" else "id") for k in in_order]
        columns[name] = pa.array(texts, type=text).take(pa.array(position[item]))
    columns["held_out"] = pa.array(np.concatenate(held_out), type=pa.bool_())
    columns["value"] = pa.array(np.concatenate(values))
    return pa.table({name: columns[name] for name in COLUMNS})
