"""How fast is the toolkit compared to TransformerLens and lm-evaluation-harness? `python -m experiments.speed.race`.

Each side runs in a separate process on the same saved weights. Their values must agree; then the sides take turns and are
timed. Measurements are kept in `results.json` for each race, and the table is made from this file. The race on official
questions needs the user's copy of the file: the environment variable DISTRACTOR_DATA names its folder.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from experiments.speed import inputs
from experiments.speed.side import CLOCKS

HERE = Path(__file__).parent
PAIRS = 5
CLOSE = 1e-4
"""The largest accepted difference between the sides, in nats."""

RACES: Mapping[str, str] = {
    "residual sweep": "`get_act_patch_resid_pre`",
    "head sweep": "`get_act_patch_attn_head_out_all_pos`",
    "paths into a head": "a hooked pass for each path",
    "attribution patching": "`attribution_patch`",
    "official NeQA": "lm-evaluation-harness",
    "long answers": "lm-evaluation-harness",
    "logit lens": "`logit_lens`",
    "direct attribution": "`direct_logit_attribution`",
}
"""The name of each race, and the function or tool on the other side."""

TARGETS: Mapping[tuple[str, str], float] = {
    ("residual sweep", "gpt2-small"): 5,
    ("residual sweep", "pythia-70m"): 6.5,
    **{("head sweep", shape): 2.5 for shape in inputs.SHAPES},
    **{("paths into a head", shape): 3 for shape in inputs.SHAPES},
    **{("attribution patching", shape): 4 for shape in inputs.SHAPES},
    ("official NeQA", "pythia-70m"): 2,
    **{("long answers", shape): 2.5 for shape in inputs.SHAPES},
    **{("logit lens", shape): 1.5 for shape in inputs.SHAPES},
    **{("direct attribution", shape): 1.5 for shape in inputs.SHAPES},
}
"""The ratio to reach, for races that have one."""


@dataclass
class Side:
    """The process of one side (see `side.py`)."""

    name: str
    threads: int
    clock: str
    process: "subprocess.Popen[str]" = field(init=False)

    def __enter__(self) -> Self:
        options = ["--threads", str(self.threads), "--clock", self.clock]
        command = [sys.executable, "-m", "experiments.speed.side", self.name, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **order: str) -> dict[str, Any]:
        """Send an order and wait for the answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process of {self.name} ended at {order}")
        result: dict[str, Any] = json.loads(answer)
        return result


def race(name: str, folder: Path, sides: Sequence[Side], pairs: int) -> dict[str, Any]:
    """Prepare both sides, check that they agree, and time them in turns."""
    results: dict[str, Any] = {}
    values = []
    for side in sides:
        file = folder / f"{side.name}.npy"
        results[side.name] = side.ask(do="prepare", race=name, folder=str(folder), values=str(file))
        values.append(np.load(file))
    off = float(np.abs(values[0] - values[1]).max())
    if not off <= CLOSE:
        raise SystemExit(f"{name} on {folder.name}: the sides differ by up to {off:.1e}; no times are measured")
    turns = take_turns(sides, pairs)
    for side in sides:
        results[side.name] |= {key: [turn[side.name][key] for turn in turns] for key in ("seconds", "peak")}
    return {"off": off, **results}


def take_turns(sides: Sequence[Side], pairs: int) -> list[dict[str, dict[str, Any]]]:
    """Time both sides one after the other; the first side alternates."""
    return [{side.name: side.ask(do="turn") for side in sides[:: 1 if k % 2 else -1]} for k in range(pairs)]


PRODUCTS = ((2048, 2048, 2048), (4096, 512, 2048), (512, 512, 16384))
"""Rows, inner size and columns of matrix products; the fastest one is the peak of the machine."""


def peak_of_products(threads: int) -> float:
    """Operations per second of the fastest float32 matrix product."""
    import torch

    torch.set_num_threads(threads)
    rates = []
    for rows, inner, columns in PRODUCTS:
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        for _ in range(8):
            started = time.perf_counter()
            left @ right
            rates.append(2 * rows * inner * columns / (time.perf_counter() - started))
    return max(rates)


