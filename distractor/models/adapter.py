"""Adapters of peft: which files one has, and how it is merged into its base model."""

import json
import warnings
from pathlib import Path
from typing import Any

from distractor.errors import ModelError, first_line
from distractor.files import read_file

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
CLOSE = 1e-3
"""The largest difference of log-probabilities, in nats, between an applied and a merged adapter (at large logits, this
share of them; in half precision 5 %).
"""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return any((folder / name).is_file() for name in (CONFIG, *WEIGHTS))


def adapter_files(folder: Path) -> list[Path]:
    """The files that decide what an adapter computes: its configuration, and the weights that peft loads."""
    weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    return [folder / CONFIG, *weights[:1]]


def check_adapter(folder: Path) -> None:
    """Raise ModelError if a folder holds no complete adapter."""
    lacking = [each for each in (CONFIG, WEIGHTS[0]) if not (folder / each).is_file()]
    if lacking == [WEIGHTS[0]] and (folder / WEIGHTS[1]).is_file():
        return
    if not folder.is_dir() or lacking:
        what = f"it lacks {lacking[0]}" if folder.is_dir() else "there is no such folder"
        raise ModelError(
            f"{folder} is not an adapter ({what}); expected a folder with {CONFIG} and {WEIGHTS[0]}, as written by "
            "`save_pretrained` of peft"
        )


def base_of(folder: Path) -> str:
    """The base model that an adapter names, or BASE."""
    try:
        return str(json.loads(read_file(folder / CONFIG))["base_model_name_or_path"] or "BASE")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "BASE"


def merge_adapter(network: Any, folder: Path, *, name: str) -> Any:
    """Apply an adapter to its base model and merge it into the weights.

    Raises ModelError if the adapter does not fit the base model, cannot be merged, or changes what it computes when it is
    merged; or if the package peft is missing.
    """
    import torch

    try:
        import peft
    except ImportError as error:
        raise ModelError(f"{name}: adapters need the package peft; pip install 'distractor[peft]'") from error
    check_adapter(folder)
    misfit = f"{name}: the adapter {folder} does not fit this base model"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of is checked below
            applied = peft.PeftModel.from_pretrained(network, str(folder), is_trainable=False).eval()
            if not hasattr(applied.base_model, "merge_and_unload"):
                kind = applied.peft_config["default"].peft_type
                raise ModelError(
                    f"{name}: an adapter of type {getattr(kind, 'value', kind)} cannot be merged; use LoRA"
                )
            _refuse_other_keys(misfit, peft, applied, folder)
        with torch.inference_mode():
            tokens = torch.arange(min(8, network.get_input_embeddings().weight.shape[0]))[None]
            tokens = tokens.to(next(network.parameters()).device)
            before = applied(input_ids=tokens, use_cache=False).logits.double().log_softmax(-1)
            merged = applied.merge_and_unload(safe_merge=True).eval()
            after = merged(input_ids=tokens, use_cache=False).logits.double().log_softmax(-1)
    except ModelError:
        raise
    except Exception as error:  # peft raises errors of torch, of safetensors, of json and its own
        raise ModelError(f"{misfit} ({first_line(error)}); the adapter names {base_of(folder)} as its base") from error
    difference = float((before - after).abs().max())
    share = CLOSE if next(network.parameters()).dtype in (torch.float32, torch.float64) else 0.05
    if not difference <= share * max(1.0, float(before.abs().max())):
        raise ModelError(
            f"{name}: merging this adapter changes log-probabilities by up to {difference:.2g} nats, so the merged model is "
            "not the one that was trained (tied embeddings and activated LoRA are known cases)"
        )
    return merged.requires_grad_(False)


def _refuse_other_keys(misfit: str, peft: Any, applied: Any, folder: Path) -> None:
    """Refuse an adapter with weights that the model has no place for, or the other way round; peft warns at most."""
    stored = set(peft.load_peft_weights(str(folder), device="cpu"))
    used, with_embeddings = (
        set(peft.get_peft_model_state_dict(applied, save_embedding_layers=also)) for also in (False, True)
    )
    if surplus := sorted(stored - with_embeddings):
        raise ModelError(f"{misfit}: {len(surplus)} of its weights have no place there, such as {surplus[0]}")
    if missing := sorted(used - stored):
        raise ModelError(f"{misfit}: it lacks weights for {len(missing)} places, such as {missing[0]}")
