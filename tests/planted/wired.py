"""A model built by hand, whose mechanism is known, and the task that it does.

    fact A but B :        two letters are given; the true task is to say the second one, the distractor task the first
    fact A and A :        congruent: the second is the same as the first

The model has one layer with four heads and no MLP. At `:`, head 0 reads the first letter and pushes towards it (the
distractor's path). Head 1 does the same for the second letter (the true task's path). Head 2 reads the word between the
letters: it pushes towards `A` for `but` and towards `B` for `and` (a pure detector of conflict). Head 3 reads the first
letter and writes nothing.

With a backup, the model has a second layer. Head 1 of layer 0 then also writes a flag. If the flag is missing, head 2 of
layer 1 reads the second letter and pushes towards it instead.
"""

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from distractor.models.source import Source
from distractor.text.task import Condition, Item, Task
from tiny import word_level

WORDS = ["fact", "but", "and", "nothing", "A", "B", ":"]
LETTERS = ("A", "B")
FIRST, BETWEEN, SECOND = 2, 3, 4
"""Positions after the BOS."""

TOKENS, POSITIONS = 4 + len(WORDS), 6
WIDTH = TOKENS + POSITIONS + 3  # one direction a token, one a position, `A`, `B`, and what head 1 said
TO_A, TO_B, SAID = range(TOKENS + POSITIONS, WIDTH)
BACKUP = "L1H2.z"
LOUD = 100.0
"""Scale of token and position directions: so large that the heads' outputs hardly change the scale of the last norm."""


@dataclass(frozen=True)
class Strengths:
    """The contribution of each head to log p(A) − log p(B), in nats; the letter or word that it reads gives the sign."""

    first: float = 1.0
    second: float = 2.0
    detector: float = 0.0
    backup: float = 0.0


