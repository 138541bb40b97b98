"""Places published curves on the axes of a user's curve where quantity and prompt format agree, else apart with a reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from distractor.published.curves import Published, PublishedAxis, official_name
from distractor.published.label import caveats, label
from distractor.text.format import Format
from distractor.text.task import Condition, Task

QUANTITY = "accuracy"
CONFLICT = Condition.CONFLICT.value  # the condition of the task as published
Items = Literal["official", "changed", "other", "unknown"]
AGREES = "accuracy on the prize's prompts, nothing added, classes ranked by log-probability"


@dataclass(frozen=True)
class OwnCurve:
    """What a user's curve is, as far as it is known.

    `form` is the prompt format, None if unknown. `items` says whether they are those of the prize's file, `changed` by a
    rule, or `other` ones. `n_items` is their number.
    """

    quantity: str = QUANTITY
    axis: str = "parameters"
    condition: str | None = None
    form: Format | None = None
    items: Items = "unknown"
    n_items: int | None = None


@dataclass(frozen=True)
class Panel:
    """Published curves with an axis of their own, and why they are apart, in one sentence."""

    curves: tuple[Published, ...]
    why: str

    @property
    def axis(self) -> PublishedAxis:
        """The axis of all its curves."""
        return self.curves[0].axis


@dataclass(frozen=True)
class References:
    """Published curves beside a user's own curve."""

    own: OwnCurve
    curves: tuple[Published, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.curves)

    @cached_property
    def same(self) -> tuple[Published, ...]:
        """The curves on the axes of the user's own."""
        return tuple(curve for curve in self.curves if not self.reasons(curve))

    @cached_property
    def panels(self) -> tuple[Panel, ...]:
        """The other curves, by axis."""
        apart = [curve for curve in self.curves if self.reasons(curve)]
        axes = dict.fromkeys(curve.axis for curve in apart)
        return tuple(self._panel([curve for curve in apart if curve.axis == axis]) for axis in axes)

    def reasons(self, curve: Published) -> list[str]:
        """Why a curve is apart from the user's; empty if it is not."""
        return list(_reasons(curve, self.own))

    @property
    def sentences(self) -> list[str]:
        """Where the curves are drawn and why, one sentence for each panel; then what the user must check."""
        return [sentence for sentence in (self.with_own, *(panel.why for panel in self.panels), self.fewer) if sentence]

    @property
    def with_own(self) -> str:
        """What the curves on the user's axes have in common with the user's curve; empty if there are none."""
        if not self.same:
            return ""
        if self.own.form is None or self.own.items == "unknown":
            return (
                "The file does not say how your prompts were written and scored. Compare only if your curve is also "
                f"{AGREES}."
            )
        return f"On your axes, because quantity and prompt format agree: {AGREES}."

    @property
    def fewer(self) -> str:
        """How many items the accuracies are over, if the user's curve has other ones; empty if not, or if unknown."""
        n, own = {curve.n_items for curve in self.same if curve.n_items}, self.own.n_items
        if self.own.items != "official" or own is None or not n or n == {own}:
            return ""
        return f"Published accuracies are over {' or '.join(f'{count:,}' for count in sorted(n))} items, yours over {own:,}."

    def as_dict(self) -> list[dict[str, Any]]:
        """Each curve for summary.json, with our label at level 1, the caveats, and why it is apart (None if it is not)."""
        why = {curve: panel.why for panel in self.panels for curve in panel.curves}
        return [
            {**curve.as_dict(), "label": label(curve), "caveats": list(caveats(curve)), "apart": why.get(curve)}
            for curve in self.curves
        ]

    def _panel(self, curves: Sequence[Published]) -> Panel:
        reasons = dict.fromkeys(reason for curve in curves for reason in self.reasons(curve))
        return Panel(tuple(curves), f"Apart from your curve: {'; '.join(reasons)}.")


NO_REFERENCES = References(OwnCurve())


def beside(task: Task, n_items: int, curves: Sequence[Published], axis: str = "parameters") -> References:
    """Published curves beside the accuracy of `task` in `conflict` over `n_items` items."""
    own = OwnCurve(axis=axis, condition=CONFLICT, form=task.format, items=_items(task, curves), n_items=n_items)
    return References(own, tuple(curves))


def _items(task: Task, curves: Sequence[Published]) -> Items:
    """Whether the items in `conflict` are the prize's; the name of a variant, whose prompts differ, has a dot."""
    if {official_name(task.official)} != {curve.task for curve in curves}:
        return "other"
    return "changed" if "." in task.name else "official"


def _reasons(curve: Published, own: OwnCurve) -> Iterator[str]:
    from distractor.runs.style import AXIS_TITLES, quantity_title

    if own.quantity != QUANTITY:
        yield f"these are accuracies, yours is {quantity_title(own.quantity)}"
    if curve.axis == "rank":
        yield "the sizes of these models are unpublished"
    elif curve.axis != own.axis:
        yield f"these are over {AXIS_TITLES[curve.axis]}, yours is over {AXIS_TITLES[own.axis]}"
    if own.condition not in (None, CONFLICT):
        yield f"your condition is {own.condition}, which the prize lacks"
    if own.items == "changed":
        yield "a rule changed your prompts"
    elif own.items == "other":
        yield "your items are not the prize's"
    elif curve.file:
        yield f"these are over {curve.file}"
    if not curve.is_prize_format:
        yours = f" than yours ({own.form.label})" if own.form else ""
        yield f"these have another prompt format{yours}"
    elif own.form is not None and own.form.plain() != Format():
        yield f"your prompt format is {own.form.label}, theirs rank without examples"
