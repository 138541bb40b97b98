"""Which heads a model has, by its config.json: known before any weights are loaded."""

import json

from distractor.source import Source

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
"""What architectures call them."""


def heads_of(source: Source) -> tuple[str, ...]:
    """Every head as `L0H1`, the first layer's first; none where its config does not tell."""
    try:
        told = json.loads((source.folder / "config.json").read_text())
        told = told.get("text_config") or told
        layers, heads = (next((int(told[name]) for name in names if name in told), 0) for names in (LAYERS, HEADS))
    except (OSError, ValueError, TypeError, AttributeError):
        return ()
    return tuple(f"L{layer}H{head}" for layer in range(layers) for head in range(heads))
