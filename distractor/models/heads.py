"""Reads sizes of a model from its config.json or the header of its GGUF file, without loading weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distractor.files import read_file
from distractor.models.gguf_file import is_gguf, read_header
from distractor.models.source import Source

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")  # keys of different architectures
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")  # likewise


def read_config(folder: Path) -> Mapping[str, Any]:
    """The configuration of a language model. Raises what reading a damaged config raises, ModelError for a GGUF file."""
    if is_gguf(folder):
        return read_header(folder).config
    config = json.loads(read_file(folder / "config.json"))
    return dict(config.get("text_config") or config)


def count_layers_and_heads(folder: Path) -> tuple[int, int]:
    """Return the number of layers and of heads per layer, 0 if unknown. Raises what reading a damaged config raises."""
    config = read_config(folder)
    layers, heads = (next((int(config[name]) for name in names if name in config), 0) for names in (LAYERS, HEADS))
    return layers, heads


def usual_layers_and_heads(n_params: int) -> tuple[int, int]:
    """The usual number of layers, and of heads per layer, of a model of this size, for a plan without its config.

    Widths are about 100 times the number of layers, a layer has 12 weights for each pair of dimensions, and a head has 64.
    """
    layers = max(1, round((n_params / 120_000) ** (1 / 3)))
    return layers, max(1, round(100 * layers / 64))


def head_names(source: Source) -> tuple[str, ...]:
    """Name every head as `L0H1`, from the first layer on; empty if the config does not state their number."""
    try:
        layers, heads = count_layers_and_heads(source.folder)
    except (OSError, ValueError, TypeError, AttributeError):
        return ()
    return tuple(f"L{layer}H{head}" for layer in range(layers) for head in range(heads))
