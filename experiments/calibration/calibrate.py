"""How often is the judgement of a curve wrong, and how often does it find what is there?

    python experiments/calibration/calibrate.py [--ladders 1000] [--part NAME …] [--folder FOLDER]

Simulates ladders of which the truth is known. Each cell of the tables has a random stream of its own and goes into
counts.csv when it is done, so that the script can be stopped and goes on where it was, and parts of it can be run
in any order; README.md is written from what counts.csv holds.
"""

import argparse
import csv
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from distractor.statistics.pairs import (
    Pairs,
    labels,
    pairs_of_means,
    pairs_of_models,
    pairs_of_weights,
    turning_set,
    weaker_leg,
)
from distractor.statistics.shape_test import DELTA, judge_models, judge_weights
from distractor.statistics.verdict import CLAIM, Evidence, Verdict, verdict

LADDERS = 1000
BLOCK = 50  # ladders judged at once
DRAWS = 1000  # of the bootstrap; 2,000 in use

# Null curves: none of them turns. From .5 down by `FALL`, as preference with growing skill.
NULL_CURVES: dict[str, Callable[[ndarray], ndarray]] = {
    "flat": np.zeros_like,
    "linear": lambda x: x,
    "square root": np.sqrt,
    "logarithmic": lambda x: np.log1p(30 * x) / np.log(31),
    "sigmoid": lambda x: 1 / (1 + np.exp(-14 * (x - 0.5))),
    "step to plateau": lambda x: np.where(x < 0.4, 0.0, 1.0),
}
FALL = {2: 0.35, 1: 0.45}  # by level: with seed noise the plateau stays clear of 0, where noise would be cut off
SIZES, SEEDS = (5, 8, 11), (3, 5)
ITEMS = ((50, 2), (60, 4), (100, 10))  # groups, items in each
NOISES = {"0": (0.0, 1.0), ".02": (0.02, 1.0), ".05": (0.05, 1.0), ".05 unequal": (0.05, 9.0)}
ITEMS_LEVEL_1 = ((34, 3), (60, 4), (200, 5))
VERDICTS = (("little", 120, 0.1), ("much", 40, 0.4))  # name, groups, seed noise of the pulls as a share of them
DIPS = (0.05, 0.1, 0.2)
PLANTED = (  # level, sizes, seeds, groups, seed noise
    (2, 8, 3, 60, 0.02),
    (2, 11, 5, 60, 0.02),
    (2, 11, 5, 200, 0.02),
    (2, 11, 3, 60, 0.05),
    (2, 11, 5, 60, 0.05),
    (1, 8, 1, 60, 0.0),
    (1, 11, 1, 60, 0.0),
    (1, 11, 1, 200, 0.0),
)
EXCLUSIONS = (  # level, sizes, seeds, groups, seed noise
    (2, 5, 3, 400, 0.005),
    (2, 11, 3, 400, 0.005),
    (2, 11, 5, 400, 0.005),
    (2, 11, 5, 400, 0.02),
    (1, 5, 1, 400, 0.0),
    (1, 11, 1, 400, 0.0),
    (1, 11, 1, 1000, 0.0),
)


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
    """Shares of right answers, `ladder seed size group`, with mean `truth` + seed noise; items agree in their group.

    Each seed's probability at each size is the truth plus noise of standard deviation `noise` (`ratio` > 1: the
    variances of the sizes differ by that factor, the largest in the middle). Each group has a difficulty of its own,
    drawn again in part at each size; the items are coins.
    """
    n_sizes = len(truth)
    middle = 1 - np.abs(np.linspace(-1, 1, n_sizes))
    spread = ratio**middle
    spread = noise * np.sqrt(spread / spread.mean())
    wanted = np.clip(truth + spread * rng.normal(size=(n_ladders, n_seeds, n_sizes)), 0.002, 0.998)[..., None]
    own = 0.6 * rng.normal(size=(n_ladders, 1, 1, n_groups)) + 0.8 * rng.normal(size=(n_ladders, 1, n_sizes, n_groups))
    swing = 0.8 * np.minimum(wanted, 1 - wanted)
    chance = wanted + swing * np.clip(own / 2.5, -1, 1)
    return rng.binomial(n_items, chance) / n_items


