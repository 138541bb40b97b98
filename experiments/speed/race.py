"""How much quicker than TransformerLens and lm-evaluation-harness? `python -m experiments.speed.race`.

Each side works in a process of its own on the same saved weights; what they give must agree before anything is timed, and
then they take turns, one at a time. What is measured is kept in `results.json`, race by race, and the table is made of it.
The race over official questions needs the user's copy of the file: DISTRACTOR_DATA names its folder.
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

HERE = Path(__file__).parent
PAIRS = 5
CLOSE = 1e-4
"""Up to which difference, in nats, two sides agree."""

RACES: Mapping[str, str] = {
    "residual sweep": "`get_act_patch_resid_pre`",
    "head sweep": "`get_act_patch_attn_head_out_all_pos`",
    "attribution patching": "`attribution_patch`",
    "official NeQA": "lm-evaluation-harness",
    "long answers": "lm-evaluation-harness",
    "logit lens": "`logit_lens`",
    "direct attribution": "`direct_logit_attribution`",
}
"""What is raced, and against whom."""

BARS: Mapping[tuple[str, str], float] = {
    ("residual sweep", "gpt2-small"): 5,
    ("residual sweep", "pythia-70m"): 6.5,
    **{("head sweep", shape): 2.5 for shape in inputs.SHAPES},
    **{("attribution patching", shape): 4 for shape in inputs.SHAPES},
    ("official NeQA", "pythia-70m"): 2,
    **{("long answers", shape): 2.5 for shape in inputs.SHAPES},
    **{("logit lens", shape): 1.5 for shape in inputs.SHAPES},
    **{("direct attribution", shape): 1.5 for shape in inputs.SHAPES},
}
"""The ratio that is wanted, where one is."""


@dataclass
class Side:
    """A process that takes orders (see `side.py`)."""

    name: str
    threads: int
    process: "subprocess.Popen[str]" = field(init=False)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "experiments.speed.side", self.name, "--threads", str(self.threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def ask(self, **order: str) -> dict[str, Any]:
        """Give an order, and wait for the answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} broke off at {order}")
        told: dict[str, Any] = json.loads(answer)
        return told


def race(name: str, folder: Path, sides: Sequence[Side], pairs: int) -> dict[str, Any]:
    """Prepare both sides, make sure that they agree, and let them take turns."""
    told: dict[str, Any] = {}
    values = []
    for side in sides:
        file = folder / f"{side.name}.npy"
        told[side.name] = side.ask(do="prepare", race=name, folder=str(folder), values=str(file))
        values.append(np.load(file))
    off = float(np.abs(values[0] - values[1]).max())
    if not off <= CLOSE:
        raise SystemExit(f"{name} on {folder.name}: the two sides differ, by up to {off:.1e}; nothing was timed")
    turns = take_turns(sides, pairs)
    for side in sides:
        told[side.name] |= {key: [turn[side.name][key] for turn in turns] for key in ("seconds", "peak")}
    return {"off": off, **told}


def take_turns(sides: Sequence[Side], pairs: int) -> list[dict[str, dict[str, Any]]]:
    """One after the other, who begins changing from pair to pair."""
    return [{side.name: side.ask(do="turn") for side in sides[:: 1 if k % 2 else -1]} for k in range(pairs)]


PRODUCTS = ((2048, 2048, 2048), (4096, 512, 2048), (512, 512, 16384))
"""Rows, what is summed over, and columns of the products of which the quickest tells what the machine can do."""


def peak_of_products(threads: int) -> float:
    """Operations a second of the machine's own matrix product, float32, at its quickest of several."""
    import torch

    torch.set_num_threads(threads)
    rates = []
    for rows, inner, columns in PRODUCTS:
        one, other = torch.randn(rows, inner), torch.randn(inner, columns)
        for _ in range(8):
            started = time.perf_counter()
            one @ other
            rates.append(2 * rows * inner * columns / (time.perf_counter() - started))
    return max(rates)


def machine(threads: int) -> dict[str, Any]:
    """Where it was measured, and with what."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "transformer-lens", "lm-eval")},
    }


def table(found: Mapping[str, Any]) -> Iterable[str]:
    """The results as lines of Markdown."""
    where = found["machine"]
    yield (
        f"{where['processor']}, {where['cores']} cores, {where['threads']} threads; float32; matrix product at its peak "
        f"{where['operations_a_second'] / 1e9:.0f} billion operations a second. Python {where['python']}, "
        f"torch {where['torch']}, transformers {where['transformers']}, TransformerLens {where['transformer-lens']}, "
        f"lm-evaluation-harness {where['lm-eval']}."
    )
    yield ""
    yield (
        "| race | rival | shape | seconds | rival's | times quicker (range) | wanted | share of peak | rival's "
        "| highest memory, MiB | rival's |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name, rival in RACES.items():
        for shape in inputs.SHAPES:
            one = found["races"].get(f"{name} / {shape}")
            if one is None:
                continue
            ours, theirs = (np.array(one[side]["seconds"]) for side in ("ours", "theirs"))
            ratios = theirs / ours
            shares = [
                one[side]["operations"] / np.median(one[side]["seconds"]) / where["operations_a_second"]
                for side in ("ours", "theirs")
            ]
            peaks = [max(one[side]["peak"]) / 1024 for side in ("ours", "theirs")]
            bar = BARS.get((name, shape))
            yield (
                f"| {name} | {rival} | {shape} | {np.median(ours):.2f} | {np.median(theirs):.2f} "
                f"| **{np.median(ratios):.1f}** ({ratios.min():.1f} to {ratios.max():.1f}) "
                f"| {'' if bar is None else f'{bar:g}'} "
                f"| {shares[0]:.0%} | {shares[1]:.0%} | {peaks[0]:,.0f} | {peaks[1]:,.0f} |"
            )


def main() -> None:
    """Race, keep what was measured, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", nargs="+", choices=RACES, default=list(RACES))
    parser.add_argument("--shapes", nargs="+", choices=inputs.SHAPES, default=list(inputs.SHAPES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--models", type=Path, help="keep the models here, and take those that are here already")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    asked = parser.parse_args()
    found: dict[str, Any] = json.loads(asked.results.read_text()) if asked.results.exists() else {"races": {}}
    before, here = found.get("machine", {}), machine(asked.threads)
    if before and before["processor"] != here["processor"]:
        raise SystemExit(f"{asked.results} is of another machine ({before['processor']}); name another --results")
    highest = before.get("operations_a_second", 0.0)
    data = os.environ.get("DISTRACTOR_DATA")
    file = Path(data) / inputs.NEQA if data else None
    text = file.read_text() if file and file.exists() else ""
    if not text and "official NeQA" in asked.races:
        raise SystemExit(f"the race over official NeQA needs {inputs.NEQA} in the folder that DISTRACTOR_DATA names")
    with (
        tempfile.TemporaryDirectory() as place,
        Side("ours", asked.threads) as ours,
        Side("theirs", asked.threads) as theirs,
    ):
        for shape in asked.shapes:
            folder = (asked.models or Path(place)) / shape
            if not folder.exists():
                inputs.save(shape, folder, text)
            for name in asked.races:
                print(f"{name}, {shape} …", file=sys.stderr, flush=True)
                # A busy machine looks slower than it is: of all measurements, the peak is the highest.
                highest = max(highest, peak_of_products(asked.threads))
                found["machine"] = here | {"operations_a_second": highest}
                found["races"][f"{name} / {shape}"] = race(name, folder, (ours, theirs), asked.pairs)
                asked.results.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
