"""Train the ladder: `python -m experiments.ladder.train --out runs/ladder`.

All models of a seed read the same documents in the same order for the same number of steps. A stopped run continues from its
last checkpoint, and skips finished models.
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
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from distractor.files import write_text
from distractor.text.task import Condition
from tasks import TASKS

from .corpus import SHARES, Recipe, Stream, held_out, pools, stream, words
from .muon import Muon
from .vocabulary import BOS, EOS, PAD, ROWS, tokenizer_for, words_of

SIZES = ("2x1", "4x1", "8x1", "12x2", "16x2", "20x2", "24x2", "28x2", "32x2", "48x2", "80x2")
SEEDS = (780, 781, 782, 783, 784)
ALONG = ("16x2", "24x2", "48x2", "80x2")
"""Sizes of the first seed that are also saved during training."""

CONTEXT = 256
HEAD_WIDTH = 8
"""Width of a head if it divides the width of the model; otherwise half of it."""
ROTARY = 0.5
"""Share of a head that rotates with the position; the rest can match words at any distance."""
INIT = 0.1
"""Standard deviation of the initial weights. With the usual .02, narrow models start to learn several times later."""
CHECKPOINT_EVERY = 500

RESERVED = (Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED, Condition.TRUE_ONLY)
"""Conditions whose prompts are reserved for the evaluation: no stream contains one."""


@dataclass(frozen=True)
class Budget:
    """Length of training and learning rate, the same for all sizes.

    The rate rises during `warm_up` steps, stays at `rate`, and falls to a tenth over the last `falling` of training. In the
    loss, a token of an answer has weight `answer` and a given token weight 1. Given tokens count only in every
    `read_in_full`-th document of a batch and in documents without an answer, because few of them decide anything.
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
        """The learning rate of a step, the same for all widths."""
        left = (self.steps - step) / self.steps
        return self.rate * min(1, (step + 1) / self.warm_up, 0.1 + 0.9 * left / self.falling)


