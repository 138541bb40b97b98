"""The same items in several formats: one curve over size for each, with its own quantity and its shape.

Where answers are ranked, the quantity is distractor preference; where they are written, distractor share. The two are
different things and never share an axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from distractor.ablation.ablate import AblationResult
from distractor.ablation.free_form import FreeForm
from distractor.models.source import Source
from distractor.statistics.groups import Mean
from distractor.text.format import Format
from distractor.text.task import Condition, Task

Found = AblationResult | FreeForm


MOST_PARTS = 12
"""A task with more parts than this has no parts that could be drawn."""


@dataclass(frozen=True, eq=False)
class FormatCurve:
    """One format's curve: `means` of its quantity, and `accuracy`, at each size, and what shape the first has.

    `answered` is the share of texts with an answer at each size, 1 where answers are ranked. `why` says what must be known
    of the label: sizes left out, or why there is no shape.
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

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json."""

        def told(means: Mapping[Condition, tuple[Mean | None, ...]]) -> dict[str, list[dict[str, float] | None]]:
            return {c.value: [None if one is None else one._asdict() for one in row] for c, row in means.items()}

        return {
            **self.form.as_dict(),
            "label": self.form.label,
            "quantity": self.quantity,
            "models": list(self.names),
            "n_params": list(self.sizes),
            "values": told(self.means),
            "accuracy": told(self.accuracy),
            "answered": list(self.answered),
            "shape": self.label,
            "caution": self.why,
        }


def sizes_of(found: Found) -> tuple[int, ...]:
    """Parameters of each size, the smallest first."""
    return tuple(source.n_params or 0 for source in _first(found))


def names_of(found: Found) -> tuple[str, ...]:
    """The name of each size, the smallest first."""
    return tuple(source.model for source in _first(found))


def answered(found: Found) -> tuple[float, ...]:
    """The share of the texts in `conflict` that have an answer, at each size; 1 where answers are ranked."""
    if not isinstance(found, FreeForm):
        return (1.0,) * len(found.sizes)
    parsed = [found.mean(places, "parsed", Condition.CONFLICT) for places in found.sizes]
    return tuple(one.mean if one else 0.0 for one in parsed)


def _first(found: Found) -> list[Source]:
    models = found.replies if isinstance(found, FreeForm) else found.scores
    return [models[places[0]].source for places in found.sizes]


def curve(found: Found) -> FormatCurve:
    """What one format gives over size."""
    quantity = "distractor_share" if isinstance(found, FreeForm) else "distractor_preference"
    conditions = found.task.conditions
    if isinstance(found, FreeForm):
        label, why = found.judged.label, _why(found)
    else:
        shape = found.shapes.get("distractor_preference")
        label, why = (shape.label, "") if shape else ("undetermined", found.unjudged or "")
    return FormatCurve(
        found.task.format,
        quantity,
        names_of(found),
        sizes_of(found),
        {c: tuple(found.mean(places, quantity, c) for places in found.sizes) for c in conditions},
        {c: tuple(found.mean(places, "accuracy", c) for places in found.sizes) for c in conditions},
        answered(found),
        label,
        why,
    )


def _why(found: FreeForm) -> str:
    judged = found.judged
    said = []
    if judged.left_out:
        said.append(f"left out for too few answers: {len(judged.left_out)} of {len(found.sizes)} sizes")
    if judged.why:
        said.append(judged.why)
    return "; ".join(said)


def parts(task: Task) -> dict[str, Bool[ndarray, " item"]]:
    """Which items belong to which part of a task, such as a sub-task of redefine_math; nothing where it has no parts.

    A part is what the names of groups begin with, up to a stroke.
    """
    first = [item.group.partition("/") for item in task.items]
    names = list(dict.fromkeys(name for name, _, _ in first))
    if not all(stroke for _, stroke, _ in first) or not 2 <= len(names) <= MOST_PARTS:
        return {}
    return {name: np.array([own == name for own, _, _ in first]) for name in names}


def accuracy_of_part(found: Found, only: Bool[ndarray, " item"]) -> tuple[Mean | None, ...]:
    """Accuracy in `conflict` over size, of some items: of all of them, or of those with an answer."""
    return tuple(found.mean(places, "accuracy", Condition.CONFLICT, only) for places in found.sizes)
