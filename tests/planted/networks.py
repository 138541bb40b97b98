"""Builds a circuit as a GPT-NeoX or as a Llama model with grouped queries; no training.

Every token's embedding is one direction of length `LOUD`, so every residual has almost the same norm and both kinds of
norm multiply by √d_model / LOUD. All directions are orthogonal to (1, …, 1), so LayerNorm subtracts nothing. In a clean
model each direction is the difference of two coordinates; otherwise the directions are a random orthonormal basis, each
value space is rotated at random, and all weights have noise. Rotations change no output.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from circuits import ANSWER, ANY, HEADS, LAYERS, Circuit, Head, Neuron, Weights
from tiny import word_level

Architecture = Literal["gpt_neox", "llama"]
ARCHITECTURES: tuple[Architecture, ...] = ("gpt_neox", "llama")

GROUPS = {"gpt_neox": HEADS, "llama": 2}  # heads with keys and values of their own
D_HEAD = 24
D_MODEL = HEADS * D_HEAD
NEURONS = 8
LOUD = 100.0
"""Length of an embedding: so large that the components' outputs hardly change the scale of the norms."""

SHARP = 50.0
"""Scale of a neuron's input, at which GELU and SiLU equal max(0, x)."""

LEARNED = 0.2  # rms of the weights that do nothing, before noise
THETA = 1e8  # base of the rotary frequencies: the first is 1, the last ones hardly turn


def build(
    words: Sequence[str], circuit: Circuit, architecture: Architecture, *, noise: float = 0.0, seed: int = 0
) -> Any:
    """The network of a circuit; `noise` is the standard deviation of the weights relative to each matrix's rms."""
    random = torch.Generator().manual_seed(seed) if noise else None
    builder = _Builder(word_level(list(words), bos=True), circuit, architecture, random)
    with torch.no_grad():
        builder.build(noise)
    return builder.network.eval()


def save(folder: Path, words: Sequence[str], network: Any) -> Path:
    """Write a network and its tokenizer as an ordinary model folder."""
    network.save_pretrained(folder)
    word_level(list(words), bos=True).save_pretrained(folder)
    return folder


