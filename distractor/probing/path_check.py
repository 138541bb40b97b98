"""Checks that paths can be patched in a model: a path to every receiver at once must equal the plain exchange."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distractor.errors import ModelError, first_line
from distractor.models.hooked_model import HookedModel
from distractor.models.self_check import ROUNDING
from distractor.models.site import Part, Site
from distractor.probing.cached_patching import LINE_TOKENS, longest_line_of
from distractor.probing.patching import patched_gap, shortest_and_longest
from distractor.probing.path_patching import first_difference, path_gaps
from distractor.probing.paths import LOGITS, Receiver
from distractor.probing.run import Run


@torch.inference_mode()
def check_paths(run: Run, receivers: Sequence[Receiver]) -> str:
    """Why paths take whole prompts in a model; empty if cached patching works.

    From the model's settings, and from a law: a path from a sender to every receiver at once is the plain exchange of the
    sender's output. It is checked on the longest and the shortest item.

    Raises:
        ModelError: paths cannot be computed in this architecture.
    """
    model = run.model
    if not model.is_additive:
        raise ModelError(
            f"{model.name} has a norm after each sum of what its layers write, so no component has a direct path to another"
        )
    for part in dict.fromkeys(receiver.site.part for receiver in receivers if receiver.site is not None):
        if part in ("q", "k", "v"):
            _refuse_shared_norm(run, part)
    some = shortest_and_longest(run)
    layers = sorted({0, model.n_layers // 2, model.n_layers - 1})
    senders = [site for layer in layers for site in (Site(layer, "z", 0), Site(layer, "mlp_out"))]
    expected = torch.stack([patched_gap(model, some.batch, sender) for sender in senders])
    allowed = ROUNDING.get(model.dtype, 1e-3) * max(1.0, float(expected.abs().max()))
    longest_line = longest_line_of(int(run.batch.lengths.max()))
    suffix = int((some.batch.lengths - first_difference(some.batch)).min())
    copies = -(-LINE_TOKENS // (len(senders) * suffix))  # enough to fill the longest line
    why: list[str] = []
    for whole_prompts in (False, True):
        if not whole_prompts and model.shared_length is not None and longest_line > model.shared_length:
            why.append(f"its attention changes beyond {model.shared_length} tokens, and a line can have {longest_line}")
            continue
        times = 1 if whole_prompts else copies
        try:
            found = path_gaps(some, senders * times, every_receiver(model), whole_prompts=whole_prompts)
            off = float((found - expected.repeat(times, 1, 1)).abs().max())
        except (ModelError, TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError) as error:
            why.append(f"{type(error).__name__}: {first_line(error)}")
            continue
        if off <= allowed:
            return why[0] if why else ""
        why.append(f"the logit gaps were off by {off:.1e}")
    raise ModelError(f"{model.name}: paths cannot be patched in this architecture ({'; '.join(dict.fromkeys(why))})")


def every_receiver(model: HookedModel) -> list[Receiver]:
    """All receivers of a model."""
    heads: tuple[Part, ...] = ("q", "k", "v")
    layers = range(model.n_layers)
    sites = [site for layer in layers for part in heads for site in model.head_sites(layer, part)]
    return [*map(Receiver, [*sites, *(Site(layer, "mlp_out") for layer in layers)]), LOGITS]


def _refuse_shared_norm(run: Run, part: Part) -> None:
    """Raise ModelError if writing one head's query, key or value changes other heads, as in OLMo 2."""
    model, z = run.model, Site(0, "z")
    heads = model.n_heads_of(part)
    if heads == 1:
        return
    seen: list[Tensor] = []
    tokens, keep = run.batch.tokens[0, :1, : run.batch.lengths[0]], run.batch.lengths[:1] - 1
    model.log_probs(
        tokens, keep, reads={z: seen.append}, edits={Site(0, part, 0): lambda v: torch.full_like(v, math.nan)}
    )
    if not bool(seen[0][:, :, model.n_heads // heads :].isfinite().all()):
        raise ModelError(
            f"{model.name}: a norm spans the heads of {part}, so a path cannot end at one of them; use the receivers "
            "L….v, L….mlp_in and logits"
        )
