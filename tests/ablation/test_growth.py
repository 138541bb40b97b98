"""Ten times the items or models take ten times the time, and hardly more memory."""

import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from transformers import GPT2Config, GPTNeoXConfig

import tiny

CHILD = """
import json, sys, time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, {tests!r})
import tiny
import torch
from distractor.ablation.ablate import ablate
from distractor.models.families import find_models
from distractor.scoring.store import Store
from probes import PROBES

torch.set_num_threads(1)
sources = find_models({folders!r})


def run(count):
    base = tiny.task()
    items = (replace(item, id=f"{{item.id}}/{{k}}") for k in range(-(-count // len(base.items))) for item in base.items)
    task = replace(base, items=tuple(items)[:count])
    ablate(task, sources, store=Store(Path(f"cells-{{count}}")), knockout=PROBES["ablation"])


run(100)  # imports and caches of the first call do not count
start = time.process_time()
run({count})
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps([time.process_time() - start, int(status["VmHWM"].split()[0])]))
"""


class Cost(NamedTuple):
    """Seconds of one processor, and the highest resident memory in KiB."""

    seconds: float
    memory: int


def cost(folder: Path, folders: list[str], count: int) -> Cost:
    """The cost of a run on two models with this number of items, measured in a separate process."""
    script = CHILD.format(tests=str(Path(__file__).parents[1]), folders=folders, count=count)
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return Cost(*json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory use is read from /proc")
def test_ten_times_the_items_cost_ten_times_the_time_and_little_more_memory(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    folders = []
    for width in (16, 32):
        config = partial(GPT2Config, n_embd=width, n_layer=2, n_head=2, n_positions=32)
        folders.append(str(tiny.save(tmp_path / str(width), config, words)))
    few, many = cost(tmp_path, folders, 1_000), cost(tmp_path, folders, 10_000)
    assert many.seconds <= 10.5 * few.seconds, (few, many)
    assert many.memory <= 1.2 * few.memory, (few, many)


WORDS = [f"w{number}" for number in range(300)]
TOKENIZER = tiny.word_level(["Question", "not", "so", "Answer", ":", "yes", "no", *WORDS])
MEASURED = """
import sys
from pathlib import Path
from distractor.command_line.main import app
try: app()
finally: print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""
"""The highest memory since the start of Python; that of `getrusage` includes the memory of the process that started it."""


def write_rows(path: Path, count: int) -> Path:
    """Items of two conditions, each a group of its own."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for row in range(count):
            text = " ".join(draw.choices(WORDS, k=8))
            prompts = {
                name: f"Question : {text} {cue} Answer :" for name, cue in (("prompt", "not"), ("congruent", "so"))
            }
            file.write(json.dumps(prompts | {"classes": "[' yes', ' no']", "answer_index": row % 2}) + "\n")
    return path


def save_model(folder: Path, inner: int) -> Path:
    """A GPT-NeoX with `inner` neurons in each MLP."""
    shape = {"hidden_size": 16, "intermediate_size": inner, "num_hidden_layers": 2, "num_attention_heads": 4}
    return tiny.save(folder, partial(GPTNeoXConfig, **shape, max_position_embeddings=48), TOKENIZER, seed=inner)


def cost_of_command(folder: Path, task: Path, models: Path) -> Cost:
    """The cost of `distractor ablate` with its start and all that it writes, on one processor."""
    folder.mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "ablate", "--task", str(task), "--models", str(models), "--no-knockout"],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Verdict" in done.stdout
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, int(done.stderr.split()[-1]))


def check_growth(costs: Sequence[Cost]) -> None:
    """Time is linear, also without the cost of the start, and memory is at most 1.5 GB."""
    seconds = [each.seconds for each in costs]
    assert all(many <= 10.5 * few for few, many in pairwise(seconds)), costs
    # Without the cost of the start; other work on the machine and the garbage collector change this by a fifth.
    first, second = np.diff(seconds)
    assert second <= 13 * first, costs
    assert max(1024 * each.memory for each in costs) <= 1.5e9, costs


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory use is read from /proc")
def test_200_000_items_take_linear_time_and_less_than_1500_mb(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", 24)
    counts = (2_000, 20_000, 200_000)
    tasks = [write_rows(tmp_path / f"rows{count}.jsonl", count) for count in counts]
    check_growth([cost_of_command(tmp_path / task.stem, task, model) for task in tasks])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory use is read from /proc")
def test_500_models_of_a_family_take_linear_time_and_less_than_1500_mb(tmp_path: Path) -> None:
    task = write_rows(tmp_path / "rows.jsonl", 200)
    costs = []
    for count in (5, 50, 500):
        lines = [f'models.m{k} = {{folder = "m{k}"}}' for k in range(count)]
        for k in range(count):
            if not (tmp_path / f"m{k}").exists():
                save_model(tmp_path / f"m{k}", 24 + k)
        family = tmp_path / f"family{count}.toml"
        family.write_text("\n".join(["[family]", *lines]))
        costs.append(cost_of_command(tmp_path / str(count), task, family))
    check_growth(costs)
