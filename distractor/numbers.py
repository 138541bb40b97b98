"""The paper that tables are printed on, and how numbers are written."""

import numpy as np


def finite_or_none(value: float) -> float | None:
    """A number as JSON can have it: None where there is none."""
    return float(value) if np.isfinite(value) else None


def number(value: float, digits: int = 2) -> str:
    """A number as it is shown: what rounds to 0 has no sign."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def with_interval(mean: float, low: float, high: float) -> str:
    """A mean and the ends of its interval, as they are shown."""
    return f"{number(mean)} [{number(low)}, {number(high)}]"


def p_value(p: float) -> str:
    """A p-value as it is shown."""
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def shortened(name: str, room: int) -> str:
    """A name as it fits: of one that is too long its end, where the seed and the step are.

    >>> shortened("ladder/80x2/seed780@750", 19), shortened("8x2", 19)
    ('…r/80x2/seed780@750', '8x2')
    """
    return name if len(name) <= room else f"…{name[-(room - 1) :]}"