def describe_machine(threads: int) -> dict[str, Any]:
    """The machine and the versions of the libraries."""
    names = [
        line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("model name")
    ]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "transformer-lens", "lm-eval")},
    }


def table(results: Mapping[str, Any]) -> Iterable[str]:
    """The results as lines of Markdown."""
    machine = results["machine"]
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; float32; fastest matrix product "
        f"{machine['operations_a_second'] / 1e9:.0f} billion operations per second. Python {machine['python']}, "
        f"torch {machine['torch']}, transformers {machine['transformers']}, TransformerLens {machine['transformer-lens']}, "
        f"lm-evaluation-harness {machine['lm-eval']}."
    )
    yield ""
    yield (
        "| race | other side | shape | seconds, ours | theirs | times faster (range) | target | share of peak, ours "
        "| theirs | peak memory in MiB, ours | theirs |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, other in RACES.items():
        for shape in inputs.SHAPES:
            measured = results["races"].get(f"{name} / {shape}")
            if measured is None:
                continue
            ours, theirs = (np.array(measured[side]["seconds"]) for side in ("ours", "theirs"))
            ratios = theirs / ours
            shares = [
                measured[side]["operations"] / np.median(measured[side]["seconds"]) / machine["operations_a_second"]
                for side in ("ours", "theirs")
            ]
            peaks = [max(measured[side]["peak"]) / 1024 for side in ("ours", "theirs")]
            target = TARGETS.get((name, shape))
            yield (
                f"| {name} | {other} | {shape} | {np.median(ours):.2f} | {np.median(theirs):.2f} "
                f"| **{np.median(ratios):.1f}** ({ratios.min():.1f} to {ratios.max():.1f}) "
                f"| {'' if target is None else f'{target:g}'} "
                f"| {shares[0]:.0%} | {shares[1]:.0%} | {peaks[0]:,.0f} | {peaks[1]:,.0f} |"
            )


def main() -> None:
    """Run the races, keep the measurements, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", nargs="+", choices=RACES, default=list(RACES))
    parser.add_argument("--shapes", nargs="+", choices=inputs.SHAPES, default=list(inputs.SHAPES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="processor: on a busy machine, with one thread")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--models", type=Path, help="folder of the models; existing ones are used again")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(arguments.results.read_text()) if arguments.results.exists() else {"races": {}}
    earlier, current = results.get("machine", {}), describe_machine(arguments.threads)
    if earlier and earlier["processor"] != current["processor"]:
        raise SystemExit(
            f"{arguments.results} is from another machine ({earlier['processor']}); choose another file with --results"
        )
    highest = earlier.get("operations_a_second", 0.0)
    data = os.environ.get("DISTRACTOR_DATA")
    file = Path(data) / inputs.NEQA if data else None
    text = file.read_text() if file and file.exists() else ""
    if not text and "official NeQA" in arguments.races:
        raise SystemExit(f"the race official NeQA needs {inputs.NEQA} in the folder named by DISTRACTOR_DATA")
    with (
        tempfile.TemporaryDirectory() as temporary,
        Side("ours", arguments.threads, arguments.clock) as ours,
        Side("theirs", arguments.threads, arguments.clock) as theirs,
    ):
        for shape in arguments.shapes:
            folder = (arguments.models or Path(temporary)) / shape
            if not folder.exists():
                inputs.save(shape, folder, text)
            for name in arguments.races:
                print(f"{name}, {shape} …", file=sys.stderr, flush=True)
                # Other load slows a measurement down, so the peak is the highest of all measurements.
                highest = max(highest, peak_of_products(arguments.threads))
                results["machine"] = current | {"operations_a_second": highest}
                results["races"][f"{name} / {shape}"] = race(name, folder, (ours, theirs), arguments.pairs)
                arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
