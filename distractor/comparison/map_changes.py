"""How the effects of sites differ between two models of one training run, map by map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from distractor.probing.cells import INNER, UNSIGNED, cell_name, map_families
from distractor.probing.read_probes import ProbeResults
from distractor.probing.readings import Reading
from distractor.statistics.agreement import rank_correlation
from distractor.statistics.effects import LEAST_SHARE, judge
from distractor.statistics.groups import number_groups
from distractor.statistics.sign_flips import benjamini_hochberg

SPLITS = 100
"""The number of random splits of the item groups for the similarity of a model's map with itself."""


SEED = 0


@dataclass(frozen=True, eq=False)
class MapChange:
    """One map of a probe in two models of one run, one entry per site (`sites`), effects in nats; `outer` names the map.

    `mean` is second minus first, with its 95 % interval over item groups and sign-flip p. `is_marked`: Benjamini and
    Hochberg's procedure at 5 % over the map, and at least 5 % of the larger of the two models' reference gaps.
    `is_marked_first` and `is_marked_second` are the sites that stand out in each model.

    `rank_correlation` compares the two maps over the same items. `across` compares half of the items in one model with the
    other half in the other, `within` the two halves in one model; both are means over random splits. `is_as_alike`:
    `across` is not below the 5 % quantile of `within`.
    """

    outer: Mapping[str, str]
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
        """The map's name: `conflict`, `conflict/congruent, noising`."""
        return ", ".join(self.outer.values())

    @property
    def order(self) -> Int[ndarray, " site"]:
        """Positions of the sites: changed sites first, then by the size of the difference."""
        order: ndarray = np.lexsort((-np.abs(np.nan_to_num(self.mean)), ~self.is_marked))
        return order

    @property
    def shared(self) -> tuple[int, int, int]:
        """The number of sites that stand out in both models, only in the first, only in the second."""
        both = int((self.is_marked_first & self.is_marked_second).sum())
        return both, int(self.is_marked_first.sum()) - both, int(self.is_marked_second.sum()) - both

    @property
    def p_shared(self) -> float:
        """The probability of at least this many shared sites if each model's were drawn at random (hypergeometric)."""
        both, only_first, only_second = self.shared
        n, a, b = len(self.sites), both + only_first, both + only_second
        return sum(comb(a, k) * comb(n - a, b - k) for k in range(both, min(a, b) + 1)) / comb(n, b)


def map_changes(first: ProbeResults, second: ProbeResults, name: str) -> Iterator[MapChange]:
    """Compares each map of the probe `name` in two models, over the sites and items that both have."""
    reading, other = first.readings[name][0], second.readings[name][0]
    cells = first.cells[name][0], second.cells[name][0]
    dims = {d: [v for v in cells[0].dims[d] if v in set(cells[1].dims[d])] for d in cells[0].dims}
    shown = set(other.dims["item"])
    items = [item for item in reading.dims["item"] if item in shown]
    group_of = {item.id: item.group for item in first.task.items}
    groups = [group_of[item] for item in items]
    if not items or not all(dims.values()) or len(set(groups)) < 2:
        return
    families = map_families(dims)
    for labels in product(*(dims[d] for d in dims if d not in INNER)):
        outer = dict(zip((d for d in dims if d not in INNER), labels, strict=True))
        if outer.get("estimate") in UNSIGNED:
            continue
        gaps = [
            np.asarray(results.gap_in_question(one, outer))[_positions(one.dims["item"], items)]
            for results, one in ((first, reading), (second, other))
        ]
        gap = max(gaps, key=lambda g: abs(g.mean()))
        for family in families:
            inner = {d: [v for v in dims[d] if v in set(family.get(d, dims[d]))] for d in dims if d not in outer}
            chosen = {**{d: [v] for d, v in outer.items()}, **inner}
            a, b = (_values(one, chosen, items) for one in (reading, other))
            marks = [_marks(one.marked, one.dims, chosen) for one in cells]
            sites = [cell_name(dict(zip(inner, v, strict=True))) for v in product(*inner.values())]
            is_known = ~(np.isnan(a).all(1) | np.isnan(b).all(1))
            if is_known.any():
                kept = tuple(site for site, is_kept in zip(sites, is_known, strict=True) if is_kept)
                named = {**outer, **({"part": _part(kept[0])} if len(families) > 1 else {})}
                yield _map_change(named, kept, a[is_known], b[is_known], groups, gap, [m[is_known] for m in marks])


