"""Behaviour of models on a task: preference, accuracy, gap, coverage and the two pulls, item by item."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.models.mixture import mixture
from distractor.models.source import NO_FAMILY, Source, group_by_size
from distractor.scoring import quantities
from distractor.scoring.half_precision import HALF
from distractor.scoring.settings import Settings
from distractor.scoring.sweep import Scores
from distractor.statistics.curve import peak
from distractor.statistics.intervals import MIN_SEEDS, number_groups
from distractor.text.task import Condition, Task

PER_CONDITION = ("distractor_preference", "accuracy", "logit_gap", "coverage")
PULLS = ("true_pull", "distractor_pull")

INTERVALS = {
    1: "95 % over item groups, level 1: these weights",
    2: "95 % over seeds and item groups, level 2: models like these",
}

SAME_SIZE_AND_SEED = (
    "two of the models have the same number of parameters and the same seed, so they form no curve over size"
)


@dataclass(frozen=True, eq=False)
class ItemValues:
    """Values of one model: `by_condition[quantity]` [condition item] and `pulls[quantity]` [item], NaN if undefined."""

    by_condition: Mapping[str, Float[ndarray, "condition item"]]
    pulls: Mapping[str, Float[ndarray, " item"]]


def values_of(task: Task, scores: Scores) -> ItemValues:
    """Compute every quantity of one model for every item."""
    gap = quantities.logit_gap(scores.log_probs)
    undefined = np.full(len(task.items), np.nan)

    def accuracy(condition: Condition, log_probs: ndarray) -> ndarray:
        right = task.right.get(condition)
        if right is None:
            return undefined
        return np.where(np.isnan(log_probs[:, 0]), np.nan, quantities.accuracy(log_probs, right))

    by_condition = {
        "distractor_preference": quantities.preference(scores.log_probs),
        "accuracy": np.stack([accuracy(c, rows) for c, rows in zip(task.conditions, scores.log_probs, strict=True)]),
        "logit_gap": gap,
        "coverage": quantities.coverage(scores.log_probs),
    }
    gaps = dict(zip(task.conditions, gap, strict=True))
    conflict, congruent = (gaps.get(c, undefined) for c in (Condition.CONFLICT, Condition.CONGRUENT))
    # A task without a neutral prompt balances its answers' labels, so its neutral gap is taken as 0.
    neutral = gaps.get(Condition.NEUTRAL, np.zeros(len(task.items)))
    pulls = {
        "true_pull": quantities.true_pull(conflict, congruent),
        "distractor_pull": quantities.distractor_pull(conflict, congruent, neutral),
    }
    return ItemValues(by_condition, pulls)


def quantity_limits(quantity: str) -> tuple[float, float] | None:
    """The smallest and the largest possible value of a quantity; None for quantities in nats."""
    return None if quantity in ("logit_gap", *PULLS) else (0.0, 1.0)


def complete_items(task: Task, scores: Sequence[Scores]) -> Bool[ndarray, " item"]:
    """The items that every model was shown under every condition except `distractor_swapped`."""
    required = [condition is not Condition.DISTRACTOR_SWAPPED for condition in task.conditions]
    log_probs = np.stack([each.log_probs[required] for each in scores])
    return ~np.isnan(log_probs).any((0, 1, 3))


def models_at_peak(task: Task, scores: Sequence[Scores], complete: Bool[ndarray, " item"]) -> tuple[int, ...]:
    """The models (indices into `scores`) of the size at which distractor preference in `conflict` peaks."""
    conflict = task.conditions.index(Condition.CONFLICT)
    preference = np.array([quantities.preference(each.log_probs[conflict][complete]).mean() for each in scores])
    sizes = group_by_size(each.source for each in scores)
    return sizes[peak(np.array([preference[list(models)].mean() for models in sizes]))]


def model_at_several_steps(sources: Sequence[Source]) -> Source | None:
    """The first model that occurs at several training steps, None if there is none."""
    count = Counter((source.family, source.model, source.seed) for source in sources)
    return next((source for source in sources if count[source.family, source.model, source.seed] > 1), None)


def refuse_several_steps(sources: Sequence[Source]) -> None:
    """Raise ScalingError if a model occurs at several training steps, which would count as seeds of one size."""
    if source := model_at_several_steps(sources):
        raise ScalingError(
            f"{source.family}/{source.model} occurs at several steps, which do not form a curve over size; choose one "
            "step, or compare the steps with `distractor compare`"
        )


def why_mixed(differences: str) -> str:
    """Why different models get no verdict over size; empty without differences."""
    return differences and (
        f"the models differ in {differences}; name models of one family, or allow a common curve with --mixed-families"
    )


@dataclass(frozen=True, eq=False)
class TaskResult(ABC):
    """The common part of all results on the items of one task. Means are over *complete* items only."""

    task: Task
    settings: Settings

    @property
    @abstractmethod
    def complete(self) -> Bool[ndarray, " item"]:
        """The items that every model was shown under every condition except `distractor_swapped`."""

    @property
    @abstractmethod
    def sources(self) -> tuple[Source, ...]:
        """The models."""

    @property
    @abstractmethod
    def half_precision(self) -> Mapping[str, Mapping[str, Any] | None]:
        """For each model by name, what half precision changes (see `half_precision_record`); None if unknown."""

    @property
    def is_half_precision(self) -> bool:
        """Whether the models ran in bfloat16 or float16."""
        return self.settings.dtype in HALF

    @cached_property
    def mixture(self) -> str:
        """What the models differ in besides size: see `mixture`."""
        return mixture(self.sources)

    @property
    def why_mixed(self) -> str:
        """Why there is no verdict on the curve over size of different models; empty if there may be one."""
        return "" if self.settings.mixed_families else why_mixed(self.mixture)

    @property
    def mixture_caution(self) -> str:
        """A caution about a curve over different models; empty if all are of one kind."""
        return (
            self.mixture
            and f"Caution: the models differ in {self.mixture}, so size is not all that changes along the curve."
        )

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Each item's group."""
        return tuple(item.group for item in self.task.items)

    @cached_property
    def group_numbers(self) -> Int[ndarray, " item"]:
        """Each item's group as a number (see `number_groups`), which statistics sort faster than names."""
        return number_groups(self.groups)

    @cached_property
    def n_groups(self) -> int:
        """The number of groups of the complete items."""
        return len({self.groups[item] for item in np.flatnonzero(self.complete)})

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The models of each size (smallest first) as indices into `sources`; see `group_by_size`."""
        return group_by_size(self.sources)

    @cached_property
    def interval_level(self) -> int:
        """The level of intervals over size: 2 (over seeds and items) if every size has three seeds, else 1 (over items)."""
        return 2 if min(map(len, self.sizes)) >= MIN_SEEDS else 1

    @property
    def interval_name(self) -> str:
        """What the intervals over size are of, in words."""
        return INTERVALS[self.interval_level]

    @property
    def size_names(self) -> tuple[str, ...]:
        """The name of each size, smallest first."""
        return tuple(self.sources[models[0]].model for models in self.sizes)

    @property
    def n_params(self) -> tuple[int, ...]:
        """The parameters of each size, smallest first."""
        return tuple(self.sources[models[0]].n_params or 0 for models in self.sizes)


@dataclass(frozen=True, eq=False)
class TaskScores(TaskResult):
    """The scores of several models on one task, and the per-item values that follow from them."""

    scores: tuple[Scores, ...]

    @cached_property
    def complete(self) -> Bool[ndarray, " item"]:
        """See `complete_items`."""
        return complete_items(self.task, self.scores)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The models, in the order of `scores`."""
        return tuple(scores.source for scores in self.scores)

    @property
    def family(self) -> str | None:
        """The family of all models; None if they are of several."""
        families = {source.family for source in self.sources}
        return families.pop() if len(families) == 1 and NO_FAMILY not in families else None

    @property
    def title(self) -> str:
        """The task, and the family of all models if they have one."""
        return f"{self.task.name} in {self.family}" if self.family else self.task.name

    def short(self, name: str) -> str:
        """A model's name without the family of all models."""
        return name.removeprefix(f"{self.family}/")

    @property
    def half_precision(self) -> Mapping[str, Mapping[str, Any] | None]:
        """See `TaskResult`."""
        return {scores.source.name: scores.treatment.get("half_precision") for scores in self.scores}

    @cached_property
    def values(self) -> tuple[ItemValues, ...]:
        """Per-item values of each model, in the order of `scores`."""
        return tuple(values_of(self.task, scores) for scores in self.scores)

    def item_values(self, model: int, quantity: str, condition: Condition | None = None) -> Float[ndarray, " item"]:
        """Values of one model, item by item; NaN where the quantity is not defined. A pull has no condition."""
        if condition is None:
            return self.values[model].pulls[quantity]
        if condition not in self.task.conditions:
            return np.full(len(self.task.items), np.nan)
        return self.values[model].by_condition[quantity][self.task.conditions.index(condition)]
