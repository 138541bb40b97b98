"""Splits a change of preference between two models into what the stream holds and what the read-out makes of it.

A gap is cosine · largest + rest. The cosine is the stream's, the other two are the read-out's. Preference is a function of
all three, so its change depends on the order in which the parts change. Both orders are averaged (Shapley 1953); so the two
parts add up to the change exactly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Values = Float[ndarray, "*rest item"]


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of the gap of each item: the cosine, and the read-out's largest gap and rest (nats)."""

    cosine: Values
    largest: Values
    rest: Values

    @property
    def preference(self) -> Values:
        """Distractor preference between the answers' first tokens."""
        return _preference(self, self)


def split_change(before: Factors, after: Factors) -> tuple[Values, Values]:
    """The change of distractor preference by the stream, and the change by the read-out, item by item.

    >>> one = Factors(np.array([0.5]), np.array([0.1]), np.array([0.0]))
    >>> stream, read_out = split_change(one, Factors(one.cosine, 100 * one.largest, one.rest))
    >>> float(stream[0]), round(float(read_out[0]), 2)
    (0.0, -0.48)
    """
    none, both = before.preference, after.preference
    only_stream, only_read_out = _preference(after, before), _preference(before, after)
    stream = (only_stream - none + both - only_read_out) / 2
    read_out = (only_read_out - none + both - only_stream) / 2
    return stream, read_out


def _preference(stream: Factors, read_out: Factors) -> Values:
    gap = stream.cosine * read_out.largest + read_out.rest
    return np.exp(-np.logaddexp(0, gap))
