"""The sites of two models beside each other: which correspond, how their effects differ, and what has no counterpart.

Sites of models of one run correspond by name. Sites of models trained apart correspond by function alone (the site sets
of either task, `strengths.py`), and from six layers on in both, layers by relative depth.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from distractor.probing.cells import INNER, UNSIGNED, cell_name, map_families
from distractor.probing.read_probes import ProbeResults
from distractor.probing.readings import Reading
from distractor.probing.strengths import ChosenSites, site_of
from distractor.statistics.agreement import rank_correlation
from distractor.statistics.effects import LEAST_SHARE, judge
from distractor.statistics.groups import number_groups
from distractor.statistics.sign_flips import benjamini_hochberg

Match = Literal["name", "depth", "function"]
"""How the sites of two models correspond."""


MIN_LAYERS = 6
"""In fewer layers relative depth means nothing."""


SPLITS = 100
"""Random halves of the item groups, for how like itself a model's map is."""


SEED = 0


@dataclass(frozen=True, eq=False)
class MapChange:
    """One map of a probe in two models of one run, site by site (`sites`), effects in nats; `told` names the map.

    `mean` is second minus first with its 95 % interval over item groups and sign-flip p; `is_marked`: Benjamini and
    Hochberg's procedure at 5 % over the map, and at least 5 % of the larger of the two models' gaps in question.
    `is_marked_first` and `is_marked_second` are the sites that stand out in each model.

    `rank_correlation` is that of the two maps over the same items. `across` is what it is between half of the items in
    one and the other half in the other, `within` between the halves in one and the same model, both averaged over random
    halves; `is_as_alike` says that `across` is not below 95 % of the halves of one model.
    """

    told: Mapping[str, str]
    sites: tuple[str, ...]
    first: Float[ndarray, " site"]
    second: Float[ndarray, " site"]
    mean: Float[ndarray, " site"]
    low: Float[ndarray, " site"]
    high: Float[ndarray, " site"]
    p: Float[ndarray, " site"]
    is_marked: Bool[ndarray, " site"]
    is_marked_first: Bool[ndarray, " site"]
    is_marked_second: Bool[ndarray, " site"]
    rank_correlation: float
    across: float
    within: tuple[float, float]
    is_as_alike: bool

    @property
    def name(self) -> str:
        """What the map is called beside others: `conflict`, `conflict/congruent, noising`."""
        return ", ".join(self.told.values())

    @property
    def order(self) -> Int[ndarray, " site"]:
        """The places of the sites: those whose effect differs first, the largest difference first among them."""
        found: ndarray = np.lexsort((-np.abs(np.nan_to_num(self.mean)), ~self.is_marked))
        return found

    @property
    def shared(self) -> tuple[int, int, int]:
        """How many sites stand out in both, in the first alone, in the second alone."""
        both = int((self.is_marked_first & self.is_marked_second).sum())
        return both, int(self.is_marked_first.sum()) - both, int(self.is_marked_second.sum()) - both

    @property
    def p_shared(self) -> float:
        """How often as many sites would be shared, were as many drawn at random in each (hypergeometric)."""
        both, alone_first, alone_second = self.shared
        n, a, b = len(self.sites), both + alone_first, both + alone_second
        return sum(comb(a, k) * comb(n - a, b - k) for k in range(both, min(a, b) + 1)) / comb(n, b)


