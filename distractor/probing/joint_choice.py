"""Chooses sites one by one by what they do together."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from distractor.models.site import Site

# Probes choose sites, and importing a probe must not wait for slow imports.
if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy import ndarray

ALIKE = 0.9
"""Of sites that add at least this share of what the best one adds, the last one in the model is chosen: in a chain, each
site has the whole effect, and the last one is nearest to what is measured."""

JointOf = Callable[[Sequence[Sequence[Site]]], "Float[ndarray, ' set']"]
"""The joint effect of each of several sets of sites."""


def choose_jointly(
    joint_of: JointOf, sites: Sequence[Site], *, until: float, start: float = 0.0, least: float = 0.0, most: int
) -> tuple[tuple[Site, ...], list[float]]:
    """The sites whose joint effect grows fastest, and the joint effect after each of them.

    Sites are added until the effect reaches `until`, `most` are chosen, or none adds more than `least`. `start` is the
    effect of no site.
    """
    import numpy as np

    chosen: tuple[Site, ...] = ()
    joint: list[float] = []
    left = list(sites)
    while left and len(chosen) < most and (before := joint[-1] if joint else start) < until:
        gain = joint_of([(*chosen, site) for site in left]) - before
        if gain.max() <= least:
            break
        best = max(np.flatnonzero(gain >= ALIKE * gain.max()).tolist(), key=lambda k: left[k].depth)
        chosen, joint = (*chosen, left.pop(best)), [*joint, before + float(gain[best])]
    return chosen, joint
