"""Train the ladder: `python -m experiments.ladder.train --out runs/ladder`.

Every size of a seed reads the same documents in the same order for the same number of steps. A run that was stopped
goes on from its last checkpoint; a model that is finished is left as it is.
"""

import argparse
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.lib.format import open_memmap
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from distractor.text.task import Condition
from tasks import TASKS

from .corpus import SHARES, Recipe, Stream, held_out, pools, stream, words
from .muon import Muon
from .vocabulary import BOS, EOS, PAD, ROWS, tokenizer_for, words_of

SIZES = ("2x1", "4x1", "8x1", "12x2", "16x2", "20x2", "24x2", "28x2", "32x2", "48x2", "80x2")
SEEDS = (780, 781, 782, 783, 784)
ALONG = ("16x2", "24x2", "48x2", "80x2")
"""Sizes of the first seed that are kept along training."""

CONTEXT = 256
HEAD_WIDTH = 8
"""Of heads, where it divides the width of the model; else half of it."""
ROTARY = 0.5
"""Share of a head that turns with the position: what is left can match words wherever they stand."""
INIT = 0.1
"""Standard deviation of the first weights: at the usual .02 narrow models need several times as long to begin to learn."""
CHECKPOINT_EVERY = 500


RESERVED = (Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED, Condition.TRUE_ONLY)
"""Conditions whose prompts are the evaluation's alone: none stands anywhere in a stream."""


@dataclass(frozen=True)
class Budget:
    """How long and how fast every size learns: the rate warms up, stays, and falls to a tenth along the last `falling`.

    The loss weighs an answered token `answer` times as much as a told one, and takes told tokens from every
    `read_in_full`-th document only, and from those that answer nothing: so few tokens of a question decide anything.
    """

    steps: int = 6000
    batch: int = 48
    rate: float = 2e-3
    warm_up: int = 100
    falling: float = 0.4
    decay: float = 0.01
    answer: float = 10
    read_in_full: int = 4

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, the same in models of every width."""
        left = (self.steps - step) / self.steps
        return self.rate * min(1, (step + 1) / self.warm_up, 0.1 + 0.9 * left / self.falling)


def plan(size: str) -> GPTNeoXConfig:
    """The shape of the model called `{d_model}x{layers}`: rotary positions, tied embeddings."""
    d_model, layers = map(int, size.split("x"))
    width = min(d_model, HEAD_WIDTH if d_model % HEAD_WIDTH == 0 else HEAD_WIDTH // 2)
    return GPTNeoXConfig(
        vocab_size=ROWS,
        max_position_embeddings=CONTEXT,
        hidden_size=d_model,
        intermediate_size=4 * d_model,
        num_hidden_layers=layers,
        num_attention_heads=d_model // width,
        hidden_act="gelu_pytorch_tanh",
        use_parallel_residual=False,
        # Dimensions turn in pairs: a head of width 2 can only turn as a whole.
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": max(ROTARY, 2 / width),
        },
        tie_word_embeddings=True,
        initializer_range=INIT,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )


def key_of(recipe: Recipe, budget: Budget, seed: int, tokenizer: PreTrainedTokenizerFast) -> str:
    """What sets a training run apart but its size, in twelve letters."""
    phases = [[end, sorted(shares.items())] for end, shares in recipe.phases()]
    text = json.dumps([asdict(budget), phases, seed, INIT, tokenizer.get_vocab()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_stream(work: Path, recipe: Recipe, budget: Budget, seed: int, tokenizer: PreTrainedTokenizerFast) -> Stream:
    """The whole stream of a seed, written once and then read where it lies: tokens and marks, [document pos] each."""
    path = work / key_of(recipe, budget, seed, tokenizer)
    paths = {part: path.with_name(f"{path.name}.{part}.npy") for part in ("tokens", "answered")}
    if not all(place.exists() for place in paths.values()):
        count = budget.steps * budget.batch
        drawn = stream(pools(recipe, count, seed), recipe, count, seed, tokenizer)
        for part, place in paths.items():
            scrap = place.with_suffix(f".{os.getpid()}.part")
            values = getattr(drawn, part)
            whole = open_memmap(scrap, mode="w+", dtype=values.dtype, shape=values.shape)
            whole[:] = values
            whole.flush()
            scrap.replace(place)
    return Stream(*(np.load(place, mmap_mode="r") for place in paths.values()))


@np.errstate(over="ignore")
def check(found: Stream, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Look for the evaluation's prompts at every place of every document; counts, of which those found must be 0."""
    prompts = sorted(
        {
            wording
            for make in TASKS.values()
            for item in make().items
            for condition in RESERVED
            for wording in item.wordings(condition)
        }
    )
    asked: dict[int, set[bytes]] = {}
    for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]:
        asked.setdefault(len(ids), set()).add(np.array(ids, dtype=np.uint16).tobytes())
    distinct = np.unique(found.tokens, axis=0)
    firsts = {int(np.frombuffer(prompt, dtype=np.uint16)[0]) for wanted in asked.values() for prompt in wanted}
    rows, starts = np.nonzero(np.isin(distinct, list(firsts)))
    # Hashes of all beginnings of all documents: that of any window follows from two of them.
    base = np.uint64(1_000_003)
    hashes = np.zeros((len(distinct), distinct.shape[1] + 1), dtype=np.uint64)
    for place in range(distinct.shape[1]):
        hashes[:, place + 1] = hashes[:, place] * base + distinct[:, place] + np.uint64(1)
    seen = 0
    for length, wanted in asked.items():
        inside = starts + length <= distinct.shape[1]
        row, start = rows[inside], starts[inside]
        window = hashes[row, start + length] - hashes[row, start] * base ** np.uint64(length)
        known = np.array([_hash(prompt, base) for prompt in wanted], dtype=np.uint64)
        hits = np.flatnonzero(np.isin(window, known))
        seen += sum(distinct[row[hit], start[hit] : start[hit] + length].tobytes() in wanted for hit in hits)
    counts = {
        "documents": len(found),
        "distinct_documents": len(distinct),
        "evaluation_prompts": len(prompts),
        "evaluation_prompts_found": seen,
        "sha256": hashlib.sha256(np.ascontiguousarray(found.tokens).tobytes()).hexdigest(),
    }
    if seen:
        raise ValueError(f"the stream holds prompts that are kept for the evaluation: {counts}")
    return counts


