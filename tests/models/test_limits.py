"""A model's context, and the length up to which texts may share a sequence, follow from its configuration."""

from typing import Any

import pytest
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

from distractor.models.limits import context_length, rope_limit, shared_length

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
