"""Simulated ladders of a known shape, and planted worlds for the verdict."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from distractor.statistics.verdict import Evidence

NULL_CURVES: dict[str, Callable[[ndarray], ndarray]] = {
    "flat": np.zeros_like,
    "linear": lambda x: x,
    "square root": np.sqrt,
    "logarithmic": lambda x: np.log1p(30 * x) / np.log(31),
    "sigmoid": lambda x: 1 / (1 + np.exp(-14 * (x - 0.5))),
    "step to plateau": lambda x: np.where(x < 0.4, 0.0, 1.0),
}
"""Curves over x from 0 to 1 that do not turn."""


def curve_ladders(
    truth: ndarray,
    n_ladders: int,
    n_seeds: int,
    n_groups: int,
    n_items: int,
    noise: float,
    ratio: float,
    rng: np.random.Generator,
) -> ndarray:
    """Shares of right answers, `ladder seed size group`, with mean `truth` plus seed noise.

    Each seed's probability at each size is the truth plus noise with standard deviation `noise`. With `ratio` > 1 the
    variances of the sizes differ by that factor, the largest in the middle. Each group has a difficulty, partly redrawn at
    each size; items are Bernoulli draws.
    """
    n_sizes = len(truth)
    middle = 1 - np.abs(np.linspace(-1, 1, n_sizes))
    spread = ratio**middle
    spread = noise * np.sqrt(spread / spread.mean())
    mean = np.clip(truth + spread * rng.normal(size=(n_ladders, n_seeds, n_sizes)), 0.002, 0.998)[..., None]
    own = 0.6 * rng.normal(size=(n_ladders, 1, 1, n_groups)) + 0.8 * rng.normal(size=(n_ladders, 1, n_sizes, n_groups))
    swing = 0.8 * np.minimum(mean, 1 - mean)
    chance = mean + swing * np.clip(own / 2.5, -1, 1)
    return rng.binomial(n_items, chance) / n_items


@dataclass(frozen=True)
class Items:
    """Items that all seeds share, which is the harder case: each group's noise is drawn anew at each size.

    A preference is normal with the standard deviation `sd`. An answer (`sd` None) is right or wrong: right where the
    group's own uniform number is below the seed's probability. With `skew`, the distance of a preference below 1 has a
    beta distribution instead. With `unequal` groups differ in their number of items, up to a hundredfold.
    """

    groups: int
    sd: float | None = None
    skew: bool = False
    unequal: bool = False

    @property
    def counts(self) -> ndarray:
        """The number of items in each group."""
        return np.round(np.geomspace(1, 100 if self.unequal else 1, self.groups))


@dataclass(frozen=True)
class Seeds:
    """Training seeds: noise of each seed at each size, at some sizes `times` as large; `correlation` over the sizes of one
    seed is 0, over the seeds of one size as given.
    """

    count: int
    sd: float = 0.0
    noisy: tuple[int, ...] = ()
    times: float = 1.0
    correlation: float = 0.0


def shared_ladders(truth: ndarray, n_ladders: int, seeds: Seeds, items: Items, rng: np.random.Generator) -> ndarray:
    """Group values, `ladder seed size group`, of items that all seeds share."""
    n_sizes = len(truth)
    spread = np.full(n_sizes, seeds.sd)
    spread[list(seeds.noisy)] *= seeds.times
    own, common = (rng.normal(size=(n_ladders, count, n_sizes)) for count in (seeds.count, 1))
    noise = spread * (np.sqrt(1 - seeds.correlation) * own + np.sqrt(seeds.correlation) * common)
    mean = (truth + noise)[..., None]
    shape = (n_ladders, 1, n_sizes, items.groups)
    if items.skew:
        short = np.clip(1 - truth, 0, 1)[:, None]
        shape_a = np.where(short > 0, 0.3, 1.0)
        drawn = np.where(short > 0, rng.beta(shape_a, shape_a * (1 / np.maximum(short, 1e-9) - 1), shape), 0.0)
        values = np.clip(1 - drawn + noise[..., None], 0, 1)
    elif items.sd is None:
        values = (rng.random(shape) < mean).astype(float)
    else:
        values = mean + items.sd * rng.normal(size=shape)
    if items.unequal:
        over_items = (items.counts * values).sum(-1, keepdims=True) / items.counts.sum()
        values = over_items + items.counts / items.counts.mean() * (values - over_items)
    return values


def ceiling(n_sizes: int, miss: float) -> ndarray:
    """Accuracy that rises from .5 to a ceiling, where the share `miss` is wrong."""
    return np.where(np.linspace(0, 1, n_sizes) < 0.3, 0.5, 1 - miss)


def dip(n_sizes: int, level: float, depth: float, *, broad: bool = False) -> ndarray:
    """A flat curve with a dip at the middle size, or with `broad` at the middle two."""
    truth = np.full(n_sizes, level)
    truth[n_sizes // 2 - broad : n_sizes // 2 + 1] -= depth
    return truth


def bump(n_sizes: int, depth: float) -> ndarray:
    """Preference that rises from .5 by `depth` and falls to .05; the peak is one size, at 40 % of the range."""
    x = np.arange(n_sizes, dtype=float)
    top = (2 * n_sizes) // 5
    rise = 0.5 + depth * np.exp(-(((x - top) / (n_sizes / 8)) ** 2))
    return np.where(x <= top, rise, 0.05 + (rise - 0.05) * np.exp(-((np.maximum(x - top, 0) / (n_sizes / 5)) ** 2)))


# Planted worlds for the verdict. x runs from 0 to 1 over the range; all pulls are in nats.


def _sigmoid(x: ndarray) -> ndarray:
    return 1 / (1 + np.exp(-x))


def _early(x: ndarray) -> ndarray:
    return 2.0 * _sigmoid(25 * (x - 0.25))


def _late(x: ndarray) -> ndarray:
    return 7.0 * _sigmoid(18 * (x - 0.72))


COPYING = 4.5  # nats: small models that copy are right nearly always


def _copied(x: ndarray) -> ndarray:
    """What small models that copy add to T."""
    return COPYING * _sigmoid(40 * (0.15 - x))


def _swell(x: ndarray) -> ndarray:
    return 2.0 * np.exp(-(((x - 0.45) / 0.15) ** 2))


WORLDS = {
    "distractor": "supported",
    "inverted cue": "contradicted",
    "label prior": "contradicted",
    "incapacity everywhere": "contradicted",
    "faint distractor": "contradicted",
    "hardly more than without": "contradicted",
    "monotone": "contradicted",
    "chance throughout": "undetermined",
    "truncated range": "undetermined",
    "copying, distractor": "supported",
    "copying, monotone": "contradicted",
    "copying, starts at the peak": "undetermined",
    "copying, starts after recovery": "undetermined",
}
"""The right label of each world.

