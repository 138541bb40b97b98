"""Along training: a model's behaviour and the strength of its two paths at each step, and what of them moved first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.groups import group_means, interval, number_groups
from distractor.statistics.ordering import Order, order
from distractor.statistics.shape_test import Shape, delta_of, judge

MIN_STEPS = 3
"""From so many steps on a model is followed along training."""

SHARES = ("distractor_preference", "distractor_only", "true_only")
PULLS = ("true_pull", "distractor_pull")
PATHS = ("true_path", "distractor_path")
CHANCE = 0.5

ORDERED = {
    "sites": ("true_path", "distractor_path", "the true path", "the distractor's path"),
    "behaviour": ("true_pull", "distractor_pull", "T", "D"),
    "alone": ("true_only", "distractor_only", "the true task alone", "the distractor task alone"),
}
"""Pairs of curves of which the one or the other may move first: what they are, and what they are called."""

StepCurves = Float[ndarray, "seed step group"]


@dataclass(frozen=True, eq=False)
class Course:
    """One model along training: `curves[quantity]` by seed, step and item group, with the groups' items in `counts`.

    `distractor_preference` is in `conflict`, `distractor_only` and `true_only` are accuracy there, the pulls are in nats;
    `true_path` and `distractor_path` are what T and D lose without the sites chosen for them at that step on half of the
    groups, weighed on the other half. What is not defined is missing. `left_out` are steps that not every seed has.
    """

    name: str
    steps: tuple[int, ...]
    seeds: tuple[int | None, ...]
    curves: Mapping[str, StepCurves]
    counts: Mapping[str, Float[ndarray, " group"]]
    left_out: tuple[int, ...] = ()

    def means(self, quantity: str) -> tuple[ndarray, ndarray, ndarray]:
        """Mean over seeds and items at each step, with its 95 % interval over groups (these weights: level 1)."""
        limits = (0.0, 1.0) if quantity in SHARES else None
        return interval(self.curves[quantity].mean(0), counts=self.counts[quantity], limits=limits)

    @cached_property
    def shape(self) -> Shape | None:
        """Whether preference for the distractor's answer rises and falls over steps; None where it cannot be judged."""
        try:
            return judge(self.curves[SHARES[0]], self.steps, delta=delta_of(SHARES[0]))
        except (ScalingError, KeyError):
            return None

    @cached_property
    def orders(self) -> dict[str, dict[str, Order]]:
        """What moved first: of the sites' strengths, of behaviour, and of each task scored alone.

        `onset`: the one's rise against the other's; `decline`: the true task's rise against the distractor's fall.
        """
        # The logarithm of step 0 is nowhere: it is put as far before the first step as half of it.
        x = np.array([step or self.steps[1] / 2 for step in self.steps], dtype=float)
        found = {}
        for what, (one, other, *names) in ORDERED.items():
            if one in self.curves and other in self.curves:
                a, b = (self.curves[name] - (CHANCE if what == "alone" else 0) for name in (one, other))
                told = (names[0], names[1])
                found[what] = {
                    "onset": order(a, b, x, names=told, axis="step"),
                    "decline": order(a, b, x, names=told, axis="step", falling=True),
                }
        return found

    def sentences(self) -> list[str]:
        """What moved first, in words; what is said twice is said once."""
        told = [f"{what}: {one.sentence}" for what, both in self.orders.items() for one in both.values()]
        return list(dict.fromkeys(told))


def curve(
    values: Sequence[Sequence[Float[ndarray, " item"]]], groups: Sequence[str]
) -> tuple[StepCurves, Float[ndarray, " group"]] | None:
    """Values by seed and step, item by item, as means of the groups that all have, with those groups' items.

    None where they share fewer than two groups.
    """
    table = np.array(values)
    used = ~np.isnan(table).any((0, 1))
    numbers = number_groups(np.asarray(groups)[used])
    if numbers.max(initial=0) < 1:
        return None
    return group_means(table[..., used], numbers), np.bincount(numbers).astype(float)
