"""Number formatting in tables, figures and messages."""

import math


def finite_or_none(value: float) -> float | None:
    """The number, or None (null in JSON) if it is infinite or NaN."""
    return float(value) if math.isfinite(value) else None


def number(value: float, digits: int = 2) -> str:
    """Format a number; one that rounds to 0 has no sign."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def with_interval(mean: float, low: float, high: float) -> str:
    """Format a mean and its interval."""
    return f"{number(mean)} [{number(low)}, {number(high)}]"


def p_value(p: float) -> str:
    """Format a p-value; a small one as "< .001"."""
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def shortened(name: str, width: int, start: int | None = None) -> str:
    """Shorten a name to `width` characters: its first `start` characters (a third by default) and its end, which holds the
    seed and the step.

    >>> shortened("ladder/80x2/seed780@750", 19), shortened("8x2", 19)
    ('ladder…/seed780@750', '8x2')
    """
    if len(name) <= width:
        return name
    start = (width - 1) // 3 if start is None else start
    return f"{name[:start]}…{name[len(name) - (width - 1 - start) :]}"