In "incapacity everywhere" the dip is as deep without the distractor cue. In "faint distractor" a label prior makes the dip,
and the distractor pull is .12 nats, below δ_D. In "hardly more than without" it is .3 nats, which adds less than δ to the
effect of a stronger prior. In the worlds of copying, the smallest models are right because they copy
(`Evidence.starts_at_chance` is False).
"""

STARTS = {"copying, starts at the peak": 0.5, "copying, starts after recovery": 0.85}  # x at the smallest size

FAINT = {"faint distractor": (0.12, 1.0), "hardly more than without": (0.3, 1.75)}  # pull in nats, prior


def planted(
    world: str,
    rng: np.random.Generator,
    *,
    n_sizes: int = 11,
    n_seeds: int = 5,
    n_groups: int = 120,
    n_items: int = 4,
    seed_sd: float = 0.1,
) -> Evidence:
    """One simulated ladder of `world`, from the log-probability gaps of its items and the definitions of T and D.

    Pulls vary between seeds (relative sd `seed_sd`, plus .03 nats) and between groups (relative sd 30 %). Each gap has item
    noise that grows with the pulls.
    """
    x = np.linspace(0, 1, n_sizes)
    zero = np.zeros_like(x)
    if world == "truncated range":
        x = 0.55 * x
    start = STARTS.get(world, 0.0)
    x = start + (1 - start) * x
    is_copying = world.startswith("copying")
    pull_true = {"inverted cue": _late(x) - _swell(x), "chance throughout": zero}.get(world, _late(x))
    if is_copying:
        pull_true = pull_true + (COPYING if world == "copying, monotone" else _copied(x))
    faint, prior = FAINT.get(world, (0.0, 1.0))
    has_distractor = world in ("distractor", "truncated range") or (is_copying and world != "copying, monotone")
    pull_distractor = _early(x) if has_distractor else faint * _early(x) / 2
    bias = prior * _swell(x) if world in ("label prior", "incapacity everywhere", *FAINT) else zero

    def vary(pull: ndarray) -> ndarray:
        by_seed = pull * (1 + seed_sd * rng.normal(size=(n_seeds, n_sizes))) + 0.03 * rng.normal(
            size=(n_seeds, n_sizes)
        )
        return by_seed[..., None, None] * (1 + 0.3 * rng.normal(size=(1, 1, n_groups, 1)))

    t, d, b = vary(pull_true), vary(pull_distractor), vary(bias)
    scale = 0.15 + 0.25 * (np.abs(pull_true) + np.abs(pull_distractor) + bias)[None, :, None, None]

    def gap(signal: ndarray) -> ndarray:
        return signal + scale * rng.normal(size=(n_seeds, n_sizes, n_groups, n_items))

    conflict, congruent, neutral = gap(-b + t - d), gap(-b - t - d), gap(-b)
    alone, true_only = gap(-b - d), gap(-b + t)

    def by_group(items: ndarray) -> ndarray:
        return items.mean(-1)

    measured = world != "incapacity everywhere"  # without the neutral condition, D includes the bias
    none = neutral if measured else np.zeros_like(neutral)
    return Evidence(
        sizes=tuple(float(round(2000 * 1.6**k)) for k in range(n_sizes)),
        preference=by_group(_sigmoid(-conflict)),
        accuracy=by_group((conflict > 0).astype(float)),
        true_pull=by_group((conflict - congruent) / 2),
        distractor_pull=by_group(none - (conflict + congruent) / 2),
        preference_neutral=by_group(_sigmoid(-neutral)) if measured else None,
        preference_true_only=by_group(_sigmoid(-true_only)),
        accuracy_distractor_only=by_group((alone < 0).astype(float)),
        starts_at_chance=not is_copying,
    )
