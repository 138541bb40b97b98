"""Cell keys: everything that decides the numbers of a stored result."""

from typing import Any

from distractor.models.source import Source
from distractor.scoring.settings import Settings
from distractor.scoring.shot_limits import refuse_too_many_shots
from distractor.scoring.store import Key
from distractor.text.format import Format
from distractor.text.task import Condition, Task

SCORER = 2  # version of the scoring rule; increase it when scores change, which a golden test detects


def cell_name(task: Task, condition: Condition) -> str:
    """What progress calls a cell: its condition, and the format unless prompts are bare."""
    return condition.value if task.format == Format() else f"{condition.value} ({task.format.label})"


def score_keys(task: Task, source: Source, settings: Settings) -> dict[Condition, Key]:
    """The key of each condition's scores. Raises ModelError like `cell_key`."""
    common = cell_key(task, source, settings)
    return {condition: {**common, "condition": condition.value} for condition in task.conditions}


def cell_key(task: Task, source: Source, settings: Settings) -> dict[str, Any]:
    """The common part of all keys of a model on a task. Raises ModelError like `refuse_too_many_shots`."""
    refuse_too_many_shots(task.format, source)
    return {
        "scorer": SCORER,
        "model": source.fingerprint(),
        "task": task.fingerprint(),
        **task.format.as_dict(),
        **settings.identity(),
    }
