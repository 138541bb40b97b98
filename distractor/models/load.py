"""Loads a model folder with its tokenizer."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distractor.errors import ModelError
from distractor.models.device import pick_device
from distractor.models.memory import free_memory, in_memory, without_progress_bars
from distractor.models.model import Model
from distractor.models.self_check import _plainly, check_against

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(
    folder: Path,
    *,
    name: str | None = None,
    tokenizer: Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    device_map: str | None = None,
    bos: bool | None = None,
    self_check: bool = False,
) -> Model:
    """Load a folder written by `save_pretrained`, with its tokenizer or that of another folder. No network is touched.

    `device_map` spreads a model that is larger than one device over all (`auto`, `balanced`, `sequential`). For `bos`, see
    `wrap`. With `self_check` the model is first compared with plain transformers (`check_against`), one of the two in
    memory at a time. What the model before left in memory is given back first.

    Raises:
        ModelError: no model or tokenizer can be read there, TransformerLens does not know its architecture, the device is
            not there, or the check failed.

    """
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    name = name or str(folder)
    wanted = "wanted is a folder written by `save_pretrained`, with config.json, weights and tokenizer"
    for place in (folder, *([tokenizer] if tokenizer else [])):
        if not place.is_dir():  # transformers would take the path for a hub id
            raise ModelError(f"there is no folder {place}; {wanted}")
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is unknown; there is: {', '.join(DTYPES)}")
    if device_map is not None and device_map not in DEVICE_MAPS:
        raise ModelError(f"device map {device_map!r} is unknown; there is: {', '.join(DEVICE_MAPS)}")
    where: dict[str, Any] = {"device_map": device_map} if device_map else {"device": pick_device(device)}
    free_memory()
    with without_progress_bars():
        try:
            words = AutoTokenizer.from_pretrained(tokenizer or folder, local_files_only=True)
            if len(words) <= len(words.added_tokens_decoder):  # what is made where no file is
                raise FileNotFoundError("it has no tokenizer")
            plain = _plainly(folder, words, DTYPES[dtype], where) if self_check else None
            free_memory()
            bridge = TransformerBridge.boot_transformers(str(folder), dtype=DTYPES[dtype], tokenizer=words, **where)
        # A damaged file ends in whatever its reader raises: pickle, safetensors, json, configurations.
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{name}: no model could be loaded from {folder} ({first}); {wanted}") from error
    in_memory.add(bridge)
    model = wrap(bridge, words, name=name, bos=bos)
    try:
        return model if plain is None else replace(model, check=check_against(model, plain))
    except RuntimeError as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{name}: it was loaded but cannot be run as {dtype} on {device_map or device} ({first})"
        ) from error


DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def wrap(bridge: Any, tokenizer: Any, *, name: str, bos: bool | None = None) -> Model:
    """A `TransformerBridge` and a fast tokenizer that are already in memory, as a `Model`.

    Before prompts stands the BOS token where the tokenizer itself would put it; `bos` says otherwise.

    Raises:
        ModelError: the tokenizer is a slow one, which cannot say which characters a token covers, or it has no BOS and
            one was asked for.

    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{name}: a fast tokenizer (tokenizer.json) is needed; this one is a {type(tokenizer).__name__}"
        )
    if bos and tokenizer.bos_token_id is None:
        raise ModelError(f"{name}: its tokenizer has no BOS token to put before prompts; leave --bos out, or say no")
    bridge.eval().requires_grad_(False)
    with_bos = [tokenizer.bos_token_id, *tokenizer("a", add_special_tokens=False).input_ids]
    puts_bos = tokenizer("a").input_ids[: len(with_bos)] == with_bos if bos is None else bos
    context = getattr(bridge.cfg, "n_ctx", None)
    return Model(
        name=name,
        bridge=bridge,
        tokenizer=tokenizer,
        n_params=int(bridge.n_params_total),
        n_layers=int(bridge.cfg.n_layers),
        n_heads=int(bridge.cfg.n_heads),
        vocab=int(bridge.cfg.d_vocab),
        context=int(context) if context and not math.isinf(context) else None,
        bos=tokenizer.bos_token_id if puts_bos else None,
    )
