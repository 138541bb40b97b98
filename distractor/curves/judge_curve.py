"""Judges the shape of a curve from a file, with intervals, published curves and curves of item parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.models.source import EMBEDDED
from distractor.numbers import p_value
from distractor.published.curves import find_published
from distractor.published.placement import NO_REFERENCES, OwnCurve, References
from distractor.runs.item_parts import ItemParts, PartsBy, parts_of
from distractor.statistics.curve import Curve
from distractor.statistics.intervals import interval, interval_of_models, interval_of_seed_means
from distractor.statistics.shape_test import SHARES, Level, Shape, delta_of, judge, judge_means, seeds_in_words
from distractor.statistics.weighting import weighting_notes
from distractor.text.format import SCORINGS, Format


@dataclass(frozen=True, eq=False)
class JudgedCurve:
    """A curve, its shape at both levels, and, on request, published curves and curves of item parts.

    `low` and `high` bound the mean over seeds at each size, with 95 % over item groups (level 1, these weights).
    `models_low` and `models_high` bound it over seeds (level 2, models like these); None with fewer than three seeds.
    """

    curve: Curve
    shape: Shape
    delta: float
    low: Float[ndarray, " size"]
    high: Float[ndarray, " size"]
    models_low: Float[ndarray, " size"] | None = None
    models_high: Float[ndarray, " size"] | None = None
    references: References = NO_REFERENCES
    parts: ItemParts | None = None

    @property
    def mean(self) -> Float[ndarray, " size"]:
        """The mean over seeds at each size."""
        return self.curve.means.mean(0)

    @property
    def sentences(self) -> list[str]:
        """The result at both levels, then the notes."""
        return [*self.levels, *self.notes]

    @property
    def levels(self) -> list[str]:
        """The result for these weights (level 1) and for models like these (level 2)."""
        return [_weights_sentence(self), _models_sentence(self)]

    @property
    def notes(self) -> list[str]:
        """Warnings about the numbers."""
        warnings = [text for text in self.shape.warnings if "level 2 not identified" not in text]
        return [f"{text[0].upper()}{text[1:]}." for text in (*self.curve.notes, *warnings)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json and `--json`."""
        curve = self.curve
        columns = {name: getattr(self, name) for name in ("mean", "low", "high", "models_low", "models_high")}
        return {
            "quantity": curve.quantity,
            "against": curve.axis,
            "task": curve.task,
            "families": list(curve.families),
            "items": curve.n_items,
            "left_out": curve.left_out,
            "missing": curve.missing,
            "groups": len(curve.groups) or None,
            "sizes": [
                {
                    "size": size,
                    **{name: None if column is None else float(column[index]) for name, column in columns.items()},
                    "seeds": dict(zip(map(str, curve.seeds), curve.means[:, index].tolist(), strict=True)),
                }
                for index, size in enumerate(curve.sizes)
            ],
            "shape": self.shape.as_dict(),
            "sentences": self.sentences,
            "notes": list(curve.notes),
            "references": self.references.as_dict(),
            "parts": self.parts.as_dict() if self.parts else None,
        }


def judge_curve(
    curve: Curve,
    *,
    delta: float | None = None,
    references: Sequence[str] = (),
    task: str | None = None,
    by: PartsBy | None = None,
) -> JudgedCurve:
    """Judge the shape of `curve`; `delta`, the smallest difference of interest, is .05 for shares and .2 for nats.

    Raises:
        ScalingError: the curve cannot be judged, `references` have no numbers for the task, or the items cannot be
            divided into parts.
    """
    smallest = delta if delta is not None else delta_of(curve.quantity)
    if not 0 < smallest < np.inf:
        raise ScalingError(f"δ, the smallest difference of interest, must be finite and above 0, not {smallest:g}")
    published = _references(curve, references, task)
    limits = (0.0, 1.0) if curve.quantity in SHARES else None
    if curve.values is not None:
        is_share = limits is not None
        shape = judge(curve.values, curve.sizes, delta=smallest, is_share=is_share, n_effective=curve.n_effective)
        _, low, high = interval(curve.values.mean(0), limits=limits, n_effective=curve.n_effective)
    else:
        assert curve.errors is not None
        shape = judge_means(curve.means, curve.errors, curve.sizes, delta=smallest, is_share=limits is not None)
        half = 1.96 * np.sqrt((curve.errors**2).mean(0))
        low, high = curve.means.mean(0) - half, curve.means.mean(0) + half
        if limits:
            low, high = np.maximum(low, 0), np.minimum(high, 1)
    models_low = models_high = None
    if shape.models is not None and curve.values is not None:
        _, models_low, models_high = interval_of_models(curve.values, limits=limits, n_effective=curve.n_effective)
    elif shape.models is not None and curve.errors is not None:
        _, models_low, models_high = interval_of_seed_means(curve.means, curve.errors)
    parts = parts_of(curve, by) if by else None
    if curve.values is not None and curve.counts is not None:
        weighting = weighting_notes(curve.values, curve.counts, curve.sizes, delta=smallest)
        curve = replace(curve, notes=(*curve.notes, *weighting))
    return JudgedCurve(curve, shape, smallest, low, high, models_low, models_high, published, parts)


