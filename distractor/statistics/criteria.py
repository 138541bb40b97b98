"""The rules of the verdict: how an estimate and its interval answer yes, no or unclear, and how the rule is printed."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Above:
    """Yes where the whole interval is above `least`; no where it is below `no_below` (by default below `least`).

    >>> Above(0, 0.05).answer(0.4, 0.3, 0.5), Above(0, 0.05).answer(0.02, 0.01, 0.03), Above(0).answer(0.1, -0.1, 0.3)
    (True, False, None)
    """

    least: float
    no_below: float | None = None

    def answer(self, number: float, low: float, high: float) -> bool | None:
        """True is yes, False no, None unclear."""
        return False if high < self.thresholds[1] else True if low > self.least else None

    def margin(self, number: float, low: float, high: float) -> float:
        """How far the interval is inside; the smaller, the weaker."""
        return low - self.least

    @property
    def thresholds(self) -> tuple[float, float]:
        """The numbers that the interval is compared with."""
        return self.least, self.least if self.no_below is None else self.no_below

    @property
    def text(self) -> str:
        """The rule in words."""
        if self.no_below is None:
            return f"yes if the lower end is above {self.least:g}, no if the upper end is below {self.least:g}"
        return f"no if the upper end is below {self.no_below:g}, else yes if the lower end is above {self.least:g}"

    @property
    def short(self) -> str:
        """The rule in a table cell."""
        return f"> {self.least:g}" if self.no_below is None else f"> {self.least:g}; no: < {self.no_below:g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {"yes_above": self.least, "no_below": self.thresholds[1]}


@dataclass(frozen=True)
class Within:
    """Yes where the whole interval is from `lowest` to `highest`; no where it is outside.

    >>> Within(0.4, 0.6).answer(0.5, 0.45, 0.55), Within(0.4, 0.6).answer(0.7, 0.65, 0.75)
    (True, False)
    """

    lowest: float
    highest: float

    def answer(self, number: float, low: float, high: float) -> bool | None:
        """True is yes, False no, None unclear."""
        if self.lowest <= low and high <= self.highest:
            return True
        return False if high < self.lowest or low > self.highest else None

    def margin(self, number: float, low: float, high: float) -> float:
        """How far the interval is inside; the smaller, the weaker."""
        return min(low - self.lowest, self.highest - high)

    @property
    def thresholds(self) -> tuple[float, float]:
        """The numbers that the interval is compared with."""
        return self.lowest, self.highest

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"yes if the interval is from {self.lowest:g} to {self.highest:g}, no if it is outside"

    @property
    def short(self) -> str:
        """The rule in a table cell."""
        return f"{self.lowest:g} to {self.highest:g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {"yes_from": self.lowest, "yes_to": self.highest}


@dataclass(frozen=True)
class AtMost:
    """Yes where the number is at most `most`, else no; it has no interval.

    >>> AtMost(0.5).answer(0.5, 0.5, 0.5), AtMost(0.5).answer(0.79, 0.79, 0.79)
    (True, False)
    """

    most: float

    def answer(self, number: float, low: float, high: float) -> bool | None:
        """True is yes, False no."""
        return number <= self.most

    def margin(self, number: float, low: float, high: float) -> float:
        """How far the number is inside; the smaller, the weaker."""
        return self.most - number

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The number that the estimate is compared with."""
        return (self.most,)

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"yes if it is at most {self.most:g}, else no"

    @property
    def short(self) -> str:
        """The rule in a table cell."""
        return f"≤ {self.most:g}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {"yes_at_most": self.most}


Criterion = Above | Within | AtMost