def map_changes(first: ProbeResults, second: ProbeResults, name: str) -> Iterator[MapChange]:
    """The maps that a probe has in both models, each of which was attributed by itself; of one run."""
    one, other = first.readings[name][0], second.readings[name][0]
    cells = first.cells[name][0], second.cells[name][0]
    dims = {d: [v for v in cells[0].dims[d] if v in set(cells[1].dims[d])] for d in cells[0].dims}
    places = {v: k for k, v in enumerate(other.dims["item"])}
    items = [v for v in one.dims["item"] if v in places]
    group_of = {item.id: item.group for item in first.task.items}
    groups = [group_of[v] for v in items]
    if not items or not all(dims.values()) or len(set(groups)) < 2:
        return
    outer = [d for d in dims if d not in INNER]
    for names in product(*(dims[d] for d in outer)):
        told = dict(zip(outer, names, strict=True))
        if told.get("estimate") in UNSIGNED:
            continue
        asked = [np.asarray(who.gap_in_question(r, told)) for who, r in ((first, one), (second, other))]
        gaps = [gap[_places(r, "item", items)] for gap, r in zip(asked, (one, other), strict=True)]
        gap = max(gaps, key=lambda g: abs(g.mean()))
        for family in map_families(dims):
            picked = {**{d: [v] for d, v in told.items()}, **family}
            inner = {d: [v for v in dims[d] if v in set(picked.get(d, dims[d]))] for d in dims if d not in told}
            chosen = {**{d: [v] for d, v in told.items()}, **inner}
            a, b = (_values(r, chosen, items) for r in (one, other))
            marks = [_marks(c.marked, c.dims, chosen) for c in cells]
            sites = tuple(cell_name(dict(zip(inner, v, strict=True))) for v in product(*inner.values()))
            is_there = ~(np.isnan(a).all(1) | np.isnan(b).all(1))
            if is_there.any():
                kept = tuple(v for v, is_in in zip(sites, is_there, strict=True) if is_in)
                told_of = {**told, **({"part": _part(kept[0])} if len(map_families(dims)) > 1 else {})}
                yield _map_change(told_of, kept, a[is_there], b[is_there], groups, gap, [m[is_there] for m in marks])


def match_of(first: ProbeResults, second: ProbeResults, *, kin: bool) -> Match:
    """How the sites of two models correspond."""
    if kin:
        return "name"
    return "depth" if min(n_layers(first), n_layers(second)) >= MIN_LAYERS else "function"


def n_layers(found: ProbeResults) -> int:
    """How many layers a model has, by what was read of it; 0 where no probe tells."""
    names = [name for many in found.readings.values() for name in many[0].dims.get("component", ())]
    layers = [int(name[1:].partition(".")[0].partition("H")[0]) for name in names if name[:1] == "L"]
    layers += [int(v) for many in found.readings.values() for v in many[0].dims.get("layer", ())]
    return 1 + max(layers, default=-1)


def carried(chosen: ChosenSites, target: Sequence[str], layers: tuple[int, int], match: Match) -> ChosenSites | None:
    """The sites that correspond, in a model with the components `target`, to those chosen in another.

    By name the same. By relative depth whole blocks: all heads, or the MLP, of the layer at that depth (`layers`: how many
    the one has that they were chosen in, and the other). By function alone there are none.
    """
    if match == "name":
        return ChosenSites(*(tuple(name for name in names if name in set(target)) for names in chosen))
    if match == "function":
        return None
    deeper = (layers[1] - 1) / (layers[0] - 1)
    return ChosenSites(*(_blocks(names, target, deeper) for names in chosen))


def blocks_of(chosen: ChosenSites, target: Sequence[str]) -> ChosenSites:
    """All heads, or the MLP, of the layers that were chosen from, in the same model."""
    return ChosenSites(*(_blocks(names, target, 1.0) for names in chosen))


def depth_profile(reading: Reading, told: Mapping[str, str]) -> dict[str, Float[ndarray, " layer"]]:
    """The summed effects of each layer's heads, and of its MLP, in one map of components; by kind of part."""
    components = list(reading.dims["component"])
    values = _values(reading, {**{d: [v] for d, v in told.items()}, "component": components}, reading.dims["item"])
    means = np.nanmean(values, 1)
    sites = [site_of(name) for name in components]
    layers = 1 + max(s.layer for s in sites)
    found: dict[str, ndarray] = {}
    for s, mean in zip(sites, means, strict=True):
        found.setdefault(s.part, np.zeros(layers))[s.layer] += mean
    return found


def depth_correlation(first: Reading, second: Reading, told: Mapping[str, str]) -> dict[str, float]:
    """Rank correlation of two depth profiles, read off at the relative depths of the shallower model, by kind of part."""
    found = {}
    one, other = depth_profile(first, told), depth_profile(second, told)
    for part in [part for part in one if part in other]:
        a, b = one[part], other[part]
        depth = np.linspace(0, 1, min(len(a), len(b)))
        at = [np.interp(depth, np.linspace(0, 1, len(row)), row) for row in (a, b)]
        found[part] = rank_correlation(at[0], at[1])
    return found


