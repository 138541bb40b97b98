"""How often are the shape test and the verdict wrong, and how often do they find a planted turn?

    python -m experiments.calibration.calibrate [--ladders 1000] [--part NAME …] [--folder FOLDER]

The script simulates ladders of a known shape. Each cell has a separate random stream and is added to counts.csv when it is
done. The script can therefore be stopped and resumed, and its parts run in any order. README.md is written from counts.csv.
"""

import argparse
import csv
import sys
import time
import zlib
from collections.abc import Callable, Iterator
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
from distractor.statistics.verdict import CLAIM, Verdict, verdict
from experiments.calibration.simulate import NULL_CURVES, WORLDS, bump, curve_ladders, planted
from experiments.markdown import markdown_table

LADDERS = 1000
BLOCK = 50  # ladders judged at once
DRAWS = 1000  # of the bootstrap; 2,000 in use

# Null curves fall from .5 by `FALL`, as preference does with growing skill.
FALL = {2: 0.35, 1: 0.45}  # by level: with seed noise the plateau stays above 0, where noise would be clipped
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


def turned(pairs: Pairs) -> ndarray:
    """Which ladders have a label that names a turn."""
    return np.isin(labels(pairs, DELTA), ("U-shaped", "inverted-U"))


def quadratic(values: ndarray) -> ndarray:
    """The foil: a parabola with curvature at p < .05 and its extremum within the range."""
    from scipy.special import stdtr

    n_seeds, n_sizes = values.shape[1:3]
    x, y = np.tile(np.linspace(0, 1, n_sizes), n_seeds), values.mean(-1).reshape(len(values), -1)
    design = np.stack([np.ones_like(x), x, x * x], 1)
    beta = y @ np.linalg.pinv(design).T
    freedom = len(x) - 3
    noise = ((y - beta @ design.T) ** 2).sum(-1) / freedom
    error = np.sqrt(noise * np.linalg.inv(design.T @ design)[2, 2])
    top = -beta[:, 1] / np.where(beta[:, 2] == 0, np.nan, 2 * beta[:, 2])
    return (2 * stdtr(freedom, -np.abs(beta[:, 2]) / error) < 0.05) & (top > 0) & (top < 1)


def naive(values: ndarray) -> ndarray:
    """The foil: pick the highest and the lowest interior size, then test both legs over items, at 95 % each."""
    pooled = values.mean(1)
    curve, n_groups = pooled.mean(-1), pooled.shape[-1]
    turns = np.zeros(len(values), bool)
    for sign in (1, -1):
        top = 1 + (sign * curve[:, 1:-1]).argmax(-1)
        at_top = np.take_along_axis(pooled, top[:, None, None], 1)[:, 0]
        legs = [sign * (at_top - pooled[:, end]) for end in (0, -1)]
        turns |= np.all([leg.mean(-1) > 1.96 * leg.std(-1, ddof=1) / np.sqrt(n_groups) for leg in legs], axis=0)
    return turns


def supported_above_0(judged: Verdict) -> bool:
    """Whether the label at level 2 would be "supported" with thresholds of 0 for D and the difference in differences."""
    parts = [part for part in judged.because if part.level == 2]
    claimed = [part for part in parts if part.name in CLAIM or part.name.startswith("more_than_")]
    above_0 = [p for p in claimed if p.name == "distractor_pull_at_peak" or p.name.startswith("more_than_")]
    measured = [p for p in above_0 if p.low is not None]
    holds = all(p.holds is True for p in claimed if p not in above_0)
    return holds and len(measured) > 1 and all(p.low > 0 and p.holds is not False for p in measured)


# Cells: one setting each.

Counts = dict[str, float]


@dataclass(frozen=True)
class Cell:
    """One setting, and the function that simulates and judges `count` ladders of it."""

    part: str
    row: tuple[str, ...]
    column: str
    run: Callable[[int, np.random.Generator], Counts]

    @property
    def name(self) -> str:
        """The name in counts.csv."""
        return "; ".join([*self.row, self.column])


def blocks(count: int) -> Iterator[int]:
    """Sizes of blocks that sum to `count`."""
    for start in range(0, count, BLOCK):
        yield min(BLOCK, count - start)


def false_turns_2(
    truth: ndarray, n_seeds: int, groups: int, items: int, sd: float, ratio: float
) -> Callable[[int, np.random.Generator], Counts]:
    """False turns at level 2, and those of the foils."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        sums = np.zeros(3)
        for block in blocks(count):
            values = curve_ladders(truth, block, n_seeds, groups, items, sd, ratio, rng)
            sums += [turned(pairs_of_models(values)).sum(), naive(values).sum(), quadratic(values).sum()]
        return dict(zip(("turned", "naive", "quadratic"), sums, strict=True))

    return run


def false_turns_1(truth: ndarray, groups: int, items: int) -> Callable[[int, np.random.Generator], Counts]:
    """False turns at level 1: from items, and from each size's mean and standard error."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        sums = np.zeros(3)
        for block in blocks(count):
            values = curve_ladders(truth, block, 1, groups, items, 0.0, 1.0, rng)[:, 0]
            n = groups * items
            apart = rng.binomial(n, np.broadcast_to(truth, (block, len(truth)))) / n
            sums += [
                turned(weights(values, rng)).sum(),
                turned(means(values.mean(-1), groups, rng)).sum(),
                turned(means(apart, n, rng)).sum(),
            ]
        return dict(zip(("turned", "same items", "other items"), sums, strict=True))

    return run


