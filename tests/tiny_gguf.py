"""Writes tiny Llama models as GGUF files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, LlamaConfig

gguf = pytest.importorskip("gguf")

WIDTH = 64  # a multiple of the 32 weights of a block


def config(**more: Any) -> LlamaConfig:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 512, **more}
    return LlamaConfig(**sizes, **more)


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys in the order of llama.cpp, which rotates neighbours and not halves."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write(
    path: Path, folder: Path, kind: str = "Q4_1", *, more: Callable[[Any], None] = lambda _: None, arch: str = "llama"
) -> Path:
    """Write a tiny Llama of a folder as a GGUF file, its matrices quantised."""
    network = AutoModelForCausalLM.from_pretrained(folder)
    words = json.loads((folder / "tokenizer.json").read_text())
    known = network.config
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(known.num_hidden_layers)
    writer.add_context_length(known.max_position_embeddings)
    writer.add_embedding_length(known.hidden_size)
    writer.add_feed_forward_length(known.intermediate_size)
    writer.add_head_count(known.num_attention_heads)
    writer.add_head_count_kv(known.num_key_value_heads)
    writer.add_layer_norm_rms_eps(known.rms_norm_eps)
    writer.add_rope_dimension_count(known.head_dim)
    writer.add_rope_freq_base(known.rope_parameters["rope_theta"])
    writer.add_vocab_size(known.vocab_size)
    vocab = sorted(words["model"]["vocab"], key=words["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocab)
    special = {token["content"] for token in words["added_tokens"]}
    writer.add_token_types([3 if token in special else 1 for token in vocab])
    writer.add_token_merges([" ".join(merge) for merge in words["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, known.num_hidden_layers)
    type_ = gguf.GGMLQuantizationType[kind]
    for name, weight in network.state_dict().items():
        if name == "lm_head.weight" and known.tie_word_embeddings:
            continue
        array = weight.float().numpy()
        if "q_proj" in name:
            array = interleaved(array, known.num_attention_heads)
        if "k_proj" in name:
            array = interleaved(array, known.num_key_value_heads)
        place = names.get_name(name, try_suffixes=(".weight",))
        if array.ndim == 1:
            writer.add_tensor(place, array)
        else:
            writer.add_tensor(place, gguf.quantize(array, type_), raw_dtype=type_)
    more(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
