"""The cells of the calibration: one setting each, and a function that simulates and judges ladders of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from distractor.statistics.pairs import (
    Pairs,
    pairs_of_means,
    pairs_of_models,
    pairs_of_weights,
    turning_set,
    weaker_leg,
)
from distractor.statistics.shape_test import DELTA, judge_models, judge_weights
from distractor.statistics.standard_errors import effective_groups
from distractor.statistics.verdict import CLAIM, Verdict, verdict
from experiments.calibration.simulate import (
    NULL_CURVES,
    WORLDS,
    Items,
    Seeds,
    bump,
    ceiling,
    curve_ladders,
    dip,
    planted,
    shared_ladders,
)

BLOCK = 50  # ladders judged at once
DRAWS = 1000  # of the bootstrap; 2,000 in use
PARTS = ("level-2", "level-1", "no-u", "power", "dips", "verdict")
LADDERS = dict.fromkeys(PARTS, 1000) | {"verdict": 200}

Counts = dict[str, float]
Run = Callable[[int, np.random.Generator], Counts]
Draw = Callable[[int, np.random.Generator], ndarray]  # ladders, `ladder seed size group`


@dataclass(frozen=True)
class Cell:
    """One setting of a part, its kind, and the function that simulates and judges `count` ladders of it."""

    part: str
    kind: str
    setting: str
    run: Run

    @property
    def name(self) -> str:
        """The name in the table of counts."""
        return f"{self.kind}; {self.setting}"


def blocks(count: int) -> Iterator[int]:
    """Sizes of blocks that sum to `count`."""
    for start in range(0, count, BLOCK):
        yield min(BLOCK, count - start)


def null_curve(name: str, n_sizes: int, fall: float = 0.35) -> ndarray:
    """A curve that does not turn, from .5 downwards."""
    return 0.5 - fall * NULL_CURVES[name](np.linspace(0, 1, n_sizes))


# False turns


def turned(pairs: Pairs) -> ndarray:
    """Which ladders have a significant turn, of either kind."""
    return np.any([weaker_leg(sign * pairs.rise - pairs.bound).max(-1) > 0 for sign in (1, -1)], axis=0)


def excluded(pairs: Pairs) -> ndarray:
    """Which ladders exclude a fall and rise of δ."""
    return np.asarray(weaker_leg(-pairs.rise + pairs.pointwise).max(-1) < DELTA)


def of_weights(values: ndarray, rng: np.random.Generator, **known: float) -> Pairs:
    """Level 1 from items, with a new bootstrap stream for each block."""
    return pairs_of_weights(values, seed=int(rng.integers(1 << 30)), draws=DRAWS, **known)[0]


def of_means(shares: ndarray, n: int, rng: np.random.Generator) -> Pairs:
    """Level 1 from means of `n` independent answers."""
    eased = (shares * n + 1) / (n + 2)
    errors = np.sqrt(eased * (1 - eased) / (n + 2))
    return pairs_of_means(shares, errors, seed=int(rng.integers(1 << 30)), draws=DRAWS)[0]


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


def turns_2(draw: Draw) -> Run:
    """False turns at level 2, and those of the foils."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        sums = np.zeros(3)
        for block in blocks(count):
            values = draw(block, rng)
            sums += [turned(pairs_of_models(values)).sum(), naive(values).sum(), quadratic(values).sum()]
        return dict(zip(("turned", "naive", "quadratic"), sums, strict=True))

    return run


def turns_1(draw: Draw) -> Run:
    """False turns at level 1."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        return {"turned": sum(turned(of_weights(draw(block, rng)[:, 0], rng)).sum() for block in blocks(count))}

    return run


def turns_of_means(truth: ndarray, n: int) -> Run:
    """False turns at level 1 from means and standard errors, with other items at each size."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        shares = rng.binomial(n, np.broadcast_to(truth, (count, len(truth)))) / n
        return {"turned": turned(of_means(shares, n, rng)).sum()}

    return run


def ordinary(truth: ndarray, seeds: int, groups: int, items: int, sd: float = 0.0, ratio: float = 1.0) -> Draw:
    """Ladders of groups with several answers each."""
    return lambda count, rng: curve_ladders(truth, count, seeds, groups, items, sd, ratio, rng)


