"""How often is the judgement of a curve wrong, and how often does it find what is there?

    python experiments/calibration/calibrate.py [ladders a row, default 1000] [folder for README.md]

Simulates ladders of which the truth is known and writes the tables of README.md. Issue 6 wants 1,000 a row.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy import ndarray

from distractor.scaling import DELTA, Level, judge_models, judge_weights
from distractor.verdict import Evidence, verdict

LADDERS = 1000
SEED = 20240607
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
GROUPS, ITEMS = 60, 4
NOISES = {"0": (0.0, 1.0), ".05": (0.05, 1.0), ".05 unequal": (0.05, 9.0)}
GROUPS_LEVEL_1 = ((30, 4), (60, 4), (200, 5))
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


def curve_ladder(
    truth: ndarray, n_seeds: int, n_groups: int, n_items: int, noise: float, ratio: float, rng: np.random.Generator
) -> ndarray:
    """Shares of right answers, `seed size group`, with mean `truth` + seed noise; items agree within their group.

    Each seed's probability at each size is the truth plus noise of standard deviation `noise` (`ratio` > 1: the
    variances of the sizes differ by that factor, the largest in the middle). Each group has a difficulty of its own,
    drawn again in part at each size; the items are coins.
    """
    n_sizes = len(truth)
    middle = 1 - np.abs(np.linspace(-1, 1, n_sizes))
    spread = ratio**middle
    spread = noise * np.sqrt(spread / spread.mean())
    wanted = np.clip(truth + spread * rng.normal(size=(n_seeds, n_sizes)), 0.002, 0.998)[..., None]
    own = 0.6 * rng.normal(size=(1, 1, n_groups)) + 0.8 * rng.normal(size=(1, n_sizes, n_groups))
    swing = 0.8 * np.minimum(wanted, 1 - wanted)
    chance = wanted + swing * np.clip(own / 2.5, -1, 1)
    return rng.binomial(n_items, chance, (n_seeds, n_sizes, n_groups)) / n_items


def turned(level: Level) -> bool:
    """The label says that the curve turns, either way."""
    return level.label in ("U-shaped", "inverted-U")


def quadratic(values: ndarray) -> bool:
    """The foil: a parabola over the ladder's points, its curvature at p < .05 and its top within the range."""
    from scipy.special import stdtr

    n_seeds, n_sizes, _ = values.shape
    x, y = np.tile(np.linspace(0, 1, n_sizes), n_seeds), values.mean(-1).ravel()
    design = np.stack([np.ones_like(x), x, x * x], 1)
    beta, *_ = np.linalg.lstsq(design, y, rcond=None)
    freedom = len(y) - 3
    left = ((y - design @ beta) ** 2).sum() / freedom
    error = np.sqrt(left * np.linalg.inv(design.T @ design)[2, 2])
    return bool(2 * stdtr(freedom, -abs(beta[2]) / error) < 0.05 and 0 < -beta[1] / (2 * beta[2]) < 1)


def naive(values: ndarray) -> bool:
    """The foil: pick the highest and the lowest interior size, test both legs to the ends over items, 95 % each."""
    pooled = values.mean(0)
    curve, n_groups = pooled.mean(-1), pooled.shape[-1]
    for sign in (1, -1):
        top = 1 + int((sign * curve[1:-1]).argmax())
        legs = [sign * (pooled[top] - pooled[end]) for end in (0, -1)]
        if all(leg.mean() > 1.96 * leg.std(ddof=1) / np.sqrt(n_groups) for leg in legs):
            return True
    return False


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
    "monotone": "contradicted",
    "chance throughout": "undetermined",
    "truncated range": "undetermined",
}
"""World: the right call. In "incapacity everywhere" the dip is as deep without the distractor's cue."""


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
    pull_distractor = _early(x) if world in ("distractor", "truncated range") else zero
    bias = _swell(x) if world in ("label prior", "incapacity everywhere") else zero

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


EXCLUSIONS = (  # level, sizes, seeds, groups, seed noise
    (2, 5, 3, 400, 0.005),
    (2, 11, 3, 400, 0.005),
    (2, 11, 5, 400, 0.005),
    (2, 11, 5, 400, 0.02),
    (1, 5, 1, 400, 0.0),
    (1, 11, 1, 400, 0.0),
    (1, 11, 1, 1000, 0.0),
)