def turned(pairs: Pairs) -> ndarray:
    """Which ladders' label says that the curve turns, either way."""
    return np.isin(labels(pairs, DELTA), ("U-shaped", "inverted-U"))


def quadratic(values: ndarray) -> ndarray:
    """The foil: a parabola over each ladder's points, its curvature at p < .05 and its top within the range."""
    from scipy.special import stdtr

    n_seeds, n_sizes = values.shape[1:3]
    x, y = np.tile(np.linspace(0, 1, n_sizes), n_seeds), values.mean(-1).reshape(len(values), -1)
    design = np.stack([np.ones_like(x), x, x * x], 1)
    beta = y @ np.linalg.pinv(design).T
    freedom = len(x) - 3
    left = ((y - beta @ design.T) ** 2).sum(-1) / freedom
    error = np.sqrt(left * np.linalg.inv(design.T @ design)[2, 2])
    top = -beta[:, 1] / np.where(beta[:, 2] == 0, np.nan, 2 * beta[:, 2])
    return (2 * stdtr(freedom, -np.abs(beta[:, 2]) / error) < 0.05) & (top > 0) & (top < 1)


def naive(values: ndarray) -> ndarray:
    """The foil: pick the highest and the lowest interior size, test both legs to the ends over items, 95 % each."""
    pooled = values.mean(1)
    curve, n_groups = pooled.mean(-1), pooled.shape[-1]
    found = np.zeros(len(values), bool)
    for sign in (1, -1):
        top = 1 + (sign * curve[:, 1:-1]).argmax(-1)
        at_top = np.take_along_axis(pooled, top[:, None, None], 1)[:, 0]
        legs = [sign * (at_top - pooled[:, end]) for end in (0, -1)]
        found |= np.all([leg.mean(-1) > 1.96 * leg.std(-1, ddof=1) / np.sqrt(n_groups) for leg in legs], axis=0)
    return found


def bump(n_sizes: int, depth: float) -> ndarray:
    """Preference that rises from .5 by `depth` at one place and falls to .05: the top is one size, at 40 %."""
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
}
"""World: the right call.

In "incapacity everywhere" the dip is as deep without the distractor's cue. In "faint distractor" a label prior makes
the dip and the distractor pulls by .12 nats, below δ_D; in "hardly more than without" by .3 nats, which adds less than
δ to what a stronger prior does alone.
"""

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
    """One simulated ladder of `world`, item by item from its log-probability gaps, by the definitions of T and D.

    Pulls vary between seeds (by `seed_sd` of themselves and .03 nats) and between groups (by 30 %); each gap has
    an item noise of its own that grows with the pulls.
    """
    x = np.linspace(0, 1, n_sizes)
    zero = np.zeros_like(x)
    if world == "truncated range":
        x = 0.55 * x
    pull_true = {"inverted cue": _late(x) - _swell(x), "chance throughout": zero}.get(world, _late(x))
    faint, prior = FAINT.get(world, (0.0, 1.0))
    pull_distractor = _early(x) if world in ("distractor", "truncated range") else faint * _early(x) / 2
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

    measured = world != "incapacity everywhere"  # there the neutral condition was not run: D takes the bias for a pull
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
    )


def supported_above_0(found: Verdict) -> bool:
    """Whether the level 2 call would be "supported" if D and the difference in differences had only to be above 0."""
    parts = [part for part in found.because if part.level == 2]
    asked = [part for part in parts if part.name in CLAIM or part.name.startswith("more_than_")]
    above_0 = [p for p in asked if p.name == "distractor_pull_at_peak" or p.name.startswith("more_than_")]
    measured = [p for p in above_0 if p.low is not None]
    holds = all(p.holds is True for p in asked if p not in above_0)
    return holds and len(measured) > 1 and all(p.low > 0 and p.holds is not False for p in measured)


# Cells: what one entry of a table is made of.

Counts = dict[str, float]


