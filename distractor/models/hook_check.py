"""Checks that the hooks of a model do what they say; several hooks of TransformerLens 4.3 do nothing, or only half."""

import math
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Edit, set_to
from distractor.models.site import HEAD_PARTS, Part, Site

_passed: "WeakKeyDictionary[HookedModel, set[Part]]" = WeakKeyDictionary()  # the parts of each model that passed

BETWEEN: tuple[Part, ...] = ("resid_pre", "resid_mid", "resid_post")
"""The residual stream between layers and halves of layers."""


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
    unchecked = [part for part in parts if not _passes_at_once(model, tokens, part, seen, clean)]
    for site in (Site(layer, part) for part in unchecked for layer in range(model.n_layers)):
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
        if not _has_heads(model, site, seen):
            expected = "[row head query key]" if site.part == "pattern" else "[row pos head d_head]"
            raise ModelError(f"{model.name}: {site} has shape {list(shape)}, expected {expected} with {heads} heads")
        if not _has_same_consequences(model, [site], tokens.roll(1, -1), seen, clean):
            raise ModelError(
                f"{model.name}: writing to {site} has only part of its effect in this architecture, so the effect cannot "
                "be measured"
            )
    passed.update(parts)


def _passes_at_once(
    model: HookedModel, tokens: Int[Tensor, "row pos"], part: Part, seen: Mapping[Site, Tensor], clean: Tensor
) -> bool:
    """Whether a part passes the tests at all layers at once, in three passes instead of three for each layer.

    In the second test, each layer has a row of its own. The streams between layers are not local, and are not tested here.
    """
    sites = [Site(layer, part) for layer in range(model.n_layers)]
    if part in BETWEEN or len(tokens) > 1 or not all(s in seen and _has_heads(model, s, seen) for s in sites):
        return False
    keep = torch.tensor([tokens.shape[1] - 1], device=tokens.device)
    same = model.log_probs(tokens, keep, edits={site: set_to(seen[site]) for site in sites})
    if not (_is_close(same, clean) if part == "pattern" else torch.equal(same, clean)):
        return False

    def break_row(site: Site) -> Edit:
        def edit(value: Tensor) -> Tensor:
            value = seen[site].expand(len(value), *seen[site].shape[1:]) if part == "pattern" else value
            is_here = torch.arange(len(value), device=value.device) == site.layer
            return torch.where(is_here.reshape(-1, *(1 for _ in value.shape[1:])), math.nan, value)

        return edit

    broken = model.log_probs(tokens.expand(model.n_layers, -1), keep, edits={site: break_row(site) for site in sites})
    return bool(broken.isnan().all()) and _has_same_consequences(model, sites, tokens.roll(1, -1), seen, clean)


def _has_heads(model: HookedModel, site: Site, seen: Mapping[Site, Tensor]) -> bool:
    """Whether an activation has an axis of heads, if its part has heads."""
    shape, axis = seen[site].shape, 1 if site.part == "pattern" else 2
    return site.part not in HEAD_PARTS or (len(shape) == 4 and shape[axis] == model.n_heads_of(site.part))


_DETERMINES: Mapping[Part, tuple[Part, ...]] = {
    "q": ("q", "k", "pattern"),
    "k": ("q", "k", "pattern"),
    "v": ("pattern", "v", "z"),
    "pattern": ("pattern", "v", "z"),
    "z": ("z", "attn_out"),
}
"""For each part with heads: a tuple of parts, of which the last is determined by the others."""


def _has_same_consequences(
    model: HookedModel,
    sites: Sequence[Site],
    other: Int[Tensor, "row pos"],
    seen: Mapping[Site, Tensor],
    clean: Tensor,
) -> bool:
    """Whether activations of one part of the first run, written in a run of `other` tokens, have the same consequences.

    The residual stream determines the output; attention and MLP add up to the stream after the layer; queries and keys
    determine the pattern; pattern and values determine `z`; `z` determines the attention output.
    """
    keep, part = torch.tensor([other.shape[1] - 1], device=other.device), sites[0].part

    def run(written: Sequence[Part], read: Sequence[Part]) -> tuple[Tensor, list[dict[Part, Tensor]]]:
        reads: dict[Site, list[Tensor]] = {Site(site.layer, part): [] for site in sites for part in read}
        edits = {Site(site.layer, part): set_to(seen[Site(site.layer, part)]) for site in sites for part in written}
        log_probs = model.log_probs(other, keep, edits=edits, reads={s: values.append for s, values in reads.items()})
        return log_probs, [{part: reads[Site(site.layer, part)][0] for part in read} for site in sites]

    if part in BETWEEN:
        return _is_close(run([part], [])[0], clean)
    if part in ("attn_out", "mlp_out"):
        _, values = run([part], ["resid_pre", "attn_out", "mlp_out", "resid_post"])
        return not model.is_additive or all(
            _is_close(here["resid_pre"] + here["attn_out"] + here["mlp_out"], here["resid_post"]) for here in values
        )
    *causes, effect = _DETERMINES[part]
    _, values = run(causes, [effect])
    return all(
        _is_close(here[effect], seen[Site(site.layer, effect)]) for site, here in zip(sites, values, strict=True)
    )


def _is_close(value: Tensor, expected: Tensor) -> bool:
    """Whether two tensors are equal up to rounding, relative to the largest expected value."""
    # Gemma 2 computes its softmax in float32 even in float64.
    tolerance = {torch.float64: 1e-5, torch.float32: 1e-3}.get(expected.dtype, 5e-2)
    return bool((value - expected).abs().max() <= tolerance * expected.abs().max())
