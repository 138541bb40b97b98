"""Loads a model folder or a GGUF file, with its tokenizer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distractor.errors import ModelError, first_line
from distractor.models.adapter import merge_adapter
from distractor.models.device import pick_device
from distractor.models.gguf_file import is_gguf, load_gguf, read_header
from distractor.models.limits import context_length
from distractor.models.loading_report import refuse_adapter, refuse_incomplete, refuse_keys, unconverted_keys
from distractor.models.memory import free_memory, loaded_networks, quiet_transformers
from distractor.models.model import WEIGHT_TREATMENT, Model
from distractor.models.remote_code import refuse_foreign_code
from distractor.models.self_check import choose_attention, set_attention
from distractor.models.self_check import self_check as check

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def load(
    folder: Path,
    *,
    name: str | None = None,
    tokenizer: Path | None = None,
    adapter: Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    device_map: str | None = None,
    bos: bool | None = None,
    self_check: bool = False,
    trust_remote_code: bool = False,
    attention: str = "eager",
) -> Model:
    """Load a folder written by `save_pretrained`, or a GGUF file, without using the network.

    `tokenizer` is the folder of the tokenizer, by default the same one. `adapter` is the folder of an adapter of peft,
    which is merged into the weights. `device_map` spreads a large model over all
    devices. For `bos`, see `as_model`. `self_check` compares scores with plain transformers first (see `self_check`).
    `trust_remote_code` runs Python files of the folder if its configuration names them.
    `attention` is eager, which hooks need, or sdpa. Where the architecture does not support sdpa, it is eager; where eager
    attention differs from the default of transformers by more than rounding, it is that default.

    Raises ModelError if the folder holds no readable model or tokenizer, its weights do not fill the model, the device is
    not available, the folder needs its own code and is not trusted, or the self-check fails.
    """
    name = name or str(folder)
    expected = "expected a folder written by `save_pretrained`, with config.json, weights and tokenizer"
    for path in [each for each in (folder, tokenizer or folder) if not is_gguf(each)]:
        if not path.is_dir():  # transformers would take the path for a hub id
            raise ModelError(f"no folder {path}; {expected}")
    if dtype not in DTYPES:
        raise ModelError(f"unknown dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
    if device_map is not None and device_map not in DEVICE_MAPS:
        raise ModelError(
            f"unknown device map {device_map!r}; expected one of {', '.join(DEVICE_MAPS)}; for one device, use --device"
        )
    if trust_remote_code:
        for path in {folder, tokenizer or folder}:
            refuse_foreign_code(path)
    trust = {"trust_remote_code": trust_remote_code}  # None would ask on the terminal
    place = pick_device(device) if device_map is None else device_map
    straight = (
        {"": place} if device_map is None and place != "cpu" else device_map
    )  # never through the machine's memory
    refuse_adapter(name, folder)
    free_memory()
    with quiet_transformers():
        try:
            if is_gguf(folder):
                expected = "expected a GGUF file of an architecture that transformers reads"
                words, network = _load_gguf(folder, name, DTYPES[dtype], straight)
            else:
                words = _load_tokenizer(tokenizer or folder, **trust)
                network = load_network(folder, name=name, dtype=DTYPES[dtype], device_map=straight, **trust)
            network = network if device_map else network.to(place)
            if adapter is not None:
                network = merge_adapter(network, adapter, name=name)
        except ModelError:
            raise
        # A damaged file raises the error of its reader: pickle, safetensors, json or a configuration class.
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise ModelError(
                    f"{name}: {folder} needs its own Python code, which is never run unasked; read its .py files, then "
                    "allow them with --trust-remote-code"
                ) from error
            raise ModelError(f"{name}: cannot load a model from {folder} ({first_line(error)}); {expected}") from error
    model = replace(as_model(network, words, name=name, bos=bos), weights=_treatment(folder, adapter))
    try:
        if self_check:
            return replace(model, check=check(model, attention))
        if attention == "eager":
            set_attention(model, "eager")
        else:
            choose_attention(model, attention)
        return model
    except RuntimeError as error:
        raise ModelError(
            f"{name}: the model is loaded but cannot run as {dtype} on {place} ({first_line(error)})"
        ) from error


def _treatment(folder: Path, adapter: Path | None) -> str:
    """How weights are changed before use: see `Model.weights`."""
    changes = [read_header(folder).treatment] if is_gguf(folder) else []
    changes += ["adapter merged"] if adapter else []
    return ", ".join([*changes, "then nothing folded or centred"]) if changes else WEIGHT_TREATMENT


def import_transformers() -> None:
    """Import what the first load would import, which takes seconds."""
    import transformers

    _ = transformers.AutoTokenizer, transformers.AutoModelForCausalLM


def load_network(
    folder: Path,
    *,
    name: str,
    dtype: torch.dtype,
    device_map: str | dict[str, str] | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """Load the network of a folder with transformers. A `device_map` loads its weights straight to their devices.

    Raises ModelError if the weights do not fill it.
    """
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            device_map=device_map,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the report names them
            trust_remote_code=trust_remote_code,
        )
    except RuntimeError as error:
        refuse_keys(name, {"not converted": unconverted_keys(error)})
        raise
    network, report = loaded
    return _complete(name, network, report)


def _complete(name: str, network: Any, report: Any) -> Any:
    """A network whose weights are all there, ready for passes."""
    refuse_incomplete(name, report)
    loaded_networks.add(network)
    return network.eval().requires_grad_(False)


def _load_gguf(path: Path, name: str, dtype: torch.dtype, device_map: str | dict[str, str] | None) -> tuple[Any, Any]:
    """Load the tokenizer and the network of a GGUF file."""
    tokenizer, network, report = load_gguf(
        path, name=name, dtype=dtype, device_map=device_map, ignore_mismatched_sizes=True
    )
    return tokenizer, _complete(name, network, report)


def _load_tokenizer(folder: Path, *, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    tokenizer.init_kwargs.update(trust_remote_code=trust_remote_code)  # TransformerLens loads it again with these
    if len(tokenizer) <= len(tokenizer.added_tokens_decoder):  # an empty tokenizer, made because the file is missing
        raise FileNotFoundError("it has no tokenizer")
    return tokenizer


def as_model(network: Any, tokenizer: Any, *, name: str, bos: bool | None = None) -> Model:
    """Make a `Model` from a network of transformers and a fast tokenizer; `bos` None is the tokenizer's own setting.

    Raises ModelError if the tokenizer is slow, so it cannot map tokens to characters, or lacks the requested BOS token.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"{name}: needs a fast tokenizer (tokenizer.json); this one is a {type(tokenizer).__name__}")
    if bos and tokenizer.bos_token_id is None:
        raise ModelError(f"{name}: the tokenizer has no BOS token; leave out --bos, or use --bos no")
    with_bos = [tokenizer.bos_token_id, *tokenizer("a", add_special_tokens=False).input_ids]
    uses_bos = tokenizer("a").input_ids[: len(with_bos)] == with_bos if bos is None else bos
    return Model(
        name=name,
        network=network,
        tokenizer=tokenizer,
        n_params=int(network.num_parameters()),
        vocab=int(network.config.get_text_config().vocab_size),
        context=context_length(network.config),
        bos=tokenizer.bos_token_id if uses_bos else None,
    )
