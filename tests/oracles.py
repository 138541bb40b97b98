"""Oracles answer a prompt by rule with the probability of each answer; these functions score a task by an oracle."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from distractor.models.source import Source
from distractor.scoring.behaviour import values_of
from distractor.scoring.sweep import Scores
from distractor.text.task import Condition, Task

Oracle = Callable[[str], Mapping[str, float]]
"""From a prompt to the probability of each answer, without its leading space."""

UNNAMED = 0.01
"""The probability of an answer that an oracle does not name."""


def log_probs(oracle: Oracle, task: Task) -> np.ndarray:
    """Log-probabilities [condition item answer] of an oracle that reads only the prompts."""
    given = [[(item, oracle(item.prompts[c])) for item in task.items] for c in task.conditions]
    return np.log([[[p.get(a.strip(), UNNAMED) for a in item.answers] for item, p in row] for row in given])


def scored(task: Task, values: np.ndarray, size: int = 1, seed: int = 0) -> Scores:
    """Log-probabilities [condition item answer] as the scores of a model with `size` parameters."""
    source = Source("oracles", str(size), Path("oracles"), n_params=size, seed=seed)
    return Scores(source, values, False, 0, dict.fromkeys(Condition, 0))


def summary(task: Task, values: np.ndarray) -> dict[str, float]:
    """Accuracy under every condition and the two pulls T and D, as means over all items."""
    of_items = values_of(task, scored(task, values))
    accuracy = dict(zip(task.conditions, of_items.by_condition["accuracy"].mean(1), strict=True))
    return {**accuracy, "T": of_items.pulls["true_pull"].mean(), "D": of_items.pulls["distractor_pull"].mean()}