def shared(truth: ndarray, seeds: Seeds, items: Items) -> Draw:
    """Ladders of items that all seeds share."""
    return lambda count, rng: shared_ladders(truth, count, seeds, items, rng)


NOISES = {"0": (0.0, 1.0), ".02": (0.02, 1.0), ".05": (0.05, 1.0), ".05 unequal": (0.05, 9.0)}
GRIDS = ((8, 3), (11, 5))  # sizes × seeds
NOISY = ((8, 3, (4,)), (8, 3, (2,)), (12, 3, (4, 8)), (11, 5, (5,)))  # sizes, seeds, the noisy sizes
MISSES = (0.0, 0.01, 0.03)


def cells_of_turns_2() -> Iterator[tuple[str, str, Draw]]:
    """Kind, setting and ladders of each null cell at level 2."""
    for name in NULL_CURVES:
        for noise, (sd, ratio) in NOISES.items():
            for k in (8, 11):
                for s in (3, 5):
                    draw = ordinary(null_curve(name, k), s, 60, 4, sd, ratio)
                    yield "ordinary", f"60 groups, {name}, seeds' sd {noise}, {k} × {s}", draw
    for k, s in GRIDS:
        for groups in (5, 12, 30):
            for name in ("flat", "step to plateau"):
                for sd in (0.0, 0.03):
                    draw = shared(null_curve(name, k), Seeds(s, sd), Items(groups, 0.2))
                    yield "few groups", f"{groups} groups, {name}, preference, seeds' sd {sd:g}, {k} × {s}", draw
            draw = shared(null_curve("step to plateau", k), Seeds(s, 0.01), Items(groups))
            yield "few groups", f"{groups} groups, step to plateau, answers, seeds' sd .01, {k} × {s}", draw
    for k, s, noisy in NOISY:
        for times in (5, 10, 20):
            for name in ("flat", "step to plateau"):
                draw = shared(null_curve(name, k), Seeds(s, 0.01, noisy, times), Items(60, 0.1))
                where = " and ".join(str(size + 1) for size in noisy)
                yield "noisy sizes", f"size {where} of {k} has {times} times the sd, {name}, {k} × {s}", draw
    for k, s, groups in ((8, 3, 60), (8, 3, 300), (11, 5, 60)):
        for correlation in (0.25, 0.5):
            seeds = Seeds(s, 0.03, correlation=correlation)
            draw = shared(null_curve("step to plateau", k), seeds, Items(groups, 0.1))
            yield "correlated seeds", f"correlation {correlation:g}, {groups} groups, {k} × {s}", draw
    for groups in (12, 30, 100):
        for miss in MISSES:
            for sd in (0.0, 0.01):
                draw = shared(ceiling(8, miss), Seeds(3, sd), Items(groups))
                yield "ceiling", f"{groups} answers, {miss:.0%} wrong, seeds' sd {sd:g}, 8 × 3", draw
    for k, s in GRIDS:
        for groups in (30, 60, 200):
            draw = shared(null_curve("step to plateau", k), Seeds(s, 0.01), Items(groups, 0.2, unequal=True))
            yield "unequal groups", f"{groups} groups, {k} × {s}", draw


def cells_of_turns_1() -> Iterator[tuple[str, str, Draw]]:
    """Kind, setting and ladders of each null cell at level 1."""
    for name in NULL_CURVES:
        for k in (5, 8, 11):
            draw = ordinary(null_curve(name, k, 0.45), 1, 60, 4)
            yield "ordinary", f"60 groups, {name}, {k} sizes", draw
    for k in (8, 11):
        for groups in (5, 12, 30, 60):
            for name in ("flat", "step to plateau"):
                draw = shared(null_curve(name, k), Seeds(1), Items(groups, 0.2))
                yield "few groups", f"{groups} groups, {name}, preference, {k} sizes", draw
            draw = shared(null_curve("step to plateau", k), Seeds(1), Items(groups))
            yield "few groups", f"{groups} groups, step to plateau, answers, {k} sizes", draw
        for groups in (12, 30, 100):
            for miss in MISSES:
                yield (
                    "ceiling",
                    f"{groups} answers, {miss:.0%} wrong, {k} sizes",
                    shared(ceiling(k, miss), Seeds(1), Items(groups)),
                )
        for groups in (30, 60, 200):
            draw = shared(null_curve("step to plateau", k), Seeds(1), Items(groups, 0.2, unequal=True))
            yield "unequal groups", f"{groups} groups, {k} sizes", draw


