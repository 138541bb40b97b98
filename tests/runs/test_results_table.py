"""The results table has one row for every finite value of the items that are used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny
from distractor.models.source import Source
from distractor.runs.results_table import COLUMNS, ModelValues, results_table
from distractor.text.task import Condition

pytestmark = pytest.mark.quick


def test_every_finite_value_of_a_used_item_has_a_row_with_its_model_and_condition() -> None:
    task = replace(tiny.task(), items=tiny.task().items[:4])
    held_out = {task.name: frozenset({task.items[1].group})}
    known = Source("f", "m", Path("m"), seed=3, step=7, n_params=100, held_out=held_out)
    unknown = Source("f", "n", Path("n"))
    used = np.array([True, True, True, False])
    values = {
        (Condition.CONFLICT, "logit_gap"): np.array([0.5, 1.5, np.nan, 3.5]),
        (None, "true_pull"): np.array([np.nan, -1.0, np.inf, 4.0]),
        (Condition.NEUTRAL, "accuracy"): np.full(4, np.nan),
    }
    table = results_table(task, used, [ModelValues(known, True, values), ModelValues(unknown, False, values)])
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert len(rows) == 6
    first, second, third = task.items[:3]
    assert [(row["item"], row["condition"], row["quantity"], row["value"]) for row in rows[:3]] == [
        (first.id, "conflict", "logit_gap", 0.5),
        (second.id, "conflict", "logit_gap", 1.5),
        (second.id, None, "true_pull", -1.0),
    ]
    assert rows[1] | {"value": 0} == {
        "task": task.name, "format": "rank", "shots": 0, "bos": True, "family": "f", "model": "m", "n_params": 100,
        "seed": 3, "step": 7, "condition": "conflict", "item": second.id, "group": second.group,
        "held_out": second.group in held_out[task.name], "quantity": "logit_gap", "value": 0,
    }  # fmt: skip
    assert {row["held_out"] for row in rows[3:]} == {None}
    assert third.id not in {row["item"] for row in rows}
