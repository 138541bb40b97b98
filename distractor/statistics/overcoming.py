"""How a model overcomes the distractor: by override, suppression, inversion or unlearning, or undetermined.

All effects are in nats and positive towards the distractor's answer. The bounds were fixed before any trained model was
looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.numbers import number, with_interval
from distractor.statistics.intervals import MIN_SEEDS, NORMAL, Mean, interval_of_seed_means, mean_interval
from distractor.statistics.ratios import ratio_interval
from distractor.statistics.shape_test import DELTA_D

How = Literal[
    "override",
    "suppression at the source",
    "suppression downstream",
    "inversion",
    "unlearning",
    "not learned",
    "shared, undetermined",
    "undetermined",
]
Sign = Literal["positive", "near 0", "negative", "unclear"]

POSITIVE, NEAR_0, NEGATIVE = (0.6, 1.4), (-0.4, 0.4), -0.6
"""The bounds for the intervals of ω and κ."""

LEAST_COVERED = 0.5  # the share of all sites' effect that the chosen sites must have

HOW: Mapping[tuple[Sign, Sign], How] = {
    ("positive", "positive"): "override",
    ("near 0", "near 0"): "suppression at the source",
    ("positive", "near 0"): "suppression downstream",
}
"""The label for ω and κ; any other pair is undetermined, except that a negative κ is inversion."""

IN_WORDS: Mapping[How, str] = {
    "override": "the sites go on writing the distractor's answer, and it still counts",
    "suppression at the source": "the sites no longer write the distractor's answer if there is a true cue",
    "suppression downstream": "the sites go on writing the distractor's answer, but it no longer counts",
    "inversion": "what the sites write now counts against the distractor's answer",
    "unlearning": "nothing writes the distractor's answer",
}

Written = Mapping[str, Float[ndarray, " held_out"]]
"""An effect on each item that did not choose sites, by condition."""


@dataclass(frozen=True, eq=False)
class ModelEffects:
    """What one model writes and what counts, item by item.

    Of all items (with `groups`): `alone` is gap(neutral) − gap(distractor_only), `pull` is D, `conflict` the gap in conflict.
    Of the items that did not choose sites (with `held_out`), by condition: the transplants of the `chosen`, `unshared`,
    `shared` and of `all` sites, and the `knock_out` of the chosen sites with `final_norm`, the scale of the final norm.

    `cue_is_built_on_distractor`: the true cue changes the distractor's, as a negation does. `impure` says how
    `distractor_only` differs from `neutral` besides the distractor's cue; empty if it does not.
    """

    groups: Sequence[str]
    alone: Float[ndarray, " item"]
    pull: Float[ndarray, " item"]
    conflict: Float[ndarray, " item"]
    held_out: Sequence[str]
    chosen: Written
    unshared: Written
    shared: Written
    all: Written
    knock_out: Written
    final_norm: Written
    cue_is_built_on_distractor: bool = False
    impure: str = ""


@dataclass(frozen=True)
class Overcome:
    """How a model overcomes the distractor, and why this is the answer.

    `omega` (ω): is the distractor's answer still written in conflict; `omega_congruent`: in congruent. `kappa` (κ): does it
    still count in conflict. `rho` (ρ_D): the same of shared sites, mean of conflict and congruent. `beta` (β_D): of
    behaviour. Each is a share of what `distractor_only` shows; None where it is not defined. `covered` is the chosen
    sites' share of all sites' effect in `distractor_only`, `only_shared` the share that is lost without the sites of both
    tasks. Effects of sets do not add up, so it may be negative or above 1. In nats, `alone` is what the distractor's cue
    alone does, `lost` the knock-out of the chosen sites in `distractor_only`, and `conflict` the gap there. The last fields
    are those of `ModelEffects`.
    """

    label: How
    reason: str
    alone: Mean
    omega: Mean | None = None
    omega_congruent: Mean | None = None
    kappa: Mean | None = None
    rho: Mean | None = None
    beta: Mean | None = None
    covered: float | None = None
    only_shared: float | None = None
    lost: Mean | None = None
    conflict: Mean | None = None
    cue_is_built_on_distractor: bool = False
    impure: str = ""
    cautions: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value._asdict() if isinstance(value, Mean) else value for name, value in plain.items()} | {
            "cautions": list(self.cautions)
        }


def judge(evidence: ModelEffects, delta_d: float = DELTA_D) -> Overcome:
    """The answer for one model, from intervals over item groups.

    Raises:
        ScalingError: the items, or those that did not choose sites, have fewer than two groups.
    """
    groups, held_out = evidence.groups, evidence.held_out
    alone = mean_interval(evidence.alone, groups)

    def share(effects: Written, condition: str) -> Mean | None:
        return ratio_interval(effects[condition], effects["distractor_only"], held_out)

    counted = {c: effect * evidence.final_norm[c] for c, effect in evidence.knock_out.items()}
    lost = mean_interval(evidence.knock_out["distractor_only"], held_out)
    both = {c: effect for c, effect in evidence.shared.items() if c == "distractor_only"}
    both["both"] = (evidence.shared["conflict"] + evidence.shared["congruent"]) / 2
    found: dict[str, Any] = {
        "alone": alone,
        "omega": share(evidence.chosen, "conflict"),
        "omega_congruent": share(evidence.chosen, "congruent"),
        "kappa": share(counted, "conflict") if lost.low > delta_d else None,
        "lost": lost,
        "rho": None if evidence.cue_is_built_on_distractor else share(both, "both"),
        "beta": ratio_interval(evidence.pull, evidence.alone, groups),
        "covered": _share_of(evidence.chosen, evidence.all),
        "only_shared": None if (of := _share_of(evidence.unshared, evidence.all)) is None else 1 - of,
        "conflict": (conflict := mean_interval(evidence.conflict, groups)),
        "cautions": _cautions(conflict),
        "cue_is_built_on_distractor": evidence.cue_is_built_on_distractor,
        "impure": evidence.impure,
    }
    return Overcome(*_answer(found, delta_d), **found)


def _answer(found: Mapping[str, Any], delta_d: float) -> tuple[How, str]:
    alone, lost = found["alone"], found["lost"]
    moved = f"the distractor's cue alone moves the gap by {with_interval(*alone)} nats"
    if found["impure"]:
        return "undetermined", found["impure"]
    if max(-alone.low, alone.high) < delta_d:
        return "unlearning", f"{moved}, less than {delta_d:g}: {IN_WORDS['unlearning']}"
    if alone.low <= 0:
        return "undetermined", f"{moved}, which is not clearly towards the distractor's answer"
    covered = found["covered"]
    if covered is None:
        return "undetermined", "transplants of all sites together do not move the gap"
    if covered < LEAST_COVERED:
        return "shared, undetermined", _shared_reason(found)
    omega, kappa = found["omega"], found["kappa"]
    if kappa is None and lost is not None:
        effect = f"their knock-out in distractor_only moves the gap by {with_interval(*lost)} nats"
        return "undetermined", f"whether the chosen sites count is not known: {effect}, not clearly above {delta_d:g}"
    return label_of(omega, kappa)


def label_of(omega: Mean | None, kappa: Mean | None) -> tuple[How, str]:
    """The label for ω and κ, and its reason."""
    if omega is None or kappa is None:
        return "undetermined", "what the chosen sites write in distractor_only is not clearly above 0"
    numbers = f"ω = {with_interval(*omega)}, κ = {with_interval(*kappa)}"
    signs = sign(omega), sign(kappa)
    how = "inversion" if signs[1] == "negative" else HOW.get(signs, "undetermined")
    if how != "undetermined":
        return how, f"{IN_WORDS[how]} ({numbers})"
    unclear = [name for name, of_sign in zip("ωκ", signs, strict=True) if of_sign == "unclear"]
    if unclear:
        return (
            how,
            f"{numbers}: {' and '.join(unclear)} {'is' if len(unclear) == 1 else 'are'} not inside any of the bounds",
        )
    return how, f"{numbers}: the two do not fit together"


def sign(share: Mean) -> Sign:
    """Which of the bounds an interval is inside."""
    for name, (low, high) in (("positive", POSITIVE), ("near 0", NEAR_0), ("negative", (-np.inf, NEGATIVE))):
        if low < share.low and share.high < high:
            return name  # type: ignore[return-value]
    return "unclear"


def not_learned(by_size: Sequence[Overcome], delta_d: float = DELTA_D) -> list[Overcome]:
    """The answers of models in order of size, with "not learned" for those before the first that does the distractor task.

    They show the same numbers as unlearning. Without a model that does the task, nothing changes.
    """
    first = next((k for k, one in enumerate(by_size) if one.alone.low > delta_d), 0)
    reason = "the distractor's cue alone does not move the gap yet"
    return [
        replace(one, label="not learned", reason=reason) if k < first and one.label == "unlearning" else one
        for k, one in enumerate(by_size)
    ]


def over_seeds(models: Sequence[Overcome], delta_d: float = DELTA_D) -> Overcome | None:
    """The answer for models like these, by the same rules from means over seeds; None with fewer than three seeds.

    Intervals are over seeds and groups. A share is None unless each seed has it. Unlearning, not learned and "shared,
    undetermined" must hold in each seed; in some seeds, they make the answer undetermined.
    """
    if len(models) < MIN_SEEDS:
        return None
    found: dict[str, Any] = {
        name: _mean_of_seeds([getattr(one, name) for one in models])
        for name in ("alone", "omega", "omega_congruent", "kappa", "rho", "beta", "lost", "conflict")
    }
    for name in ("covered", "only_shared"):
        shares = [getattr(one, name) for one in models]
        found[name] = None if None in shares else float(np.mean(shares))
    found["cautions"] = _cautions(found["conflict"])
    found |= {name: getattr(models[0], name) for name in ("cue_is_built_on_distractor", "impure")}
    labels = [one.label for one in models]
    counts = f"of {len(models)} seeds: " + ", ".join(
        f"{labels.count(label)} {label}" for label in dict.fromkeys(labels)
    )
    whole = set(labels) & {"unlearning", "not learned", "shared, undetermined"}
    if not whole:
        label, reason = _answer(found, delta_d)
        return Overcome(label, f"{reason}; {counts}", **found)
    if len(set(labels)) > 1:
        return Overcome("undetermined", counts, **found)
    each = f"in each of {len(models)} seeds"
    if labels[0] == "shared, undetermined":
        return Overcome(labels[0], f"{each}, {_shared_reason(found)}", **found)
    return Overcome(labels[0], f"{each} nothing writes the distractor's answer", **found)


def _mean_of_seeds(values: Sequence[Mean | None]) -> Mean | None:
    """The mean with its interval over seeds; None if a seed has no value."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    means = np.array([[value.mean] for value in known], dtype=float)
    errors = np.array([[(value.high - value.low) / 2 / NORMAL] for value in known])
    return Mean(*(float(end[0]) for end in interval_of_seed_means(means, errors)))


def _share_of(some: Written, every: Written) -> float | None:
    """The share of all sites' effect in `distractor_only`; None if they have none."""
    total = float(every["distractor_only"].mean())
    return float(some["distractor_only"].mean()) / total if total > 0 else None


def _shared_reason(found: Mapping[str, Any]) -> str:
    reason = f"sites that write for one task alone have only {found['covered']:.0%} of the effect"
    if found["cue_is_built_on_distractor"]:
        return f"{reason}; the true cue is built on the distractor's, so override and inversion are not identifiable"
    if found["rho"] is None:
        return reason
    return f"{reason}; the shared sites keep ρ_D = {with_interval(*found['rho'])} of it"


def _cautions(conflict: Mean | None) -> tuple[str, ...]:
    if conflict is None or conflict.low > 0:
        return ()
    return (f"the distractor is not overcome: the gap in conflict is {number(conflict.mean)} nats",)
