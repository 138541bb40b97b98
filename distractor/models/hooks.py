"""Forward hooks that read or edit activations; `HookedModel` maps sites to hooks."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from einops import einsum
from torch import Tensor

from distractor.models.site import HEAD_PARTS, PARTS, Part, Site

HOOKS: Mapping[Part, str] = {part: f"attn.hook_{part}" if part in HEAD_PARTS else f"hook_{part}" for part in PARTS}
"""The hook name in TransformerLens of each part, the same in every architecture."""

Edit = Callable[[Tensor], Tensor]  # maps the activation at a site to its replacement of the same shape
Read = Callable[[Tensor], object]  # receives a copy of the activation at a site; its result is ignored

Tap = Callable[[Tensor], object]  # receives the activation itself, so that its gradient can be taken
Hook = Callable[..., Tensor]  # `hook(value, hook=...)` returns the activation with which the model continues


@contextlib.contextmanager
def skip_layers(blocks: Sequence[Any]) -> Iterator[None]:
    """Make these layers return their input."""

    def identity(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return hidden_states

    # Setting an attribute of a bridge's block sets it on the wrapped module; `vars` reaches the block's own attributes.
    attributes = [vars(block) for block in blocks]
    before = [own.get("forward") for own in attributes]
    for own in attributes:
        own["forward"] = identity
    try:
        yield
    finally:
        for own, forward in zip(attributes, before, strict=True):
            if forward is None:
                del own["forward"]
            else:
                own["forward"] = forward


def set_to(value: Tensor) -> Edit:
    """Return the edit that replaces any activation by `value`."""
    return lambda _: value


def on_device(edit: Edit, device: torch.device) -> Edit:
    """Return the same edit, computed on `device` wherever the layer is."""
    return lambda old: edit(old.to(device)).to(old.device)


# Hooks copy activations on the way in and out, because some models go on computing in the same memory.


def writer(site: Site, edit: Edit) -> Hook:
    """Return a hook that applies an edit at a site. All writers raise ValueError in the pass if the edit changes the
    shape.
    """

    def write(value: Tensor, hook: Any) -> Tensor:
        new = _apply(site, edit, _at(site, value))
        written = value.clone()
        _at(site, written)[...] = new
        return written

    return write


def resid_mid_writer(site: Site, edit: Edit, before: list[Tensor]) -> Hook:
    """Return a hook on the attention output that edits the stream before the MLP; `before` ends with the layer's input."""

    def write(value: Tensor, hook: Any) -> Tensor:
        old = before[-1] + value
        return value + (_apply(site, edit, old) - old)  # exactly the same if the edit changes nothing

    return write


def pattern_writer(site: Site, edit: Edit, values: list[Tensor]) -> Hook:
    """Return a hook on `z` that replaces a pattern, [row head query key]; `values` ends with the layer's values."""

    def write(value: Tensor, hook: Any) -> Tensor:
        rows, length, heads, _ = value.shape
        unknown = value.new_full((rows, heads, length, length), math.nan)
        new = _apply(site, edit, _at(site, unknown)).to(value.dtype)
        each = values[-1].repeat_interleave(heads // values[-1].shape[2], 2)
        written = value.clone()
        if site.head is None:
            written[...] = einsum(new, each, "row head query key, row key head d -> row query head d")
        else:
            written[:, :, site.head] = new @ each[:, :, site.head]
        return written

    return write


def recorder(values: list[Tensor]) -> Hook:
    """Return a hook that appends a copy of each activation to `values`."""

    def record(value: Tensor, hook: Any) -> Tensor:
        values.append(value.clone())
        return value

    return record


def tapper(tap: Tap) -> Hook:
    """Return a hook that passes the activation to `tap` as a tensor whose gradient can be taken."""

    def look(value: Tensor, hook: Any) -> Tensor:
        # A new tensor, so that its gradient counts only what is computed from it here.
        value = value.view_as(value) if value.requires_grad else value.detach().clone().requires_grad_()
        tap(value)
        return value

    return look


def reader(site: Site, read: Read, device: torch.device) -> Hook:
    """Return a hook that passes a copy of the activation at a site to `read`, on `device`."""

    def look(value: Tensor, hook: Any) -> Tensor:
        read(_at(site, value).clone().to(device))
        return value

    return look


def _apply(site: Site, edit: Edit, old: Tensor) -> Tensor:
    new = edit(old)
    if new.shape != old.shape:
        raise ValueError(f"{site} has shape {list(old.shape)}, but the edit returned {list(new.shape)}")
    return new


def _at(site: Site, value: Tensor) -> Tensor:
    """Return the part of a hook's activation that belongs to the site."""
    if site.head is None:
        return value
    return value[:, site.head] if site.part == "pattern" else value[:, :, site.head]
