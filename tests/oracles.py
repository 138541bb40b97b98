"""Whoever answers by rule: a prompt goes in, the probability of each answer comes out; and what a task makes of it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from distractor.models.source import Source
from distractor.scoring.behaviour import ItemValues, values_of
from distractor.scoring.sweep import Scores
from distractor.text.task import Condition, Item, Task

Oracle = Callable[[str], Mapping[str, float]]
"""From a prompt to the probability of each answer, without its leading space."""

UNNAMED = 0.01
"""The probability of an answer that an oracle does not name."""


def log_probs(item: Item, given: Mapping[str, float]) -> list[float]:
    """Those of the item's two answers."""
    return [float(np.log(given.get(answer.strip(), UNNAMED))) for answer in item.answers]


def said(oracle: Oracle, task: Task) -> np.ndarray:
    """Log-probabilities [condition item answer] of an oracle that reads the prompts and nothing else."""
    return np.array([[log_probs(i, oracle(i.prompts[c])) for i in task.items] for c in task.conditions])


def scored(task: Task, found: np.ndarray, size: int = 1, seed: int = 0) -> Scores:
    """Log-probabilities [condition item answer] as those of a model of `size` parameters."""
    source = Source("oracles", str(size), Path("oracles"), n_params=size, seed=seed)
    return Scores(source, found, False, 0, dict.fromkeys(Condition, 0))


def values(task: Task, found: np.ndarray) -> ItemValues:
    """Every quantity, item by item."""
    return values_of(task, scored(task, found))


def ask(oracle: Oracle, task: Task) -> dict[str, float]:
    """Accuracy under every condition and the two pulls, T and D: means over all items."""
    return told(task, said(oracle, task))


def told(task: Task, found: np.ndarray) -> dict[str, float]:
    """The same for log-probabilities [condition item answer]."""
    of = values(task, found)
    accuracy = dict(zip(task.conditions, of.by_condition["accuracy"].mean(1), strict=True))
    return {**accuracy, "T": of.pulls["true_pull"].mean(), "D": of.pulls["distractor_pull"].mean()}
