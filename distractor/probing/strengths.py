"""The strength of each task's sites: chosen on half of the item groups, knocked out together on the other half."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.probing.cells import labels
from distractor.probing.readings import Reading
from distractor.statistics.intervals import Mean, mean_interval
from distractor.statistics.random_sets import random_set_p
from distractor.statistics.shape_test import DELTA_D
from distractor.text.task import ALIGNED, Condition, Item

if TYPE_CHECKING:
    from xarray import DataArray

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
OUTPUTS = (".z", ".mlp_out")  # components that can be a task's sites
LEAST_PULL = DELTA_D / 2  # in nats; half of δ_D, so that curves over size or training keep the start of a rise
SHARE = 0.8  # the chosen sites are the strongest ones that together carry this share of all effects of their sign

Half = Bool[ndarray, " item"]
"""Whether each of a reading's items is used to choose sites; the other items are used to measure them."""


class ChosenSites(NamedTuple):
    """The names of the components that serve the true task, and of those that serve the distractor task."""

    true: tuple[str, ...]
    distractor: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Strength:
    """A model's loss of T and of D (nats) if the sites of each task are knocked out together, or its estimate.

    One value per item of the half that was not used to choose sites, with the items' groups. Without sites the loss is 0.
    `random` has the mean loss of T, and of D, for each random set of other sites of the same kind and number.
    """

    source: Source
    chosen: ChosenSites
    groups: tuple[str, ...]
    true: Float[ndarray, " item"]
    distractor: Float[ndarray, " item"]
    random: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    def random_of(self, task: str) -> tuple[float, ...]:
        """The losses of the random sets for `true` or `distractor`."""
        return self.random[ChosenSites._fields.index(task)]

    def p(self, task: str) -> float | None:
        """The share of random sets, with the chosen sites, whose loss is as large; None with too few random sets."""
        return random_set_p(self.mean(task).mean, self.random_of(task)) if getattr(self.chosen, task) else None

    def mean(self, quantity: str) -> Mean:
        """The mean of `true` or `distractor` with its 95 % interval."""
        return mean_interval(getattr(self, quantity), self.groups)

    def as_dict(self) -> dict[str, Any]:
        """Sites and mean loss of both tasks, for summary.json."""
        return {
            task: {
                "sites": list(getattr(self.chosen, task)),
                **self.mean(task)._asdict(),
                "random": list(self.random_of(task)),
                "p": self.p(task),
            }
            for task in ChosenSites._fields
        }


def first_half(groups: Sequence[str], items: Sequence[Item]) -> Bool[ndarray, " item"]:
    """For each entry of `groups`, whether it is used to choose sites: half of the groups of the task's `items` are.

    Groups with the same right answers are split evenly. Otherwise a head that only prefers one answer could be chosen on
    one half and have the opposite effect on the other. The split is the same for every model, even if some models lack
    some items.
    """
    answers: dict[str, list[str]] = {}
    for item in items:
        answers.setdefault(item.group, []).append(item.true)
    order = sorted(answers, key=lambda name: (sorted(answers[name]), zlib.crc32(name.encode()), name))
    chosen = set(order[::2])
    return np.array([name in chosen for name in groups])


def held_out(groups: Sequence[str], half: Half) -> list[str]:
    """The groups that do not choose sites, each once: on their items the chosen sites are measured."""
    return list(dict.fromkeys(group for group, is_in in zip(groups, half, strict=True) if not is_in))


def losses(effects: Float[ndarray, "*rest condition=2 item"]) -> tuple[ndarray, ndarray]:
    """The losses of T and of D if knock-outs change the gaps in conflict and congruent by `effects`.

    T is half the difference of the two gaps. D is minus half their sum, relative to a neutral gap that is assumed fixed.
    """
    conflict, congruent = effects[..., 0, :], effects[..., 1, :]
    return (congruent - conflict) / 2, (conflict + congruent) / 2


def patching_pair(readings: Iterable[Reading], *, estimated: bool = False) -> tuple[Reading, Reading] | None:
    """One model's readings of patched heads and MLPs for the true cue (`congruent`) and the distractor's
    (`distractor_swapped`).

    Exact ones, or first-order estimates if `estimated`. None unless both readings exist.
    """
    by_pair = {
        labels(reading.data, "pair")[0]: reading
        for reading in reversed(list(readings))
        if {"pair", "direction", "component"} <= set(reading.data.dims)
        and "receiver" not in reading.data.dims
        and ("estimate" in reading.data.dims) == estimated
        and any(name.endswith(OUTPUTS) for name in labels(reading.data, "component"))
    }
    true, swapped = (by_pair.get(f"{Condition.CONFLICT}/{other}") for other in ALIGNED)
    return None if true is None or swapped is None else (true, swapped)


