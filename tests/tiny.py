"""Tiny models with random weights, and tokenizers, in ordinary `save_pretrained` folders."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OPTConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from distractor.text.task import Condition, Item, Task

CONTEXT = 48

OTHER_TEXT = """The ship left the harbour at dawn, and nobody on the quay knew where it would go. Its captain had said
that the answer was in a letter; the letter was not to be opened until they had passed the last island. "Question
me as you like," he said, "I shall not answer." A. B. The cook, who came from France, had seen the capital of every country
on the way, Paris and Rome and London among them, and he thought that gold was the least of what they carried."""
"""The training text of the byte-level tokenizer, which is not the text of any task."""

Config = Callable[..., PretrainedConfig]

_GATED: Mapping[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}

ARCHITECTURES: Mapping[str, Config] = {
    "gpt2": partial(GPT2Config, n_embd=16, n_layer=2, n_head=4, n_positions=CONTEXT),
    "gpt_neox": partial(GPTNeoXConfig, **_GATED, rotary_pct=0.5),
    "gpt_neox_sequential": partial(GPTNeoXConfig, **_GATED, use_parallel_residual=False),
    "llama": partial(LlamaConfig, **_GATED),
    "llama_grouped_tied": partial(LlamaConfig, **_GATED, num_key_value_heads=2, tie_word_embeddings=True),
    "opt": partial(
        OPTConfig,
        hidden_size=16,
        ffn_dim=24,
        word_embed_proj_dim=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
    ),
    "qwen2": partial(Qwen2Config, **_GATED, num_key_value_heads=4),
    "qwen2_grouped": partial(Qwen2Config, **_GATED, num_key_value_heads=1, tie_word_embeddings=True),
    "gemma2": partial(
        Gemma2Config, **_GATED, num_key_value_heads=2, head_dim=6, sliding_window=8, query_pre_attn_scalar=6
    ),
    "mistral": partial(MistralConfig, **_GATED, num_key_value_heads=2, sliding_window=8),
    "qwen3": partial(Qwen3Config, **_GATED, num_key_value_heads=2, head_dim=6),
    "gemma3": partial(
        Gemma3TextConfig, **_GATED, num_key_value_heads=2, head_dim=6, sliding_window=8, query_pre_attn_scalar=6
    ),
}
FURTHER: Mapping[str, Config] = {
    "gemma3_wide": partial(
        Gemma3TextConfig, **_GATED, num_key_value_heads=2, head_dim=6, sliding_window=4096, query_pre_attn_scalar=6
    ),
    "olmo2": partial(Olmo2Config, **_GATED, num_key_value_heads=2),
    # Like OPT-350m: norms after the sums, no final norm, and embeddings narrower than the residual stream.
    "opt_350m": partial(
        OPTConfig,
        hidden_size=16,
        ffn_dim=24,
        word_embed_proj_dim=8,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        do_layer_norm_before=False,
    ),
}
"""Architectures that can be scored but do not support every probe."""

GROUPED = [name for name in ARCHITECTURES if "grouped" in name] + ["gemma2", "mistral", "qwen3", "gemma3"]

PAIRS = (
    ("Rome", "Paris"),
    ("gold", "iron"),
    ("lamb", "kitten"),
    ("hen", "ten"),
    ("London", "Oslo"),
    ("sad", "proud"),
)


def task(pairs: Sequence[tuple[str, str]] = PAIRS) -> Task:
    """Make two items of each pair, one with each word as the distractor; `Not` says to avoid the named word."""
    return Task(
        name="tiny",
        question="Is a word said because it was named?",
        items=tuple(_item(true, named) for pair in pairs for true, named in (pair, pair[::-1])),
        source="tests/tiny.py",
        layout=r"(?P<cue>Not|Yes|Now|Yea|Oh)? ?(?P<named>\w+)?\. Say(?P<slot>:)",
    )


def _item(true: str, named: str) -> Item:
    return Item(
        id=f"{named}>{true}",
        group="/".join(sorted((true, named))),
        true=f" {true}",
        distractor=f" {named}",
        prompts={
            Condition.CONFLICT: f"Not {named}. Say:",
            Condition.CONGRUENT: f"Yes {named}. Say:",
            Condition.DISTRACTOR_SWAPPED: f"Not {true}. Say:",
            Condition.DISTRACTOR_ONLY: f"{named}. Say:",
            Condition.NEUTRAL: ". Say:",
        },
        rewordings={Condition.CONGRUENT: tuple(f"{cue} {named}. Say:" for cue in ("Now", "Yea", "Oh"))},
    )


def texts_of(task: Task) -> list[str]:
    """Return every prompt of the task with each answer, in all wordings."""
    return [w + a for item in task.items for c in item.prompts for w in item.wordings(c) for a in item.answers]


def words_of(*texts: str) -> list[str]:
    """Return the distinct words and punctuation signs of `texts`, split as the word-level tokenizer does."""
    splitter = _splitter()
    return list(dict.fromkeys(word for text in texts for word, _ in splitter.pre_tokenize_str(text)))


def word_level(words: list[str], *, bos: bool = True) -> PreTrainedTokenizerFast:
    """Make a tokenizer with one token per word or sign; it drops spaces, and other words are `<unk>`."""
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = _splitter()
    return _fast(tokenizer, bos=bos, unk_token="<unk>")


def byte_level(text: str = OTHER_TEXT, *, vocab: int = 400, bos: bool = False, **more: Any) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer like that of GPT-2 on `text`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return _fast(tokenizer, bos=bos, **more)


def pieces(text: str = OTHER_TEXT, *, vocab: int = 480, bos: bool = True) -> PreTrainedTokenizerFast:
    """Train a tokenizer like SentencePiece: `▁` is the space before a piece, and unknown signs become bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=["<pad>", "<bos>", "<eos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return _fast(tokenizer, bos=bos, unk_token="<unk>")


def _splitter() -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Punctuation()]
    )


def _fast(tokenizer: Tokenizer, *, bos: bool, **more: Any) -> PreTrainedTokenizerFast:
    if bos:
        number = tokenizer.token_to_id("<bos>")
        tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", number)])
    special = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"} | more
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special)


def save(
    folder: Path, config: Config, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0, spread: float = 0.3
) -> Path:
    """Save a model whose weights, norms and biases included, get random noise of standard deviation `spread`."""
    model = AutoModelForCausalLM.from_config(
        config(vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, pad_token_id=0)
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += spread * torch.randn(weight.shape, generator=random)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@cache
def plain(folder: str, dtype: torch.dtype = torch.float64) -> Any:
    """Load a folder with plain transformers."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def modules(network: Any, layer: int) -> tuple[Any, Any]:
    """A layer's map from heads to the stream, and its MLP, in plain transformers."""
    if hasattr(network, "transformer"):
        block = network.transformer.h[layer]
        return block.attn.c_proj, block.mlp
    if hasattr(network, "gpt_neox"):
        block = network.gpt_neox.layers[layer]
        return block.attention.dense, block.mlp
    block = network.model.layers[layer]
    return block.self_attn.o_proj, block.mlp
