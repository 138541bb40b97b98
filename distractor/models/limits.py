"""How long texts may be in a model, from its configuration in transformers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")

WINDOW = re.compile(r"window|chunk|local|block_size|stride|(?:^|_)band|floor_scale|lsh|original_max_position")
"""Names of settings that hide tokens from others, or treat them differently, beyond a distance or in blocks:
`sliding_window`, `window_size` (GPT-Neo), `attention_chunk_size` (Llama 4), `original_max_position_embeddings` (Phi-3).
"""

OTHER = re.compile(r"^(?:use|num|max|n)_|layers?$|layer_(?:ids|indices)$|feed_forward|pattern$|prob|experts|resblock")
"""Names that match `WINDOW` and are no distance: `num_local_experts`, `max_window_layers`, `chunk_size_feed_forward`."""

KNOWN_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention", "attention"})
MOVING_ROPE = ("dynamic", "longrope")  # their frequencies depend on the longest text of a pass


def context_length(config: Any) -> int | None:
    """The number of positions that a model has; None without a limit (BLOOM, Mamba, Falcon with ALiBi)."""
    config = config.get_text_config()
    # ALiBi has no table of positions; only MPT fixes its length.
    names = ("max_seq_len",) if getattr(config, "alibi", False) else CONTEXT_NAMES
    values = (getattr(config, name, None) for name in names)
    return next((int(value) for value in values if isinstance(value, int) and value > 0), None)


def shared_length(config: Any) -> int | None:
    """The length up to which every token attends to all tokens before it, so that a custom mask is right; None: any.

    Beyond it, texts must not share a sequence or a cache. It is 0 if a layer is no attention.
    """
    config = config.get_text_config()
    if set(getattr(config, "layer_types", None) or ()) - KNOWN_LAYERS:
        return 0
    settings = config.to_dict()
    windows = [size for scope in (settings, *_scalings(settings)) for size in _windows(scope)]
    return min((size for size in (*windows, rope_limit(config)) if size is not None), default=None)


def rope_limit(config: Any) -> int | None:
    """The length at which rotary frequencies change for all texts of a pass (LongRoPE, dynamic scaling); None: never."""
    config = config.get_text_config()
    settings = config.to_dict()
    for scaling in _scalings(settings):
        if scaling.get("rope_type", scaling.get("type")) in MOVING_ROPE:
            name = "original_max_position_embeddings"
            return int(scaling.get(name) or settings.get(name) or context_length(config) or 0)
    return None


def _scalings(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The settings of rotary positions: one, or one for each type of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        if isinstance(scaling := settings.get(name), Mapping):
            yield from (scaling, *(inner for inner in scaling.values() if isinstance(inner, Mapping)))


def _windows(settings: Mapping[str, Any]) -> Iterator[int]:
    for name, value in settings.items():
        if WINDOW.search(name) and not OTHER.search(name):
            yield from _positive(value)


def _positive(value: Any) -> Iterator[int]:
    """The positive integers in a number or in nested lists of numbers."""
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _positive(inner)
    elif isinstance(value, int) and not isinstance(value, bool) and value > 0:
        yield value
