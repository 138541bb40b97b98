"""How strong the sites of the true task and of the distractor are: chosen on half of the items, weighed on the other."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.models.site import Site
from distractor.models.source import Source
from distractor.probing.cells import labels
from distractor.probing.readings import Reading
from distractor.statistics.groups import mean_interval
from distractor.text.task import Condition, Item

if TYPE_CHECKING:
    from xarray import DataArray

SHARE = 0.8
"""The sites chosen are the strongest that together have this share of all effects of their sign."""


Half = Bool[ndarray, " item"]
"""Which of a reading's items sites are chosen on; on the others they are weighed."""


class ChosenSites(NamedTuple):
    """The sites that serve the true task, and those that serve the distractor's, by the components' names."""

    true: tuple[str, ...]
    distractor: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Strength:
    """What a model loses of T and of D, in nats, when the sites of each are knocked out together (or see `estimated`).

    By item of the half that they were not chosen on, with the items' groups. No sites, no loss.
    """

    source: Source
    chosen: ChosenSites
    groups: tuple[str, ...]
    true: Float[ndarray, " item"]
    distractor: Float[ndarray, " item"]

    def mean(self, quantity: str) -> tuple[float, float, float]:
        """Mean and 95 % interval of `true` or `distractor`."""
        return mean_interval(getattr(self, quantity), self.groups)


def first_half(groups: Sequence[str], items: Sequence[Item]) -> Bool[ndarray, " item"]:
    """Which of `groups`, item by item, are those that sites are chosen on: half of the groups of the task's `items`.

    Groups with the same right answers are dealt out in turns, in an order that has nothing to do with that of the items:
    where one half held more of one answer than the other, a head that is only fond of an answer would be chosen on the
    one half and do the opposite on the other. Every model's items are halved alike, whichever of them it is posed.
    """
    answers: dict[str, list[str]] = {}
    for item in items:
        answers.setdefault(item.group, []).append(item.true)
    order = sorted(answers, key=lambda name: (sorted(answers[name]), zlib.crc32(name.encode()), name))
    chosen = set(order[::2])
    return np.array([name in chosen for name in groups])


def losses(effects: Float[ndarray, "*rest condition=2 item"]) -> tuple[ndarray, ndarray]:
    """What T and what D lose by a knock-out that changes the gaps in conflict and congruent by `effects`.

    T is half the difference of the two gaps; D is minus half their sum, beside a neutral gap that is taken to stay.
    """
    conflict, congruent = effects[..., 0, :], effects[..., 1, :]
    return (congruent - conflict) / 2, (conflict + congruent) / 2


def choose(
    ablation: Reading,
    half: Half,
    groups: Sequence[str],
    patching: Reading | None = None,
    swapped: Reading | None = None,
) -> ChosenSites:
    """The sites of each task, from the `half` of a reading's items that they are chosen on (`first_half`).

    By exchanging heads between conflict and congruent (the true task's) and between conflict and distractor_swapped
    (the distractor's), where both were read; else by what T and D lose when components are knocked out one at a time.
    """
    if patching is not None and swapped is not None:
        return ChosenSites(_by_patching(patching, half, groups), _by_patching(swapped, half, groups))
    names = labels(ablation.data, "component")
    true, distractor = losses(pair_effects(ablation)[..., half])
    return ChosenSites(_strongest(names, true.mean(-1)), _strongest(names, distractor.mean(-1)))


def strength(
    source: Source,
    chosen: ChosenSites,
    half: Half,
    groups: Sequence[str],
    true: Reading | None,
    distractor: Reading | None,
) -> Strength:
    """Weigh chosen sites by what is lost without them: readings of `ablation` with all sites of a task together.

    On the items outside the `half` that they were chosen on.
    """
    other = ~half
    nothing = np.zeros(int(other.sum()))
    lost_true = nothing if true is None else losses(pair_effects(true)[0][:, other])[0]
    lost_distractor = nothing if distractor is None else losses(pair_effects(distractor)[0][:, other])[1]
    kept = tuple(name for name, is_other in zip(groups, other, strict=True) if is_other)
    return Strength(source, chosen, kept, lost_true, lost_distractor)


def estimated(source: Source, patching: Reading, swapped: Reading, half: Half, groups: Sequence[str]) -> Strength:
    """The same to first order, by attribution patching of heads between the two pairs, where nothing was knocked out.

    Half of what exchanging each chosen head would do to the gap, summed over the heads: a pair's gaps differ by 2T, or 2D.
    What a head does through another counts for both, so that a strength may exceed what both together have.
    """
    chosen = ChosenSites(_by_patching(patching, half, groups), _by_patching(swapped, half, groups))
    other = ~half
    kept = tuple(name for name, is_other in zip(groups, other, strict=True) if is_other)
    found = []
    for reading, names, sign in ((patching, chosen.true, -1), (swapped, chosen.distractor, 1)):
        found.append(sign / 2 * _noising(reading).sel(component=list(names)).values[:, other].sum(0))
    return Strength(source, chosen, kept, *found)


def site_of(component: str) -> Site:
    """The site of a component by its name.

    >>> site_of("L0H1.z"), site_of("L2.mlp_out")
    (Site(layer=0, part='z', head=1), Site(layer=2, part='mlp_out', head=None))
    """
    where, _, part = component.partition(".")
    layer, _, head = where.removeprefix("L").partition("H")
    return Site(int(layer), part, int(head) if head else None)  # type: ignore[arg-type]


def pair_effects(ablation: Reading) -> Float[ndarray, "component condition=2 item"]:
    """A reading of `ablation` under conflict and congruent."""
    pair = ablation.data.sel(condition=[Condition.CONFLICT.value, Condition.CONGRUENT.value])
    effects: ndarray = pair.transpose("component", "condition", "item").values
    return effects


def _by_patching(patching: Reading, half: Half, groups: Sequence[str]) -> tuple[str, ...]:
    """Heads whose patching moves the gap as patching the whole prompt does; none if the two gaps do not differ."""
    gap = patching.data["pair_gap"].values[half]
    mean, low, high = mean_interval(gap, [name for name, is_in in zip(groups, half, strict=True) if is_in])
    if low <= 0 <= high:
        return ()
    heads = [name for name in labels(patching.data, "component") if name.endswith(".z")]
    effects = _noising(patching).sel(component=heads).values[:, half].mean(-1) * np.sign(mean)
    return _strongest(heads, effects)


def _noising(patching: Reading) -> "DataArray":
    """The effect of patching each component in `conflict`: [component item]. Of several estimates, the first."""
    noising = patching.data.sel(direction="noising")
    first = {d: 0 for d in noising.dims if d not in ("component", "item")}
    return noising.isel(first).transpose("component", "item")


def _strongest(names: Sequence[str], effects: Float[ndarray, " component"]) -> tuple[str, ...]:
    """The largest positive effects that together have their share of all positive ones, the largest first."""
    order = [place for place in np.argsort(-effects, kind="stable") if effects[place] > 0]
    total = np.cumsum(effects[order])
    count = 0 if not order else int(np.searchsorted(total, SHARE * total[-1] * (1 - 1e-12))) + 1
    return tuple(names[place] for place in order[:count])
