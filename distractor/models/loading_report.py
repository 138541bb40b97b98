"""Refuses weight files that do not fill the model: transformers gives such a model random weights, with a warning at most."""

import re
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from distractor.errors import ModelError
from distractor.models.adapter import CONFIG, WEIGHTS

SHOWN = 4  # keys of each kind that a message names

MASKS = re.compile(
    r"(^|\.)((attn|attention)\.(bias|masked_bias|causal_mask)|rotary_emb\.inv_freq|position_ids|version)$"
)
"""Keys of older checkpoints that hold no weights: attention masks, rotary frequencies, positions, a format version."""

HINTS: Mapping[str, str] = {
    "_orig_mod.": "they were saved from a compiled model: save the model inside it",
    "module.": "they were saved from a parallel wrapper: save the model inside it",
    "_scale_inv": "FP8 weights need their quantization_config in config.json",
    "lora_": "they belong to an adapter: name it as BASE+ADAPTER_FOLDER",
}
"""The likely cause, by a part of an unexpected key."""


def refuse_adapter(name: str, folder: Path) -> None:
    """Raise ModelError if adapter files are beside the weights; transformers applies them only if peft is installed."""
    if found := [file for file in (CONFIG, *WEIGHTS) if (folder / file).exists()]:
        raise ModelError(
            f"{name}: {folder} holds an adapter ({found[0]}) beside the weights, which is applied only where peft is "
            f"installed; move the adapter's files into a folder of their own, then name {folder} (without the adapter) or "
            f"{folder}+ADAPTER_FOLDER (with it, merged)"
        )


def refuse_incomplete(name: str, report: Mapping[str, Collection[Any]]) -> None:
    """Raise ModelError, naming the keys, if the loading report of transformers shows that weights and model differ."""
    refuse_keys(
        name,
        {
            "missing": report["missing_keys"],
            "unexpected": [key for key in report["unexpected_keys"] if not MASKS.search(key)],
            "of another shape": [key for key, *_ in report["mismatched_keys"]],
        },
    )


def refuse_keys(name: str, keys: Mapping[str, Collection[str]]) -> None:
    """Raise ModelError if there are keys of any kind."""
    if not any(keys.values()):
        return
    kinds = [f"{kind}: {_shown(found)}" for kind, found in keys.items() if found]
    hints = [hint for part, hint in HINTS.items() if any(part in key for key in keys.get("unexpected", ()))]
    raise ModelError(
        f"{name}: the weight files do not match the model in config.json ({'; '.join(kinds)}); "
        + (hints[0] if hints else "expected every weight of the model and no other, as written by `save_pretrained`")
    )


def unconverted_keys(error: BaseException) -> list[str]:
    """The keys that transformers could not convert, which its public report lacks: its own frame in the traceback has
    them.
    """
    frames = (frame.f_locals.get("loading_info") for frame, _ in traceback.walk_tb(error.__traceback__))
    return sorted({key for info in frames for key in getattr(info, "conversion_errors", None) or ()})


def _shown(keys: Collection[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(sorted(keys)[:SHOWN]) + more
