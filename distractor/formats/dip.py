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

from distractor.ablate import Ablation, Mean
from distractor.format import Format
from distractor.formats.free_form import ENOUGH
from distractor.formats.side_by_side import Found, answered, names_of
from distractor.scaling import interval
from distractor.task import Condition

FEWEST_SIZES = 3
FEWEST_GROUPS = 4
"""Two in each half."""


@dataclass(frozen=True, eq=False)
class Dip:
    """The depth of a format's dip for each item group, its mean with its interval over groups, and between which sizes.

    `places` are the two choices of (size before, size in the dip), by name. A depth below 0 says that there is no dip.
    """

    form: Format
    by_group: Mapping[str, float]
    depth: Mean
    places: tuple[tuple[str, str], ...]


def dip(found: Found) -> Dip | None:
    """The dip of one format; None where fewer than three sizes have answers enough, or fewer than four groups have all.

    Of several seeds the mean is taken. It holds for these weights: the interval is over item groups.
    """
    kept = [place for place, share in enumerate(answered(found)) if share >= ENOUGH]
    names = [names_of(found)[place] for place in kept]
    table, groups = _accuracy(found, [found.sizes[place] for place in kept])
    if len(kept) < FEWEST_SIZES or len(groups) < FEWEST_GROUPS:
        return None
    first = np.zeros(len(groups), dtype=bool)
    first[Random("dip").sample(range(len(groups)), len(groups) // 2)] = True
    depth, places = np.empty(len(groups)), []
    for half in (first, ~first):
        before, within = _deepest(table[:, half].mean(1))
        depth[~half] = table[before, ~half] - table[within, ~half]
        places.append((names[before], names[within]))
    return Dip(found.task.format, dict(zip(groups, depth.tolist(), strict=True)), _mean(depth), tuple(places))


def less(one: Dip, other: Dip) -> Mean | None:
    """How much shallower the dip of `one` is than that of `other`, over the groups of both; None where they are few."""
    both = sorted(set(one.by_group) & set(other.by_group))
    if len(both) < FEWEST_GROUPS:
        return None
    return _mean(np.array([other.by_group[name] - one.by_group[name] for name in both]))


def dip_sentences(found: Sequence[Found]) -> list[str]:
    """What each format does to the dip, and whether each chain of thought flattens that of the same shots without it."""
    dips = {one.task.format: dip(one) for one in found}
    told = []
    for form, own in dips.items():
        if own is None:
            told.append(f"{form.label}: too few sizes have answers enough to speak of a dip.")
            continue
        where = " and ".join(dict.fromkeys(f"from {before} to {within}" for before, within in own.places))
        is_there = "falls" if own.depth.low > 0 else "does not fall beyond chance"
        told.append(
            f"{form.label}: accuracy in conflict {is_there} below a smaller size, by {_shown(own.depth)} ({where})."
        )
    for form, own in dips.items():
        if form.scoring == "cot":
            told += _flattened(form, own, dips)
    return told


def _flattened(form: Format, own: Dip | None, dips: Mapping[Format, Dip | None]) -> list[str]:
    """What a chain of thought does to the dip of answers that are written at once, behind as many examples, or ranked."""
    others = [one for one in dips if one.scoring == "generate" and (one.shots, one.kind) == (form.shots, form.kind)]
    others += [one for one in dips if one.scoring == "rank" and not one.shots]
    told = []
    for other in others:
        against = dips[other]
        shallower = None if own is None or against is None else less(own, against)
        if against is None or own is None or shallower is None:
            said = "cannot be told"
        elif against.depth.low <= 0:
            said = f"there is no dip to flatten; the difference is {_shown(shallower)}"
        elif shallower.low > 0:
            said = f"the dip is flatter, by {_shown(shallower)}"
        elif shallower.high < 0:
            said = f"the dip is deeper, by {_shown(Mean(-shallower.mean, -shallower.high, -shallower.low))}"
        else:
            said = f"the dip is not seen to be flatter, the difference is {_shown(shallower)}"
        told.append(f"{form.label} against {other.label}: {said}.")
    return told


def _accuracy(found: Found, sizes: Sequence[Sequence[int]]) -> tuple[Float[ndarray, "size group"], tuple[str, ...]]:
    """Accuracy in `conflict` at each of these sizes, and the groups' names: those that have an answer at each of them."""
    row = found.task.conditions.index(Condition.CONFLICT)
    used = np.flatnonzero(found.complete)
    names, member = np.unique([found.task.items[place].group for place in used], return_inverse=True)
    table = np.full((len(sizes), len(names)), np.nan)
    for place, models in enumerate(sizes):
        values = np.concatenate([_values(found, model, row)[used] for model in models])
        groups = np.tile(member, len(models))
        there = np.isfinite(values)
        counts = np.bincount(groups[there], minlength=len(names))
        sums = np.bincount(groups[there], weights=values[there], minlength=len(names))
        table[place] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    kept = np.isfinite(table).all(0)
    return table[:, kept], tuple(names[kept].tolist())


def _values(found: Found, model: int, row: int) -> Float[ndarray, " item"]:
    if isinstance(found, Ablation):
        return found.values[model].by_condition["accuracy"][row]
    return found.values(model, "accuracy", Condition.CONFLICT)


def _deepest(means: Float[ndarray, " size"]) -> tuple[int, int]:
    """The smaller and the larger size between which the mean falls the most."""
    falls = means[:, None] - means
    falls[np.tril_indices(len(means))] = -np.inf
    before, within = np.unravel_index(int(falls.argmax()), falls.shape)
    return int(before), int(within)


def _mean(values: Float[ndarray, " group"]) -> Mean:
    return Mean(*(float(value) for value in interval(values)))


def _shown(mean: Mean) -> str:
    return f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]".replace("-0.00", "0.00")