def share(count: int, of: int) -> str:
    """As a percentage with one decimal."""
    return f"{100 * count / of:.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def false_turns_level_2(ladders: int, rng: np.random.Generator) -> str:
    """False turns on null curves at level 2, and the two foils beside them."""
    cells = [(k, s) for k in SIZES for s in SEEDS]
    rows, worst = [], (-1.0, "")
    for name, curve in NULL_CURVES.items():
        for noise, (sd, ratio) in NOISES.items():
            found, foil, picked = [], 0, 0
            for k, s in cells:
                truth, wrong = 0.5 - FALL[2] * curve(np.linspace(0, 1, k)), 0
                for _ in range(ladders):
                    values = curve_ladder(truth, s, GROUPS, ITEMS, sd, ratio, rng)
                    wrong += turned(judge_models(values, range(k)))
                    foil, picked = foil + quadratic(values), picked + naive(values)
                found.append(wrong)
                worst = max(worst, (100 * wrong / ladders, f"{name}, seed noise {noise}, {k} sizes × {s} seeds"))
            total = ladders * len(cells)
            rows.append([name, noise, *(share(n, ladders) for n in found), share(picked, total), share(foil, total)])
    head = ["curve", "seed noise", *(f"{k} × {s}" for k, s in cells), "naive peak", "quadratic"]
    return f"{table(head, rows)}\n\nWorst: {worst[0]:.1f} % ({worst[1]})."


def false_turns_level_1(ladders: int, rng: np.random.Generator) -> str:
    """False turns on null curves at level 1: one seed, no seed noise."""
    cells = [(k, g) for k in SIZES for g in GROUPS_LEVEL_1]
    rows, worst = [], (-1.0, "")
    for name, curve in NULL_CURVES.items():
        found = []
        for k, (groups, items) in cells:
            truth, wrong = 0.5 - FALL[1] * curve(np.linspace(0, 1, k)), 0
            for _ in range(ladders):
                values = curve_ladder(truth, 1, groups, items, 0.0, 1.0, rng)
                wrong += turned(judge_weights(values[0], range(k), draws=DRAWS))
            found.append(wrong)
            worst = max(worst, (100 * wrong / ladders, f"{name}, {k} sizes, {groups} groups of {items}"))
        rows.append([name, *(share(n, ladders) for n in found)])
    head = ["curve", *(f"{k} sizes, {g} groups" for k, (g, _) in cells)]
    return f"{table(head, rows)}\n\nWorst: {worst[0]:.1f} % ({worst[1]})."


def power_and_coverage(ladders: int, rng: np.random.Generator) -> str:
    """How often a planted rise and fall is found, and its peak held by the turning-point set, at both levels."""
    rows = []
    for level, k, s, groups, sd in PLANTED:
        for depth in DIPS:
            truth = bump(k, depth)
            peak, found, held, widths, within = int(truth.argmax()), 0, 0, [], []
            for _ in range(ladders):
                values = curve_ladder(truth, s, groups, ITEMS, sd, 1.0, rng)
                judged = (
                    judge_models(values, range(k)) if level == 2 else judge_weights(values[0], range(k), draws=DRAWS)
                )
                found += judged.label == "inverted-U"
                held += peak in judged.inverted_u.turning_set
                widths.append(len(judged.inverted_u.turning_set))
                within.append(judged.smallest_detectable_dip)
            rows.append([str(level), f"{k} × {s}", str(groups), f"{sd:g}", f"{depth:g}", share(found, ladders),
                         share(held, ladders), f"{np.median(widths):g}", f"{np.median(within):.2f}"])  # fmt: skip
    head = ["level", "sizes × seeds", "groups", "seed noise", "rise", "found %", "peak in set %", "median set, sizes",
            "median detectable dip"]  # fmt: skip
    return table(head, rows)


