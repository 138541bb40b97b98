"""A chart of the ranked sites: the effect of each, in the colour of the answer that it serves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distractor.attribution.ranked_sites import AGAINST, ON_PATH, SILENCES, WRITES, WRITES_TRUE, RankedSite
from distractor.runs import colours, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.0  # inches
ROW = 0.3  # inches, of a site
NAMED = 2  # sites of a set that are named

KINDS = {
    "for the distractor's answer": ((WRITES, ON_PATH[1]), colours.DISTRACTOR, "o"),
    "for the true answer": ((WRITES_TRUE, ON_PATH[0]), colours.TRUE, "v"),
    "against the distractor": ((AGAINST, SILENCES), colours.MARKED, "D"),
    "for both": (("",), colours.INK, "s"),
}
"""The kinds of sites, by how the sentence of what they do begins, with colour and marker."""


def size_of(sites: Sequence[RankedSite]) -> tuple[float, float]:
    """Width and height of the chart in inches."""
    return WIDTH, 1.1 + ROW * len(sites)


def ranked_chart(axes: "Axes", sites: Sequence[RankedSite]) -> None:
    """The effect of each site on the gap in nats, with its 95 % interval, the largest on top."""
    kinds = [next(kind for kind, (begins, *_) in KINDS.items() if one.does.startswith(begins)) for one in sites]
    for kind, (_, colour, marker) in KINDS.items():
        rows = [row for row, of in enumerate(kinds) if of == kind]
        if rows:
            mean, low, high = np.array([sites[row].effect for row in rows], dtype=float).T
            axes.errorbar(
                mean, rows, xerr=(mean - low, high - mean), fmt=marker, ms=5, color=colour, elinewidth=1.4, label=kind
            )
    axes.set_yticks(range(len(sites)), [_name(one) for one in sites])
    axes.set_ylim(len(sites) - 0.5, -0.5)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_xlabel("effect (nats)")
    axes.grid(visible=False, axis="y")
    style.reference_line(axes, 0, vertical=True)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)


def _name(one: RankedSite) -> str:
    more = f" and {len(one.sites) - NAMED} more" if len(one.sites) > NAMED else ""
    return ", ".join(map(style.short_site, one.sites[:NAMED])) + more
