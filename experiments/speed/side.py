"""One side of a race, in a separate process: `python -m experiments.speed.side ours --threads 2`.

Reads orders from standard input, one JSON object per line, and answers each with one line. `prepare` loads a race, runs it
once and saves its values; `turn` runs it and measures time and memory.
"""

import argparse
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
"""Wall time, or the processor time of this process, which other programs change less."""


def peak() -> int:
    """The peak memory use since it was last reset, in KiB."""
    status = dict(line.split(":", 1) for line in STATUS.read_text(encoding="utf-8").splitlines())
    return int(status["VmHWM"].split()[0])


def run_once(compute: Callable[[], np.ndarray]) -> tuple[np.ndarray, int]:
    """The values of a call, and the number of operations of its matrix products."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        values = compute()
    return values, int(counter.get_total_flops())


def main() -> None:
    """Answer orders until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["ours", "theirs"])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    answers, compute, clock = sys.stdout, None, CLOCKS[arguments.clock]
    with redirect_stdout(sys.stderr):  # libraries may print
        import torch

        torch.set_num_threads(arguments.threads)
        side: Any = importlib.import_module(f"experiments.speed.{arguments.side}")
        for line in sys.stdin:
            order = json.loads(line)
            if order["do"] == "prepare":
                compute = None
                gc.collect()
                compute = side.RACES[order["race"]](Path(order["folder"]))
                values, operations = run_once(compute)
                np.save(order["values"], values)
                answer: dict[str, Any] = {"operations": operations}
            else:
                assert compute is not None
                gc.collect()
                CLEAR.write_text("5", encoding="utf-8")
                started = clock()
                compute()
                answer = {"seconds": clock() - started, "peak": peak()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
