"""`distractor shape` on large files: memory linear in rows, and thousands of sizes."""

import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from distractor.statistics.group_values import group_values
from distractor.statistics.shape_test import judge

MILLION = 1_000_000


def write(path: Path, sizes: Sequence[int], seeds: int, items: int, axis: str = "size") -> Path:
    """A U over sizes of 0/1 values, one row for each item."""
    rng = np.random.default_rng(0)
    level = 0.7 - 0.3 * np.sin(np.linspace(0, np.pi, len(sizes)))
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{axis},seed,item,value\n")
        for seed in range(seeds):
            for size, mean in zip(sizes, level, strict=True):
                values = (rng.random(items) < mean).astype(int).tolist()
                file.writelines(f"{size},{seed},item {item},{value}\n" for item, value in enumerate(values))
    return path


def run(*arguments: str | Path, out: Path) -> tuple[str, float, float]:
    """What `distractor shape` prints, its seconds of CPU time, and its memory in MB."""
    code = (
        "import resource, sys; from distractor.command_line.main import app\n"
        "try: app()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, "shape", *map(str, arguments), "--out", str(out)],
        capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, seconds, float(done.stderr.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "seeds", "items"), [(5, 1, 200_000), (10, 5, 20_000)])
def test_a_million_rows_are_judged_in_less_than_1500_mb(sizes: int, seeds: int, items: int, tmp_path: Path) -> None:
    path = write(tmp_path / "results.csv", [10**7 * 2**k for k in range(sizes)], seeds, items)
    page, seconds, megabytes = run(path, out=tmp_path / "out")
    assert f"{items} items in {items} groups" in page
    assert "U-shaped: it falls" in page
    assert megabytes < 1500
    assert seconds < 120


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "items", "most"), [(1, 100, 1500), (3, 34, 2000)])
def test_3000_sizes_are_judged_within_two_minutes(seeds: int, items: int, most: int, tmp_path: Path) -> None:
    path = write(tmp_path / "steps.csv", [100 * step for step in range(1, 3001)], seeds, items, "step")
    page, seconds, megabytes = run(path, "--against", "step", out=tmp_path / "out")
    assert f"3000 sizes × {seeds} seed" in page
    assert megabytes < most
    assert seconds < 120


@pytest.mark.quick
def test_memory_is_linear_in_items() -> None:
    def peak(items: int) -> int:
        values = np.random.default_rng(0).random((1, 5, items))
        tracemalloc.start()
        judge(group_values(values, [str(item) for item in range(items)]), range(1, 6), draws=500)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)  # what is imported at the first call does not count
    assert peak(24_000) < 6 * peak(6_000)
