"""Number formatting in tables, figures and messages."""

import numpy as np


def finite_or_none(value: float) -> float | None:
    """The number, or None (null in JSON) if it is infinite or NaN."""
    return float(value) if np.isfinite(value) else None


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


def shortened(name: str, width: int) -> str:
    """Shorten a name to its last `width` characters, which hold the seed and the step.

    >>> shortened("ladder/80x2/seed780@750", 19), shortened("8x2", 19)
    ('…r/80x2/seed780@750', '8x2')
    """
    return name if len(name) <= width else f"…{name[-(width - 1) :]}"
