"""Which heads a model has, by its config.json: known before any weights are loaded."""

import json
from pathlib import Path

from distractor.models.source import Source

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
"""What architectures call them."""


def count_layers_and_heads(folder: Path) -> tuple[int, int]:
    """How many layers, and heads in each, 0 where its config does not tell.

    Raises:
        OSError, ValueError, TypeError, AttributeError: there is no config that can be read.

    """
    told = json.loads((folder / "config.json").read_text())
    told = told.get("text_config") or told
    layers, heads = (next((int(told[name]) for name in names if name in told), 0) for names in (LAYERS, HEADS))
    return layers, heads


def head_names(source: Source) -> tuple[str, ...]:
    """Every head as `L0H1`, the first layer's first; none where its config does not tell."""
    try:
        layers, heads = count_layers_and_heads(source.folder)
    except (OSError, ValueError, TypeError, AttributeError):
        return ()
    return tuple(f"L{layer}H{head}" for layer in range(layers) for head in range(heads))
