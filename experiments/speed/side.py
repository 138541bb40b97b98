"""One side of a race, in a process of its own: `python -m experiments.speed.side ours --threads 2`.

It reads orders from standard input, one JSON object a line, and answers each with one line: `prepare` a race in a folder,
which also runs it once and saves what it gives; take a `turn`; `stop`.
"""

import argparse
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak() -> int:
    """The highest memory use since `clear`, in KiB."""
    told = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(told["VmHWM"].split()[0])


def first(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, int]:
    """What a piece of work gives, and how many operations its matrix products take."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        found = work()
    return found, int(counter.get_total_flops())


def main() -> None:
    """Take orders until there are no more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["ours", "theirs"])
    parser.add_argument("--threads", type=int, required=True)
    asked = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    answers, work = sys.stdout, None
    with redirect_stdout(sys.stderr):  # libraries may print
        import torch

        torch.set_num_threads(asked.threads)
        side: Any = importlib.import_module(f"experiments.speed.{asked.side}")
        for line in sys.stdin:
            order = json.loads(line)
            told: dict[str, Any] = {}
            if order["do"] == "prepare":
                work = None
                gc.collect()
                work = side.RACES[order["race"]](Path(order["folder"]))
                found, told["operations"] = first(work)
                np.save(order["values"], found)
            elif order["do"] == "turn":
                assert work is not None
                gc.collect()
                CLEAR.write_text("5")
                started = time.perf_counter()
                work()
                told = {"seconds": time.perf_counter() - started, "peak": peak()}
            else:
                break
            answers.write(json.dumps(told) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
