"""Checks that the hooks of a model do what they say; several hooks of TransformerLens 4.3 do nothing, or only half."""

import math
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import set_to
from distractor.models.site import HEAD_PARTS, Part, Site

_passed: "WeakKeyDictionary[HookedModel, set[Part]]" = WeakKeyDictionary()  # the parts of each model that passed


def require_full_precision(model: HookedModel) -> None:
    """Raise ModelError if the model computes in half precision, which rounds away the effects of single sites."""
    if model.dtype not in (torch.float32, torch.float64):
        dtype = str(model.dtype).removeprefix("torch.")
        raise ModelError(f"{model.name}: {dtype} rounds away the effects of most sites; use --dtype float32")


@torch.inference_mode()
def check_hooks(model: HookedModel, tokens: Int[Tensor, "row pos"], parts: Sequence[Part]) -> None:
    """Check at every layer that writing to `parts` works in this model.

    First, writing back the activation that was read changes nothing. Second, writing NaN makes the logits NaN for any
    weights. Third, an activation written in a run of other tokens has the same consequences there. Parts that the
    architecture lacks are skipped. Raises ModelError if a test fails, or if a part that is written through another one
    (`pattern`, `resid_mid`) is in half precision.
    """
    passed = _passed.setdefault(model, set())
    parts = [part for part in parts if part in model.parts and part not in passed]
    if not parts:
        return
    keep = torch.tensor([tokens.shape[1] - 1], device=tokens.device)
    if any(part in ("pattern", "resid_mid") for part in parts):
        require_full_precision(model)
    needed = {need for part in parts for need in (part, *_DETERMINES.get(part, ()))}
    reads: dict[Site, list[Tensor]] = {Site(layer, part): [] for part in needed for layer in range(model.n_layers)}
    clean = model.log_probs(tokens, keep, reads={site: values.append for site, values in reads.items()})
    seen = {site: values[0] for site, values in reads.items() if values}
    for site in (Site(layer, part) for part in parts for layer in range(model.n_layers)):
        no_effect = ModelError(f"{model.name}: writing to {site} has no effect in this architecture")
        if site not in seen:
            raise no_effect
        same = model.log_probs(tokens, keep, edits={site: set_to(seen[site])})
        is_indirect = site.part in ("pattern", "resid_mid")
        if not (_is_close(same, clean) if is_indirect else torch.equal(same, clean)):
            raise ModelError(f"{model.name}: writing back the activation read at {site} changes the output")
        broken = model.log_probs(tokens, keep, edits={site: set_to(torch.full_like(seen[site], math.nan))})
        if not bool(broken.isnan().all()):
            raise no_effect
        shape, heads = seen[site].shape, model.n_heads_of(site.part)
        axis = 1 if site.part == "pattern" else 2
        if site.part in HEAD_PARTS and (len(shape) != 4 or shape[axis] != heads):
            expected = "[row head query key]" if site.part == "pattern" else "[row pos head d_head]"
            raise ModelError(f"{model.name}: {site} has shape {list(shape)}, expected {expected} with {heads} heads")
        if not _has_same_consequences(model, site, tokens.roll(1, -1), seen, clean):
            raise ModelError(
                f"{model.name}: writing to {site} has only part of its effect in this architecture, so the effect cannot "
                "be measured"
            )
    passed.update(parts)


_DETERMINES: Mapping[Part, tuple[Part, ...]] = {
    "q": ("q", "k", "pattern"),
    "k": ("q", "k", "pattern"),
    "v": ("pattern", "v", "z"),
    "pattern": ("pattern", "v", "z"),
    "z": ("z", "attn_out"),
}
"""For each part with heads: a tuple of parts, of which the last is determined by the others."""


def _has_same_consequences(
    model: HookedModel, site: Site, other: Int[Tensor, "row pos"], seen: Mapping[Site, Tensor], clean: Tensor
) -> bool:
    """Whether an activation of the first run, written in a run of `other` tokens, has the same consequences there.

    The residual stream determines the output; attention and MLP add up to the stream after the layer; queries and keys
    determine the pattern; pattern and values determine `z`; `z` determines the attention output.
    """
    keep = torch.tensor([other.shape[1] - 1], device=other.device)

    def run(written: Sequence[Part], read: Sequence[Part]) -> tuple[Tensor, list[Tensor]]:
        reads: dict[Site, list[Tensor]] = {Site(site.layer, part): [] for part in read}
        edits = {Site(site.layer, part): set_to(seen[Site(site.layer, part)]) for part in written}
        log_probs = model.log_probs(other, keep, edits=edits, reads={s: values.append for s, values in reads.items()})
        return log_probs, [values[0] for values in reads.values()]

    if site.part in ("resid_pre", "resid_mid", "resid_post"):
        return _is_close(run([site.part], [])[0], clean)
    if site.part in ("attn_out", "mlp_out"):
        _, (before, attn, mlp, after) = run([site.part], ["resid_pre", "attn_out", "mlp_out", "resid_post"])
        return not model.is_additive or _is_close(before + attn + mlp, after)
    *causes, effect = _DETERMINES[site.part]
    _, (value,) = run(causes, [effect])
    return _is_close(value, seen[Site(site.layer, effect)])


def _is_close(value: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal up to rounding, relative to the largest expected value."""
    # Gemma 2 computes its softmax in float32 even in float64.
    tolerance = {torch.float64: 1e-5, torch.float32: 1e-3}.get(expected.dtype, 5e-2)
    return bool((value - expected).abs().max() <= tolerance * expected.abs().max())
