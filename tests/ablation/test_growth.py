"""Ten times the items take ten times the time, and hardly more memory."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from transformers import GPT2Config

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
