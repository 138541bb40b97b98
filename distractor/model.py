"""A language model as the rest of the house sees it; the only module that touches transformer_lens and transformers.

Weights are used raw, through `TransformerBridge`: outputs equal the plain Hugging Face model's.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor
from torch.overrides import TorchFunctionMode

from distractor.device import pick_device
from distractor.errors import ModelError
from distractor.site import Part, Site

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}

# TransformerLens' names of our parts, the same in every architecture that it wraps.
HOOKS: Mapping[Part, str] = {
    "resid_pre": "hook_resid_pre",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "z": "attn.hook_z",
}

Edit = Callable[[Tensor], Tensor]
"""From the activation at a site to what stands there instead, of the same shape."""

Read = Callable[[Tensor], object]
"""Takes the activation at a site; what it returns is not looked at."""


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model: its tokenizer, its sizes, and one way to run it.

    `bos` is the token put before every prompt, or None. `n_params` counts every parameter once, embeddings included.
    """

    name: str
    bridge: Any
    tokenizer: Any
    n_params: int
    n_layers: int
    n_heads: int
    vocab: int
    context: int | None
    bos: int | None

    @property
    def device(self) -> torch.device:
        """Where the tokens have to be."""
        device: torch.device = next(self.bridge.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights and activations."""
        dtype: torch.dtype = next(self.bridge.parameters()).dtype
        return dtype

    def hook(self, site: Site) -> str:
        """TransformerLens' name of a site.

        Raises:
            ModelError: the model has no such layer, part or head.

        """
        if not 0 <= site.layer < self.n_layers:
            raise ModelError(f"{self.name} has layers 0 to {self.n_layers - 1}; {site} was asked for")
        if site.head is not None and not 0 <= site.head < self.n_heads:
            raise ModelError(f"{self.name} has heads 0 to {self.n_heads - 1}; {site} was asked for")
        name = f"blocks.{site.layer}.{HOOKS[site.part]}"
        if name not in self.bridge.hook_dict:
            raise ModelError(f"{self.name} has no {site.part} that can be read or written (TransformerLens: {name})")
        return name

    def log_probs(
        self,
        tokens: Int[Tensor, "row pos"],
        keep: Int[Tensor, " kept"],
        *,
        reads: Mapping[Site, Read] | None = None,
        edits: Mapping[Site, Edit] | None = None,
    ) -> Float[Tensor, "row kept vocab"]:
        """Log-probabilities of the next token at the positions `keep`, the only ones that are unembedded.

        Rows may be padded on the right: with causal attention, no position sees what comes after it. `edits` come before
        `reads`, so that what is seen is what was used. In half precision, the last softmax is taken in float32.
        """
        hooks: list[tuple[str, Callable[..., Tensor]]] = []
        hooks += [(self.hook(site), _writer(site, edit)) for site, edit in (edits or {}).items()]
        hooks += [(self.hook(site), _reader(site, read)) for site, read in (reads or {}).items()]
        with self._arithmetic(), self.bridge.hooks(fwd_hooks=hooks):
            logits = self.bridge(tokens, logits_to_keep=keep, use_cache=False)
        return torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        """Attention in float64 where plain transformers computes it so: in its default implementation, not its eager one."""
        is_double = self.dtype == torch.float64 and getattr(self.bridge.original_model, "_supports_sdpa", False)
        return _DoubleSoftmax() if is_double else contextlib.nullcontext()


class _DoubleSoftmax(TorchFunctionMode):
    """The softmax of float64 scores stays in float64; TransformerLens takes it in float32 and costs seven digits."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.nn.functional.softmax and args[0].dtype == torch.float64:
            kwargs["dtype"] = None
        return func(*args, **kwargs)


# Activations are copied on the way in and out: some models go on computing in the same memory.


def _writer(site: Site, edit: Edit) -> Callable[..., Tensor]:
    def write(value: Tensor, hook: Any) -> Tensor:
        old = _at(site, value)
        new = edit(old)
        if new.shape != old.shape:
            raise ValueError(f"{site} is {list(old.shape)} here; {list(new.shape)} was to be written")
        written = value.clone()
        _at(site, written)[...] = new
        return written

    return write


def _reader(site: Site, read: Read) -> Callable[..., Tensor]:
    def look(value: Tensor, hook: Any) -> Tensor:
        read(_at(site, value).clone())
        return value

    return look


def _at(site: Site, value: Tensor) -> Tensor:
    """The part of a hook's activation that the site means."""
    return value if site.head is None else value[:, :, site.head]


def load(folder: Path, *, name: str | None = None, device: str = "auto", dtype: str = "float32") -> Model:
    """Load a folder written by `save_pretrained`, with its tokenizer. The network is never touched.

    Raises:
        ModelError: no model or tokenizer can be read there, TransformerLens does not know its architecture, or the
            device is not there.

    """
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    name = name or str(folder)
    wanted = "wanted is a folder written by `save_pretrained`, with config.json, weights and tokenizer"
    if not folder.is_dir():  # transformers would take the path for a hub id
        raise ModelError(f"there is no folder {folder}; {wanted}")
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r} is unknown; there is: {', '.join(DTYPES)}")
    device = pick_device(device)
    with _quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            bridge = TransformerBridge.boot_transformers(
                str(folder), device=device, dtype=DTYPES[dtype], tokenizer=tokenizer
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{name}: no model could be loaded from {folder} ({first}); {wanted}") from error
    return wrap(bridge, tokenizer, name=name)


def wrap(bridge: Any, tokenizer: Any, *, name: str) -> Model:
    """A `TransformerBridge` and a fast tokenizer that are already in memory, as a `Model`.

    Raises:
        ModelError: the tokenizer is a slow one, which cannot say which characters a token covers.

    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{name}: a fast tokenizer (tokenizer.json) is needed; this one is a {type(tokenizer).__name__}"
        )
    bridge.eval().requires_grad_(False)
    with_bos = [tokenizer.bos_token_id, *tokenizer("a", add_special_tokens=False).input_ids]
    puts_bos = tokenizer("a").input_ids[: len(with_bos)] == with_bos
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


@torch.inference_mode()
def check_hooks(model: Model, tokens: Int[Tensor, "row pos"], parts: Sequence[Part]) -> None:
    """Make sure that writing to `parts` bites in this model: several hooks of TransformerLens 4.3 silently do not.

    At every layer, writing back what was read must change nothing, and after writing NaN the logits must be NaN, whatever
    the weights are (0 times NaN is NaN).

    Raises:
        ModelError: the edit does nothing, or writing back what was read is no identity; nothing computed through this
            hook could be trusted.

    """
    keep = torch.tensor([tokens.shape[1] - 1], device=tokens.device)
    clean = model.log_probs(tokens, keep)
    for site in (Site(layer, part) for part in parts for layer in range(model.n_layers)):
        seen: list[Tensor] = []
        same = model.log_probs(tokens, keep, edits={site: torch.clone}, reads={site: seen.append})
        if not torch.equal(same, clean):
            raise ModelError(f"{model.name}: writing back what was read at {site} changes the output")
        broken = model.log_probs(tokens, keep, edits={site: lambda value: torch.full_like(value, math.nan)})
        if not bool(broken.isnan().all()):
            raise ModelError(
                f"{model.name}: writing to {site} does nothing in this architecture, so its effect cannot be measured"
            )
        shape = seen[0].shape
        if site.part == "z" and (len(shape) != 4 or shape[2] != model.n_heads):
            raise ModelError(f"{model.name}: {site} is {list(shape)} here; wanted is [row pos head d_head]")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' progress bars out of the way of ours while a model loads."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
