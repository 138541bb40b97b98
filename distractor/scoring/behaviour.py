"""Per-item quantities of one model: preference, accuracy, gap, coverage and the two pulls."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.models.source import Source
from distractor.scoring import quantities
from distractor.scoring.sweep import Scores
from distractor.text.task import Condition, Task

PER_CONDITION = ("distractor_preference", "accuracy", "logit_gap", "coverage")


PULLS = ("true_pull", "distractor_pull")


SAME_SIZE_AND_SEED = (
    "two of the models have the same number of parameters and the same seed, so they are no curve over size"
)


@dataclass(frozen=True, eq=False)
class ItemValues:
    """Per-item values of one model: `by_condition[quantity]` [condition item], `pulls[quantity]` [item]; NaN if absent."""

    by_condition: Mapping[str, Float[ndarray, "condition item"]]
    pulls: Mapping[str, Float[ndarray, " item"]]


def quantity_limits(quantity: str) -> tuple[float, float] | None:
    """Between what the values of a quantity lie, as `interval` wants to know it; None for those in nats."""
    return None if quantity in ("logit_gap", *PULLS) else (0.0, 1.0)


def model_at_several_steps(sources: Sequence[Source]) -> Source | None:
    """The first model that is there at several steps, if there is one."""
    count = Counter((source.family, source.model, source.seed) for source in sources)
    return next((one for one in sources if count[one.family, one.model, one.seed] > 1), None)


def refuse_several_steps(sources: Sequence[Source]) -> None:
    """Raise ScalingError where a model is there at several steps: they would be taken for seeds of one size."""
    if several := model_at_several_steps(sources):
        raise ScalingError(
            f"{several.family}/{several.model} is there at several steps, which are no curve over size; ask for one step, or "
            "lay them side by side with `distractor compare`"
        )


def complete_items(task: Task, scores: Sequence[Scores]) -> Bool[ndarray, " item"]:
    """Which items every model was posed under every condition but `distractor_swapped`."""
    needed = [c is not Condition.DISTRACTOR_SWAPPED for c in task.conditions]
    is_complete: ndarray = np.all([~np.isnan(one.log_probs[needed]).any((0, 2)) for one in scores], axis=0)
    return is_complete


def values_of(task: Task, scores: Scores) -> ItemValues:
    """Every quantity of one model, item by item."""
    log_probs, conditions = scores.log_probs, task.conditions
    gap = quantities.logit_gap(log_probs)
    nothing = np.full(len(task.items), np.nan)

    def accuracy(condition: Condition, row: ndarray) -> ndarray:
        right = task.right.get(condition)
        return nothing if right is None else np.where(np.isnan(row[:, 0]), np.nan, quantities.accuracy(row, right))

    by_condition = {
        "distractor_preference": quantities.preference(log_probs),
        "accuracy": np.stack([accuracy(c, row) for c, row in zip(conditions, log_probs, strict=True)]),
        "logit_gap": gap,
        "coverage": quantities.coverage(log_probs),
    }
    of = dict(zip(conditions, gap, strict=True))
    conflict, congruent = (of.get(c, nothing) for c in (Condition.CONFLICT, Condition.CONGRUENT))
    # Where a task has no neutral prompt, its answers' labels are balanced, and the gap there is taken as 0.
    neutral = of.get(Condition.NEUTRAL, np.zeros(len(task.items)))
    return ItemValues(
        by_condition,
        {
            "true_pull": quantities.true_pull(conflict, congruent),
            "distractor_pull": quantities.distractor_pull(conflict, congruent, neutral),
        },
    )
