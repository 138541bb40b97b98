"""Replies of simulated models, for tests of written answers and of formats. No model is run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distractor.ablation.written.answers import WrittenResult
from distractor.models.source import Source
from distractor.scoring.settings import Settings
from distractor.scoring.written_answers import Replies, Text
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Condition, Item, Task

CONDITIONS = (Condition.CONFLICT, Condition.CONGRUENT)
TEXTS = {"true": "No", "distractor": "Yes", "another": "May"}


def many_items(count: int = 40, form: Format = Format("cot")) -> Task:  # noqa: B008
    """A task with this number of items, each in its own group; the groups form two parts."""
    items = [
        Item(f"part{k % 2}/{k}", f"part{k % 2}/{k}", " No", " Yes", {c: f"{c} {k}:" for c in CONDITIONS})
        for k in range(count)
    ]
    return format_task(Task("many", "?", tuple(items), "here"), form)


def replies(task: Task, given: Sequence[str | None], size: int, seed: int = 0, **gaps: Any) -> Replies:
    """The replies of one model, which gives each item the same answer under both conditions."""
    row = tuple(
        Text("prompt", "text", "eos", None if g is None else TEXTS[g], g, "no answer" if g is None else None)
        for g in given
    )
    undefined = np.full((len(task.conditions), len(task.items)), np.nan)
    source = Source("own", f"m{size}", Path("x"), seed, n_params=size)
    return Replies(source, dict.fromkeys(CONDITIONS, row), {"own": undefined, "swapped": undefined} | gaps, False, {})


def over_sizes(task: Task, shares: Sequence[float], parsed: Sequence[float], seed: int = 0) -> WrittenResult:
    """A model of each size: its share of distractor's answers, and its share of texts with an answer."""
    count, rng = len(task.items), np.random.default_rng(seed)
    models = []
    for index, (share, parsed_share) in enumerate(zip(shares, parsed, strict=True)):
        order, kept = (rng.random(count).argsort().argsort() / count for _ in range(2))
        given = [
            ("distractor" if order[k] < share else "true") if kept[k] < parsed_share else None for k in range(count)
        ]
        models.append(replies(task, given, 10 ** (index + 1)))
    return WrittenResult(task, Settings(), tuple(models))
