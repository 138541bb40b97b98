"""Curves along training: behaviour and the strength of the two paths at each step, and which of them moves first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.scoring.behaviour import INTERVALS
from distractor.statistics.group_values import group_values
from distractor.statistics.intervals import MIN_SEEDS, interval, interval_of_models
from distractor.statistics.ordering import Order, order
from distractor.statistics.shape_test import Shape, delta_of, judge

MIN_STEPS = 3  # a model given at this many steps or more is followed along training
SHARES = ("distractor_preference", "accuracy", "distractor_only", "true_only")
PULLS = ("true_pull", "distractor_pull")
PATHS = ("true_path", "distractor_path")
CHANCE = 0.5

ORDERED = {
    "sites": ("true_path", "distractor_path", "the true path", "the distractor's path"),
    "behaviour": ("true_pull", "distractor_pull", "T", "D"),
    "alone": ("true_only", "distractor_only", "the true task alone", "the distractor task alone"),
}
"""Pairs of curves whose order in time is tested: two quantities, and their names in sentences."""

StepCurves = Float[ndarray, "seed step group"]


@dataclass(frozen=True, eq=False)
class TrainingCurves:
    """One model along training: the group values `curves[quantity]` by seed, step and item group.

    `distractor_preference` and `accuracy` are in `conflict`; `distractor_only` and `true_only` are accuracy in that
    condition; pulls are in nats. `true_path` and `distractor_path` are the losses of T and D without the sites chosen for
    them at that step. Sites are chosen on half of the groups and measured on the other half. Undefined quantities are
    absent. `left_out` are steps that some seeds lack. `n_effective` is the effective number of groups, if they differ in
    size.
    """

    name: str
    steps: tuple[int, ...]
    seeds: tuple[int | None, ...]
    curves: Mapping[str, StepCurves]
    left_out: tuple[int, ...] = ()
    n_effective: float | None = None

    def means(self, quantity: str) -> tuple[ndarray, ndarray, ndarray]:
        """The mean over seeds and items at each step, with its 95 % interval: of level 2 with three seeds, else level 1."""
        limits, values = (0.0, 1.0) if quantity in SHARES else None, self.curves[quantity]
        if self._has_level_2:
            return interval_of_models(values, limits=limits, n_effective=self.n_effective)
        return interval(values.mean(0), limits=limits, n_effective=self.n_effective)

    @property
    def interval_name(self) -> str:
        """What the intervals are of, in words."""
        return INTERVALS[2 if self._has_level_2 else 1]

    @property
    def _has_level_2(self) -> bool:
        return len(self.seeds) >= MIN_SEEDS

    @cached_property
    def shape(self) -> Shape | None:
        """The shape of distractor preference over steps; None if it cannot be judged."""
        try:
            return judge(self.curves[SHARES[0]], self.steps, delta=delta_of(SHARES[0]), n_effective=self.n_effective)
        except (ScalingError, KeyError):
            return None

    @cached_property
    def orders(self) -> dict[str, dict[str, Order]]:
        """Which curve of each pair in `ORDERED` moves first.

        `onset` compares the two rises; `decline` compares the true task's rise with the distractor's fall.
        """
        # Step 0 has no logarithm, so it counts as half of the next step.
        x = np.array([step or self.steps[1] / 2 for step in self.steps], dtype=float)
        orders = {}
        for pair, (true, distractor, *names) in ORDERED.items():
            if true in self.curves and distractor in self.curves:
                a, b = (self.curves[name] - (CHANCE if pair == "alone" else 0) for name in (true, distractor))
                orders[pair] = {
                    "onset": order(a, b, x, names=(names[0], names[1]), axis="step"),
                    "decline": order(a, b, x, names=(names[0], names[1]), axis="step", falling=True),
                }
        return orders

    def sentences(self) -> list[str]:
        """Which curve moves first, in words, without repetitions."""
        every = [f"{pair}: {result.sentence}" for pair, both in self.orders.items() for result in both.values()]
        return list(dict.fromkeys(every))


def curve(values: Sequence[Sequence[Float[ndarray, " item"]]], groups: Sequence[str]) -> StepCurves | None:
    """Group values by seed and step, from values by seed, step and item.

    Only items with a value at every seed and step count. None if they are of fewer than two groups.
    """
    table = np.array(values)
    used = ~np.isnan(table).any((0, 1))
    names = np.asarray(groups)[used]
    return group_values(table[..., used], names) if len(set(names.tolist())) > 1 else None
