"""The curve over size in one prompt format, with its quantity and shape.

Ranked answers give distractor preference, written answers distractor share. The two differ and never share an axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from distractor.ablation.ablate import AblationResult
from distractor.ablation.written.answers import WrittenResult
from distractor.statistics.intervals import Mean
from distractor.text.format import Format
from distractor.text.task import Condition, Task

FormatResult = AblationResult | WrittenResult
MAX_PARTS = 12  # the largest number of parts; a task with more groups than this has no parts


@dataclass(frozen=True, eq=False)
class FormatCurve:
    """One format's curve: `means` of its quantity and `accuracy` at each size, and the `label` of the quantity's shape.

    `answered` is the share of texts with an answer at each size; 1 for ranked answers. `why` names sizes that were left
    out, or the reason if there is no shape. `level` is that of the intervals.
    """

    form: Format
    quantity: str
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    means: Mapping[Condition, tuple[Mean | None, ...]]
    accuracy: Mapping[Condition, tuple[Mean | None, ...]]
    answered: tuple[float, ...]
    label: str
    why: str = ""
    level: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The content of summary.json."""

        def plain(means: Mapping[Condition, tuple[Mean | None, ...]]) -> dict[str, list[dict[str, float] | None]]:
            return {c.value: [mean._asdict() if mean else None for mean in row] for c, row in means.items()}

        return {
            **self.form.as_dict(),
            "label": self.form.label,
            "quantity": self.quantity,
            "models": list(self.names),
            "n_params": list(self.sizes),
            "values": plain(self.means),
            "accuracy": plain(self.accuracy),
            "answered": list(self.answered),
            "shape": self.label,
            "caution": self.why,
            "level": self.level,
        }


def format_curve(result: FormatResult) -> FormatCurve:
    """The curve of one format."""
    if isinstance(result, WrittenResult):
        quantity, judged = "distractor_share", result.judged
        left_out = f"{len(judged.left_out)} of {len(result.sizes)} sizes left out: too few answers"
        reasons = (left_out * bool(judged.left_out), judged.why)
        label, why = judged.label, "; ".join(reason for reason in reasons if reason)
    else:
        quantity, shape = "distractor_preference", result.shapes.get("distractor_preference")
        label, why = (shape.label, "") if shape else ("undetermined", result.unjudged or "")
    conditions = result.task.conditions
    return FormatCurve(
        result.task.format,
        quantity,
        result.size_names,
        result.n_params,
        {c: tuple(result.mean(models, quantity, c) for models in result.sizes) for c in conditions},
        {c: tuple(result.mean(models, "accuracy", c) for models in result.sizes) for c in conditions},
        answered(result),
        label,
        why,
        result.interval_level,
    )


def answered(result: FormatResult) -> tuple[float, ...]:
    """The share of texts in `conflict` with an answer, at each size; 1 for ranked answers."""
    if not isinstance(result, WrittenResult):
        return (1.0,) * len(result.sizes)
    parsed = [result.mean(models, "parsed", Condition.CONFLICT) for models in result.sizes]
    return tuple(mean.mean if mean else 0.0 for mean in parsed)


def task_parts(task: Task) -> dict[str, Bool[ndarray, " item"]]:
    """Which items belong to which part of a task, such as a sub-task of redefine_math; empty if it has no parts.

    The part is the beginning of a group's name, up to the first slash.
    """
    split = [item.group.partition("/") for item in task.items]
    names = list(dict.fromkeys(name for name, _, _ in split))
    if not all(slash for _, slash, _ in split) or not 2 <= len(names) <= MAX_PARTS:
        return {}
    return {name: np.array([part == name for part, _, _ in split]) for name in names}


def part_accuracy(result: FormatResult, part: str) -> tuple[Mean | None, ...]:
    """Accuracy in `conflict` at each size on one part of the task."""
    only = task_parts(result.task)[part]
    return tuple(result.mean(models, "accuracy", Condition.CONFLICT, only) for models in result.sizes)
