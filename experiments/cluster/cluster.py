"""How long does a study of all Pythia checkpoints take on 1, 8 and 64 GPUs? Counted work, and assumed speeds of a GPU."""

import heapq
from dataclasses import dataclass
from pathlib import Path

from distractor.ablation.plan import run_steps
from distractor.models.families import find_models
from distractor.models.parameters import parameters_of
from distractor.numbers import duration
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from experiments.markdown import markdown_table
from tasks.find import find_task

TASKS = ("negation_qa", "hindsight_neglect", "quote_repetition", "redefine_math")
SIZES = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
CHECKPOINTS = 154  # of each size: Biderman et al. 2023 (arXiv:2304.01373), section 2
BYTES = 2  # of a parameter on the hub: the checkpoints are stored in float16

PEAK = {"float32": 19.5e12, "bfloat16": 312e12}  # operations a second of an A100 (NVIDIA's data sheet, 2021)
SHARE = 0.4  # of the peak; on a CPU, the races in ../speed reach .36 to .83 of it
READ = 1e9  # bytes a second that one GPU's process reads from the shared disk, and converts
DISK = 10e9  # bytes a second that the shared disk gives to all
GPUS = (1, 8, 64, 512)
START = 5.0  # seconds until a process computes, once a shard: measured on 2 cores of a CPU


@dataclass(frozen=True)
class Part:
    """One checkpoint: the operations that score it, and its bytes."""

    flops: float
    size: float


def parts() -> list[Part]:
    """All checkpoints, the largest first. Scores of all conditions of four tasks; tokens are estimated from characters."""
    sources = find_models([f"pythia/{size}" for size in SIZES], is_planned=True)
    flops = dict.fromkeys(sources, 0.0)
    by_name = {source.name: source for source in sources}
    for name in TASKS:
        for step in run_steps(find_task(name), sources, None, Store(Path("no-store")), Settings()):
            flops[by_name[step.model]] += step.flops
    of_size = [Part(flops[source], BYTES * parameters_of(source)) for source in sources]
    return sorted((part for part in of_size for _ in range(CHECKPOINTS)), key=lambda part: -part.flops)


def makespan(units: list[Part], gpus: int, dtype: str) -> float:
    """Seconds until all are done, if each GPU takes the largest that is left."""
    free = [START] * gpus
    for unit in units:
        seconds = unit.size / read_rate(gpus) + unit.flops / (SHARE * PEAK[dtype])
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def read_rate(gpus: int) -> float:
    """Bytes a second that each of these GPUs gets from the shared disk."""
    return min(READ, DISK / gpus)


def main() -> None:
    """Print the table."""
    units = parts()
    size, flops = sum(unit.size for unit in units), sum(unit.flops for unit in units)
    print(f"{len(units):,} checkpoints, {size / 1e12:.1f} TB, {flops:.1e} operations\n")
    rows = []
    for dtype in PEAK:
        alone = makespan(units, 1, dtype)
        for gpus in GPUS:
            seconds = makespan(units, gpus, dtype)
            reading = size / read_rate(gpus) / gpus / seconds
            rows.append([dtype, str(gpus), duration(seconds), f"{alone / seconds / gpus:.2f}", f"{reading:.0%}"])
    print(markdown_table(["dtype", "GPUs", "time", "efficiency", "share of time for reading"], rows))


if __name__ == "__main__":
    main()
