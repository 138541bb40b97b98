"""How often does `distractor compare` take one model for two?

    python experiments/compare_null/compare_null.py [--comparisons 1000]

Simulates models of which the truth is known, and writes README.md beside itself. Rows of a comparison (quantities under
conditions) are alike within a model, items are alike within their group, and some items are far out.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from distractor.statistics.changes import changes, do_halves_differ

COMPARISONS = 1000
ROWS = 19  # what `compare` asks of behaviour on a task with all conditions
FEW_ROWS = 5  # where seeds are simulated, too
ITEMS = 2  # in a group
MOST = 0.065
GROUPS = (12, 30, 60, 140)
SEEDS = (3, 5)
SEED_NOISE = (0.1, 0.5)  # beside a spread between groups of about 1.4


def rows_of(rng: np.random.Generator, rows: int, groups: int, *, tails: bool) -> ndarray:
    """Group means of a model's rows: `row group`."""
    own = rng.normal(size=(rows, groups))
    return rng.normal(size=(1, groups)) + (own**3 / 2 if tails else own)


def halves(rng: np.random.Generator, groups: int, *, tails: bool) -> bool:
    """Whether any row of two random halves of one model's groups would be called different."""
    return do_halves_differ(rows_of(rng, ROWS, groups, tails=tails), rng)


def seeds(rng: np.random.Generator, count: int, noise: float, *, shift: float = 0.0) -> bool:
    """Whether any row of two sides of as many seeds, alike but for `shift`, is called beyond item and seed noise."""
    base = np.repeat(rows_of(rng, FEW_ROWS, 60, tails=False), ITEMS, 1)[:, None]
    first, second = (
        base + noise * rng.normal(size=(FEW_ROWS, count, 1)) + 0.3 * rng.normal(size=(FEW_ROWS, count, base.shape[-1]))
        for _ in range(2)
    )
    second[0] += shift
    names = [str(i // ITEMS) for i in range(base.shape[-1])]
    found = changes(first, second, names, counted=[False] * FEW_ROWS)
    return any(one.call == "beyond item noise and seed noise" for one in found)


def cells() -> Iterator[tuple[str, str, bool, Callable[[np.random.Generator], bool]]]:
    """Each cell: table, name, whether it is a null, and one comparison."""
    for groups in GROUPS:
        for tails in (False, True):
            name = f"{groups} groups{', heavy tails' * tails}"
            yield "halves", name, True, lambda rng, g=groups, t=tails: halves(rng, g, tails=t)  # type: ignore[misc]
    for count in SEEDS:
        for noise in SEED_NOISE:
            name = f"{count} seeds, noise {noise}"
            yield "seeds", name, True, lambda rng, c=count, n=noise: seeds(rng, c, n)  # type: ignore[misc]
            planted = f"{name}, one row moved by {6 * noise:.1f}"
            yield "seeds", planted, False, lambda rng, c=count, n=noise: seeds(rng, c, n, shift=6 * n)  # type: ignore[misc]


def main() -> None:
    """Fill every cell and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=COMPARISONS)
    count = parser.parse_args().comparisons
    found: dict[str, list[tuple[str, bool, float]]] = {"halves": [], "seeds": []}
    for table, name, is_null, one in cells():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        share = sum(one(rng) for _ in range(count)) / count
        found[table].append((name, is_null, share))
        print(f"{table}: {name}: {share:.1%}", flush=True)
    worst = max(share for many in found.values() for _, is_null, share in many if is_null)
    lines = [
        "# How often is one model taken for two?",
        "",
        f"Written by `python experiments/compare_null/compare_null.py`; {count:,} simulated comparisons a row. A null may "
        f"reach {MOST:.1%}; the worst row has **{worst:.1%}**.",
        "",
        f"## Halves of one model's items, {ROWS} rows a comparison",
        "",
        "| model | called different |",
        "| --- | --- |",
        *(f"| {name} | {share:.1%} |" for name, _, share in found["halves"]),
        "",
        f"## Two sides of the same kind of model, {FEW_ROWS} rows, 60 groups of {ITEMS} items",
        "",
        "| sides | beyond item noise and seed noise |",
        "| --- | --- |",
        *(f"| {name} | {share:.1%} |" for name, _, share in found["seeds"]),
    ]
    (Path(__file__).parent / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
