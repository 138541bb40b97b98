"""The judgement of `ablate` on anyone's results: a curve that was read from a file, its shape, and what lies beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.curves.published import Published, find_published
from distractor.errors import ScalingError
from distractor.numbers import p_value
from distractor.runs.item_parts import ItemParts, PartsBy, parts_of
from distractor.statistics.curve import Curve
from distractor.statistics.groups import interval, interval_of_models, interval_of_seed_means
from distractor.statistics.shape_test import SHARES, Level, Shape, delta_of, judge, judge_means, seeds_in_words


@dataclass(frozen=True, eq=False)
class JudgedCurve:
    """A curve, its shape at both levels, the published curves to lie under it, and its parts where they were asked for.

    `low` and `high` are 95 % bounds of the seed-averaged mean at each size, over item groups (level 1, these weights);
    `models_low` and `models_high` the same over seeds (level 2, models like these), None with fewer than three.
    """

    curve: Curve
    shape: Shape
    delta: float
    low: Float[ndarray, " size"]
    high: Float[ndarray, " size"]
    models_low: Float[ndarray, " size"] | None = None
    models_high: Float[ndarray, " size"] | None = None
    references: tuple[Published, ...] = ()
    parts: ItemParts | None = None

    @property
    def mean(self) -> Float[ndarray, " size"]:
        """The mean over seeds at each size."""
        averaged: ndarray = self.curve.means.mean(0)
        return averaged

    @property
    def sentences(self) -> list[str]:
        """What is found, both levels by name, in whole sentences."""
        return [*_of_weights(self), _of_models(self), *self.notes]

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the numbers."""
        known = [text for text in self.shape.warnings if "level 2 not identified" not in text]
        return [f"{text[0].upper()}{text[1:]}." for text in (*self.curve.notes, *known)]

    def _at(self, place: int) -> dict[str, Any]:
        """One size's numbers."""
        models = self.models_low is not None and self.models_high is not None
        seeds = dict(zip(map(str, self.curve.seeds), self.curve.means[:, place].tolist(), strict=True))
        return {
            "size": self.curve.sizes[place],
            "mean": float(self.mean[place]),
            "low": float(self.low[place]),
            "high": float(self.high[place]),
            "models_low": float(self.models_low[place]) if models else None,  # type: ignore[index]
            "models_high": float(self.models_high[place]) if models else None,  # type: ignore[index]
            "seeds": seeds,
        }

    def as_dict(self) -> dict[str, Any]:
        """As it stands in summary.json and is printed by `--json`."""
        curve = self.curve
        return {
            "quantity": curve.quantity,
            "against": curve.axis,
            "task": curve.task,
            "families": list(curve.families),
            "items": curve.n_items,
            "left_out": curve.left_out,
            "groups": len(curve.groups) or None,
            "sizes": [self._at(place) for place in range(len(curve.sizes))],
            "shape": self.shape.as_dict(),
            "sentences": self.sentences,
            "notes": list(curve.notes),
            "references": [one.as_dict() for one in self.references],
            "parts": self.parts.as_dict() if self.parts else None,
        }


def judge_curve(
    curve: Curve,
    *,
    delta: float | None = None,
    references: Sequence[str] = (),
    task: str | None = None,
    cut: PartsBy | None = None,
) -> JudgedCurve:
    """Judge the shape of `curve`; `delta` defaults to .05 for shares and .2 for nats.

    Raises:
        ScalingError: the curve cannot be judged, references have no numbers for the task, or there is nothing to cut.

    """
    smallest = delta if delta is not None else delta_of(curve.quantity)
    if not 0 < smallest < np.inf:
        raise ScalingError(f"δ, the smallest difference of interest, is finite and above 0; {smallest:g} came")
    found: tuple[Published, ...] = ()
    if references:
        asked = task or curve.task
        if asked is None:
            raise ScalingError("published numbers of which task? The table has no column task; say it with --task")
        if curve.quantity != "accuracy":
            raise ScalingError(f"published numbers are accuracies; they cannot lie under {curve.quantity}")
        found = find_published(asked, references)
    limits = (0.0, 1.0) if curve.quantity in SHARES else None
    if curve.values is not None:
        shape = judge(curve.values, curve.sizes, delta=smallest)
        _, low, high = interval(curve.values.mean(0), limits=limits)
    else:
        assert curve.errors is not None
        shape = judge_means(curve.means, curve.errors, curve.sizes, delta=smallest)
        half = 1.96 * np.sqrt((curve.errors**2).mean(0))
        low, high = curve.means.mean(0) - half, curve.means.mean(0) + half
        if limits:
            low, high = np.maximum(low, 0), np.minimum(high, 1)
    models_low = models_high = None
    if shape.models is not None and curve.values is not None:
        _, models_low, models_high = interval_of_models(curve.values, limits=limits)
    elif shape.models is not None and curve.errors is not None:
        _, models_low, models_high = interval_of_seed_means(curve.means, curve.errors)
    parts = parts_of(curve, cut) if cut else None
    return JudgedCurve(curve, shape, smallest, low, high, models_low, models_high, found, parts)


def cut_of(text: str | None) -> PartsBy | None:
    """The cut that a word names."""
    cuts: dict[str | None, PartsBy | None] = {None: None, "group": "group", "difficulty": "difficulty"}
    if text in cuts:
        return cuts[text]
    raise ScalingError(f"items are cut by group or by difficulty; {text!r} came")


def _of_weights(judged: JudgedCurve) -> list[str]:
    shape = judged.shape
    if len(shape.weights) == 1:
        return [f"These weights (level 1): {_told(shape.weights[0], judged)}"]
    by_seed = ", ".join(
        f"{level.label} (seed {seed})" for seed, level in zip(judged.curve.seeds, shape.weights, strict=True)
    )
    return [f"These weights (level 1), by seed: {by_seed}."]


def _of_models(judged: JudgedCurve) -> str:
    shape = judged.shape
    if shape.models is None:
        return f"Models like these (level 2): not identified ({seeds_in_words(len(shape.weights))}; at least 3 are needed)."
    return f"Models like these (level 2): {_told(shape.models, judged)}"


def _told(level: Level, judged: JudgedCurve) -> str:
    """The label with its evidence, in one or two sentences."""
    delta, unit = judged.delta, "" if judged.curve.quantity in SHARES else " nats"
    turn = level.turn
    words = {"U-shaped": ("falls", "rises again"), "inverted-U": ("rises", "falls again")}
    seen = f"A dip of {level.smallest_detectable_dip:.2g}{unit} could have been seen."
    if level.label in words:
        first, then = words[level.label]
        ends = f"{turn.turning_set[0]:,.15g}", f"{turn.turning_set[-1]:,.15g}"
        where = f"at {ends[0]}" if ends[0] == ends[1] else f"between {ends[0]} and {ends[1]}"
        return (
            f"{level.label}: it {first} (p {p_value(turn.p_left)}) and {then} (p {p_value(turn.p_right)}), by at least "
            f"{turn.low:.2g}{unit}; it turns {where} {judged.curve.axis}. {seen}"
        )
    excluded = [name for name, out in (("U", level.no_u), ("inverted U", level.no_inverted_u)) if out]
    if excluded:
        no = f"No {' and no '.join(excluded)} of {delta:g}{unit} or more: ruled out."
    else:
        no = f"A turn of {delta:g}{unit} is not ruled out."
    mean, low, high = level.end
    ends_told = f"from the smallest to the largest it moves by {mean:+.2g} [{low:+.2g}, {high:+.2g}]{unit}"
    return f"{level.label}; {ends_told}. {no} {seen}"