def _map_change(
    outer: Mapping[str, str],
    sites: tuple[str, ...],
    first: Float[ndarray, "site item"],
    second: Float[ndarray, "site item"],
    groups: Sequence[str],
    gap: Float[ndarray, " item"],
    marks: Sequence[Bool[ndarray, " site"]],
) -> MapChange:
    effects = judge(second - first, groups, gap)
    least = LEAST_SHARE * abs(float(gap.mean()))
    is_marked = benjamini_hochberg(effects.p) & (np.abs(np.nan_to_num(effects.mean)) >= least)
    means = [np.nanmean(side, 1) for side in (first, second)]
    correlation = rank_correlation(*(_without_small(mean, least) for mean in means))
    return MapChange(
        outer, sites, means[0], means[1], effects.mean, effects.low, effects.high, effects.p, is_marked, marks[0], marks[1],
        correlation, *_similarity(first, second, groups, least),
    )  # fmt: skip


def _similarity(
    first: Float[ndarray, "site item"],
    second: Float[ndarray, "site item"],
    groups: Sequence[str],
    least: float,
) -> tuple[float, tuple[float, float], bool]:
    """Rank correlation between halves of the items: across the models, within each, and whether they are as alike."""
    rng = np.random.default_rng(SEED)
    numbers = number_groups(groups)
    n_groups = int(numbers.max()) + 1
    splits = []
    for _ in range(SPLITS):
        half = (rng.permutation(n_groups) < n_groups // 2)[numbers]
        means = [_mean(side[:, items]) for side in (first, second) for items in (half, ~half)]
        a1, a2, b1, b2 = (_without_small(mean, least) for mean in means)
        across = (rank_correlation(a1, b2) + rank_correlation(b1, a2)) / 2
        splits.append((across, rank_correlation(a1, a2), rank_correlation(b1, b2)))
    table = np.array(splits)
    across, *within = (float(np.nanmean(column)) if (~np.isnan(column)).any() else np.nan for column in table.T)
    known = table[:, 1:][~np.isnan(table[:, 1:])]
    return across, (within[0], within[1]), bool(len(known) and across >= np.quantile(known, 0.05))


def _without_small(effects: Float[ndarray, " site"], least: float) -> Float[ndarray, " site"]:
    """Sets negligible effects to 0, so that their order does not count."""
    return np.where(np.abs(effects) < least / 10, 0, effects)


def _mean(values: Float[ndarray, "site item"]) -> Float[ndarray, " site"]:
    """The mean over the items that have a site; 0 if none has."""
    mean: ndarray = np.nan_to_num(values).sum(1) / np.maximum((~np.isnan(values)).sum(1), 1)
    return mean


def _values(reading: Reading, chosen: Mapping[str, Sequence[str]], items: Sequence[str]) -> Float[ndarray, "site item"]:
    """The chosen cells of a reading, flat, on some items, in the order of `chosen`."""
    selected = {**chosen, "item": items}
    names = list(reading.dims)
    index = [_positions(reading.dims[d], selected[d]) for d in names]
    values: ndarray = reading.values[np.ix_(*index)].transpose([names.index(d) for d in selected])
    return values.reshape(-1, len(items))


def _marks(
    marked: Bool[ndarray, "..."] | None, dims: Mapping[str, Sequence[str]], chosen: Mapping[str, Sequence[str]]
) -> Bool[ndarray, " site"]:
    """Which of the chosen cells stand out."""
    if marked is None:
        return np.zeros(int(np.prod([len(labels) for labels in chosen.values()])), dtype=bool)
    names = list(dims)
    index = [_positions(dims[d], chosen[d]) for d in names]
    cells: ndarray = marked[np.ix_(*index)].transpose([names.index(d) for d in chosen]).reshape(-1)
    return cells


def _positions(labels: Sequence[str], chosen: Sequence[str]) -> Int[ndarray, " chosen"]:
    position = {label: i for i, label in enumerate(labels)}
    return np.array([position[label] for label in chosen])


def _part(name: str) -> str:
    part = name.partition(" at ")[0].rpartition(".")[2]
    return "output" if part in ("z", "mlp_out") else part
