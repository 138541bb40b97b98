"""The training loop: networks of one size and several seeds, each on its own stream of documents."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPTNeoXConfig

from .corpus import Stream
from .muon import Muon
from .network import Networks
from .vocabulary import BOS, EOS, PAD

CONTEXT = 256
HEAD_WIDTH = 8
"""Width of a head if it divides the width of the model; otherwise half of it."""
ROTARY = 0.5
"""Share of a head that rotates with the position; the rest can match words at any distance."""
INIT = 0.1
"""Standard deviation of the initial weights. With the usual .02, narrow models start to learn several times later."""
CHECKPOINT_EVERY = 500
PARTS = 2
"""Documents in which few positions count, and the others, are each split by length into this many parts."""
FEW = 4
"""Positions of a document that are few. Only at positions in the loss, the last layer is computed."""


@dataclass(frozen=True)
class Budget:
    """Length of training and learning rate, the same for all sizes.

    The rate rises during `warm_up` steps, stays at `rate`, and falls to a tenth over the last `falling` of training. In the
    loss, a token of an answer has weight `answer` and a given token weight 1. Given tokens count only in every
    `read_in_full`-th document of a batch and in documents without an answer, because few of them decide anything.
    """

    steps: int
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


def config_of(size: str, rows: int) -> GPTNeoXConfig:
    """The configuration of the model `{d_model}x{layers}` with a vocabulary of `rows` tokens."""
    d_model, layers = map(int, size.split("x"))
    width = min(d_model, HEAD_WIDTH if d_model % HEAD_WIDTH == 0 else HEAD_WIDTH // 2)
    return GPTNeoXConfig(
        vocab_size=rows,
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


def learn(
    config: GPTNeoXConfig,
    streams: Sequence[Stream],
    seeds: tuple[int, ...],
    budget: Budget,
    *,
    title: str = "",
    checkpoint: Path | None = None,
    after: Callable[[int, Networks], None] = lambda step, networks: None,
) -> tuple[Networks, list[float], float]:
    """Train one network for each seed on the stream of the same position, and call `after` with each finished step.

    Up to rounding, a network depends on its own seed and stream alone. The batches of all networks are padded to the same
    length, which changes the last bits of a step. The run continues from `checkpoint` if it exists.

    Returns the networks, the mean weighted loss of the last hundred steps of each in nats per token, and the seconds of
    training, including those of a stopped run.
    """
    networks = Networks(config, seeds)
    optimizers = optimizers_of(networks, budget)
    start, losses, earlier_seconds = 0, torch.zeros(0, len(seeds)), 0.0
    if checkpoint is not None and checkpoint.exists():
        stored = torch.load(checkpoint, weights_only=True)
        networks.load_state_dict(stored["networks"])
        for optimizer, state in zip(optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        start, losses, earlier_seconds = stored["step"], stored["losses"], stored["seconds"]
    started = time.perf_counter() - earlier_seconds
    for step in tqdm(range(start, budget.steps), initial=start, total=budget.steps, desc=title, mininterval=5):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = budget.rate_at(step)
        networks.zero_grad(set_to_none=True)
        losses = torch.cat([losses[-99:], add_gradients(networks, streams, step, budget)[None]])
        clip(networks)
        for optimizer in optimizers:
            optimizer.step()
        after(step + 1, networks)  # before the checkpoint: a run stopped in between repeats it and does not skip it
        if checkpoint is not None and (step + 1) % CHECKPOINT_EVERY == 0 and step + 1 < budget.steps:
            state = {
                "networks": networks.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": step + 1,
                "losses": losses,
                "seconds": time.perf_counter() - started,
            }
            part = checkpoint.with_suffix(".part")
            torch.save(state, part)
            part.replace(checkpoint)
    return networks, losses.mean(0).tolist(), time.perf_counter() - started


def add_gradients(networks: Networks, streams: Sequence[Stream], step: int, budget: Budget) -> Tensor:
    """Add the gradients of the batch of a step; returns the weighted mean loss of each network in nats per token."""
    rows = slice(step * budget.batch, (step + 1) * budget.batch)
    tokens = np.stack([stream.tokens[rows] for stream in streams])
    answered = np.stack([stream.answered[rows] for stream in streams])
    weights = loss_weights(tokens, answered, budget)
    weights /= weights.sum((1, 2), keepdims=True)
    lengths, counts = (tokens != PAD).sum(2), (weights > 0).sum(2)
    total = torch.zeros(len(streams))
    for chosen in split(lengths, counts):
        width = np.take_along_axis(lengths, chosen, axis=1).max()
        weight = np.take_along_axis(weights, chosen[..., None], axis=1)[..., 1:width]
        ids = torch.from_numpy(np.take_along_axis(tokens, chosen[..., None], axis=1)[..., :width].astype(np.int64))
        # The positions that count come first; each document has as many, the last ones with a weight of 0.
        counted = np.argsort(weight == 0, axis=2, kind="stable")[..., : (weight > 0).sum(2).max()]
        at, share = torch.from_numpy(counted), torch.from_numpy(np.take_along_axis(weight, counted, axis=2))
        # Padding is on the right, where causal attention from real tokens does not reach: no mask is needed.
        logits = networks.logits(networks(ids[..., :-1], at).flatten(1, 2))
        target = ids[..., 1:].gather(2, at).flatten(1)
        loss = (cross_entropy(logits.transpose(1, 2), target, reduction="none") * share.flatten(1)).sum(1)
        loss.sum().backward()
        total += loss.detach()
    return total


def loss_weights(tokens: np.ndarray, answered: np.ndarray, budget: Budget) -> np.ndarray:
    """The weight of each token in the loss, [seed document pos]; 0 for padding and for the first token."""
    in_full = ~answered.any(2)
    in_full[:, :: budget.read_in_full] = True
    weights = np.where(answered, budget.answer, in_full[..., None]).astype(np.float32)
    weights[tokens == PAD] = 0
    weights[..., 0] = 0
    return weights


def split(lengths: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Split a batch into parts with little padding; `lengths` and `counts` of positions in the loss are [seed document].

    Documents in which few positions count are apart from the others. Returns the documents of each part, [seed document].
    """
    few = np.argsort(counts, axis=1, kind="stable")
    border = int((counts <= FEW).sum(1).min())
    parts = []
    for some in (few[:, :border], few[:, border:]):
        if some.size:
            order = np.argsort(np.take_along_axis(lengths, some, axis=1), axis=1, kind="stable")
            some = np.take_along_axis(some, order, axis=1)
            ranked = np.take_along_axis(lengths, some, axis=1).max(0)  # the longest document of each rank
            parts += [some[:, start:end] for start, end in split_by_length(ranked)]
    return parts


