"""Train the ladder of a task: `python -m experiments.ladder.train --task negation_qa`.

All models of a seed read the same documents in the same order for the same number of steps. The seeds of a size are trained
together. A stopped run continues from its last checkpoint, and skips finished sizes.
"""

import argparse
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from distractor.files import write_text

from .corpus import SHOTS, Stream, draw, held_out, tokenizer_of
from .learn import INIT, config_of, learn
from .network import Networks
from .plans import PLANS, Plan
from .search import search
from .vocabulary import PAD


def key_of(plan: Plan, seed: int, tokenizer: PreTrainedTokenizerFast) -> str:
    """A hash of the settings of a training run except its size, in twelve characters. It does not cover the code."""
    text = json.dumps(
        [asdict(plan.budget), asdict(plan.recipe), seed, INIT, tokenizer.get_vocab()], sort_keys=True, default=dict
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_stream(
    work: Path, plan: Plan, seed: int, tokenizer: PreTrainedTokenizerFast
) -> tuple[Stream, dict[str, Any]]:
    """The stream of a seed and the counts of its search for prompts; both are kept in `work`."""
    path = work / key_of(plan, seed, tokenizer)
    counts = path.with_suffix(".json")
    paths = {part: path.with_name(f"{path.name}.{part}.npy") for part in ("tokens", "answered")}
    if not counts.exists():
        drawn = draw(plan.recipe, plan.budget.steps * plan.budget.batch, seed, tokenizer)
        found = search(plan.recipe.task, drawn, tokenizer)
        for part, file in paths.items():
            temporary = file.with_suffix(f".{os.getpid()}.part")
            with temporary.open("wb") as opened:
                np.save(opened, getattr(drawn, part))
            temporary.replace(file)
        write_json(counts, found)
    return Stream(*(np.load(file, mmap_mode="r") for file in paths.values())), json.loads(counts.read_text())


def train(plan: Plan, size: str, out: Path, work: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Train the models of a size, one for each seed, and add them to the records of the folder `out`."""
    drawn = [write_stream(work, plan, seed, tokenizer) for seed in plan.seeds]
    kept = kept_steps(plan.budget.steps) if size in plan.along else ()

    def keep(step: int, networks: Networks) -> None:
        if step in kept:
            save(networks.model_of(0), out / size / f"seed{plan.seeds[0]}" / f"step{step}")

    checkpoint = work / f"{'-'.join(key_of(plan, seed, tokenizer) for seed in plan.seeds)}-{size}.pt"
    networks, losses, seconds = learn(
        config_of(size, len(tokenizer)),
        [stream for stream, _ in drawn],
        plan.seeds,
        plan.budget,
        title=f"{plan.recipe.task} {size}",
        checkpoint=checkpoint,
        after=keep,
    )
    for number, seed in enumerate(plan.seeds):
        stream, counts = drawn[number]
        model, folder = networks.model_of(number), out / size / f"seed{seed}"
        save(model, folder)
        tokenizer.save_pretrained(folder)
        add_record(
            out,
            work,
            {
                "size": size,
                "seed": seed,
                "n_params": model.num_parameters(),
                "steps": plan.budget.steps,
                "kept": list(kept) if number == 0 else [],
                "tokens": int((stream.tokens != PAD).sum()),
                "loss": round(losses[number], 4),
                "seconds": round(seconds / len(plan.seeds)),
                "key": key_of(plan, seed, tokenizer),
                "conflict_rate": {plan.recipe.task: round(plan.recipe.conflict_rate(), 6)},
                "stream": counts,
            },
        )
    checkpoint.unlink(missing_ok=True)


def save(model: GPTNeoXForCausalLM, folder: Path) -> None:
    """Save a model as a Hugging Face folder, in half precision."""
    model.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file in one step."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_records(out: Path) -> list[dict[str, Any]]:
    """The records of the trained models in `ladder.json`."""
    path = out / "ladder.json"
    return json.loads(path.read_text())["models"] if path.exists() else []


def add_record(out: Path, work: Path, record: dict[str, Any]) -> None:
    """Add a model to `ladder.json`, sorted by size and seed. A lock protects against a second run."""

    def name(model: dict[str, Any]) -> tuple[str, int]:
        return model["size"], model["seed"]

    with (work / "ladder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        models = [*(model for model in read_records(out) if name(model) != name(record)), record]
        write_json(
            out / "ladder.json", {"models": sorted(models, key=lambda model: (model["n_params"], model["seed"]))}
        )


def kept_steps(steps: int) -> tuple[int, ...]:
    """The steps after which a model is saved during training: twelve before the last, most of them early."""
    parts = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 5 / 16, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8)
    return tuple(sorted({max(1, round(steps * part)) for part in parts}))


def main() -> None:
    """Train the requested sizes that do not exist yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", nargs="+", choices=PLANS, default=list(PLANS), help="default: all tasks")
    parser.add_argument("--sizes", nargs="+", help="d_model x layers; default: those of the plan")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: those of the plan")
    parser.add_argument("--steps", type=int, help="default: those of the plan")
    parser.add_argument("--conflict-rate", type=float, help="in place of the plan's, in the whole stream")
    parser.add_argument("--out", type=Path, default=Path("runs/ladder"), help="folder of the models, a folder a task")
    parser.add_argument("--work", type=Path, default=Path("runs/ladder-work"), help="folder of streams and checkpoints")
    arguments = parser.parse_args()

    # One thread fixes the order of sums, so that the same seeds give the same weights on the same machine.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for task in arguments.task:
        plan = changed(PLANS[task], arguments)
        out, tokenizer = arguments.out / task, tokenizer_of(task)
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "held_out.json", {task: sorted(held_out(task))})
        write_json(out / "shots.json", {task: SHOTS[task]})
        for size in plan.sizes:
            if not is_trained(read_records(out), plan, size, tokenizer):
                train(plan, size, out, arguments.work, tokenizer)
                print(f"{task} {size} is trained", file=sys.stderr)


def changed(plan: Plan, arguments: argparse.Namespace) -> Plan:
    """The plan with the options that were given in place of its own values."""
    if arguments.conflict_rate is not None:
        plan = replace(plan, recipe=replace(plan.recipe, conflict=arguments.conflict_rate, agreeing=0))
    if arguments.steps is not None:
        plan = replace(plan, budget=replace(plan.budget, steps=arguments.steps))
    return replace(plan, sizes=tuple(arguments.sizes or plan.sizes), seeds=tuple(arguments.seeds or plan.seeds))


def is_trained(records: Sequence[dict[str, Any]], plan: Plan, size: str, tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether all seeds of a size were trained by this plan."""
    trained = {(record["size"], record["key"]) for record in records}
    return all((size, key_of(plan, seed, tokenizer)) in trained for seed in plan.seeds)


if __name__ == "__main__":
    main()
