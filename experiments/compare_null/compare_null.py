"""How often does `distractor compare` find a difference where none exists?

    python -m experiments.compare_null.compare_null [--comparisons 1000]

Simulates models with a known truth and writes README.md in this folder. The rows of a comparison (quantities under
conditions) share a component within a model, items share one within a group, and some cells have heavy tails.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from distractor.statistics.changes import changes, do_halves_differ
from experiments.markdown import markdown_table

COMPARISONS = 1000
ROWS = 19  # as in a comparison of behaviour on a task with all conditions
FEW_ROWS = 5  # with simulated seeds
ITEMS = 2  # per group
LIMIT = 0.065  # accepted share of errors: 5 %, and chance in 1,000 comparisons
GROUPS = (12, 30, 60, 140)
SEEDS = (3, 5)
SEED_NOISE = (0.1, 0.5)  # groups have a standard deviation of about 1.4

Comparison = Callable[[np.random.Generator], bool]

PAGE = """# How often does `distractor compare` find a difference where none exists?

Written by `python -m experiments.compare_null.compare_null`; {comparisons:,} simulated comparisons per row. A row without a
true difference may reach {limit:.1%}; the worst one has **{worst:.1%}**.

## Two random halves of the items of one model, {rows} rows per comparison

{halves}

## Two sides with the same kind of model, {few_rows} rows, 60 groups of {items} items

With "one row moved", the sides truly differ, and the share is the power.

{seeds}
"""


def simulate_rows(rng: np.random.Generator, rows: int, groups: int, *, tails: bool) -> ndarray:
    """Group means of the rows of one model, `row group`."""
    separate = rng.normal(size=(rows, groups))
    return rng.normal(size=(1, groups)) + (separate**3 / 2 if tails else separate)


def compare_halves(rng: np.random.Generator, groups: int, *, tails: bool) -> bool:
    """Whether any row of two random halves of the groups of one model is called different."""
    return do_halves_differ(simulate_rows(rng, ROWS, groups, tails=tails), rng)


def compare_seeds(rng: np.random.Generator, count: int, noise: float, *, shift: float = 0.0) -> bool:
    """Whether any row of two sides with `count` seeds each is called beyond item and seed noise.

    The sides are equal except for `shift` in the first row.
    """
    base = np.repeat(simulate_rows(rng, FEW_ROWS, 60, tails=False), ITEMS, 1)[:, None]
    first, second = (
        base + noise * rng.normal(size=(FEW_ROWS, count, 1)) + 0.3 * rng.normal(size=(FEW_ROWS, count, base.shape[-1]))
        for _ in range(2)
    )
    second[0] += shift
    groups = [str(item // ITEMS) for item in range(base.shape[-1])]
    results = changes(first, second, groups, counted=[False] * FEW_ROWS)
    return any(result.call == "beyond item noise and seed noise" for result in results)


def cells() -> Iterator[tuple[str, str, bool, Comparison]]:
    """Each cell: its table, its name, whether it has no true difference, and a function for one comparison."""
    for groups in GROUPS:
        for tails in (False, True):
            name = f"{groups} groups{', heavy tails' * tails}"
            yield "halves", name, True, lambda rng, g=groups, t=tails: compare_halves(rng, g, tails=t)  # type: ignore[misc]
    for count in SEEDS:
        for noise in SEED_NOISE:
            name, shift = f"{count} seeds, noise {noise}", 6 * noise
            yield "seeds", name, True, lambda rng, c=count, n=noise: compare_seeds(rng, c, n)  # type: ignore[misc]
            moved = f"{name}, one row moved by {shift:.1f}"
            yield "seeds", moved, False, lambda rng, c=count, n=noise, s=shift: compare_seeds(rng, c, n, shift=s)  # type: ignore[misc]


def main() -> None:
    """Simulate all cells and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=COMPARISONS)
    parser.add_argument("--page", type=Path, default=Path(__file__).parent / "README.md")
    arguments = parser.parse_args()
    rows: dict[str, list[tuple[str, str]]] = {"halves": [], "seeds": []}
    worst = 0.0
    for table, name, is_null, compare in cells():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        share = sum(compare(rng) for _ in range(arguments.comparisons)) / arguments.comparisons
        rows[table].append((name, f"{share:.1%}"))
        worst = max(worst, share) if is_null else worst
        print(f"{table}: {name}: {share:.1%}", flush=True)
    page = PAGE.format(
        comparisons=arguments.comparisons,
        limit=LIMIT,
        worst=worst,
        rows=ROWS,
        few_rows=FEW_ROWS,
        items=ITEMS,
        halves=markdown_table(["model", "called different"], rows["halves"]),
        seeds=markdown_table(["sides", "beyond item noise and seed noise"], rows["seeds"]),
    )
    arguments.page.write_text(page)


if __name__ == "__main__":
    main()