def choose(
    ablation: Reading, half: Half, groups: Sequence[str], pair: tuple[Reading, Reading] | None = None
) -> ChosenSites:
    """The sites of each task, from the `half` of a reading's items that choose them (`first_half`).

    With a `pair` (`patching_pair`), sites are chosen by patching between its prompts. Without it, they are chosen by the
    losses of T and D when components are knocked out one at a time.

    A task has no sites if its pull may be below `LEAST_PULL`: by the interval of the pair's gap, which is 2T or 2D, or by
    that of the sites' losses together. A smaller pull can still differ from 0, and the sites with the largest effects are
    then noise.
    """
    of_half = [name for name, is_in in zip(groups, half, strict=True) if is_in]
    if pair is not None:
        return ChosenSites(*(_by_patching(reading, half, of_half) for reading in pair))
    names = labels(ablation.data, "component")
    return ChosenSites(*(_by_loss(names, lost, of_half) for lost in losses(pair_effects(ablation)[..., half])))


def strength(
    source: Source,
    chosen: ChosenSites,
    half: Half,
    groups: Sequence[str],
    true: Reading | None,
    distractor: Reading | None,
) -> Strength:
    """Measure chosen sites by the loss without them, on the items outside `half`.

    `true` and `distractor` are readings of `ablation` with all sites of a task knocked out together, and perhaps random
    sets as further components; None without sites.
    """
    kept = ~half
    every = [
        np.zeros((1, int(kept.sum()))) if reading is None else losses(pair_effects(reading)[..., kept])[task]
        for task, reading in enumerate((true, distractor))
    ]
    random = tuple(tuple(of_task[1:].mean(-1).tolist()) for of_task in every)
    return Strength(
        source, chosen, tuple(np.array(groups)[kept].tolist()), every[0][0], every[1][0], (random[0], random[1])
    )


def estimated_strength(source: Source, pair: tuple[Reading, Reading], half: Half, groups: Sequence[str]) -> Strength:
    """A first-order estimate of the strength, by attribution patching between both pairs of prompts.

    Half of each chosen site's effect on the gap, summed over sites: the gaps of a pair differ by 2T, or 2D. An effect
    of one site through another is counted for both, so the sum may exceed their joint strength.
    """
    chosen, kept = choose(pair[0], half, groups, pair), ~half
    lost = [
        sign / 2 * _noising(reading).sel(component=list(names)).values[:, kept].sum(0)
        for reading, names, sign in zip(pair, chosen, (-1, 1), strict=True)
    ]
    return Strength(source, chosen, tuple(np.array(groups)[kept].tolist()), *lost)


def pair_effects(ablation: Reading) -> Float[ndarray, "component condition=2 item"]:
    """A reading of `ablation` under conflict and congruent."""
    pair = ablation.data.sel(condition=[condition.value for condition in PAIR])
    return pair.transpose("component", "condition", "item").values


def _by_patching(patching: Reading, half: Half, groups: Sequence[str]) -> tuple[str, ...]:
    """Heads and MLPs whose patching changes the gap in the direction of the other prompt's gap; none if the two gaps may
    be almost equal. `groups` are those of the half.
    """
    gap = mean_interval(patching.data["pair_gap"].values[half], groups)
    if not _exceeds(gap, 2 * LEAST_PULL):
        return ()
    names = [name for name in labels(patching.data, "component") if name.endswith(OUTPUTS)]
    effects = _noising(patching).sel(component=names).values[:, half].mean(-1) * np.sign(gap.mean)
    return _strongest(names, effects)


def _by_loss(names: Sequence[str], lost: Float[ndarray, "component item"], groups: Sequence[str]) -> tuple[str, ...]:
    """Components with the largest losses; none if their losses together may be almost 0."""
    chosen = _strongest(names, lost.mean(-1))
    together = lost[[names.index(name) for name in chosen]].sum(0)
    return chosen if chosen and _exceeds(mean_interval(together, groups), LEAST_PULL) else ()


def _exceeds(value: Mean, least: float) -> bool:
    """Whether a value is beyond `least`, in one direction or the other, by its interval."""
    return value.low > least or value.high < -least


def _noising(patching: Reading) -> "DataArray":
    """The effect of patching each component in `conflict`: [component item]. If the reading has several estimates, the
    first is used.
    """
    noising = patching.data.sel(direction="noising")
    first = {d: 0 for d in noising.dims if d not in ("component", "item")}
    return noising.isel(first).transpose("component", "item")


def _strongest(names: Sequence[str], effects: Float[ndarray, " component"]) -> tuple[str, ...]:
    """The largest positive effects that together make up `SHARE` of all positive ones, the largest first."""
    order = [index for index in np.argsort(-effects, kind="stable") if effects[index] > 0]
    total = np.cumsum(effects[order])
    count = 0 if not order else int(np.searchsorted(total, SHARE * total[-1] * (1 - 1e-12))) + 1
    return tuple(names[index] for index in order[:count])