def weights(values: ndarray, rng: np.random.Generator) -> Pairs:
    """Level 1 from items, with a new bootstrap stream for each block."""
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
    """How often a planted rise and fall is found, and its peak is in the turning set."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        truth = bump(n_sizes, depth)
        peak, found, held, widths, within = int(truth.argmax()), 0, 0, [], []
        for block in blocks(count):
            values = curve_ladders(truth, block, n_seeds, groups, 4, sd, 1.0, rng)
            pairs = pairs_of_models(values) if level == 2 else weights(values[:, 0], rng)
            found += int((labels(pairs, DELTA) == "inverted-U").sum())
            members = turning_set(pairs, 1)
            held += int(members[:, peak - 1].sum())
            widths += members.sum(-1).tolist()
            judged = (
                judge_models(values[0], range(n_sizes)) if level == 2 else judge_weights(values[0, 0], range(n_sizes))
            )
            within.append(judged.smallest_detectable_dip)
        return {"found": found, "held": held, "width": float(np.median(widths)), "dip": float(np.median(within))}

    return run


def exclusions(
    level: int, n_sizes: int, n_seeds: int, groups: int, sd: float
) -> Callable[[int, np.random.Generator], Counts]:
    """How often a turn is excluded: in a curve that turns by exactly δ (false), and in a flat one (right)."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        excluded = {}
        for name, rise in (("false", DELTA), ("right", 0.0)):
            truth = np.full(n_sizes, 0.5)
            truth[n_sizes // 2] += rise
            excluded[name] = 0
            for block in blocks(count):
                values = curve_ladders(truth, block, n_seeds, groups, 4, sd, 1.0, rng)
                pairs = pairs_of_models(values) if level == 2 else weights(values[:, 0], rng)
                excluded[name] += int((weaker_leg(pairs.rise + pairs.pointwise).max(-1) < DELTA).sum())
        return dict(excluded)

    return run


KINDS = ("supported", "contradicted", "undetermined")


def confusion(world: str, n_seeds: int, groups: int, seed_sd: float) -> Callable[[int, np.random.Generator], Counts]:
    """The verdict at both levels on one planted world."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        calls = {f"{level} {kind}": 0.0 for level in (2, 1) for kind in KINDS} | {"above 0": 0.0}
        for _ in range(count):
            evidence = planted(world, rng, n_seeds=n_seeds, n_groups=groups, seed_sd=seed_sd)
            judged = verdict(evidence, draws=DRAWS)
            calls[f"2 {judged.label}"] += 1
            calls[f"1 {judged.these_weights}"] += 1
            calls["above 0"] += supported_above_0(judged)
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


# The page.


@dataclass(frozen=True)
class Done:
    """The counts of one cell, and its number of ladders."""

    ladders: int
    counts: Counts

    def percent(self, name: str) -> float:
        """The share of ladders, in percent."""
        return 100 * self.counts[name] / self.ladders


AllDone = dict[tuple[str, str], Done]


ERRORS = (
    ("level-2", "turned", "a turn at level 2, in a curve without one"),
    ("level-2", "naive", "— foil: pick the peak, then test both legs over items"),
    ("level-2", "quadratic", "— foil: curvature of a quadratic fit"),
    ("level-1", "turned", "a turn at level 1, in a curve without one"),
    ("level-1", "same items", "— from means and standard errors alone, same items at all sizes"),
    ("level-1", "other items", "— from means and standard errors alone, other items at each size"),
    ("no-u", "false", "a turn of δ is excluded, in a curve that has it"),
    ("power", "missed", "the planted turning point is outside the turning set"),
    ("verdict", "2 supported", 'wrong "supported" at level 2'),
    ("verdict", "1 supported", 'wrong "supported" at level 1'),
    ("verdict", "above 0", "— with thresholds of 0 in place of δ_D and δ"),
)
"""Part, count, and meaning of each row of the table of errors."""


def error_rates(done: AllDone, part: str, name: str) -> dict[str, float]:
    """The error rate of each cell, in percent."""
    rates = {}
    for (of_part, cell), counts in done.items():
        if of_part == part and not (part == "verdict" and WORLDS[cell.split("; ")[2]] == "supported"):
            rates[cell] = 100 - counts.percent("held") if name == "missed" else counts.percent(name)
    return rates


def table_of_errors(done: AllDone) -> str:
    """Each kind of error: the worst and the median cell."""
    rows = []
    for part, name, meaning in ERRORS:
        if rates := error_rates(done, part, name):
            worst = max(rates, key=lambda cell: rates[cell])
            where = worst.removesuffix("; all") if rates[worst] > 0 else "–"
            median = f"{np.median(list(rates.values())):.1f}"
            rows.append([meaning, f"{rates[worst]:.1f}", where, median, str(len(rates))])
    return markdown_table(["error", "worst cell, %", "which cell", "median, %", "cells"], rows)


def table_of_power(done: AllDone) -> str:
    """How often planted turns are found, and the minimum detectable dip."""
    rows = []
    for level, k, s, groups, sd in PLANTED:
        cells = [done.get(("power", f"{level}; {k} × {s}; {groups}; {sd:g}; {dip:g}; all")) for dip in DIPS]
        known = [cell for cell in cells if cell]
        if known:
            shares = [f"{cell.percent('found'):.0f}" if cell else "–" for cell in cells]
            dip = f"{np.median([cell.counts['dip'] for cell in known]):.2f}"
            rows.append([str(level), f"{k} × {s}", str(groups), f"{sd:g}", *shares, dip])
    dips = [f"turn of {dip:g} found, %" for dip in DIPS]
    return markdown_table(["level", "sizes × seeds", "groups", "seed noise", *dips, "minimum detectable dip"], rows)


def table_of_verdicts(done: AllDone) -> str:
    """How often each planted world gets the right label at level 2."""
    settings = [(noise, str(s)) for noise, _, _ in VERDICTS for s in SEEDS]
    rows = []
    for world, right in WORLDS.items():
        cells = [done.get(("verdict", f"{noise}; {seeds}; {world}; all")) for noise, seeds in settings]
        if any(cells):
            rows.append([world, right, *(f"{cell.percent(f'2 {right}'):.0f}" if cell else "–" for cell in cells)])
    return markdown_table(
        ["world", "right label", *(f"{noise} noise, {seeds} seeds, %" for noise, seeds in settings)], rows
    )


PARTS = ("level-2", "level-1", "power", "no-u", "verdict")


PAGE = """# How often are the shape test and the verdict wrong?

Written by `python -m experiments.calibration.calibrate`, which simulates ladders of a known shape and counts wrong labels in
`counts.csv`. Each cell has at least {least} ladders. The nominal error is 5 %, and a true 5 % may show as {chance:.1f} %.

{errors}

**Answer.** No error rate of the shape test exceeds 5 %. Picking the peak and testing it on the same data, and the curvature
of a quadratic, are wrong far more often. The turning set holds the planted turning point. The verdict never calls a world
without a distractor "supported".

## Power

Preference rises from .5 by the stated amount, is highest at one size, and falls to .05; groups have 4 items.

{power}

The verdict over planted worlds (11 sizes). Little noise: 120 groups, pulls vary by 10 % between seeds. Much noise: 40 groups,
40 %. The table has the share of right labels at level 2. "Undetermined" is the usual wrong label: more data are needed.

{verdicts}
"""


def read_counts(path: Path) -> dict[tuple[str, str], Done]:
    """The counts of earlier runs, by part and cell."""
    if not path.exists():
        return {}
    done: dict[tuple[str, str], Done] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            counts = dict(pair.split("=") for pair in row["counts"].split("; "))
            done[row["part"], row["cell"]] = Done(int(row["ladders"]), {k: float(v) for k, v in counts.items()})
    return done


def add_counts(path: Path, cell: Cell, done: Done) -> None:
    """Append one cell."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["part", "cell", "ladders", "counts"])
        counts = "; ".join(f"{name}={value:.6g}" for name, value in done.counts.items())
        writer.writerow([cell.part, cell.name, done.ladders, counts])


def page_of(done: AllDone) -> str:
    """The content of README.md, from all cells that are done."""
    least = min(cell.ladders for cell in done.values())
    chance = 100 * (0.05 + 1.96 * np.sqrt(0.05 * 0.95 / least))
    tables = {"errors": table_of_errors(done), "power": table_of_power(done), "verdicts": table_of_verdicts(done)}
    return PAGE.format(least=least, chance=chance, **tables)


def main() -> None:
    """Run what is missing and write README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", type=int, default=LADDERS)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    path = arguments.folder / "counts.csv"
    done = read_counts(path)
    for part in arguments.part or PARTS:
        start, new = time.time(), 0
        for cell in cells():
            earlier = done.get((part, cell.name))
            if cell.part != part or (earlier and earlier.ladders >= arguments.ladders):
                continue
            rng = np.random.default_rng(zlib.crc32(f"{part}; {cell.name}".encode()))
            done[part, cell.name] = Done(arguments.ladders, cell.run(arguments.ladders, rng))
            add_counts(path, cell, done[part, cell.name])
            new += 1
        print(f"{part}: {new} cells in {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        (arguments.folder / "README.md").write_text(page_of(done))


if __name__ == "__main__":
    main()
