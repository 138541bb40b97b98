"""Which figures of a run are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST = 6  # figures of the main set


class FigureSet(StrEnum):
    """Those that answer the command's question, all, or none."""

    MAIN = "main"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True)
class FigureChoice:
    """The names of the figures that a run draws, the headline figure first, and of those that it leaves out."""

    which: FigureSet
    names: tuple[str, ...]
    left_out: tuple[str, ...]


def choose(which: FigureSet, main: Sequence[str], more: Sequence[str] = (), most: int = MOST) -> FigureChoice:
    """Choose among the figures that a run can draw: `main` are the first `most` of those of the main set, `all` also `more`.

    >>> choose(FigureSet.MAIN, ["curves", "conditions"], ["by_difficulty"], most=1).names
    ('curves',)
    """
    every = (*main, *more)
    n_drawn = {FigureSet.MAIN: min(most, len(main)), FigureSet.ALL: len(every), FigureSet.NONE: 0}[which]
    return FigureChoice(which, every[:n_drawn], every[n_drawn:])
