"""A ladder of three sizes with random weights, made on the spot, that the command line takes for the embedded one."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from transformers import AutoModelForCausalLM, GPT2Config

import tiny
from distractor.text.task import Task
from tasks import TASKS

SIZES = {"4x1": (4, 1), "8x1": (8, 1), "8x2": (8, 2)}
ITEMS = 12
CONDITIONS = 6
CELLS = len(SIZES) * CONDITIONS
COMMAND = ("ablate", "--task", "negation_qa", "--items", str(ITEMS))


def task() -> Task:
    """The items that the small ladder is asked: the first few."""
    return TASKS["negation_qa"]().take(ITEMS)


def words(items: int = ITEMS) -> list[str]:
    """Every word that the first `items` items need."""
    posed = TASKS["negation_qa"]().take(items).items
    return tiny.words_of(*(text + item.true for item in posed for c in item.prompts for text in item.wordings(c)))


def config(width: int, layers: int) -> tiny.Config:
    return partial(GPT2Config, n_embd=width, n_layer=layers, n_head=2, n_positions=48)


def make(folder: Path) -> Path:
    """Write the models, ladder.json and held_out.json into `folder`."""
    tokenizer = tiny.word_level(words())
    told = []
    for seed, (size, (width, layers)) in enumerate(SIZES.items()):
        made = tiny.save(folder / size / "seed0", config(width, layers), tokenizer, seed=seed)
        n_params = AutoModelForCausalLM.from_pretrained(made).num_parameters()
        told.append({"size": size, "seed": 0, "n_params": n_params, "steps": 1})
    (folder / "ladder.json").write_text(json.dumps({"models": told}))
    groups = sorted({item.group for item in task().items})
    (folder / "held_out.json").write_text(json.dumps({"negation_qa": groups[::3]}))
    (folder / "shots.json").write_text('{"negation_qa": {"shots": 2, "reasoned": 1}}')
    return folder


def type_in(command: Sequence[str]) -> int:
    """Run the console script in this process, as typed; its exit status."""
    from distractor.command_line.main import main

    sys.argv = ["distractor", *command]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def in_child(action: Callable[[], object]) -> int:
    """Do something in a copy of this process; its exit status, or minus the signal that ended it."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    """What `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)
