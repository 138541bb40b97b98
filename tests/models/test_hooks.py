"""Each hook that writes, compared with forward hooks in plain transformers: one prompt at a time, without the bridge.

An activation is set to zero in models with random weights. A hook at a wrong site or head, or with only part of its effect,
changes the logit gap.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import tiny
from conftest import Hooked
from distractor.errors import ModelError
from distractor.models.hook_check import check_hooks
from distractor.models.hooked_model import HookedModel
from distractor.models.site import Part, Site
from distractor.probing.run import Batch, batch, observe
from distractor.scoring.encode import encode
from distractor.text.task import Condition

EVERY = {**tiny.ARCHITECTURES, **tiny.FURTHER}
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)

# For each family: the layers, the modules that add to the residual stream, and the heads' output projection.
LAYERS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers", "opt": "model.decoder.layers", "": "model.layers"}
ADDED = {
    "gpt2": ("attn", "mlp"),
    "gpt_neox": ("attention", "mlp"),
    "opt": ("self_attn", "fc2"),
    "gemma": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "olmo2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "": ("self_attn", "mlp"),
}
PROJECTION = {"gpt2": "attn.c_proj", "gpt_neox": "attention.dense", "opt": "self_attn.out_proj", "": "self_attn.o_proj"}


def entry(table: dict[str, Any], architecture: str) -> Any:
    return next(value for name, value in table.items() if architecture.startswith(name))


def zeroed(value: Any, where: slice = slice(None)) -> Any:
    """Return a copy with zeros; of a tuple, change the first entry. Later layers may share the memory, so copy."""
    if isinstance(value, tuple):
        return (zeroed(value[0], where), *value[1:])
    value = value.clone()
    value[..., where] = 0
    return value


@contextmanager
def zeros_at(network: Any, architecture: str, site: Site) -> Iterator[None]:
    """Set the activation at a site to zero in plain transformers."""
    layer = attrgetter(entry(LAYERS, architecture))(network)[site.layer]
    attn, mlp = entry(ADDED, architecture)
    after = {
        "attn_out": attn,
        "mlp_out": mlp,
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
    }

    def zero_output(module: Any, args: Any, output: Any) -> Any:
        width = (output[0] if isinstance(output, tuple) else output).shape[-1]
        return zeroed(output, columns(width))

    def zero_input(module: Any, args: Any, kwargs: Any) -> Any:
        if args:
            return zeroed(args, columns(args[0].shape[-1])), kwargs
        return args, {**kwargs, "hidden_states": zeroed(kwargs["hidden_states"])}

    def columns(width: int) -> slice:
        if site.head is None:
            return slice(None)
        d_head = width // heads
        return slice(site.head * d_head, (site.head + 1) * d_head)

    config = network.config
    shared = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    heads = shared if site.part in ("k", "v") else config.num_attention_heads
    if site.part == "resid_pre":
        handle = layer.register_forward_pre_hook(zero_input, with_kwargs=True)
    elif site.part == "resid_post":
        handle = layer.register_forward_hook(zero_output)
    elif site.part == "z":
        handle = attrgetter(entry(PROJECTION, architecture))(layer).register_forward_pre_hook(
            zero_input, with_kwargs=True
        )
    else:
        handle = attrgetter(after[site.part])(layer).register_forward_hook(zero_output)
    with ExitStack() as stack:
        stack.callback(handle.remove)
        yield


def gaps(network: Any, batch: Batch) -> torch.Tensor:
    """Return the gap of each prompt run alone: [condition item]."""
    result = torch.empty(batch.tokens.shape[:2], dtype=torch.float64)
    for c, line in enumerate(batch.tokens):
        for i, row in enumerate(line):
            with torch.no_grad():
                logits = network(row[None, : int(batch.lengths[i])], use_cache=False).logits[0, -1]
            true, distractor = batch.answers[i]
            result[c, i] = logits[true] - logits[distractor]
    return result


def sites_of(model: HookedModel, architecture: str) -> list[Site]:
    """Return sites of whole parts and of single heads."""
    whole: list[Part] = ["resid_pre", "attn_out", "mlp_out", "resid_post"]
    heads: list[Part] = ["z"] if architecture.startswith(("gpt2", "gpt_neox")) else ["z", "q", "k", "v"]
    sites = [Site(layer, part) for layer in range(model.n_layers) for part in whole]
    if not model.is_additive:  # zeros before a norm leave only its bias
        sites = [site for site in sites if site.part != "resid_post"]
    return sites + [Site(1, part, head) for part in heads for head in (0, model.n_heads_of(part) - 1)]


@pytest.mark.parametrize("architecture", EVERY)
def test_zeros_at_every_site_give_the_gap_of_plain_transformers(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    few = batch(encode(tiny.task(tiny.PAIRS[:1]), model), model, PAIR)
    network = tiny.plain(model.name)
    sites = sites_of(model, architecture)
    run = observe(model, few, sites)
    clean = gaps(network, few)
    error = 1e-5 if architecture.startswith("gemma") else 1e-9  # some of its norms and softmaxes are always float32
    assert_close(run.gap, clean, atol=error, rtol=0)
    for site in sites:
        edited = run.again({site: torch.zeros_like(run.seen[site])}).gap
        with zeros_at(network, architecture, site):
            expected = gaps(network, few)
        assert_close(edited, expected, atol=error, rtol=0, msg=lambda text, site=site: f"{site}: {text}")
        assert (expected - clean).abs().max() > 10 * error, f"zeros at {site} change nothing"


@pytest.mark.parametrize("architecture", tiny.FURTHER)
def test_hooks_of_further_architectures_pass_the_check(hooked: Hooked, architecture: str) -> None:
    model = replace(hooked(architecture, "bytes"))
    few = batch(encode(tiny.task(), model), model, PAIR)
    check_hooks(model, few.tokens[0, :1, :7], model.parts)


def test_a_model_with_norms_after_the_sums_has_no_resid_mid(hooked: Hooked) -> None:
    model = hooked("opt_350m", "bytes")
    assert "resid_mid" not in model.parts
    few = batch(encode(tiny.task(), model), model, PAIR)
    with pytest.raises(ModelError, match="no resid_mid that can be read or written"):
        observe(model, few, [Site(0, "resid_mid")])
