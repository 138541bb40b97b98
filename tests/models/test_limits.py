"""A model's context, and the length up to which texts may share a sequence, follow from its configuration."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BloomConfig,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    JambaConfig,
    Llama4TextConfig,
    LlamaConfig,
    Mamba2Config,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    MptConfig,
    OPTConfig,
    Phi3Config,
    Qwen2Config,
    RecurrentGemmaConfig,
)

import tiny
from distractor.errors import ModelError
from distractor.models.limits import context_length, rope_limit, shared_length
from distractor.models.load import load
from distractor.models.model import Model
from distractor.probing.run import batch
from distractor.scoring.encode import encode
from distractor.scoring.generate import generate
from distractor.scoring.score import score
from distractor.text.task import Condition

pytestmark = pytest.mark.quick

LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [2.0] * 4,
    "original_max_position_embeddings": 64,
    "factor": 2.0,
}


@pytest.mark.parametrize(
    ("config", "context"),
    [
        (GPT2Config(n_positions=77), 77),
        (GPTJConfig(n_positions=77), 77),
        (OPTConfig(max_position_embeddings=77), 77),
        (LlamaConfig(max_position_embeddings=77), 77),
        (MptConfig(max_seq_len=77), 77),
        (FalconConfig(max_position_embeddings=77), 77),
        (FalconConfig(max_position_embeddings=77, alibi=True), None),
        (BloomConfig(), None),
        (BloomConfig(seq_length=2048), None),
        (MambaConfig(), None),
        (Mamba2Config(), None),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int | None) else str(value),
)
def test_the_context_is_that_of_the_architecture(config: Any, context: int | None) -> None:
    assert context_length(config) == context


@pytest.mark.parametrize(
    ("config", "length"),
    [
        (GPT2Config(), None),
        (GPTNeoXConfig(), None),
        (LlamaConfig(), None),
        (BloomConfig(), None),
        (MixtralConfig(num_local_experts=8, sliding_window=None), None),
        (Qwen2Config(use_sliding_window=False, max_window_layers=3, sliding_window=9), None),
        (Qwen2Config(use_sliding_window=True, max_window_layers=0, sliding_window=9), 9),
        (GPTNeoConfig(window_size=9, num_layers=2, attention_types=[[["global", "local"], 1]]), 9),
        (MistralConfig(sliding_window=9), 9),
        (Gemma3TextConfig(sliding_window=9), 9),
        (Llama4TextConfig(attention_chunk_size=9), 9),
        (RecurrentGemmaConfig(attention_window_size=9), 0),
        (JambaConfig(), 0),
        (MambaConfig(), 0),
        (LlamaConfig(max_position_embeddings=128, rope_parameters={**LONGROPE, "rope_theta": 1e4}), 64),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int | None) else str(value),
)  # fmt: skip
def test_no_text_is_shared_beyond_a_window(config: Any, length: int | None) -> None:
    assert shared_length(config) == length


def test_rotary_frequencies_that_follow_the_longest_text_are_known() -> None:
    assert rope_limit(LlamaConfig()) is None
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert rope_limit(LlamaConfig(max_position_embeddings=77, rope_parameters=rope)) == 77
    assert rope_limit(Phi3Config()) is None


def longrope(folder: Path, limit: int) -> Model:
    """A model whose rotary frequencies are others in passes with a text of more than `limit` tokens."""
    rope = {**LONGROPE, "short_factor": [1.0] * 2, "long_factor": [9.0] * 2, "rope_theta": 1e4}
    config = partial(tiny.ARCHITECTURES["llama"], rope_parameters={**rope, "original_max_position_embeddings": limit})
    return load(tiny.save(folder, config, tiny.byte_level()), device="cpu", dtype="float64")


def test_texts_on_both_sides_of_a_change_of_frequencies_share_no_pass(tmp_path: Path) -> None:
    model = longrope(tmp_path / "6", 6)
    tokens = torch.arange(4, 12)[None]
    alone, padded = (model.log_probs(tokens[:, :length], torch.tensor([4]))[0] for length in (5, 8))
    assert (alone - padded).abs().max() > 1e-3, "padding changes nothing, nor does this test show anything"
    encoding = encode(tiny.task(), model)
    lengths = {len(row.prompt) for row in encoding.rows[Condition.CONFLICT] if row}
    assert 6 < min(lengths) < max(lengths)
    batch(encoding, model.hooked, [Condition.CONFLICT])
    with pytest.raises(ModelError, match=f"more than {min(lengths)} tokens"):
        batch(encoding, longrope(tmp_path / "more", min(lengths)).hooked, [Condition.CONFLICT])
    with pytest.raises(ModelError, match="more than 6 tokens"):
        generate(model, tiny.task().items[:1], [(4, 5, 6, 7)], 4)


@pytest.mark.parametrize(
    ("config", "context"),
    [
        (partial(BloomConfig, hidden_size=16, n_layer=1, n_head=2), None),
        (partial(MambaConfig, hidden_size=16, num_hidden_layers=1, state_size=4), None),
        (tiny.ARCHITECTURES["gpt2"], tiny.CONTEXT),
    ],
    ids=["bloom", "mamba", "gpt2"],
)
def test_a_loaded_model_has_this_context(config: tiny.Config, context: int | None, tmp_path: Path) -> None:
    assert load(tiny.save(tmp_path, config, tiny.byte_level()), device="cpu").context == context


def test_falcons_new_decoder_is_scored_and_not_probed(tmp_path: Path) -> None:
    config = partial(FalconConfig, hidden_size=16, num_hidden_layers=1, num_attention_heads=4, num_kv_heads=2,
        new_decoder_architecture=True)  # fmt: skip
    model = load(tiny.save(tmp_path, config, tiny.byte_level()), device="cpu", self_check=True)
    encoding = encode(tiny.task(), model)
    rows = encoding.rows[Condition.CONFLICT]
    assert np.isfinite(score(model, encoding.items, [row for row in rows if row])).all()
    with pytest.raises(ModelError, match=r"new_decoder_architecture.*scored but not probed"):
        _ = model.hooked