def config_of(size: str) -> GPTNeoXConfig:
    """The configuration of the model `{d_model}x{layers}`, with rotary positions and tied embeddings."""
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
        # Dimensions rotate in pairs, so a head of width 2 rotates as a whole.
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
    """A hash of everything that determines a training run except its size, in twelve characters."""
    phases = [[end, sorted(shares.items())] for end, shares in recipe.phases()]
    text = json.dumps([asdict(budget), phases, seed, INIT, tokenizer.get_vocab()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_stream(work: Path, recipe: Recipe, budget: Budget, seed: int, tokenizer: PreTrainedTokenizerFast) -> Stream:
    """The stream of a seed, memory-mapped from its files in `work`; draws and writes it first if they are missing."""
    path = work / key_of(recipe, budget, seed, tokenizer)
    paths = {part: path.with_name(f"{path.name}.{part}.npy") for part in ("tokens", "answered")}
    if not all(file.exists() for file in paths.values()):
        count = budget.steps * budget.batch
        drawn = stream(pools(recipe, count, seed), recipe, count, seed, tokenizer)
        for part, file in paths.items():
            temporary = file.with_suffix(f".{os.getpid()}.part")
            with temporary.open("wb") as opened:
                np.save(opened, getattr(drawn, part))
            temporary.replace(file)
    return Stream(*(np.load(file, mmap_mode="r") for file in paths.values()))


@np.errstate(over="ignore")
def check(documents: Stream, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Search each position of each document for reserved prompts of the evaluation, and return counts.

    Raises:
        ValueError: the stream contains a reserved prompt.

    """
    prompts = sorted(
        {
            wording
            for make in TASKS.values()
            for item in make().items
            for condition in RESERVED
            for wording in item.wordings(condition)
        }
    )
    by_length: dict[int, set[bytes]] = {}
    for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]:
        by_length.setdefault(len(ids), set()).add(np.array(ids, dtype=np.uint16).tobytes())
    distinct = np.unique(documents.tokens, axis=0)
    first_tokens = {int(np.frombuffer(prompt, dtype=np.uint16)[0]) for same in by_length.values() for prompt in same}
    rows, starts = np.nonzero(np.isin(distinct, list(first_tokens)))
    # Hashes of all prefixes of all documents; the hash of any window follows from two of them.
    base = np.uint64(1_000_003)
    hashes = np.zeros((len(distinct), distinct.shape[1] + 1), dtype=np.uint64)
    for position in range(distinct.shape[1]):
        hashes[:, position + 1] = hashes[:, position] * base + distinct[:, position] + np.uint64(1)
    n_found = 0
    for length, same in by_length.items():
        fits = starts + length <= distinct.shape[1]
        row, start = rows[fits], starts[fits]
        window = hashes[row, start + length] - hashes[row, start] * base ** np.uint64(length)
        expected = np.array([_hash(prompt, base) for prompt in same], dtype=np.uint64)
        hits = np.flatnonzero(np.isin(window, expected))
        n_found += sum(distinct[row[hit], start[hit] : start[hit] + length].tobytes() in same for hit in hits)
    counts = {
        "documents": len(documents),
        "distinct_documents": len(distinct),
        "evaluation_prompts": len(prompts),
        "evaluation_prompts_found": n_found,
        "sha256": hashlib.sha256(np.ascontiguousarray(documents.tokens).tobytes()).hexdigest(),
    }
    if n_found:
        raise ValueError(f"the stream contains prompts that are reserved for the evaluation: {counts}")
    return counts


def _hash(prompt: bytes, base: np.uint64) -> np.uint64:
    value = np.uint64(0)
    for token in np.frombuffer(prompt, dtype=np.uint16).astype(np.uint64):
        value = value * base + token + np.uint64(1)
    return value


def check_once(path: Path, documents: Stream, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The counts of `check` for a stream, kept in the file `path`."""
    if not path.exists():
        write_json(path, check(documents, tokenizer))
    counts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return counts


def loss_weights(tokens: np.ndarray, answered: np.ndarray, budget: Budget) -> np.ndarray:
    """The weight of each token in the loss, [document pos]; 0 for padding and for the first token."""
    in_full = ~answered.any(1)
    in_full[:: budget.read_in_full] = True
    weights = np.where(answered, budget.answer, in_full[:, None]).astype(np.float32)
    weights[tokens == PAD] = 0
    weights[:, 0] = 0
    return weights


def split_by_length(lengths: np.ndarray) -> list[np.ndarray]:
    """Split a batch into shorter and longer documents so that padding is least; returns their indices."""
    order = np.argsort(lengths, kind="stable")
    sorted_lengths, count = lengths[order], np.arange(1, len(lengths))
    area = count * sorted_lengths[:-1] + (len(lengths) - count) * sorted_lengths[-1]
    cut = int(area.argmin()) + 1
    return [order[:cut], order[cut:]]


def add_gradients(
    model: GPTNeoXForCausalLM, tokens: np.ndarray, answered: np.ndarray, budget: Budget, device: str
) -> float:
    """Add the gradients of a batch [document pos] to the model; return the weighted mean loss in nats per token."""
    weights = loss_weights(tokens, answered, budget)
    total = 0.0
    # On a GPU, each call costs more than padding does, so that the batch stays whole.
    lengths = (tokens != PAD).sum(1)
    for part in split_by_length(lengths) if device == "cpu" else [np.arange(len(tokens))]:
        width = int((tokens[part] != PAD).sum(1).max())
        ids = torch.from_numpy(tokens[part, :width].astype(np.int64)).to(device)
        weight = torch.from_numpy(weights[part, 1:width]).to(device)
        counts = weight > 0
        # Padding is on the right, where causal attention from real tokens does not reach: no mask is needed.
        hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        losses: Tensor = cross_entropy(
            model.get_output_embeddings()(hidden[counts]), ids[:, 1:][counts], reduction="none"
        )
        loss = (losses * weight[counts]).sum() / float(weights.sum())
        loss.backward()
        total += loss.item()
    return total


def optimizers_of(model: GPTNeoXForCausalLM, budget: Budget) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding, the norms and the biases.

    With AdamW alone, chance decides which sizes learn a skill that only few documents teach. A Muon step is as long
    along rare
    directions of a matrix as along frequent ones, so that learning follows size more closely.
    Source: Jordan 2024; scaled like AdamW by Liu et al. 2025, arXiv 2502.16982.
    """
    inner = [p for p in model.base_model.layers.parameters() if p.ndim == 2]
    inner_ids = {id(p) for p in inner}
    outer = [p for p in model.parameters() if p.ndim == 2 and id(p) not in inner_ids]
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
    documents: Stream,
    budget: Budget,
    seed: int,
    folder: Path,
    checkpoint: Path,
    device: str,
    kept: Sequence[int] = (),
) -> tuple[float, float]:
    """Train a model and save it in `folder`; after each of the steps `kept`, also in a subfolder `step{n}`.

    Returns the mean weighted loss of the last hundred steps in nats per token, and the seconds of training, including those
    of a stopped run.
    """
    torch.manual_seed(seed)
    model = GPTNeoXForCausalLM(config).to(device).train()
    optimizers = optimizers_of(model, budget)
    start, losses, earlier_seconds = 0, [], 0.0
    if checkpoint.exists():
        stored = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(stored["model"])
        for optimizer, state in zip(optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        start, losses, earlier_seconds = stored["step"], stored["losses"], stored["seconds"]
    started = time.perf_counter() - earlier_seconds
    title = f"{folder.parent.name} seed {seed}"
    for step in tqdm(range(start, budget.steps), initial=start, total=budget.steps, desc=title, mininterval=5):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = budget.rate_at(step)
        rows = slice(step * budget.batch, (step + 1) * budget.batch)
        model.zero_grad(set_to_none=True)
        losses = [*losses[-99:], add_gradients(model, documents.tokens[rows], documents.answered[rows], budget, device)]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        if step + 1 in kept:
            save(model, folder / f"step{step + 1}")
        if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < budget.steps:
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": step + 1,
                "losses": losses,
                "seconds": time.perf_counter() - started,
            }
            part = checkpoint.with_suffix(".part")
            torch.save(state, part)
            part.replace(checkpoint)
    save(model, folder)
    return float(np.mean(losses)), time.perf_counter() - started


def save(model: GPTNeoXForCausalLM, folder: Path) -> None:
    """Save a model as a Hugging Face folder, in half precision."""
    state = {name: value.detach().cpu().half() for name, value in model.state_dict().items()}
    half = GPTNeoXForCausalLM(model.config).half()
    half.load_state_dict(state)
    half.save_pretrained(folder)
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


def make_deterministic() -> None:
    """Fix the order of sums, so that a seed gives the same weights on the same machine, also on a GPU."""
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


def main() -> None:
    """Train the requested models that do not exist yet."""
    defaults = Budget()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="d_model x layers")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=SEEDS, help="trained one after the other, all sizes each"
    )
    parser.add_argument("--tasks", nargs="+", default=tuple(SHARES), help="tasks whose documents are read")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--batch", type=int, default=defaults.batch, help="documents per step")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="learning rate")
    parser.add_argument("--conflict-rate", nargs="+", default=(), metavar="TASK=RATE", help="in the whole stream")
    parser.add_argument(
        "--along", nargs="*", default=ALONG, help="sizes of the first seed to save during training, too"
    )
    parser.add_argument("--out", type=Path, default=Path("distractor/ladder"), help="folder of the models")
    parser.add_argument("--work", type=Path, default=Path("runs/ladder-work"), help="folder of streams and checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()

    make_deterministic()
    transformers.logging.set_verbosity_error()
    out, work = arguments.out, arguments.work
    budget = Budget(steps=arguments.steps, rate=arguments.rate, batch=arguments.batch)
    conflict = dict(text.split("=") for text in arguments.conflict_rate)
    recipe = Recipe(tuple(arguments.tasks), {task: float(rate) for task, rate in conflict.items()})
    tokenizer = tokenizer_for(words_of(words()))
    out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    write_json(out / "held_out.json", {task: sorted(groups) for task, groups in held_out().items()})

    for seed in arguments.seeds:
        key = key_of(recipe, budget, seed, tokenizer)
        documents = write_stream(work, recipe, budget, seed, tokenizer)
        counts = check_once(work / f"{key}.json", documents, tokenizer)
        print(f"seed {seed}: {counts}", file=sys.stderr)
        for size in arguments.sizes:
            if any((model["size"], model["seed"], model["key"]) == (size, seed, key) for model in read_records(out)):
                continue
            folder, checkpoint = out / size / f"seed{seed}", work / f"{key}-{size}.pt"
            kept = kept_steps(budget.steps) if size in arguments.along and seed == arguments.seeds[0] else ()
            loss, seconds = train(config_of(size), documents, budget, seed, folder, checkpoint, arguments.device, kept)
            tokenizer.save_pretrained(folder)
            record = {
                "size": size,
                "seed": seed,
                "n_params": GPTNeoXForCausalLM(config_of(size)).num_parameters(),
                "steps": budget.steps,
                "kept": list(kept),
                "tokens": int((documents.tokens != PAD).sum()),
                "loss": round(loss, 4),
                "seconds": round(seconds),
                "device": arguments.device,
                "key": key,
                "conflict_rate": {task: round(recipe.conflict_rate(task), 6) for task in recipe.tasks},
                "stream": counts,
            }
            add_record(out, work, record)
            checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