def _hash(prompt: bytes, base: np.uint64) -> np.uint64:
    found = np.uint64(0)
    for token in np.frombuffer(prompt, dtype=np.uint16).astype(np.uint64):
        found = found * base + token + np.uint64(1)
    return found


def weights(tokens: np.ndarray, answered: np.ndarray, budget: Budget) -> np.ndarray:
    """How much each token counts in the loss, [document pos]; nothing for padding and for the first token."""
    full = ~answered.any(1)
    full[:: budget.read_in_full] = True
    found = np.where(answered, budget.answer, full[:, None]).astype(np.float32)
    found[tokens == PAD] = 0
    found[:, 0] = 0
    return found


def in_lengths(lengths: np.ndarray) -> list[np.ndarray]:
    """The documents of a batch in two parts, the shorter and the longer, where that saves most padding."""
    order = np.argsort(lengths, kind="stable")
    sorted_lengths, count = lengths[order], np.arange(1, len(lengths))
    area = count * sorted_lengths[:-1] + (len(lengths) - count) * sorted_lengths[-1]
    cut = int(area.argmin()) + 1
    return [order[:cut], order[cut:]]


def learn(model: GPTNeoXForCausalLM, tokens: np.ndarray, answered: np.ndarray, budget: Budget, device: str) -> float:
    """Add up the gradients of a batch [document pos]; the weighted mean loss in nats a token."""
    weighed = weights(tokens, answered, budget)
    total = 0.0
    # Elsewhere than on a CPU it is not padding that takes time, but how often something is begun.
    lengths = (tokens != PAD).sum(1)
    for part in in_lengths(lengths) if device == "cpu" else [np.arange(len(tokens))]:
        width = int((tokens[part] != PAD).sum(1).max())
        ids = torch.from_numpy(tokens[part, :width].astype(np.int64)).to(device)
        weight = torch.from_numpy(weighed[part, 1:width]).to(device)
        counts = weight > 0
        # Padding stands on the right, where causal attention never looks from a real token: no mask is needed.
        hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        losses: Tensor = cross_entropy(
            model.get_output_embeddings()(hidden[counts]), ids[:, 1:][counts], reduction="none"
        )
        loss = (losses * weight[counts]).sum() / float(weighed.sum())
        loss.backward()
        total += loss.item()
    return total


