"""Train the ladder: `python -m experiments.ladder.train --seeds 13`.

Every size of a seed reads the same documents in the same order for the same number of steps. A run that was stopped
goes on from its last checkpoint; a model that is finished is left as it is.
"""

import argparse
import fcntl
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from tasks import TASKS

from .corpus import Kind, Recipe, documents, held_out, stream
from .vocabulary import BOS, EOS, PAD, ROWS, tokenizer_for, words_of

SIZES = ("2x1", "8x1", "16x2", "18x2", "20x2", "24x2", "26x2", "28x2", "30x2", "32x2", "36x2", "48x2", "80x2")
SEEDS = (13,)
CONTEXT = 256
HEAD_WIDTH = 8
CHECKPOINT_EVERY = 500


@dataclass(frozen=True)
class Budget:
    """How long and how fast every size learns: the rate warms up, then falls along a cosine to a tenth."""

    steps: int = 2300
    batch: int = 96
    rate: float = 6e-3
    warm_up: int = 100
    decay: float = 0.01

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        done = max(0, step - self.warm_up) / max(1, self.steps - self.warm_up)
        shape = min(1, (step + 1) / self.warm_up) * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
        return self.rate * shape


def plan(size: str) -> GPT2Config:
    """The shape of the model called `{d_model}x{layers}`: one head below 16, then heads of width 8 or wider."""
    d_model, layers = map(int, size.split("x"))
    return GPT2Config(
        vocab_size=ROWS,
        n_positions=CONTEXT,
        n_embd=d_model,
        n_layer=layers,
        n_head=next(heads for heads in range(max(1, d_model // HEAD_WIDTH), 0, -1) if d_model % heads == 0),
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )


def encode(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """Token rows [text pos], each begun, ended and padded on the right."""
    rows = [[*ids, EOS] for ids in tokenizer(texts)["input_ids"]]
    out = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.uint16)
    for row, ids in zip(out, rows, strict=True):
        row[: len(ids)] = ids
    return out


def write_stream(path: Path, recipe: Recipe, budget: Budget, seed: int, rows: Mapping[Kind, np.ndarray]) -> np.ndarray:
    """The whole stream of a seed [document pos], written once and then read where it lies."""
    if not path.exists():
        drawn = stream(rows, recipe, budget.steps * budget.batch, np.random.default_rng(seed))
        part = path.with_suffix(f".{os.getpid()}.part")
        whole = open_memmap(part, mode="w+", dtype=drawn.dtype, shape=drawn.shape)
        whole[:] = drawn
        whole.flush()
        part.replace(path)
    return np.load(path, mmap_mode="r")


def check(tokens: np.ndarray, tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Look for what must not be in the stream, in all of it; counts, of which the last two must be 0.

    A prompt of the evaluation, under whichever condition, is looked for at every place of every document.
    """
    prompts = sorted({p for i in TASKS["negation_qa"]().items for c in i.prompts for p in i.wordings(c)})
    asked: dict[int, set[bytes]] = {}
    for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]:
        asked.setdefault(len(ids), set()).add(np.array(ids, dtype=tokens.dtype).tobytes())
    found: set[bytes] = set()
    distinct = np.unique(tokens, axis=0)
    for length, wanted in asked.items():
        for start in range(distinct.shape[1] - length + 1):
            found |= wanted & {part.tobytes() for part in distinct[:, start : start + length]}

    negated = tokens[(tokens == tokenizer.convert_tokens_to_ids("not")).any(1)]
    names = [word for fact in held_out() for word in (fact.subject, fact.answer)]
    counts = {
        "documents": len(tokens),
        "negated_documents": len(negated),
        "evaluation_prompts": len(prompts),
        "evaluation_prompts_found": len(found),
        "negated_documents_on_held_out": int(np.isin(negated, tokenizer.convert_tokens_to_ids(names)).any(1).sum()),
    }
    if counts["evaluation_prompts_found"] or counts["negated_documents_on_held_out"]:
        raise ValueError(f"the stream holds what is kept for the evaluation: {counts}")
    return counts


def train(
    config: GPT2Config, tokens: np.ndarray, budget: Budget, seed: int, checkpoint: Path, device: str, title: str
) -> tuple[GPT2LMHeadModel, float]:
    """The trained model and its mean loss (nats a token) over the last hundred steps."""
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(config).to(device).train()
    plain = [p for p in model.parameters() if p.ndim < 2]
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": budget.decay}, {"params": plain, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )
    start, losses = 0, []
    if checkpoint.exists():
        kept = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        start, losses = kept["step"], kept["losses"]
    for step in tqdm(range(start, budget.steps), initial=start, total=budget.steps, desc=title, mininterval=5):
        for group in optimizer.param_groups:
            group["lr"] = budget.rate_at(step)
        documents = tokens[step * budget.batch : (step + 1) * budget.batch].astype(np.int64)
        ids = torch.from_numpy(documents[:, : int((documents != PAD).sum(1).max())]).to(device)
        told, asked = ids[:, :-1], ids[:, 1:]
        logits = model(told, attention_mask=(told != PAD).long(), use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), asked.flatten(), ignore_index=PAD)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses = [*losses[-99:], loss.item()]
        if (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < budget.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            part = checkpoint.with_suffix(".part")
            torch.save({**state, "losses": losses}, part)
            part.replace(checkpoint)
    return model.cpu().eval(), float(np.mean(losses))


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


def main() -> None:
    """Train what is asked for and not there yet."""
    defaults, shares = Budget(), Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="d_model x layers")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="all sizes of the first come first")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--rate", type=float, default=defaults.rate, help="learning rate")
    parser.add_argument("--conflict-rate", type=float, default=shares.negated, help="share of negated questions")
    parser.add_argument("--out", type=Path, default=Path("distractor/ladder"))
    parser.add_argument("--work", type=Path, default=Path("runs/ladder-work"), help="streams and checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()

    torch.set_num_threads(1)
    budget = Budget(steps=asked.steps, rate=asked.rate)
    recipe = Recipe(negated=asked.conflict_rate)
    found = documents()
    tokenizer = tokenizer_for(words_of(text for texts in found.values() for text in texts))
    rows = {kind: encode(texts, tokenizer) for kind, texts in found.items()}
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    write(asked.out / "held_out.json", {"negation_qa": sorted(fact.group for fact in held_out())})

    for seed in asked.seeds:
        text = json.dumps([asdict(budget), recipe.shares, seed, found], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        tokens = write_stream(asked.work / f"{key}.npy", recipe, budget, seed, rows)
        counts = check(tokens, tokenizer)
        print(f"seed {seed}: {counts}", file=sys.stderr)
        for size in asked.sizes:
            folder = asked.out / size / f"seed{seed}"
            if any((one["size"], one["seed"], one["key"]) == (size, seed, key) for one in trained(asked.out)):
                continue
            checkpoint = asked.work / f"{key}-{size}.pt"
            begun = time.perf_counter()
            model, loss = train(plan(size), tokens, budget, seed, checkpoint, asked.device, f"{size} seed {seed}")
            model.half().save_pretrained(folder)
            (folder / "generation_config.json").unlink(missing_ok=True)
            tokenizer.save_pretrained(folder)
            told = {
                "size": size,
                "seed": seed,
                "n_params": model.num_parameters(),
                "steps": budget.steps,
                "tokens": int((tokens != PAD).sum()),
                "loss": round(loss, 4),
                "seconds": round(time.perf_counter() - begun),
                "key": key,
                "conflict_rate": recipe.negated,
                "stream": counts,
            }
            tell(asked.out, asked.work, told)
            checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
