"""Refuses weight files that do not fill the model: transformers gives such a model random weights, with a warning at most."""

import re
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from distractor.errors import ModelError

SHOWN = 4  # keys of each kind that a message names

MASKS = re.compile(
    r"(^|\.)((attn|attention)\.(bias|masked_bias|causal_mask)|rotary_emb\.inv_freq|position_ids|version)$"
)
"""Keys of older checkpoints that hold no weights: attention masks, rotary frequencies, positions, a format version."""

ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")

HINTS: Mapping[str, str] = {
    "_orig_mod.": "they were saved from a compiled model: save the model inside it",
    "module.": "they were saved from a parallel wrapper: save the model inside it",
    "_scale_inv": "FP8 weights need their quantization_config in config.json",
    "lora_": "merge the adapter into the weights (`merge_and_unload` of peft)",
}
"""The likely cause, by a part of an unexpected key."""


def refuse_adapter(name: str, folder: Path) -> None:
    """Raise ModelError if adapter files are beside the weights; transformers applies them only if peft is installed."""
    if found := [file for file in ADAPTERS if (folder / file).exists()]:
        raise ModelError(
            f"{name}: {folder} holds an adapter ({found[0]}), which is applied only where peft is installed; merge it into "
            "the weights (`merge_and_unload` of peft) and save the model, or remove the adapter's files to use the base model"
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