# Exclusion


def exclusion(draw: Callable[[float], Draw], level: int, items: Items | None = None) -> Run:
    """How often a turn is excluded: in a curve with a dip of exactly δ (false), and in a flat one (right)."""
    known = {"n_effective": effective_groups(items.counts)} if items and items.unequal else {}

    def run(count: int, rng: np.random.Generator) -> Counts:
        found: Counts = {}
        for name, depth in (("false", DELTA), ("right", 0.0)):
            found[name] = 0
            for block in blocks(count):
                values = draw(depth)(block, rng)
                pairs = pairs_of_models(values, **known) if level == 2 else of_weights(values[:, 0], rng, **known)
                found[name] += int(excluded(pairs).sum())
        return found

    return run


def cells_of_exclusion() -> Iterator[tuple[str, str, Run]]:
    """Kind, setting and function of each cell of exclusions."""

    def cell(
        kind: str, setting: str, level: int, k: int, seeds: Seeds, items: Items, at: float
    ) -> tuple[str, str, Run]:
        run = exclusion(lambda depth: shared(dip(k, at, depth), seeds, items), level, items)
        return kind, f"level {level}, {setting}", run

    for level, seeds in ((1, Seeds(1)), (2, Seeds(3))):
        for groups in (12, 30, 40, 60, 100, 200, 400):
            yield cell("ceiling, answers", f"{groups} groups, 5 sizes", level, 5, seeds, Items(groups), 1.0)
            items = Items(groups, skew=True)
            yield cell("ceiling, preference", f"{groups} groups, 5 sizes", level, 5, seeds, items, 1.0)
        for groups in (30, 100, 400):
            items = Items(groups, unequal=True)
            yield cell("ceiling, unequal groups", f"{groups} groups, 5 sizes", level, 5, seeds, items, 1.0)
            yield cell("near a ceiling", f"{groups} answers, 3 % wrong, 5 sizes", level, 5, seeds, Items(groups), 0.97)
    for groups in (5, 12, 30):
        for sd in (0.02, 0.05):
            for level, seeds in ((1, Seeds(1)), (2, Seeds(3, 0.002))):
                setting = f"{groups} groups, preference, sd {sd:g}, 8 sizes"
                yield cell("few groups", setting, level, 8, seeds, Items(groups, sd), 0.5)
    for level, k, s, sd in ((2, 5, 3, 0.005), (2, 11, 3, 0.005), (2, 11, 5, 0.005), (2, 11, 5, 0.02), (1, 5, 1, 0.0)):
        run = exclusion(lambda depth, k=k, s=s, sd=sd: ordinary(dip(k, 0.5, depth), s, 400, 4, sd), level)  # type: ignore[misc]
        yield "ordinary", f"level {level}, 400 groups, seeds' sd {sd:g}, {k} × {s}", run
    for k, s, sd, times in ((3, 3, 0.005, 3), (3, 3, 0.01, 1), (5, 3, 0.004, 4), (8, 3, 0.002, 10), (11, 5, 0.004, 5)):
        seeds = Seeds(s, sd, (k // 2,), times)
        setting = f"the dip's size has {times} times the sd {sd:g}, {k} × {s}"
        yield cell("noisy sizes", setting, 2, k, seeds, Items(400, 0.05), 0.5)
    for correlation in (0.25, 0.5):
        seeds = Seeds(3, 0.01, correlation=correlation)
        yield cell("correlated seeds", f"correlation {correlation:g}, 8 × 3", 2, 8, seeds, Items(400, 0.05), 0.5)


# Power


PLANTED = (  # level, sizes, seeds, groups, seed noise
    (2, 8, 3, 12, 0.02),
    (2, 8, 3, 30, 0.02),
    (2, 8, 3, 60, 0.02),
    (2, 11, 5, 60, 0.02),
    (2, 11, 5, 200, 0.02),
    (2, 11, 3, 60, 0.05),
    (2, 11, 5, 60, 0.05),
    (1, 8, 1, 30, 0.0),
    (1, 8, 1, 60, 0.0),
    (1, 11, 1, 60, 0.0),
    (1, 11, 1, 200, 0.0),
)
RISES = (0.05, 0.1, 0.2)
DEPTHS = (0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2)


def power(level: int, draw: Draw, sign: int, at: int, n_sizes: int) -> Run:
    """How often a planted turn is found, and its turning point is in the turning set; with the median detectable dip."""

    def run(count: int, rng: np.random.Generator) -> Counts:
        found, held, widths, within = 0, 0, [], []
        for block in blocks(count):
            values = draw(block, rng)
            pairs = pairs_of_models(values) if level == 2 else of_weights(values[:, 0], rng)
            found += int((weaker_leg(sign * pairs.rise - pairs.bound).max(-1) > 0).sum())
            members = turning_set(pairs, sign)
            held += int(members[:, at - 1].sum())
            widths += members.sum(-1).tolist()
            sizes = range(1, n_sizes + 1)
            judged = judge_models(values[0], sizes) if level == 2 else judge_weights(values[0, 0], sizes, draws=DRAWS)
            within.append(judged.smallest_detectable_dip)
        return {"found": found, "held": held, "width": float(np.median(widths)), "dip": float(np.median(within))}

    return run


def cells_of_power() -> Iterator[tuple[str, str, Run]]:
    """A rise and fall of curves that end at .05; groups have four answers."""
    for level, k, s, groups, sd in PLANTED:
        for depth in RISES:
            truth = bump(k, depth)
            run = power(level, ordinary(truth, s, groups, 4, sd), 1, int(truth.argmax()), k)
            yield f"level {level}, {k} × {s}, {groups} groups, seeds' sd {sd:g}", f"{depth:g}", run


def cells_of_dips() -> Iterator[tuple[str, str, Run]]:
    """A dip in a flat curve of 8 sizes and 3 seeds, 300 answers, seeds' sd .03."""
    for broad in (False, True):
        for depth in DEPTHS:
            truth = dip(8, 0.6, depth, broad=broad)
            run = power(2, ordinary(truth, 3, 300, 1, 0.03), -1, 4, 8)
            yield "two sizes" if broad else "one size", f"{depth:g}", run


# The verdict


VERDICTS = (("little", 120, 0.1), ("much", 40, 0.4))  # name, groups, seed noise of the pulls as a share of them
KINDS = ("supported", "contradicted", "undetermined")


def supported_above_0(judged: Verdict) -> bool:
    """Whether the label at level 2 would be "supported" with thresholds of 0 for D and the difference in differences."""
    parts = [part for part in judged.because if part.level == 2]
    claimed = [part for part in parts if part.name in CLAIM or part.name.startswith("more_than_")]
    above_0 = [p for p in claimed if p.name == "distractor_pull_at_peak" or p.name.startswith("more_than_")]
    measured = [p for p in above_0 if p.low is not None]
    holds = all(p.holds is True for p in claimed if p not in above_0)
    return holds and len(measured) > 1 and all(p.low > 0 and p.holds is not False for p in measured)


def confusion(world: str, n_seeds: int, groups: int, seed_sd: float) -> Run:
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
    """All cells of all parts."""
    for kind, setting, draw in cells_of_turns_2():
        yield Cell("level-2", kind, setting, turns_2(draw))
    for kind, setting, draw in cells_of_turns_1():
        yield Cell("level-1", kind, setting, turns_1(draw))
    for name in NULL_CURVES:
        for k in (5, 8, 11):
            run = turns_of_means(null_curve(name, k, 0.45), 240)
            yield Cell("level-1", "from means", f"240 answers, {name}, {k} sizes", run)
    for kind, setting, run in cells_of_exclusion():
        yield Cell("no-u", kind, setting, run)
    for kind, setting, run in cells_of_power():
        yield Cell("power", kind, setting, run)
    for kind, setting, run in cells_of_dips():
        yield Cell("dips", kind, setting, run)
    for noise, groups, seed_sd in VERDICTS:
        for s in (3, 5):
            for world in WORLDS:
                yield Cell("verdict", f"{noise} noise, {s} seeds", world, confusion(world, s, groups, seed_sd))
