"""Accuracy of the largest models without worked examples, beside results with them: examples alone can turn a curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.source import Source, group_by_size
from distractor.numbers import counted, number, with_interval
from distractor.scoring.behaviour import values_of
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.statistics.intervals import Mean, known_mean_interval
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from distractor.ablation.formats.curve import FormatResult


def bare_task(task: Task) -> Task | None:
    """The same items for ranking without worked examples; None if the format of `task` has none."""
    return task.bare() if task.format.shots and task.bare else None


def bare_accuracy(
    task: Task, sources: Sequence[Source], store: Store, settings: Settings
) -> Float[ndarray, " item"] | None:
    """Accuracy of each item in `conflict` if the largest models rank its answers without worked examples.

    It is a mean over the seeds of the largest of `sources`, and NaN for items that are not shown. None if the format of
    `task` has no worked examples. Raises as `sweep`.
    """
    bare = bare_task(task)
    if bare is None:
        return None
    largest = [sources[model] for model in group_by_size(sources)[-1]]
    scores = sweep(bare, largest, store, settings, only=[Condition.CONFLICT])
    row = bare.conditions.index(Condition.CONFLICT)
    accuracy: ndarray = np.mean([values_of(bare, each).by_condition["accuracy"][row] for each in scores], axis=0)
    return accuracy


@dataclass(frozen=True)
class WithoutExamples:
    """Accuracy in `conflict` of the largest models (`size`) `here`, with `bare` prompts, and their `difference`.

    The interval of the difference is of level 1, over item groups. All three are over the items with an answer in both.
    """

    size: str
    here: float
    bare: float
    difference: Mean

    def as_dict(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {"model": self.size, "here": self.here, "bare": self.bare, "difference": self.difference._asdict()}


def without_examples(result: "FormatResult") -> WithoutExamples | None:
    """Compare a result after worked examples with the bare prompt; None without examples, or with too few answers."""
    if result.bare is None:
        return None
    rows = np.array([result.item_values(model, "accuracy", Condition.CONFLICT) for model in result.sizes[-1]])
    answered = (~np.isnan(rows)).sum(0)
    used = result.complete & (answered > 0) & ~np.isnan(result.bare)
    here = np.where(used, np.nansum(rows, 0) / np.maximum(answered, 1), np.nan)
    difference = known_mean_interval(here - result.bare, result.group_numbers, limits=(-1.0, 1.0))
    if difference is None:
        return None
    return WithoutExamples(result.size_names[-1], float(here[used].mean()), float(result.bare[used].mean()), difference)


def bare_sentence(result: "FormatResult") -> str:
    """What worked examples change in the largest models; empty without examples."""
    found = without_examples(result)
    if found is None:
        return ""
    form = result.task.format
    shown = counted(form.shots, "worked example")
    why = "The way to answer differs, too." if form.is_written else "Nothing but the worked examples differs."
    return (
        f"With {shown}, accuracy in conflict of the largest models ({found.size}) is {number(found.here)}. Ranked without "
        f"worked examples it is {number(found.bare)}: a difference of {with_interval(*found.difference)} (level 1). {why}"
    )
