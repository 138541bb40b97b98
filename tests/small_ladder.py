"""A small ladder and a small hub cache: models with random weights that replace the embedded models and Pythia."""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig

import tiny
from distractor.text.task import Task
from tasks import TASKS

PYTHIA = "models--EleutherAI--pythia-14m/snapshots"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
EARLIER = "89abcdef0123456789abcdef0123456789abcdef"
SIZES = {"4x1": (4, 1), "8x1": (8, 1), "8x2": (8, 2)}
ITEMS = 12
CONDITIONS = 6
CELLS = len(SIZES) * CONDITIONS
COMMAND = ("ablate", "--task", "negation_qa", "--items", str(ITEMS))


def task() -> Task:
    """The first few items, which the small ladder knows."""
    return TASKS["negation_qa"]().take(ITEMS)


def words(items: int = ITEMS) -> list[str]:
    """Every word of the first `items` items."""
    used = TASKS["negation_qa"]().take(items).items
    return tiny.words_of(*(text + item.true for item in used for c in item.prompts for text in item.wordings(c)))


def config(width: int, layers: int) -> tiny.Config:
    return partial(GPT2Config, n_embd=width, n_layer=layers, n_head=2, n_positions=48)


def make(folder: Path) -> Path:
    """Write the ladder of negation_qa into `folder`: its models, ladder.json, held_out.json and shots.json."""
    home = folder / "negation_qa"
    tokenizer = tiny.word_level(words())
    models = []
    for seed, (size, (width, layers)) in enumerate(SIZES.items()):
        model = tiny.save(home / size / "seed0", config(width, layers), tokenizer, seed=seed)
        n_params = AutoModelForCausalLM.from_pretrained(model).num_parameters()
        models.append({"size": size, "seed": 0, "n_params": n_params, "steps": 1})
    (home / "ladder.json").write_text(json.dumps({"models": models}))
    groups = sorted({item.group for item in task().items})
    (home / "held_out.json").write_text(json.dumps({"negation_qa": groups[::3]}))
    (home / "shots.json").write_text('{"negation_qa": {"shots": 2, "reasoned": 1}}')
    return folder


def make_hub_cache(folder: Path) -> Path:
    """Write a hub cache with two revisions of the smallest Pythia, each a tiny GPT-NeoX."""
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = partial(GPTNeoXConfig, **shape, max_position_embeddings=48)
    snapshots = folder / PYTHIA
    (snapshots.parent / "refs").mkdir(parents=True)
    for seed, (ref, commit) in enumerate({"main": COMMIT, "step1000": EARLIER}.items()):
        (snapshots.parent / "refs" / ref).write_text(commit)
        tiny.save(snapshots / commit, config, tiny.word_level(words()), seed=seed)
    return folder


def type_in(command: Sequence[str]) -> int:
    """Run a command line in this process; return its exit status."""
    from distractor.command_line.main import main

    sys.argv = ["distractor", *command]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def in_child(action: Callable[[], object]) -> int:
    """Run `action` in a copy of this process; return its exit status, or minus the signal that ended it."""
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # so that the child does not search for garbage in, and thereby copy, all that this process holds
    child = os.fork()
    if not child:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    gc.unfreeze()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)
