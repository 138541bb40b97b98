"""Seeds in two modes: at one size, some seeds prefer the distractor and some do not (Zhao et al. 2025, arXiv 2502.17356).

The mean of two modes is the level of no model. A mean of .5 over seeds is then not a guess.
"""

from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.statistics.shape_test import DELTA

CHANCE = 0.5
TIE = 1e-3
"""A preference this close to one half is no preference. Below it, the count would depend on rounding."""


@dataclass(frozen=True)
class Modes:
    """How many of `seeds` prefer the distractor (`above` one half), and the mean level of those and of the others."""

    seeds: int
    above: int
    level_above: float | None
    level_below: float | None

    @property
    def are_two(self) -> bool:
        """Whether both modes have seeds and are further than δ from one half, so that noise around .5 is no mode."""
        if self.level_above is None or self.level_below is None:
            return False
        return self.level_above > CHANCE + DELTA and self.level_below < CHANCE - DELTA

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {**asdict(self), "share_above": self.above / self.seeds, "two_modes": self.are_two}


def prefers_distractor(preference: Float[ndarray, " seed"]) -> Bool[ndarray, " seed"]:
    """Whether each seed's mean preference is above one half by more than `TIE`."""
    return preference > CHANCE + TIE


def modes(preference: Float[ndarray, " seed"]) -> Modes:
    """The modes of one size, from each seed's mean preference.

    >>> import numpy
    >>> modes(numpy.array([0.9, 0.75, 0.2]))
    Modes(seeds=3, above=2, level_above=0.825, level_below=0.2)
    """
    is_above = prefers_distractor(preference)
    levels = [float(part.mean()) if len(part) else None for part in (preference[is_above], preference[~is_above])]
    return Modes(len(preference), int(is_above.sum()), *levels)