@dataclass(frozen=True)
class Cell:
    """One setting: its place in the table, and how `count` ladders of it are made and judged, with what result."""

    part: str
    row: tuple[str, ...]
    column: str
    run: Callable[[int, np.random.Generator], Counts]

    @property
    def name(self) -> str:
        """As it stands in counts.csv."""
        return "; ".join([*self.row, self.column])


def blocks(count: int) -> Iterator[int]:
    """Sizes of blocks that make up `count`."""
    for start in range(0, count, BLOCK):
        yield min(BLOCK, count - start)


def false_turns_2(
    truth: ndarray, n_seeds: int, groups: int, items: int, sd: float, ratio: float
) -> Callable[[int, np.random.Generator], Counts]:
    """Turns seen on a curve without one at level 2, and what the foils see."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        found = np.zeros(3)
        for block in blocks(count):
            values = curve_ladders(truth, block, n_seeds, groups, items, sd, ratio, rng)
            found += [turned(pairs_of_models(values)).sum(), naive(values).sum(), quadratic(values).sum()]
        return dict(zip(("turned", "naive", "quadratic"), found, strict=True))

    return run


def false_turns_1(truth: ndarray, groups: int, items: int) -> Callable[[int, np.random.Generator], Counts]:
    """Turns seen on a curve without one at level 1: from the items, and from each size's mean and n alone."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        found = np.zeros(3)
        for block in blocks(count):
            values = curve_ladders(truth, block, 1, groups, items, 0.0, 1.0, rng)[:, 0]
            n = groups * items
            apart = rng.binomial(n, np.broadcast_to(truth, (block, len(truth)))) / n
            found += [
                turned(weights(values, rng)).sum(),
                turned(means(values.mean(-1), groups, rng)).sum(),
                turned(means(apart, n, rng)).sum(),
            ]
        return dict(zip(("turned", "same items", "other items"), found, strict=True))

    return run


def weights(values: ndarray, rng: np.random.Generator) -> Pairs:
    """Level 1 from items, the bootstrap's stream changing with the block."""
    return pairs_of_weights(values, seed=int(rng.integers(1 << 30)), draws=DRAWS)[0]


def means(shares: ndarray, n: int, rng: np.random.Generator) -> Pairs:
    """Level 1 from means of `n` independent answers."""
    eased = (shares * n + 1) / (n + 2)
    return pairs_of_means(shares, np.sqrt(eased * (1 - eased) / (n + 2)), seed=int(rng.integers(1 << 30)), draws=DRAWS)[
        0
    ]


