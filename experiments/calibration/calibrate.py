"""How often are the shape test and the verdict wrong, and how often do they find a planted turn?

    python -m experiments.calibration.calibrate [--ladders 1000] [--part NAME …] [--counts FILE]

The script simulates ladders of a known shape. Each cell has a separate random stream and is added to counts.csv when it is
done. The script can therefore be stopped and resumed, and its parts run in any order. README.md and rates.csv are written
from counts.csv and from before.csv, which holds the counts of version 0.2.0.
"""

import argparse
import csv
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from experiments.calibration.cells import LADDERS, PARTS, Cell, Counts, cells
from experiments.calibration.page import AllDone, Done, page_of, write_rates

HERE = Path(__file__).parent


def read_counts(path: Path) -> AllDone:
    """The counts of earlier runs, by part and cell."""
    if not path.exists():
        return {}
    done: AllDone = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            pairs = (pair.split("=") for pair in row["counts"].split("; "))
            done[row["part"], row["cell"]] = Done(int(row["ladders"]), {name: float(value) for name, value in pairs})
    return done


def add_counts(path: Path, cell: Cell, ladders: int, counts: Counts) -> None:
    """Append one cell."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(["part", "cell", "ladders", "counts"])
        text = "; ".join(f"{name}={value:.6g}" for name, value in counts.items())
        writer.writerow([cell.part, cell.name, ladders, text])


def main() -> None:
    """Run what is missing, then write README.md and rates.csv."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", type=int, help="ladders a cell (1,000; 200 for the verdict)")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--counts", type=Path, default=HERE / "counts.csv")
    arguments = parser.parse_args()
    done = read_counts(arguments.counts)
    for part in arguments.part or PARTS:
        start, new = time.time(), 0
        for cell in (cell for cell in cells() if cell.part == part):
            ladders = arguments.ladders or LADDERS[part]
            earlier = done.get((part, cell.name))
            if earlier and earlier.ladders >= ladders:
                continue
            rng = np.random.default_rng(zlib.crc32(f"{part}; {cell.name}".encode()))
            done[part, cell.name] = Done(ladders, cell.run(ladders, rng))
            add_counts(arguments.counts, cell, ladders, done[part, cell.name].counts)
            new += 1
        print(f"{part}: {new} cells in {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    if arguments.counts == HERE / "counts.csv":
        before = read_counts(HERE / "before.csv")
        (HERE / "README.md").write_text(page_of(done, before), encoding="utf-8")
        write_rates(HERE / "rates.csv", done, before)


if __name__ == "__main__":
    main()
