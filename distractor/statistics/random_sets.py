"""The null of random sets of sites: whether what some sites do is more than what random sets of other sites do."""

from collections.abc import Sequence

from distractor.numbers import number, p_value

ENOUGH = 19  # of so few random sets, p can be .05


def random_set_p(value: float, random: Sequence[float]) -> float | None:
    """The share of random sets, with this one, that reach `value`; None with fewer than 19 sets.

    >>> random_set_p(2.0, [0.1] * 19), random_set_p(2.0, [0.1] * 18)
    (0.05, None)
    """
    if len(random) < ENOUGH:
        return None
    return (1 + sum(one >= value for one in random)) / (1 + len(random))


def null_sentence(value: float, random: Sequence[float]) -> str:
    """The null in words: what random sets reach, and p; or that they are too few.

    >>> null_sentence(2.0, [0.1] * 19), null_sentence(2.0, [])
    ('19 random sets of the same kind 0.10 to 0.10, p = 0.050', '0 random sets, too few for a p-value')
    """
    sets = f"{len(random)} random set{'s' * (len(random) != 1)}"
    if random:
        sets += f" of the same kind {number(min(random))} to {number(max(random))}"
    p = random_set_p(value, random)
    return f"{sets}, p = {p_value(p)}" if p is not None else f"{sets}, too few for a p-value"
