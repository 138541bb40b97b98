"""A caution in words: models whose makers say that they were trained on data made from the official rows of a task."""

from collections.abc import Sequence
from typing import Any

from distractor.models.source import Source
from distractor.models.training_data import TrainingData, training_data_of
from distractor.text.task import Task

NAMED = 3  # the largest number of models that the sentence names


def training_data_caution(task: Task, sources: Sequence[Source]) -> str | None:
    """A sentence about models that have seen the official rows of a task; None for other tasks and models."""
    sentences = []
    for entry, names in _seen(task, sources).items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        sentences.append(f"Contamination: {', '.join(names[:NAMED])}{more}: {entry.says} ({entry.source}).")
    return " ".join(sentences) or None


def training_data_record(task: Task, sources: Sequence[Source]) -> dict[str, Any] | None:
    """The entry `training_data` of summary.json; None if no model is known to have seen the rows."""
    sentence = training_data_caution(task, sources)
    models = {name: entry.source for entry, names in _seen(task, sources).items() for name in names}
    return {"models": models, "sentence": sentence} if sentence else None


def _seen(task: Task, sources: Sequence[Source]) -> dict[TrainingData, list[str]]:
    """The models of each entry, by name."""
    found: dict[TrainingData, list[str]] = {}
    for source in sources if task.official else ():
        entry = training_data_of(source)
        if entry and task.official in entry.files and source.name not in found.setdefault(entry, []):
            found[entry].append(source.name)
    return found