def power(
    level: int, n_sizes: int, n_seeds: int, groups: int, sd: float, depth: float
) -> Callable[[int, np.random.Generator], Counts]:
    """How often a planted rise and fall is found, and its peak held by the turning-point set."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        truth = bump(n_sizes, depth)
        peak, found, held, widths, within = int(truth.argmax()), 0, 0, [], []
        for block in blocks(count):
            values = curve_ladders(truth, block, n_seeds, groups, 4, sd, 1.0, rng)
            pairs = pairs_of_models(values) if level == 2 else weights(values[:, 0], rng)
            found += int((labels(pairs, DELTA) == "inverted-U").sum())
            stands = turning_set(pairs, 1)
            held += int(stands[:, peak - 1].sum())
            widths += stands.sum(-1).tolist()
            judged = (
                judge_models(values[0], range(n_sizes)) if level == 2 else judge_weights(values[0, 0], range(n_sizes))
            )
            within.append(judged.smallest_detectable_dip)
        return {"found": found, "held": held, "width": float(np.median(widths)), "dip": float(np.median(within))}

    return run


def exclusions(
    level: int, n_sizes: int, n_seeds: int, groups: int, sd: float
) -> Callable[[int, np.random.Generator], Counts]:
    """How often "no U" is said of a curve that turns by exactly δ, and of one that does not turn (there it is right)."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        said = {}
        for name, rise in (("false", DELTA), ("right", 0.0)):
            truth = np.full(n_sizes, 0.5)
            truth[n_sizes // 2] += rise
            said[name] = 0
            for block in blocks(count):
                values = curve_ladders(truth, block, n_seeds, groups, 4, sd, 1.0, rng)
                pairs = pairs_of_models(values) if level == 2 else weights(values[:, 0], rng)
                said[name] += int((weaker_leg(pairs.rise + pairs.pointwise).max(-1) < DELTA).sum())
        return dict(said)

    return run


KINDS = ("supported", "contradicted", "undetermined")
FROM = ("turned", "same items", "other items")  # false turns at level 1: from items, and from means


def confusion(world: str, n_seeds: int, groups: int, seed_sd: float) -> Callable[[int, np.random.Generator], Counts]:
    """The verdict at both levels on one planted world."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        calls = {f"{level} {kind}": 0.0 for level in (2, 1) for kind in KINDS} | {"above 0": 0.0}
        for _ in range(count):
            evidence = planted(world, rng, n_seeds=n_seeds, n_groups=groups, seed_sd=seed_sd)
            one = verdict(evidence, draws=DRAWS)
            calls[f"2 {one.label}"] += 1
            calls[f"1 {one.these_weights}"] += 1
            calls["above 0"] += supported_above_0(one)
        return calls

    return run


def cells() -> Iterator[Cell]:
    """All cells of all tables."""
    for groups, items in ITEMS:
        for name, curve in NULL_CURVES.items():
            for noise, (sd, ratio) in NOISES.items():
                for k in SIZES:
                    truth = 0.5 - FALL[2] * curve(np.linspace(0, 1, k))
                    for s in SEEDS:
                        run = false_turns_2(truth, s, groups, items, sd, ratio)
                        yield Cell("level-2", (f"{groups} × {items}", name, noise), f"{k} × {s}", run)
    for groups, items in ITEMS_LEVEL_1:
        for name, curve in NULL_CURVES.items():
            for k in SIZES:
                truth = 0.5 - FALL[1] * curve(np.linspace(0, 1, k))
                run = false_turns_1(truth, groups, items)
                yield Cell("level-1", (f"{groups} × {items}", name), f"{k} sizes", run)
    for level, k, s, groups, sd in PLANTED:
        for depth in DIPS:
            row = (str(level), f"{k} × {s}", str(groups), f"{sd:g}", f"{depth:g}")
            yield Cell("power", row, "all", power(level, k, s, groups, sd, depth))
    for level, k, s, groups, sd in EXCLUSIONS:
        row = (str(level), f"{k} × {s}", str(groups), f"{sd:g}")
        yield Cell("no-u", row, "all", exclusions(level, k, s, groups, sd))
    for setting, groups, seed_sd in VERDICTS:
        for s in SEEDS:
            for world in WORLDS:
                yield Cell("verdict", (setting, str(s), world), "all", confusion(world, s, groups, seed_sd))


# Tables.


@dataclass(frozen=True)
class Done:
    """Counts of one cell, and of how many ladders."""

    ladders: int
    counts: Counts

    def percent(self, name: str) -> float:
        """The share of ladders, in percent."""
        return 100 * self.counts[name] / self.ladders


Found = dict[tuple[tuple[str, ...], str], Done]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def by_row(found: Found) -> dict[tuple[str, ...], dict[str, Done]]:
    """The cells of each row of a table, by column."""
    rows: dict[tuple[str, ...], dict[str, Done]] = {}
    for (row, column), done in found.items():
        rows.setdefault(row, {})[column] = done
    return rows


def worst(found: Found, name: str, what: str) -> str:
    """The largest rate and where it stands."""
    (row, column), done = max(found.items(), key=lambda pair: pair[1].percent(name))
    where = ", ".join([*row, *([column] if column != "all" else [])])
    return f"Worst {what}: {done.percent(name):.1f} % ({where})."


def table_level_2(found: Found) -> str:
    """False turns and foils, and the worst cell."""
    columns = [f"{k} × {s}" for k in SIZES for s in SEEDS]
    rows = []
    for row, at in by_row(found).items():
        entries = [f"{at[c].percent('turned'):.1f}" if c in at else "–" for c in columns]
        foils = [f"{np.mean([d.percent(foil) for d in at.values()]):.1f}" for foil in ("naive", "quadratic")]
        rows.append([*row, *entries, *foils])
    head = ["groups × items", "curve", "seed noise", *columns, "naive peak", "quadratic"]
    return f"{table(head, rows)}\n\n{worst(found, 'turned', 'false turn')}"


def table_level_1(found: Found) -> str:
    """False turns from items and from means, and the worst cells."""
    columns = [f"{k} sizes" for k in SIZES]
    rows = [
        [*row, *(f"{at[c].percent(name):.1f}" if c in at else "–" for name in FROM for c in columns)]
        for row, at in by_row(found).items()
    ]
    head = ["groups × items", "curve", *columns, *(f"{c}, means" for c in columns), *(f"{c}, apart" for c in columns)]
    told = [worst(found, name, what) for name, what in zip(FROM, ("from items", "means", "apart"), strict=True)]
    return f"{table(head, rows)}\n\n{' '.join(told)}"


def table_power(found: Found) -> str:
    """Power, coverage and width of the turning-point set, and the least coverage."""
    rows = [
        [
            *row,
            f"{done.percent('found'):.1f}",
            f"{done.percent('held'):.1f}",
            f"{done.counts['width']:g}",
            f"{done.counts['dip']:.2f}",
        ]
        for (row, _), done in found.items()
    ]
    head = ["level", "sizes × seeds", "groups", "seed noise", "rise", "found %", "peak in set %", "median set, sizes",
            "median detectable dip"]  # fmt: skip
    least = min(done.percent("held") for done in found.values())
    return f"{table(head, rows)}\n\nThe planted peak is in the set in at least {least:.1f} %."


def table_no_u(found: Found) -> str:
    """False and right exclusions, and the worst cell."""
    rows = [[*row, f"{done.percent('false'):.1f}", f"{done.percent('right'):.1f}"] for (row, _), done in found.items()]
    head = [
        "level",
        "sizes × seeds",
        "groups",
        "seed noise",
        "a turn of δ ruled out (false)",
        "no turn ruled out (right)",
    ]
    return f"{table(head, rows)}\n\n{worst(found, 'false', 'false exclusion')}"


def table_verdict(found: Found) -> str:
    """The confusion matrix at both levels, and the worst wrong support."""
    columns = [f"{level} {kind}" for level in (2, 1) for kind in KINDS]
    rows = [
        [*row, WORLDS[row[2]], *(f"{done.percent(c):.1f}" for c in columns), f"{done.percent('above 0'):.1f}"]
        for (row, _), done in found.items()
    ]
    wrong = {place: done for place, done in found.items() if WORLDS[place[0][2]] != "supported"}
    told = " ".join(worst(wrong, c, f'wrong "supported" at level {c[0]}') for c in ("2 supported", "1 supported"))
    above_0 = worst(wrong, "above 0", 'wrong "supported" at level 2 had D and the rise only to be above 0')
    heads = [f"level {c[0]}: {c[2:]}" for c in columns]
    whole = table(["noise", "seeds", "world", "right call", *heads, "if above 0"], rows)
    return f"{whole}\n\n{told} {above_0}\n\nRight call at level 2, the world where it is rarest: {rarest(found)}."


def rarest(found: Found) -> str:
    """How often the right call is made where it is made least, for each kind of noise and number of seeds."""
    least: dict[tuple[str, str], tuple[float, str]] = {}
    for ((noise, seeds, world), _), done in found.items():
        here = done.percent(f"2 {WORLDS[world]}"), world
        least[noise, seeds] = min(here, least.get((noise, seeds), here))
    return "; ".join(
        f"{noise} noise, {seeds} seeds {rate:.1f} % ({world})" for (noise, seeds), (rate, world) in least.items()
    )


PARTS: dict[str, tuple[str, str, Callable[[Found], str]]] = {
    "level-2": (
        "False turns at level 2",
        "Curves that do not turn; items are coins whose chances agree within a group; columns are sizes × seeds; "
        "unequal: the sizes' variances differ ninefold. The foils, averaged over columns: picking the peak and testing "
        "both legs over items, and a quadratic's curvature.",
        table_level_2,
    ),
    "level-1": (
        "False turns at level 1",
        "One seed, no seed noise: the weights' own curve does not turn. From items; from the means and the number of "
        "groups alone (means); and from means of as many answers to questions that no two sizes share (apart).",
        table_level_1,
    ),
    "power": (
        "Power, and the set of turning points",
        "Preference rises from .5 by the stated amount, highest at one size, and falls to .05; groups of 4 items.",
        table_power,
    ),
    "no-u": (
        "No U",
        f"How often a rise and fall of δ = {DELTA:g} is ruled out, where it is there (at one size of a flat curve) and "
        "where it is not; groups of 4 items.",
        table_no_u,
    ),
    "verdict": (
        "The verdict over planted worlds",
        "11 sizes, items scored from simulated gaps: little noise is 120 groups of 4 items and pulls that vary by 10 % "
        "between seeds, much is 40 groups and 40 %. Level 1 asks for agreement of all seeds. The bars: nowhere more than "
        '5 % wrong "supported"; with little noise and five seeds, the recommended number, at least 80 % right in every '
        'world. With much noise, or three seeds, "undetermined" is no mistake: it says that more is needed. "If above '
        '0": how often level 2 would say "supported" if D at the peak and the rise beyond that in the controls had only '
        "to be above 0, not above δ_D and δ.",
        table_verdict,
    ),
}
"""Of each part: title, what it shows, and how its table is made."""


def read_counts(path: Path) -> dict[tuple[str, str], Done]:
    """What earlier runs left: by part and cell."""
    if not path.exists():
        return {}
    done: dict[tuple[str, str], Done] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            counts = dict(pair.split("=") for pair in row["counts"].split("; "))
            done[row["part"], row["cell"]] = Done(int(row["ladders"]), {k: float(v) for k, v in counts.items()})
    return done


def add_counts(path: Path, cell: Cell, done: Done) -> None:
    """One line more."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["part", "cell", "ladders", "counts"])
        counts = "; ".join(f"{name}={value:.6g}" for name, value in done.counts.items())
        writer.writerow([cell.part, cell.name, done.ladders, counts])


def write_page(folder: Path, done: dict[tuple[str, str], Done]) -> None:
    """README.md, from all cells that are there."""
    text = "# How often is the judgement of a curve wrong?\n\n"
    text += "Written by `python experiments/calibration/calibrate.py` from `counts.csv` beside it. All entries are\n"
    text += "percentages unless said otherwise.\n"
    for part, (title, told, make) in PARTS.items():
        wanted = [cell for cell in cells() if cell.part == part]
        found = {(c.row, c.column): done[part, c.name] for c in wanted if (part, c.name) in done}
        if not found:
            continue
        least = min(one.ladders for one in found.values())
        chance = 100 * (0.05 + 1.96 * np.sqrt(0.05 * 0.95 / least))
        text += f"\n## {title}\n\n{told}\n\n**At least {least} simulated ladders a cell**; a true 5 % may show as "
        text += f"{chance:.1f} %."
        if len(found) < len(wanted):
            text += f" {len(wanted) - len(found)} of {len(wanted)} cells are still to be run."
        text += f"\n\n{make(found)}\n"
    (folder / "README.md").write_text(text)


def main() -> None:
    """Run what is missing and write README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", type=int, default=LADDERS)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    path = given.folder / "counts.csv"
    done = read_counts(path)
    for part in given.part or PARTS:
        start, new = time.time(), 0
        for cell in cells():
            there = done.get((part, cell.name))
            if cell.part != part or (there and there.ladders >= given.ladders):
                continue
            rng = np.random.default_rng(zlib.crc32(f"{part}; {cell.name}".encode()))
            done[part, cell.name] = Done(given.ladders, cell.run(given.ladders, rng))
            add_counts(path, cell, done[part, cell.name])
            new += 1
        print(f"{part}: {new} cells in {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        write_page(given.folder, done)


if __name__ == "__main__":
    main()
