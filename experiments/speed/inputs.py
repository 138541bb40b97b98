"""Models and prompts of the races: random weights in the shapes of well-known models, and random tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

_ENDS: Mapping[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}

SHAPES: Mapping[str, PretrainedConfig] = {
    "gpt2-small": GPT2Config(**_ENDS),
    "pythia-70m": GPTNeoXConfig(
        vocab_size=50304, hidden_size=512, intermediate_size=2048, num_hidden_layers=6, num_attention_heads=8, **_ENDS
    ),
    "pythia-410m": GPTNeoXConfig(
        vocab_size=50304,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        **_ENDS,
    ),
    "small-vocabulary": GPT2Config(vocab_size=1024, n_embd=256, n_layer=6, n_head=8, n_positions=256, **_ENDS),
}
"""GPT-2 small, Pythia 70m and 410m, and a small model with a small unembedding."""

ANSWERS = (5, 6)
"""The tokens of the true and the distractor answer, in races where all items share them."""

SWEPT, ATTRIBUTED, READ = 20, 64, 300
"""Tokens of a prompt; prompt pairs for attribution patching; prompts for the logit lens and direct attribution."""

SCORED, PROMPT, ANSWER = 32, 60, 3
"""Prompts with long answers; tokens of each prompt; tokens of each answer."""

NEQA = "neqa_classification.jsonl"

SPREAD = 0.02
"""Standard deviation of the noise added to norms and biases, which are initialized with ones and zeros."""


def save(name: str, folder: Path, text: str = "") -> Path:
    """Save a model with random weights and a byte-level tokenizer trained on `text`."""
    config = SHAPES[name]
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 1:
                weight += SPREAD * torch.randn(weight.shape)
    network.save_pretrained(folder)
    _tokenizer(text, min(config.vocab_size, 50_000)).save_pretrained(folder)
    return folder


def _tokenizer(text: str, vocab: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    marks: dict[str, Any] = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<end>")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **marks)


def pairs(vocab: int, count: int, length: int) -> torch.Tensor:
    """Pairs of prompts that differ in each token, so that no side gains from shared tokens: [pair side pos]."""
    generator = torch.Generator().manual_seed(1)
    first = torch.randint(1, vocab, (count, length), generator=generator)
    return torch.stack([first, (first + 7) % (vocab - 1) + 1], 1)


def long_answers(vocab: int) -> list[tuple[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...]]]]:
    """Prompts with two answers each that differ in their first token."""
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(1, vocab - 1, (SCORED, PROMPT + 2 * ANSWER), generator=generator).tolist()
    return [
        (tuple(row[:PROMPT]), (tuple(row[PROMPT:-ANSWER]), (row[PROMPT] + 1, *row[1 - ANSWER :]))) for row in tokens
    ]
