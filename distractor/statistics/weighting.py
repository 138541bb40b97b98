"""Whether it matters that all items count the same, instead of all groups."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.statistics.curve import FEW_GROUPS, Sizes
from distractor.statistics.group_values import Counts, unweigh
from distractor.statistics.intervals import GroupMeans, interval
from distractor.statistics.pairs import weaker_leg
from distractor.statistics.standard_errors import effective_groups

TURNS = {"fall and rise": -1, "rise and fall": 1}


def weighting_notes(values: GroupMeans, counts: Counts, sizes: Sizes, *, delta: float) -> Iterator[str]:
    """Warnings about groups of unequal size, from group values (see `group_values`) and the groups' numbers of items.

    One group may hold most items, so that few groups decide the errors. And the mean over groups may be another curve than
    the mean over items: its trend or turn, of δ or more, has the other sign, or it is outside an interval.
    """
    if len(counts) >= FEW_GROUPS and (equal := effective_groups(counts)) < FEW_GROUPS:
        yield (
            f"the largest of {len(counts)} item groups has {counts.max() / counts.sum():.0%} of the items, so that errors "
            f"are as uncertain as from {equal:.1f} groups of equal size; more groups help, more items in it do not"
        )
    averaged = values.mean(0)
    of_items, low, high = interval(averaged)
    of_groups = unweigh(averaged, counts).mean(-1)
    is_outside = (of_groups < low) | (of_groups > high)
    if is_outside.any() or _has_other_sign(of_items, of_groups, delta):
        at = int(np.abs(of_groups - of_items).argmax())
        yield (
            f"item groups have {counts.min():.0f} to {counts.max():.0f} items, and it matters: all items count the same "
            f"({_in_words(of_items, delta)}); if all groups counted the same, the curve would be another "
            f"({_in_words(of_groups, delta)}), at {sizes[at]:,.15g} with {of_groups[at]:.2f} instead of {of_items[at]:.2f}"
        )


def _turns(curve: Float[ndarray, " size"]) -> dict[str, float]:
    """The weaker leg of the deepest turn of each kind."""
    return {name: float(weaker_leg(sign * (curve - curve[:, None])).max()) for name, sign in TURNS.items()}


def _has_other_sign(one: Float[ndarray, " size"], other: Float[ndarray, " size"], delta: float) -> bool:
    """Whether a trend or a turn of δ or more in one curve is missing or reversed in the other."""
    trends = one[-1] - one[0], other[-1] - other[0]
    turns = zip(_turns(one).values(), _turns(other).values(), strict=True)
    is_reversed = trends[0] * trends[1] <= 0 and max(map(abs, trends)) >= delta
    return bool(is_reversed or any(min(pair) <= 0 and max(pair) >= delta for pair in turns))


def _in_words(curve: Float[ndarray, " size"], delta: float) -> str:
    turns = [f"a {name} of {depth:.2f}" for name, depth in _turns(curve).items() if depth >= delta]
    return f"{curve[0]:.2f} to {curve[-1]:.2f}, {' and '.join(turns) or f'no turn of {delta:g}'}"
