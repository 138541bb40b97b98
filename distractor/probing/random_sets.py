"""Random sets of sites of the same kind and number as others: what sites that were not chosen do."""

from collections.abc import Sequence
from itertools import combinations, product
from math import comb
from typing import TYPE_CHECKING

# Probes draw random sets, and importing a probe must not wait for slow imports.
if TYPE_CHECKING:
    from numpy.random import Generator

    from distractor.models.site import Site

KINDS = ("z", "mlp_out")


def random_sets(
    sites: "Sequence[Site]", others: "Sequence[Site]", rng: "Generator", most: int
) -> "list[tuple[Site, ...]]":
    """Up to `most` random sets of as many heads and as many MLPs of `others` as `sites` has; all sets if there are few."""
    kinds = [[site for site in others if site.part == part] for part in KINDS]
    counts = [sum(site.part == part for site in sites) for part in KINDS]
    possible = 1
    for kind, count in zip(kinds, counts, strict=True):
        possible *= comb(len(kind), count)
    if possible <= most:
        of_kind = (combinations(kind, count) for kind, count in zip(kinds, counts, strict=True))
        return [(*heads, *mlps) for heads, mlps in product(*of_kind)]
    drawn: dict[frozenset[Site], None] = {}
    while len(drawn) < most:
        picks = [rng.permutation(len(kind))[:count] for kind, count in zip(kinds, counts, strict=True)]
        drawn[frozenset(kind[k] for kind, pick in zip(kinds, picks, strict=True) for k in pick)] = None
    return [tuple(sorted(one, key=str)) for one in drawn]