def false_exclusions(ladders: int, rng: np.random.Generator) -> str:
    """How often "no U" is said of a curve that turns by exactly δ, and of one that does not turn (there it is right)."""
    rows, worst = [], (-1.0, "")
    for level, k, s, groups, sd in EXCLUSIONS:
        cells = []
        for rise in (DELTA, 0.0):
            truth, said = np.full(k, 0.5), 0
            truth[k // 2] += rise
            for _ in range(ladders):
                values = curve_ladder(truth, s, groups, ITEMS, sd, 1.0, rng)
                judged = (
                    judge_models(values, range(k)) if level == 2 else judge_weights(values[0], range(k), draws=DRAWS)
                )
                said += judged.no_inverted_u
            cells.append(share(said, ladders))
            if rise:
                worst = max(worst, (100 * said / ladders, f"level {level}, {k} × {s}, {groups} groups, noise {sd:g}"))
        rows.append([str(level), f"{k} × {s}", str(groups), f"{sd:g}", *cells])
    head = [
        "level",
        "sizes × seeds",
        "groups",
        "seed noise",
        "a turn of δ ruled out (false)",
        "no turn ruled out (right)",
    ]
    return f"{table(head, rows)}\n\nWorst: {worst[0]:.1f} % ({worst[1]})."


def confusion(ladders: int, rng: np.random.Generator) -> str:
    """The verdict over planted worlds, both levels, with little and with much noise."""
    kinds = ("supported", "contradicted", "undetermined")
    rows = []
    for setting, groups, seed_sd in VERDICTS:
        for s in SEEDS:
            for world, right in WORLDS.items():
                calls: Counter[str] = Counter()
                weights: Counter[str] = Counter()
                for _ in range(ladders):
                    one = verdict(planted(world, rng, n_seeds=s, n_groups=groups, seed_sd=seed_sd), draws=DRAWS)
                    calls[one.label] += 1
                    weights[one.these_weights] += 1
                counts = [share(c[kind], ladders) for c in (calls, weights) for kind in kinds]
                rows.append([setting, str(s), world, right, *counts])
    head = ["noise", "seeds", "world", "right call", *(f"level {n}: {kind}" for n in (2, 1) for kind in kinds)]
    return table(head, rows)


TABLES: tuple[tuple[str, str, Callable[[int, np.random.Generator], str], int], ...] = (
    (
        "False turns at level 2",
        f"Curves that do not turn; {GROUPS} groups of {ITEMS} items (coins whose chances agree within a group); "
        "columns are sizes × seeds; unequal: the sizes' variances differ ninefold. The foils, averaged over columns: "
        "picking the peak and testing both legs over items, and a quadratic's curvature.",
        false_turns_level_2,
        1,
    ),
    (
        "False turns at level 1",
        "One seed, no seed noise: the weights' own curve does not turn.",
        false_turns_level_1,
        1,
    ),
    (
        "Power, and the set of turning points",
        "Preference rises from .5 by the stated amount, highest at one size, and falls to .05.",
        power_and_coverage,
        1,
    ),
    (
        "No U",
        f"How often a rise and fall of δ = {DELTA:g} is ruled out, where it is there (at one size of a flat curve) and "
        "where it is not.",
        false_exclusions,
        1,
    ),
    (
        "The verdict over planted worlds",
        "11 sizes, items scored from simulated gaps: little noise is 120 groups of 4 items and pulls that vary by 10 % "
        "between seeds, much is 40 groups and 40 %. Level 1 asks for agreement of all seeds. With much noise "
        '"undetermined" is no mistake; a wrong "supported" is.',
        confusion,
        3,
    ),
)
"""Title, what it shows, how it is made, and by how much fewer ladders a row."""


def main() -> None:
    """Make every table and write README.md."""
    ladders = int(sys.argv[1]) if len(sys.argv) > 1 else LADDERS
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
    rng = np.random.default_rng(SEED)
    text = "# How often is the judgement of a curve wrong?\n\n"
    text += "Written by `python experiments/calibration/calibrate.py` (`calibrate.py 300` for 300 ladders a row). All\n"
    text += "entries are percentages unless said otherwise.\n"
    for title, told, make, fewer in TABLES:
        start = time.time()
        count = max(ladders // fewer, 1)
        chance = 100 * (0.05 + 1.96 * np.sqrt(0.05 * 0.95 / count))
        text += f"\n## {title}\n\n{told}\n\n**{count} simulated ladders a row**; a true 5 % may show as {chance:.1f} %."
        text += f"\n\n{make(count, rng)}\n"
        print(f"{title}: {time.time() - start:.0f} s", flush=True)
    (folder / "README.md").write_text(text)


if __name__ == "__main__":
    main()
