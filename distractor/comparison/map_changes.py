"""How the effects of sites differ between two models of one training run, map by map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from distractor.probing.cells import UNSIGNED, cell_name, groups_of, labels, map_families, map_names
from distractor.probing.probe_results import ProbeResults
from distractor.statistics.agreement import rank_correlation
from distractor.statistics.effects import LEAST_SHARE, judge
from distractor.statistics.intervals import number_groups
from distractor.statistics.sign_flips import benjamini_hochberg

if TYPE_CHECKING:
    from xarray import DataArray

SPLITS = 100  # the number of random splits of the item groups for the similarity of a model's map with itself

SEED = 0


@dataclass(frozen=True, eq=False)
class MapChange:
    """One map of a probe in two models of one run, one entry per site (`sites`), effects in nats; `outer` names the map.

    `mean` is second minus first, with its 95 % interval over item groups and sign-flip p. `is_marked`: Benjamini and
    Hochberg's procedure at 5 % over the map, and at least 5 % of the larger of the two models' reference gaps.
    `is_marked_first` and `is_marked_second` are the marked sites of each model.

    `rank_correlation` compares the two maps over the same items. `across` compares one half of the items in one model
    with the other half in the other model. `within` compares the two halves in one model. Both are means over random
    splits. `is_as_alike` is
    True if `across` is not below the 5 % quantile of `within`.
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
        return np.lexsort((-np.abs(np.nan_to_num(self.mean)), ~self.is_marked))

    @property
    def shared(self) -> tuple[int, int, int]:
        """The number of sites marked in both models, only in the first, and only in the second."""
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
    readings = first.readings[name][0], second.readings[name][0]
    cells = first.cells[name][0], second.cells[name][0]
    dims = [str(d) for d in cells[0]["mean"].dims]
    shared = {d: [v for v in labels(cells[0], d) if v in set(labels(cells[1], d))] for d in dims}
    shared["item"] = [v for v in labels(readings[0].data, "item") if v in set(labels(readings[1].data, "item"))]
    if not all(shared.values()):
        return
    data = [reading.data.sel(shared) for reading in readings]
    groups, families = groups_of(first.task, data[0]), map_families(data[0])
    if len(set(groups)) < 2:
        return
    for outer in map_names(data[0]):
        if outer.get("estimate") in UNSIGNED:
            continue
        gaps = [
            results.gap_in_question(reading, outer)[np.isin(labels(reading.data, "item"), shared["item"])]
            for results, reading in zip((first, second), readings, strict=True)
        ]
        gap = max(gaps, key=lambda g: abs(g.mean()))
        inner = [d for d in dims if d not in outer]
        for family in families:
            chosen = {**outer, **{d: family.get(d, shared[d]) for d in inner}}
            a, b = (site_values(one.sel(chosen), inner) for one in data)
            marks = [one["marked"].sel(chosen).transpose(*inner).values.ravel() for one in cells]
            sites = [cell_name(dict(zip(inner, v, strict=True))) for v in product(*(chosen[d] for d in inner))]
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
    first: Float[ndarray, "site item"], second: Float[ndarray, "site item"], groups: Sequence[str], least: float
) -> tuple[float, tuple[float, float], bool]:
    """Rank correlation of item halves across models and within each; whether models are as similar as halves of one."""
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
    return np.nan_to_num(values).sum(1) / np.maximum((~np.isnan(values)).sum(1), 1)


def site_values(data: "DataArray", dims: Sequence[str]) -> Float[ndarray, "site item"]:
    """The values of a map, one row per cell in the order of `dims`."""
    values: ndarray = data.transpose(*dims, "item").values
    return values.reshape(-1, data.sizes["item"])


def _part(name: str) -> str:
    part = name.partition(" at ")[0].rpartition(".")[2]
    return "output" if part in ("z", "mlp_out") else part
