"""Memory of each probe, compared with a plain forward and backward pass of the same batch."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from transformers import GPT2Config

import tiny

COPIES = 24
"""Copies of the tiny task's items: enough to make activations larger than the weights."""

CHILD = """
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, {tests!r})
import tiny
import torch
from distractor.scoring.encode import encode
from distractor.probing.measure import measure
from distractor.models.load import load
from distractor.probing.run import batch
from probes import PROBES

torch.set_num_threads(1)


def status(name):
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0])


def peak(run):
    run(batch(few, model, PAIR))  # imports and caches of the first call do not count
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    run(batch(all_copies, model, PAIR))
    return status("VmHWM") - before


def forward_and_backward(rows):
    network = model.network
    for weight in network.parameters():
        weight.requires_grad_(True)
    tokens = rows.tokens.flatten(0, 1)
    network(input_ids=tokens).logits.logsumexp(-1).sum().backward()
    network.zero_grad()


def read(rows):
    encoding = few if rows.tokens.shape[1] == len(few.items) else all_copies
    measure(model, task, PROBES[{probe!r}], encoding)


PAIR = ("conflict", "congruent")
base = tiny.task()
task = replace(base, items=tuple(replace(item, id=f"{{item.id}}/{{k}}") for k in range({copies}) for item in base.items))
model = load(Path({folder!r}), device="cpu").hooked
all_copies, few = encode(task, model), encode(base, model)
print(peak(forward_and_backward if {probe!r} == "plain" else read))
"""


def kib(folder: Path, probe: str) -> int:
    """The growth of memory at its peak, measured in a separate process."""
    script = CHILD.format(tests=str(Path(__file__).parents[1]), copies=COPIES, folder=str(folder), probe=probe)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the highest memory use is read from /proc")
def test_no_probe_needs_more_than_one_and_a_half_times_the_memory_of_a_forward_and_backward_pass(
    tmp_path: Path,
) -> None:
    config = partial(GPT2Config, n_embd=256, n_layer=6, n_head=8, n_positions=64)
    tiny.save(tmp_path, config, tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()))))
    plain = kib(tmp_path, "plain")
    needed = {
        probe: kib(tmp_path, probe)
        for probe in ("logit_lens", "direct_attribution", "attention", "attribution_patching", "activation_patching")
    }
    assert plain > 50_000
    assert all(peak <= 1.5 * plain for peak in needed.values()), (plain, needed)