def save(folder: Path, strengths: Strengths) -> Path:
    """Write the model and its tokenizer as an ordinary folder."""
    tokenizer = word_level(WORDS, bos=True)
    number = tokenizer.convert_tokens_to_ids
    config = GPT2Config(
        vocab_size=TOKENS, n_positions=POSITIONS, n_embd=WIDTH, n_layer=1 + bool(strengths.backup), n_head=4,
        tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    network = GPT2LMHeadModel(config)
    d_head = WIDTH // 4
    # Each token and each position is one direction of equal length, so every residual has the same mean and variance.
    # The norm before the heads therefore multiplies by `step` and adds a constant.
    step = 1 / math.sqrt(2 / WIDTH - 4 / WIDTH**2)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.fill_(1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else 0.0)
        network.transformer.wte.weight[:, :TOKENS] = LOUD * torch.eye(TOKENS)
        network.transformer.wpe.weight[:, TOKENS : TOKENS + POSITIONS] = LOUD * torch.eye(POSITIONS)
        reads = {number("A"): 1.0, number("B"): -1.0}, {number("but"): 1.0, number("and"): -1.0}
        attention = network.transformer.h[0].attn
        for head, (position, codes, strength) in enumerate(
            [
                (FIRST, reads[0], strengths.first),
                (SECOND, reads[0], strengths.second),
                (BETWEEN, reads[1], strengths.detector),
                (FIRST, reads[0], 0.0),
            ]
        ):
            query, key, value = (part * WIDTH + head * d_head for part in range(3))
            attention.c_attn.bias[query] = 60 * math.sqrt(d_head) / step
            attention.c_attn.weight[TOKENS + position, key] = 1.0
            for token, code in codes.items():
                attention.c_attn.weight[token, value] = code / step
            attention.c_proj.weight[head * d_head, TO_A] = strength / 2
            attention.c_proj.weight[head * d_head, TO_B] = -strength / 2
        attention.c_proj.weight[d_head, SAID] = 1.0 if strengths.backup else 0.0
        if strengths.backup:
            _back_up(network.transformer.h[1].attn, strengths.backup, step, reads[0])
        # log p(A) − log p(B) is 2 · (LOUD / step) · (x[TO_A] − x[TO_B]) / 2 after a norm that divides by LOUD / step.
        for letter, sign in zip(LETTERS, (1, -1), strict=True):
            network.lm_head.weight[number(letter), TO_A] = sign * LOUD / step / 2
            network.lm_head.weight[number(letter), TO_B] = -sign * LOUD / step / 2
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _back_up(attention: Any, strength: float, step: float, letters: dict[int, float]) -> None:
    """Head 2 attends to the second letter with a score of 30. With the flag, it attends to another position with 60."""
    d_head = WIDTH // 4
    query, key, value = (part * WIDTH + 2 * d_head for part in range(3))
    attention.c_attn.bias[query] = 30 * math.sqrt(d_head) / step
    attention.c_attn.weight[TOKENS + SECOND, key] = 1.0
    # The flag is +1 or −1 in a stream of scale LOUD; the norm subtracts the mean over all directions.
    attention.c_attn.weight[SAID, query + 1] = 60 * math.sqrt(d_head) / step * LOUD / step
    attention.c_attn.bias[query + 1] = 60 * math.sqrt(d_head) / step * LOUD * 2 / WIDTH
    attention.c_attn.weight[TOKENS, key + 1] = 1.0
    attention.c_attn.weight[TOKENS + 1, key + 1] = -1.0
    for token, code in letters.items():
        attention.c_attn.weight[token, value] = code / step
    attention.c_proj.weight[2 * d_head, TO_A] = strength / 2
    attention.c_proj.weight[2 * d_head, TO_B] = -strength / 2


def task(groups: int = 6) -> Task:
    """Both letters in every group."""
    return Task(
        name="wired",
        question="Is the first letter named, although the second is asked for?",
        items=tuple(_item(group, *letters) for group, letters in product(range(groups), (LETTERS, LETTERS[::-1]))),
        source="tests/wired.py",
        layout=r"fact (?P<first>\w+) (?P<between>\w+) (?P<second>\w+) (?P<slot>:)",
    )


def _item(group: int, first: str, second: str) -> Item:
    return Item(
        id=f"{group}{first}",
        group=str(group),
        true=f" {second}",
        distractor=f" {first}",
        prompts={
            Condition.CONFLICT: f"fact {first} but {second} :",
            Condition.CONGRUENT: f"fact {first} and {first} :",
            Condition.DISTRACTOR_SWAPPED: f"fact {second} but {second} :",
            Condition.DISTRACTOR_ONLY: f"fact {first} nothing nothing :",
            Condition.TRUE_ONLY: f"fact nothing nothing {second} :",
            Condition.NEUTRAL: "fact nothing nothing nothing :",
        },
    )


def deepen(folder: Path, out: Path, *, at: int, layers: int) -> Path:
    """The model of one layer, with that layer at depth `at` of `layers`; all other layers do nothing."""
    shallow = GPT2LMHeadModel.from_pretrained(folder)
    config = GPT2Config.from_pretrained(folder)
    config.n_layer = layers
    network = GPT2LMHeadModel(config)
    weights = shallow.state_dict()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            first, _, rest = name.removeprefix("transformer.h.").partition(".")
            if not name.startswith("transformer.h."):
                weight.copy_(weights[name])
            elif int(first) == at:
                weight.copy_(weights[f"transformer.h.0.{rest}"])
            else:
                weight.fill_(1.0 if rest in ("ln_1.weight", "ln_2.weight") else 0.0)
    network.save_pretrained(out)
    word_level(WORDS, bos=True).save_pretrained(out)
    return out


def source(folder: Path, name: str, *, at: int = 0, layers: int = 1, **strengths: float) -> Source:
    """A wired model in a new folder, with its heads in layer `at` of `layers`."""
    flat = save(folder / f"{name}-flat", Strengths(**strengths))
    return Source("models", name, deepen(flat, folder / name, at=at, layers=layers) if layers > 1 else flat)
