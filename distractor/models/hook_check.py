"""Does a hook do what it says in this model? Several of TransformerLens 4.3 do nothing, or half the thing."""

import math
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hooks import set_to
from distractor.models.model import Model
from distractor.models.site import HEAD_PARTS, Part, Site

_passed: "WeakKeyDictionary[Model, set[Part]]" = WeakKeyDictionary()
"""The parts that were found to do what they say, by model: to look once is enough."""


def require_full_precision(model: Model) -> None:
    """Raise ModelError if the model is too coarse for effects of single sites."""
    if model.dtype not in (torch.float32, torch.float64):
        raise ModelError(
            f"{model.name} was loaded in {str(model.dtype).removeprefix('torch.')}, in whose rounding the effects of most "
            "sites are lost; use --dtype float32"
        )


@torch.inference_mode()
def check_hooks(model: Model, tokens: Int[Tensor, "row pos"], parts: Sequence[Part]) -> None:
    """Make sure that writing to `parts` bites in this model, and wholly: several hooks of TransformerLens 4.3 do not.

    At every layer, writing back what was read must change nothing; after writing NaN the logits must be NaN, whatever the
    weights are (0 times NaN is NaN); and what is written in a run of other tokens must have there all that followed from
    it here (see `_carries_over`).

    Parts that the architecture has not are passed over: to write there is an error anyway. So are those that have passed
    in this model before.

    Raises:
        ModelError: one of the three fails; nothing computed through this hook could be trusted. Or a part that is written
            by way of others is asked for in half precision.

    """
    passed = _passed.setdefault(model, set())
    parts = [part for part in parts if part in model.parts and part not in passed]
    if not parts:
        return
    keep = torch.tensor([tokens.shape[1] - 1], device=tokens.device)
    if any(part in ("pattern", "resid_mid") for part in parts):
        require_full_precision(model)
    needed = {need for part in parts for need in (part, *_FOLLOWS.get(part, ()))}
    seen: dict[Site, list[Tensor]] = {Site(layer, part): [] for part in needed for layer in range(model.n_layers)}
    clean = model.log_probs(tokens, keep, reads={site: values.append for site, values in seen.items()})
    here = {site: values[0] for site, values in seen.items() if values}
    for site in (Site(layer, part) for part in parts for layer in range(model.n_layers)):
        useless = ModelError(
            f"{model.name}: writing to {site} does nothing in this architecture, so its effect cannot be measured"
        )
        if site not in here:
            raise useless
        same = model.log_probs(tokens, keep, edits={site: set_to(here[site])})
        is_rewritten = site.part in ("pattern", "resid_mid")
        if not (_is_close(same, clean) if is_rewritten else torch.equal(same, clean)):
            raise ModelError(f"{model.name}: writing back what was read at {site} changes the output")
        broken = model.log_probs(tokens, keep, edits={site: set_to(torch.full_like(here[site], math.nan))})
        if not bool(broken.isnan().all()):
            raise useless
        shape, heads = here[site].shape, model.n_heads_of(site.part)
        axis = 1 if site.part == "pattern" else 2
        if site.part in HEAD_PARTS and (len(shape) != 4 or shape[axis] != heads):
            wanted = "[row head query key]" if site.part == "pattern" else "[row pos head d_head]"
            raise ModelError(f"{model.name}: {site} is {list(shape)} here; wanted is {wanted}")
        if not _carries_over(model, site, tokens.roll(1, -1), here, clean):
            raise ModelError(
                f"{model.name}: writing to {site} does only half the thing in this architecture (what follows from it is "
                "not what it should be), so its effect cannot be measured"
            )
    passed.update(parts)


_FOLLOWS: Mapping[Part, tuple[Part, ...]] = {
    "q": ("q", "k", "pattern"),
    "k": ("q", "k", "pattern"),
    "v": ("pattern", "v", "z"),
    "pattern": ("pattern", "v", "z"),
    "z": ("z", "attn_out"),
}
"""For a part of a head: the parts that together decide what the last one is."""


def _carries_over(
    model: Model, site: Site, other: Int[Tensor, "row pos"], here: Mapping[Site, Tensor], clean: Tensor
) -> bool:
    """Whether what stood at a site here, written in a run of `other` tokens, has there what follows from it alone.

    That is, of the residual stream, the output; of attention and MLP, that the stream behind the layer is the sum; of
    queries and keys, the pattern; of pattern and values, `z`; of `z`, the output of attention.
    """
    keep = torch.tensor([other.shape[1] - 1], device=other.device)
    reads: dict[Site, list[Tensor]] = {}

    def again(written: Sequence[Part], read: Sequence[Part]) -> Tensor:
        reads.update({Site(site.layer, part): [] for part in read})
        edits = {Site(site.layer, part): set_to(here[Site(site.layer, part)]) for part in written}
        return model.log_probs(other, keep, edits=edits, reads={s: values.append for s, values in reads.items()})

    if site.part in ("resid_pre", "resid_mid", "resid_post"):
        return _is_close(again([site.part], []), clean)
    if site.part in ("attn_out", "mlp_out"):
        again([site.part], ["resid_pre", "attn_out", "mlp_out", "resid_post"])
        before, attn, mlp, after = (values[0] for values in reads.values())
        return not model.is_additive or _is_close(before + attn + mlp, after)
    *together, last = _FOLLOWS[site.part]
    again(together, [last])
    return _is_close(reads[Site(site.layer, last)][0], here[Site(site.layer, last)])


def _is_close(found: Tensor, wanted: Tensor) -> bool:
    """Equal up to rounding, beside the largest of what was wanted."""
    error = {torch.float64: 1e-5, torch.float32: 1e-3}.get(
        wanted.dtype, 5e-2
    )  # Gemma 2's softmax is float32 in float64
    return bool((found - wanted).abs().max() <= error * wanted.abs().max())
