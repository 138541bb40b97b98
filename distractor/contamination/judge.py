"""Whether a model knows the official rows, by fixed bounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.contamination.measure import RowValues
from distractor.models.source import Source
from distractor.statistics.independent import independent_difference
from distractor.statistics.intervals import Mean, mean_interval
from distractor.statistics.sign_flips import holm, sign_flip_p
from distractor.statistics.standard_errors import ALPHA
from distractor.text.task import Condition

EXCLUDED_LEAD = log(2)
"""A model does not know the rows if this lead (nats) of official over fresh ones is excluded: its order twice as likely."""

SHARE = (0.0, 1.0)
Knows = Literal["yes", "no", "unclear"]


@dataclass(frozen=True)
class Compared:
    """A mean over official rows, one over fresh rows, and their difference, each with its 95 % interval over groups."""

    official: Mean
    fresh: Mean
    difference: Mean

    def as_dict(self) -> dict[str, dict[str, float]]:
        """The content of the JSON."""
        return {name: mean._asdict() for name, mean in vars(self).items()}


@dataclass(frozen=True)
class Judged:
    """One model. `order_lead` is in nats; `p` is the sign-flip p-value of its official mean, `p_holm` that over models.

    `accuracy` and `gap` (nats) are by condition. `is_next` has the shares of rows whose greedy continuation is the row's
    own, and the one in the other order: (official, exchanged, fresh, fresh exchanged). `constant` is the answer to almost all
    official rows, if there is one.
    """

    source: Source
    accuracy: dict[Condition, Compared]
    gap: dict[Condition, Compared]
    order_lead: Compared
    p: float
    p_holm: float
    is_next: tuple[float, float, float, float]
    constant: str | None = None

    @property
    def knows(self) -> Knows:
        """Whether the model knows the order of official rows.

        "yes": official rows lead fresh ones beyond the interval, and their own lead is significant (Holm over models).
        "no": a lead of `EXCLUDED_LEAD` is excluded. "unclear": neither.
        """
        lead = self.order_lead
        if lead.difference.low > 0 and lead.official.mean > 0 and self.p_holm < ALPHA:
            return "yes"
        return "no" if lead.difference.high < EXCLUDED_LEAD else "unclear"

    def as_dict(self) -> dict[str, Any]:
        """The content of the JSON."""
        names = ("official", "official_exchanged", "fresh", "fresh_exchanged")
        return {
            "model": self.source.name,
            "n_params": self.source.n_params,
            "knows_official_order": self.knows,
            "order_lead": {**self.order_lead.as_dict(), "p": self.p, "p_holm": self.p_holm},
            "constant_answer": self.constant,
            "greedy_next_words": dict(zip(names, self.is_next, strict=True)),
            "accuracy": {condition.value: compared.as_dict() for condition, compared in self.accuracy.items()},
            "gap_of_right_answer": {condition.value: compared.as_dict() for condition, compared in self.gap.items()},
        }


def judge(sources: Sequence[Source], official: Sequence[RowValues], fresh: Sequence[RowValues]) -> list[Judged]:
    """Judge every model from its values for official and for fresh rows. Raises ScalingError below two groups."""
    p_values = [float(sign_flip_p(values.order_lead[None], values.groups)[0]) for values in official]
    return [
        Judged(
            source=source,
            accuracy={c: compare(ours.accuracy[c], ours, new.accuracy[c], new, SHARE) for c in ours.accuracy},
            gap={c: compare(ours.gap[c], ours, new.gap[c], new) for c in ours.gap},
            order_lead=compare(ours.order_lead, ours, new.order_lead, new),
            p=p,
            p_holm=p_holm,
            is_next=(*np.nanmean(ours.is_next, axis=1).tolist(), *np.nanmean(new.is_next, axis=1).tolist()),
            constant=ours.constant,
        )
        for source, ours, new, p, p_holm in zip(sources, official, fresh, p_values, holm(p_values), strict=True)
    ]


def compare(
    official: Float[ndarray, " row"],
    of: RowValues,
    fresh: Float[ndarray, " other"],
    of_fresh: RowValues,
    limits: tuple[float, float] | None = None,
) -> Compared:
    """Compare means over official and over fresh rows; `limits` are the smallest and largest possible value."""
    one = mean_interval(official, of.groups, limits=limits)
    other = mean_interval(fresh, of_fresh.groups, limits=limits)
    return Compared(one, other, independent_difference(one, other))


def change_over_size(
    sources: Sequence[Source], official: Sequence[RowValues], fresh: Sequence[RowValues]
) -> tuple[Source, Source, Compared] | None:
    """How the accuracy in `conflict` changes from the smallest to the largest model, on official and on fresh rows.

    None for models of one size.
    """
    order = sorted(range(len(sources)), key=lambda index: sources[index].n_params or 0)
    small, large = order[0], order[-1]
    if sources[small].n_params == sources[large].n_params:
        return None
    ours, new = (
        values[large].accuracy[Condition.CONFLICT] - values[small].accuracy[Condition.CONFLICT]
        for values in (official, fresh)
    )
    return sources[small], sources[large], compare(ours, official[small], new, fresh[small])