def _map_change(
    told: Mapping[str, str],
    sites: tuple[str, ...],
    first: Float[ndarray, "site item"],
    second: Float[ndarray, "site item"],
    groups: Sequence[str],
    gap: Float[ndarray, " item"],
    marks: Sequence[Bool[ndarray, " site"]],
) -> MapChange:
    difference = second - first
    effects = judge(difference, groups, gap)
    least = LEAST_SHARE * abs(float(gap.mean()))
    is_marked = benjamini_hochberg(effects.p) & (np.abs(np.nan_to_num(effects.mean)) >= least)
    means = [np.nanmean(side, 1) for side in (first, second)]
    # The order of what hardly matters is not asked for.
    mattering = [np.where(np.abs(mean) < least / 10, 0, mean) for mean in means]
    across, within, is_as_alike = _likeness(first, second, groups, least / 10)
    return MapChange(
        told, sites, means[0], means[1], effects.mean, effects.low, effects.high, effects.p, is_marked, marks[0], marks[1],
        rank_correlation(mattering[0], mattering[1]), across, within, is_as_alike,
    )  # fmt: skip


def _likeness(
    first: Float[ndarray, "site item"],
    second: Float[ndarray, "site item"],
    groups: Sequence[str],
    least: float,
) -> tuple[float, tuple[float, float], bool]:
    """Rank correlation between halves of the items: across the two models, within each, and whether they are as alike."""
    rng = np.random.default_rng(SEED)
    numbers = number_groups(groups)
    n_groups = int(numbers.max()) + 1
    found = []
    for _ in range(SPLITS):
        half = (rng.permutation(n_groups) < n_groups // 2)[numbers]
        means = [_mean_of(side, which) for side in (first, second) for which in (half, ~half)]
        a1, a2, b1, b2 = (np.where(np.abs(mean) < least, 0, mean) for mean in means)
        across = (rank_correlation(a1, b2) + rank_correlation(b1, a2)) / 2
        found.append((across, rank_correlation(a1, a2), rank_correlation(b1, b2)))
    table = np.array(found)
    known = ~np.isnan(table)
    across, one, other = (
        float(np.nanmean(c)) if k.any() else float("nan") for c, k in zip(table.T, known.T, strict=True)
    )
    pooled = table[:, 1:][known[:, 1:]]
    is_alike = bool(len(pooled) and across >= np.quantile(pooled, 0.05))
    return across, (one, other), is_alike


def _mean_of(values: Float[ndarray, "site item"], used: Bool[ndarray, " item"]) -> Float[ndarray, " site"]:
    """The mean over some items that a site has; 0 where it has none of them."""
    here = values[:, used]
    count = (~np.isnan(here)).sum(1)
    mean: ndarray = np.nan_to_num(here).sum(1) / np.maximum(count, 1)
    return mean


def _values(reading: Reading, chosen: Mapping[str, Sequence[str]], items: Sequence[str]) -> Float[ndarray, "site item"]:
    """The chosen cells of a reading, flat, on some items, in the order of `chosen`."""
    names = list(reading.dims)
    index = [_places(reading, d, chosen[d] if d != "item" else items) for d in names]
    values: ndarray = reading.values[np.ix_(*index)].transpose([names.index(d) for d in (*chosen, "item")])
    return values.reshape(-1, len(items))


def _marks(
    marked: Bool[ndarray, "..."] | None, dims: Mapping[str, Sequence[str]], chosen: Mapping[str, Sequence[str]]
) -> Bool[ndarray, " site"]:
    """Which of the chosen cells stand out."""
    names = list(dims)
    index = [np.array([list(dims[d]).index(v) for v in chosen[d]]) for d in names]
    shape = [len(many) for many in chosen.values()]
    if marked is None:
        return np.zeros(int(np.prod(shape)), dtype=bool)
    found: ndarray = marked[np.ix_(*index)].transpose([names.index(d) for d in chosen]).reshape(-1)
    return found


def _places(reading: Reading, dim: str, wanted: Sequence[str]) -> Int[ndarray, " place"]:
    place = {name: i for i, name in enumerate(reading.dims[dim])}
    return np.array([place[name] for name in wanted])


def _part(name: str) -> str:
    part = name.partition(" at ")[0].rpartition(".")[2]
    return "output" if part in ("z", "mlp_out") else part


def _blocks(names: Sequence[str], target: Sequence[str], deeper: float) -> tuple[str, ...]:
    """The components of `target` in the blocks where those of `names` would be, in a model so many times as deep."""
    wanted = {(round(s.layer * deeper), s.part) for s in map(site_of, names)}
    return tuple(name for name in target if (site_of(name).layer, site_of(name).part) in wanted)
