"""The difference of two means over different items, which share no group."""

from math import hypot

from distractor.statistics.intervals import Mean


def independent_difference(one: Mean, other: Mean) -> Mean:
    """`one` − `other`, with its 95 % interval from the two intervals (Zou and Donner 2008; for shares, Newcombe 1998).

    The distances of the ends from their means add as squares. So the interval is as exact as those of the means, also
    where a share is 0 or 1.

    >>> [round(value, 3) for value in independent_difference(Mean(0.9, 0.6, 1.0), Mean(0.5, 0.1, 0.8))]
    [0.4, -0.024, 0.812]
    """
    mean = one.mean - other.mean
    return Mean(
        mean,
        mean - hypot(one.mean - one.low, other.high - other.mean),
        mean + hypot(one.high - one.mean, other.mean - other.low),
    )
