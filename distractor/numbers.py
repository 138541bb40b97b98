"""Number formatting in tables, figures and messages."""

import math
from collections.abc import Sequence


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


def number_against(value: float, thresholds: Sequence[float], digits: int = 2) -> str:
    """Format a number with as many digits as it takes to be on the same side of each threshold as its exact value.

    >>> number_against(0.4999, [0.5]), number_against(0.003, [0]), number_against(0.31, [0.5])
    ('0.4999', '0.003', '0.31')
    """
    sides = [(value > threshold, value < threshold) for threshold in thresholds]
    for places in range(digits, 16):
        text = number(value, places)
        if [(float(text) > threshold, float(text) < threshold) for threshold in thresholds] == sides:
            return text
    return f"{value:.17g}"


def interval_against(mean: float, low: float, high: float, thresholds: Sequence[float]) -> str:
    """Format a mean and its interval as `number_against` does."""
    ends = f"{number_against(low, thresholds)}, {number_against(high, thresholds)}"
    return f"{number_against(mean, thresholds)} [{ends}]"


def p_value(p: float) -> str:
    """Format a p-value; a small one as "< .001"."""
    return f"{p:.3f}" if p >= 0.001 else "< .001"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "seed"), counted(1200, "item")
    ('1 seed', '1,200 items')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def shortened(name: str, width: int, start: int | None = None) -> str:
    """Shorten a name to `width` characters: its first `start` characters (a third by default) and its end, which holds the
    seed and the step.

    >>> shortened("polypythias/160m/seed3@1000", 19), shortened("8x2", 19)
    ('polypy…m/seed3@1000', '8x2')
    """
    if len(name) <= width:
        return name
    start = (width - 1) // 3 if start is None else start
    return f"{name[:start]}…{name[len(name) - (width - 1 - start) :]}"


def duration(seconds: float) -> str:
    """A time in words, with two units at most.

    >>> duration(0.4), duration(42.3), duration(95), duration(3700), duration(200_000)
    ('under 1 s', '42 s', '1 min 35 s', '1 h 1 min', '2 d 7 h')
    """
    if seconds < 1:
        return "under 1 s"
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if left >= size or parts:
            parts.append((left // size, unit))
            left %= size
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def flop(count: float) -> str:
    """A number of floating-point operations in words.

    >>> flop(0), flop(999), flop(2.5e9)
    ('nothing', '999 FLOP', '2.5 GFLOP')
    """
    for power, name in ((15, "PFLOP"), (12, "TFLOP"), (9, "GFLOP"), (6, "MFLOP")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {name}"
    return "nothing" if count == 0 else f"{count:.0f} FLOP"


def gigabytes(size: float) -> str:
    """A number of bytes in words.

    >>> gigabytes(5.38e8), gigabytes(1.7e9), gigabytes(2.4e11)
    ('538 MB', '1.7 GB', '240 GB')
    """
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB" if size < 1e11 else f"{size / 1e9:,.0f} GB"