class _Builder:
    """One model under construction: its network, and the direction of every word and written name."""

    def __init__(
        self, tokenizer: Any, circuit: Circuit, architecture: Architecture, random: torch.Generator | None
    ) -> None:
        self.circuit, self.architecture, self.random = circuit, architecture, random
        # The vocabulary comes in random order, and the order decides each word's direction.
        self.words: dict[str, int] = dict(sorted(tokenizer.get_vocab().items(), key=lambda one: one[1]))
        used: list[Weights] = [
            side for head in circuit.heads for copy in head.copies for side in (copy.reads, copy.writes)
        ]
        used += [side for head in circuit.heads for look in head.looks for side in (look.query, look.key)]
        used += [side for neuron in circuit.neurons for side in (neuron.reads, neuron.writes)]
        names = [*self.words, *sorted({ANSWER}.union(*used) - {ANY, *self.words})]
        basis = _rotated(D_MODEL, random) if random else _pairs(D_MODEL)
        self.directions = dict(zip(names, basis[: len(names)], strict=True))
        self.network: Any = _empty(architecture, len(self.words))

    def build(self, noise: float) -> None:
        """Fill in the weights."""
        for name, weight in self.network.named_parameters():
            weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        embedding = self.network.get_input_embeddings().weight
        for word, number in self.words.items():
            embedding[number] = LOUD * self.directions[word]
        unembedding = self.network.get_output_embeddings().weight
        for word, sign in (("A", 1), ("B", -1)):
            unembedding[self.words[word]] = self.read({ANSWER: sign / 2, ANY: 5.0})
        for head in self.circuit.heads:
            self.plant(head)
        for layer in range(LAYERS):
            self.plant_mlp(layer, [neuron for neuron in self.circuit.neurons if neuron.layer == layer])
        if self.random is not None:
            for layer in range(LAYERS):
                self.turn_values(layer)
            for name, weight in self.network.named_parameters():
                if weight.ndim > 1:
                    rms = float(weight.square().mean().sqrt()) or LEARNED / math.sqrt(D_MODEL)
                    weight += noise * rms * torch.randn(weight.shape, generator=self.random)
                elif "norm" not in name:
                    weight += noise * LEARNED * torch.randn(weight.shape, generator=self.random)

    def read(self, weights: Weights) -> Tensor:
        """The row of a weight matrix that reads this sum after a norm."""
        row = torch.zeros(D_MODEL)
        for name, x in weights.items():
            for one in self.words if name == ANY else [name]:
                row += x * self.directions[one] / math.sqrt(D_MODEL) * (1.0 if one in self.words else LOUD)
        return row

    def write(self, weights: Weights) -> Tensor:
        """The column of a weight matrix that writes these amounts."""
        return sum((x * self.directions[name] for name, x in weights.items()), torch.zeros(D_MODEL))

    def plant(self, head: Head) -> None:
        """Write the weights of one head. Heads of a group share keys and values, so each has its own places in them."""
        query, key, value, out = self.attention(head.layer, head.number)
        place = head.number % (HEADS // GROUPS[self.architecture])
        half = D_HEAD // 2
        # Rotary positions turn the first places of a GPT-NeoX head, and pairs of places i, i + half of a Llama head.
        # The places used for words do not turn, or hardly.
        first, size = (6, 4) if self.architecture == "gpt_neox" else (half - 6, 3)
        if len(head.looks) > size or len(head.copies) > 2:
            raise ValueError(f"{head.site} has {len(head.looks)} looks and {len(head.copies)} copies, too many")
        for number, look in enumerate(head.looks):
            at = first + place * size + number
            scale = math.sqrt(look.score * math.sqrt(D_HEAD))
            query[at] += scale * self.read(look.query)
            key[at] += scale * self.read(look.key)
        if head.offset is not None:
            pair = (0, 3) if self.architecture == "gpt_neox" else (0, half)  # these turn by 1 radian a position
            scale = math.sqrt(60 * math.sqrt(D_HEAD))
            query[pair[0]] += scale * self.read({ANY: 1.0})
            key[pair[0]] += scale * math.cos(head.offset) * self.read({ANY: 1.0})
            key[pair[1]] += scale * math.sin(head.offset) * self.read({ANY: 1.0})
        for number, copy in enumerate(head.copies):
            at = place * half + number
            value[at] += self.read(copy.reads)
            out[:, at] += self.write(copy.writes)

    def attention(self, layer: int, head: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Views of the weights of a head's query, key and value [d_head d_model], and of its output [d_model d_head]."""
        here, group = slice(head * D_HEAD, (head + 1) * D_HEAD), head // (HEADS // GROUPS[self.architecture])
        if self.architecture == "gpt_neox":
            attention = self.network.gpt_neox.layers[layer].attention
            query, key, value = attention.query_key_value.weight.view(HEADS, 3, D_HEAD, D_MODEL)[head]
            return query, key, value, attention.dense.weight[:, here]
        attention = self.network.model.layers[layer].self_attn
        shared = slice(group * D_HEAD, (group + 1) * D_HEAD)
        key, value = attention.k_proj.weight[shared], attention.v_proj.weight[shared]
        return attention.q_proj.weight[here], key, value, attention.o_proj.weight[:, here]

    def plant_mlp(self, layer: int, neurons: Sequence[Neuron]) -> None:
        """Write the weights of a layer's neurons."""
        if self.architecture == "gpt_neox":
            mlp = self.network.gpt_neox.layers[layer].mlp
            into, out = mlp.dense_h_to_4h.weight, mlp.dense_4h_to_h.weight
        else:
            mlp = self.network.model.layers[layer].mlp
            into, out = mlp.gate_proj.weight, mlp.down_proj.weight
        for number, neuron in enumerate(neurons):
            into[number] = SHARP * self.read(neuron.reads)
            out[:, number] = self.write(neuron.writes) / SHARP
            if self.architecture == "llama":
                mlp.up_proj.weight[number] = self.read({ANY: 1.0})

    def turn_values(self, layer: int) -> None:
        """Rotate the value space of each group of heads, and turn its outputs back."""
        shared = HEADS // GROUPS[self.architecture]
        for group in range(GROUPS[self.architecture]):
            turn = _orthogonal(D_HEAD, self.random)
            for head in range(group * shared, (group + 1) * shared):
                _, _, value, out = self.attention(layer, head)
                if head == group * shared:
                    value.copy_(turn @ value)
                out.copy_(out @ turn.T)


def _empty(architecture: Architecture, vocab: int) -> Any:
    shared: dict[str, Any] = {
        "vocab_size": vocab, "hidden_size": D_MODEL, "intermediate_size": NEURONS, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "max_position_embeddings": 32, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    rotary = {"rope_type": "default", "rope_theta": THETA}
    if architecture == "gpt_neox":
        return GPTNeoXForCausalLM(
            GPTNeoXConfig(**shared, rope_parameters={**rotary, "partial_rotary_factor": 6 / D_HEAD})
        )
    grouped = LlamaConfig(**shared, rope_parameters=rotary, num_key_value_heads=GROUPS["llama"], head_dim=D_HEAD)
    return LlamaForCausalLM(grouped)


def _pairs(width: int) -> Tensor:
    """Orthonormal rows of which each is the difference of two coordinates, or of two such pairs, or of two such fours."""
    rows = []
    step = 1
    while width % (2 * step) == 0 and step < width:
        for start in range(0, width, 2 * step):
            row = torch.zeros(width)
            row[start : start + step], row[start + step : start + 2 * step] = 1.0, -1.0
            rows.append(row / row.norm())
        step *= 2
    return torch.stack(rows)


def _rotated(width: int, random: torch.Generator) -> Tensor:
    """Random orthonormal rows, orthogonal to (1, …, 1)."""
    made = torch.randn(width, width, generator=random)
    made[0] = 1.0
    basis, _ = torch.linalg.qr(made.T)
    return basis.T[1:]


def _orthogonal(width: int, random: torch.Generator | None) -> Tensor:
    basis, _ = torch.linalg.qr(torch.randn(width, width, generator=random))
    return basis
