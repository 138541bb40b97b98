"""Edits of single prompts by hooks in plain transformers, for the tiny models of two layers and four heads."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

import tiny
from distractor.models.site import Site

D_HEAD = 4
Places = tuple[list[int], list[int]]
"""Positions that are changed, and those of the other prompt from which their values come."""

SLOT: Places = ([-1], [-1])
Values = Mapping[str, Tensor]
"""What each layer's heads (`0.z`) and MLP (`0.mlp`) give at all positions."""


def plainly(
    network: Any, tokens: Tensor, answers: Tensor, given: Values, sites: Sequence[Site], places: Places = SLOT
) -> tuple[float, Values]:
    """The gap of one prompt with some sites' values from `given` at some places, and the values of all sites."""
    seen: dict[str, Tensor] = {}
    handles = []
    into, source = places

    def heads(layer: int, module: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        z = args[0].clone()
        for site in sites:
            if site.layer == layer and site.part == "z" and site.head is not None:
                here = slice(site.head * D_HEAD, (site.head + 1) * D_HEAD)
                z[0, into, here] = given[f"{layer}.z"][0, source, here]
        seen[f"{layer}.z"] = z
        return (z,)

    def mlp(layer: int, module: Any, args: Any, output: Tensor) -> Tensor:
        output = output.clone()
        if Site(layer, "mlp_out") in sites:
            output[0, into] = given[f"{layer}.mlp"][0, source]
        seen[f"{layer}.mlp"] = output
        return output

    for layer in range(2):
        first, second = tiny.modules(network, layer)
        handles += [
            first.register_forward_pre_hook(partial(heads, layer)),
            second.register_forward_hook(partial(mlp, layer)),
        ]
    with torch.inference_mode():
        logits = network(tokens[None]).logits[0, -1, answers]
    for handle in handles:
        handle.remove()
    return float(logits[0] - logits[1]), seen