def optimizers_of(model: GPTNeoXForCausalLM, budget: Budget) -> list[torch.optim.Optimizer]:
    """Muon for the matrices within the layers, AdamW for the embedding, the norms and the biases.

    AdamW alone leaves what few documents teach to chance: which sizes learned a task by the end was a lottery. Muon steps
    as far along a matrix's rare directions as along its frequent ones (Jordan 2024; scaled as AdamW, Liu et al. 2025,
    arXiv 2502.16982), so that what is learnt, and when, follows size more closely.
    """
    inner = [p for p in model.base_model.layers.parameters() if p.ndim == 2]
    within = {id(p) for p in inner}
    outer = [p for p in model.parameters() if p.ndim == 2 and id(p) not in within]
    plain = [p for p in model.parameters() if p.ndim < 2]
    return [
        Muon(inner, weight_decay=budget.decay),
        torch.optim.AdamW(
            [{"params": outer, "weight_decay": budget.decay}, {"params": plain, "weight_decay": 0.0}],
            betas=(0.9, 0.98),
            fused=True,
        ),
    ]


def train(
    config: GPTNeoXConfig,
    found: Stream,
    budget: Budget,
    seed: int,
    folder: Path,
    checkpoint: Path,
    device: str,
    kept: Sequence[int] = (),
) -> tuple[float, float]:
    """Train a model and save it in `folder`, and as it was after the steps `kept` in folders within.

    Returns its mean weighted loss over the last hundred steps, in nats a token, and how many seconds its steps took, those
    before a stop included.
    """
    torch.manual_seed(seed)
    model = GPTNeoXForCausalLM(config).to(device).train()
    optimizers = optimizers_of(model, budget)
    start, losses, before = 0, [], 0.0
    if checkpoint.exists():
        stored = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(stored["model"])
        for optimizer, state in zip(optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        start, losses, before = stored["step"], stored["losses"], stored["seconds"]
    begun = time.perf_counter() - before
    title = f"{folder.parent.name} seed {seed}"
    for step in tqdm(range(start, budget.steps), initial=start, total=budget.steps, desc=title, mininterval=5):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = budget.rate_at(step)
        rows = slice(step * budget.batch, (step + 1) * budget.batch)
        model.zero_grad(set_to_none=True)
        losses = [*losses[-99:], learn(model, found.tokens[rows], found.answered[rows], budget, device)]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        if step + 1 in kept:
            save(model, folder / f"step{step + 1}")
        if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < budget.steps:
            kept_states = [optimizer.state_dict() for optimizer in optimizers]
            state = {"model": model.state_dict(), "optimizers": kept_states, "step": step + 1, "losses": losses}
            part = checkpoint.with_suffix(".part")
            torch.save({**state, "seconds": time.perf_counter() - begun}, part)
            part.replace(checkpoint)
    save(model, folder)
    return float(np.mean(losses)), time.perf_counter() - begun


def save(model: GPTNeoXForCausalLM, folder: Path) -> None:
    """An ordinary Hugging Face folder, in half precision."""
    state = {name: value.detach().cpu().half() for name, value in model.state_dict().items()}
    half = GPTNeoXForCausalLM(model.config).half()
    half.load_state_dict(state)
    half.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def write(path: Path, value: object) -> None:
    """JSON, whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.replace(path)


def trained(out: Path) -> list[dict[str, Any]]:
    """What `ladder.json` tells about each model."""
    path = out / "ladder.json"
    return json.loads(path.read_text())["models"] if path.exists() else []


def tell(out: Path, work: Path, told: dict[str, Any]) -> None:
    """Enter a model into `ladder.json`, the smallest first; two runs may do so at the same time."""
    with (work / "ladder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        name = told["size"], told["seed"]
        models = [*(one for one in trained(out) if (one["size"], one["seed"]) != name), told]
        write(out / "ladder.json", {"models": sorted(models, key=lambda one: (one["n_params"], one["seed"]))})


def rates(told: Sequence[str]) -> dict[str, float]:
    """Conflict rates from `task=rate`."""
    found = {}
    for one in told:
        task, _, rate = one.partition("=")
        found[task] = float(rate)
    return found


def main() -> None:
    """Train what is asked for and not there yet."""
    defaults = Budget()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="d_model x layers")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="all sizes of the first come first")
    parser.add_argument("--tasks", nargs="+", default=tuple(SHARES), help="whose documents are read")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--batch", type=int, default=defaults.batch, help="documents a step")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="learning rate")
    parser.add_argument("--conflict-rate", nargs="+", default=(), metavar="TASK=RATE", help="all along")
    parser.add_argument("--along", nargs="*", default=ALONG, help="sizes of the first seed kept along training")
    parser.add_argument("--out", type=Path, default=Path("distractor/ladder"))
    parser.add_argument("--work", type=Path, default=Path("runs/ladder-work"), help="streams and checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()

    repeatably()
    transformers.logging.set_verbosity_error()
    budget = Budget(steps=asked.steps, rate=asked.rate, batch=asked.batch)
    recipe = Recipe(tasks=tuple(asked.tasks), conflict=rates(asked.conflict_rate))
    tokenizer = tokenizer_for(words_of(words()))
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    write(asked.out / "held_out.json", {task: sorted(groups) for task, groups in held_out().items()})

    for seed in asked.seeds:
        key = key_of(recipe, budget, seed, tokenizer)
        found = write_stream(asked.work, recipe, budget, seed, tokenizer)
        counts = checked(asked.work / f"{key}.json", found, tokenizer)
        print(f"seed {seed}: {counts}", file=sys.stderr)
        for size in asked.sizes:
            folder = asked.out / size / f"seed{seed}"
            if any((one["size"], one["seed"], one["key"]) == (size, seed, key) for one in trained(asked.out)):
                continue
            checkpoint = asked.work / f"{key}-{size}.pt"
            kept = kept_of(budget.steps) if size in asked.along and seed == asked.seeds[0] else ()
            loss, seconds = train(plan(size), found, budget, seed, folder, checkpoint, asked.device, kept)
            tokenizer.save_pretrained(folder)
            told = {
                "size": size,
                "seed": seed,
                "n_params": GPTNeoXForCausalLM(plan(size)).num_parameters(),
                "steps": budget.steps,
                "kept": list(kept),
                "tokens": int((found.tokens != PAD).sum()),
                "loss": round(loss, 4),
                "seconds": round(seconds),
                "device": asked.device,
                "key": key,
                "conflict_rate": {task: round(recipe.conflict_rate(task), 6) for task in recipe.tasks},
                "stream": counts,
            }
            tell(asked.out, asked.work, told)
            checkpoint.unlink(missing_ok=True)


def repeatably() -> None:
    """Add up in one order, so that the same seed gives the same weights on the same machine, a GPU included."""
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def checked(path: Path, found: Stream, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What the check of a stream has counted, once for each stream."""
    if not path.exists():
        write(path, check(found, tokenizer))
    counts: dict[str, Any] = json.loads(path.read_text())
    return counts


def kept_of(steps: int) -> tuple[int, ...]:
    """At which steps a model is kept along training: dense early, twelve or more before the last."""
    parts = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 5 / 16, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8)
    return tuple(sorted({max(1, round(steps * part)) for part in parts}))


if __name__ == "__main__":
    main()