def _references(curve: Curve, names: Sequence[str], task: str | None) -> References:
    """The published curves of `names` for the task, or for that of the table."""
    own = OwnCurve(
        curve.quantity,
        curve.axis,
        curve.condition,
        form_of(curve),
        "other" if is_embedded(curve) else "unknown",
        curve.n_items,
    )
    if not names:
        return References(own)
    published_task = task or curve.task
    if published_task is None:
        raise ScalingError("the table has no column task; name the task of the published results with --task")
    return References(own, find_published(published_task, names, curve.axis))


def form_of(curve: Curve) -> Format | None:
    """The prompt format of a curve; None if the table does not name it. Worked examples alone name one that ranks."""
    if curve.scoring in SCORINGS:
        return Format(curve.scoring, curve.shots or 0)
    return Format("rank", curve.shots) if curve.scoring is None and curve.shots else None


def is_embedded(curve: Curve) -> bool:
    """Whether all models are embedded ones, whose items are our own."""
    return bool(curve.families) and all(family.partition("/")[0] == EMBEDDED for family in curve.families)


def parse_parts(text: str | None) -> PartsBy | None:
    """Parse the option `--by`."""
    parts: dict[str | None, PartsBy | None] = {None: None, "group": "group", "difficulty": "difficulty"}
    if text in parts:
        return parts[text]
    raise ScalingError(f"--by takes group or difficulty, not {text!r}")


def _weights_sentence(judged: JudgedCurve) -> str:
    levels = judged.shape.weights
    if len(levels) == 1:
        return f"These weights (level 1): {_evidence(levels[0], judged)}"
    by_seed = [f"{level.label} (seed {seed})" for seed, level in zip(judged.curve.seeds, levels, strict=True)]
    return f"These weights (level 1), by seed: {', '.join(by_seed)}."


def _models_sentence(judged: JudgedCurve) -> str:
    shape = judged.shape
    if shape.models is None:
        return f"Models like these (level 2): not identified ({seeds_in_words(len(shape.weights))}; at least 3 are needed)."
    return f"Models like these (level 2): {_evidence(shape.models, judged)}"


def _evidence(level: Level, judged: JudgedCurve) -> str:
    """Describe a label and its evidence in two or three sentences."""
    unit = "" if judged.curve.quantity in SHARES else " nats"
    turn = level.turn
    verbs = {"U-shaped": ("falls", "rises again"), "inverted-U": ("rises", "falls again")}
    dip = f"Minimum detectable dip: {level.smallest_detectable_dip:.2g}{unit}."
    if level.label in verbs:
        left, right = verbs[level.label]
        first, last = f"{turn.turning_set[0]:,.15g}", f"{turn.turning_set[-1]:,.15g}"
        where = f"at {first}" if first == last else f"between {first} and {last}"
        return (
            f"{level.label}: it {left} (p {p_value(turn.p_left)}) and {right} (p {p_value(turn.p_right)}), by at least "
            f"{turn.low:.2g}{unit}; it turns {where} {judged.curve.axis}. {dip}"
        )
    excluded = [
        name for name, is_excluded in (("a U", level.no_u), ("an inverted U", level.no_inverted_u)) if is_excluded
    ]
    turns = f"A turn of {judged.delta:g}{unit} is not ruled out."
    if excluded:
        turns = f"Ruled out: {' and '.join(excluded)} of {judged.delta:g}{unit} or more."
    mean, low, high = level.end
    change = f"from the smallest to the largest size it changes by {mean:+.2g} [{low:+.2g}, {high:+.2g}]{unit}"
    return f"{level.label}: {change}. {turns} {dip}"
