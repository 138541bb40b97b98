"""How deep the dip of accuracy is in each format, and whether one format has less of it than another.

The dip is how far accuracy in `conflict` falls below what a smaller size reached. Where it is deepest is chosen on one half
of the item groups and its depth taken on the other half, and the other way round: taken where it was chosen, chance alone
would make it deep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.ablation.formats import Found, answered, names_of, sizes_of
from distractor.ablation.free_form import ENOUGH, FreeForm
from distractor.numbers import with_interval
from distractor.statistics.groups import Mean, interval, known_group_means
from distractor.text.format import Format
from distractor.text.task import Condition

FEWEST_SIZES = 3


FEWEST_GROUPS = 4
"""Two in each half."""


@dataclass(frozen=True, eq=False)
class Dip:
    """The depth of a format's dip for each item group, its mean with its interval over groups, and between which sizes.

    `places` are the two choices of (size before, size in the dip), by name. A depth below 0 says that there is no dip.
    Where accuracy is lowest in the `largest` size, it falls and does not rise again.
    """

    form: Format
    by_group: Mapping[str, float]
    depth: Mean
    places: tuple[tuple[str, str], ...]
    largest: str

    @property
    def rises_again(self) -> bool:
        """Whether it is a dip, and no fall that goes on to the largest size."""
        return all(within != self.largest for _, within in self.places)


def dip(found: Found) -> Dip | None:
    """The dip of one format; None where fewer than three sizes have answers enough, or fewer than four groups have all.

    None as well where two models have one size and are not seeds of each other: then there is no order to dip in.

    Of several seeds the mean is taken. It holds for these weights: the interval is over item groups.
    """
    if len(set(sizes_of(found))) < len(found.sizes):
        return None
    kept = [place for place, share in enumerate(answered(found)) if share >= ENOUGH]
    names = [names_of(found)[place] for place in kept]
    table, groups = _accuracy(found, [found.sizes[place] for place in kept])
    if len(kept) < FEWEST_SIZES or len(groups) < FEWEST_GROUPS:
        return None
    first = np.zeros(len(groups), dtype=bool)
    first[Random("dip").sample(range(len(groups)), len(groups) // 2)] = True
    depth = np.empty(len(groups))
    places: list[tuple[str, str]] = []
    for half in (first, ~first):
        before, within = _deepest(table[:, half].mean(1))
        depth[~half] = table[before, ~half] - table[within, ~half]
        places.append((names[before], names[within]))
    return Dip(
        found.task.format, dict(zip(groups, depth.tolist(), strict=True)), _mean(depth), tuple(places), names[-1]
    )


def less(one: Dip, other: Dip) -> Mean | None:
    """How much shallower the dip of `one` is than that of `other`, over the groups of both; None where they are few."""
    both = sorted(set(one.by_group) & set(other.by_group))
    if len(both) < FEWEST_GROUPS:
        return None
    return _mean(np.array([other.by_group[name] - one.by_group[name] for name in both]))


def dip_sentences(found: Sequence[Found]) -> list[str]:
    """What each format does to the dip, and whether chains of thought flatten it."""
    dips = {one.task.format: dip(one) for one in found}
    return [*(_told(form, own) for form, own in dips.items()), *flattened(dips)]


def flattened(dips: Mapping[Format, Dip | None]) -> list[str]:
    """Whether each chain of thought flattens the dip of answers written at once behind as many examples, or ranked bare."""
    told = []
    for form in (one for one in dips if one.scoring == "cot"):
        others = [one for one in dips if one.scoring == "generate" and (one.shots, one.kind) == (form.shots, form.kind)]
        others += [one for one in dips if one.scoring == "rank" and not one.shots]
        told += [f"{form.label} against {other.label}: {_compared(dips[form], dips[other])}." for other in others]
    return told


def _told(form: Format, own: Dip | None) -> str:
    if own is None:
        return f"{form.label}: no dip can be spoken of (too few sizes have answers enough, or two have as many parameters)."
    where = " and ".join(dict.fromkeys(f"from {before} to {within}" for before, within in own.places))
    is_there = "falls" if own.depth.low > 0 else "does not fall beyond chance"
    return (
        f"{form.label}: accuracy in conflict {is_there} below a smaller size, by {with_interval(*own.depth)} ({where})."
    )


def _compared(own: Dip | None, other: Dip | None) -> str:
    shallower = None if own is None or other is None else less(own, other)
    if shallower is None or own is None or other is None:
        return "cannot be told"
    by = with_interval(*shallower)
    if other.depth.low <= 0:
        return f"there is no dip to flatten; the difference is {by}"
    if shallower.low > 0 and own.depth.low > 0 and not own.rises_again:
        return f"accuracy falls less far, by {by}, but it falls to the largest size and does not rise again"
    if shallower.low > 0:
        return f"the dip is flatter, by {by}"
    if shallower.high < 0:
        return f"the dip is deeper, by {with_interval(-shallower.mean, -shallower.high, -shallower.low)}"
    return f"the dip is not seen to be flatter, the difference is {by}"


def _accuracy(found: Found, sizes: Sequence[Sequence[int]]) -> tuple[Float[ndarray, "size group"], tuple[str, ...]]:
    """Accuracy in `conflict` at each of these sizes, and the groups' names: those that have an answer at each of them."""
    row = found.task.conditions.index(Condition.CONFLICT)
    used = np.flatnonzero(found.complete)
    groups = [found.task.items[place].group for place in used]
    names = np.unique(groups)
    table = np.full((len(sizes), len(names)), np.nan)
    for place, models in enumerate(sizes):
        values = np.concatenate([_values(found, model, row)[used] for model in models])
        table[place] = known_group_means(values, groups * len(models))
    kept = np.isfinite(table).all(0)
    return table[:, kept], tuple(names[kept].tolist())


def _values(found: Found, model: int, row: int) -> Float[ndarray, " item"]:
    if isinstance(found, FreeForm):
        return found.values(model, "accuracy", Condition.CONFLICT)
    values: ndarray = found.values[model].by_condition["accuracy"][row]
    return values


def _deepest(means: Float[ndarray, " size"]) -> tuple[int, int]:
    """The smaller and the larger size between which the mean falls the most."""
    falls = means[:, None] - means
    falls[np.tril_indices(len(means))] = -np.inf
    before, within = np.unravel_index(int(falls.argmax()), falls.shape)
    return int(before), int(within)


def _mean(values: Float[ndarray, " group"]) -> Mean:
    return Mean(*(float(value) for value in interval(values)))