def split_by_length(lengths: np.ndarray) -> list[tuple[int, int]]:
    """Split sorted documents into at most `PARTS` parts so that padding is least; returns the start and end of each."""
    least: dict[int, tuple[float, list[tuple[int, int]]]] = {0: (0, [])}
    for _ in range(PARTS):
        least |= {
            end: min(
                (area + (end - start) * int(lengths[end - 1]), [*parts, (start, end)])
                for start, (area, parts) in least.items()
                if start < end
            )
            for end in range(1, len(lengths) + 1)
        }
    return least[len(lengths)][1]


def optimizers_of(networks: Networks, budget: Budget) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding, the norms and the biases.

    With AdamW alone, chance decides which sizes learn a skill that only few documents teach. A Muon step is as long along
    rare directions of a matrix as along frequent ones, so that learning follows size more closely.
    Source: Jordan 2024; scaled like AdamW by Liu et al. 2025, arXiv 2502.16982.
    """
    matrices = {name: parameter for name, parameter in networks.stacked.items() if parameter.ndim == 3}
    vectors = [parameter for parameter in networks.parameters() if parameter.ndim == 2]
    return [
        Muon([matrix for name, matrix in matrices.items() if "layers" in name], weight_decay=budget.decay),
        torch.optim.AdamW(
            [
                {"params": [matrix for name, matrix in matrices.items() if "layers" not in name]}
                | {"weight_decay": budget.decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
            fused=True,
        ),
    ]


@torch.no_grad()
def clip(networks: Networks, largest: float = 1.0) -> None:
    """Scale the gradients of each network to a norm of at most `largest`."""
    gradients = [parameter.grad for parameter in networks.parameters() if parameter.grad is not None]
    norm = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    scale = (largest / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))
