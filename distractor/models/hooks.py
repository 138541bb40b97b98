"""What is hung on a model's sites: who writes there, who reads, and in which arithmetic attention goes on.

Only functions of activations; `model` says which hook of TransformerLens is which site.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from einops import einsum
from jaxtyping import Int
from torch import Tensor
from torch.overrides import TorchFunctionMode

from distractor.models.site import Part, Site

HOOKS: Mapping[Part, str] = {
    "resid_pre": "hook_resid_pre",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "pattern": "attn.hook_pattern",
    "z": "attn.hook_z",
    "attn_out": "hook_attn_out",
    "resid_mid": "hook_resid_mid",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}
"""TransformerLens' names of our parts, the same in every architecture that it wraps."""


Edit = Callable[[Tensor], Tensor]
"""From the activation at a site to what stands there instead, of the same shape."""


Read = Callable[[Tensor], object]
"""Takes the activation at a site; what it returns is not looked at."""


Tap = Callable[[Tensor], object]
"""Takes the activation at a site as the model goes on with it, to ask for its gradient."""


class DoubleSoftmax(TorchFunctionMode):
    """The softmax of float64 scores stays in float64; TransformerLens takes it in float32 and costs seven digits."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.nn.functional.softmax and args[0].dtype == torch.float64:
            kwargs["dtype"] = None
        return func(*args, **kwargs)


class HalfPattern(TorchFunctionMode):
    """Patterns are multiplied with values in the values' type; TransformerLens leaves those of OLMo 2 in float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.matmul and args[0].dtype == torch.float32 != args[1].dtype:
            args = (args[0].to(args[1].dtype), *args[1:])
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def left_out(blocks: Sequence[Any]) -> Iterator[None]:
    """These layers hand on what they are given."""
    # A bridge's block hands attributes that are set on to the module within it: its own are reached by `vars`.
    spaces = [vars(block) for block in blocks]
    before = [space.get("forward") for space in spaces]
    for space in spaces:
        space["forward"] = _hand_on
    try:
        yield
    finally:
        for space, old in zip(spaces, before, strict=True):
            if old is None:
                del space["forward"]
            else:
                space["forward"] = old


@contextlib.contextmanager
def narrowed(mlp: Any, keep: Int[Tensor, " kept"]) -> Iterator[None]:
    """An MLP, from and to [row pos d_model], works at the positions `keep` alone, and gives 0 elsewhere."""
    lengths: list[int] = []

    def take(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not args:
            return None
        lengths.append(args[0].shape[1])
        return args[0][:, keep.to(args[0].device)], *args[1:]

    def widen(_: Any, __: Any, found: Tensor) -> Tensor:
        if not lengths:
            return found
        wide = found.new_zeros(len(found), lengths.pop(), *found.shape[2:])
        wide[:, keep.to(found.device)] = found
        return wide

    hung = mlp.register_forward_pre_hook(take), mlp.register_forward_hook(widen)
    try:
        yield
    finally:
        for one in hung:
            one.remove()


_by_position: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def is_by_position(mlp: Any, d_model: int) -> bool:
    """Whether an MLP gives at a position what it gives there by itself: tried once, on numbers drawn at random.

    So with every usual MLP; not where positions are mixed (RWKV), nor where it cannot be called by itself (OPT, BLOOM).
    """
    if mlp not in _by_position:
        weight = next(mlp.parameters(), torch.zeros(()))
        some = torch.randn(1, 3, d_model, generator=torch.Generator().manual_seed(0)).to(weight.device, weight.dtype)
        try:
            found, alone = mlp(some)[:, -1:], mlp(some[:, -1:])
            close = 1e-4 if weight.dtype in (torch.float32, torch.float64) else 1e-2
            _by_position[mlp] = bool((found - alone).abs().max() <= close * found.abs().max())
        except (TypeError, AttributeError, IndexError, RuntimeError):
            _by_position[mlp] = False
    return _by_position[mlp]


def _hand_on(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def set_to(value: Tensor) -> Edit:
    """The edit that has `value` stand at a site, whatever stood there."""
    return lambda _: value


def at_home(edit: Edit, home: torch.device) -> Edit:
    """An edit that is made on the device `home`, wherever the layer is."""
    return lambda old: edit(old.to(home)).to(old.device)


# Activations are copied on the way in and out: some models go on computing in the same memory.


def writer(site: Site, edit: Edit) -> Callable[..., Tensor]:
    """Writes to a site what `edit` makes of what stands there.

    All three writers raise ValueError, as the model runs, where that has another shape.
    """

    def write(value: Tensor, hook: Any) -> Tensor:
        new = _edited(site, edit, _at(site, value))
        written = value.clone()
        _at(site, written)[...] = new
        return written

    return write


def mid_writer(site: Site, edit: Edit, before: list[Tensor]) -> Callable[..., Tensor]:
    """Writes to the stream before the MLP, [row pos d_model], by way of the attention's output.

    `before` holds what entered the layer, of the same shape.
    """

    def write(value: Tensor, hook: Any) -> Tensor:
        old = before[-1] + value
        return value + (_edited(site, edit, old) - old)  # exactly the same where nothing is edited

    return write


def pattern_writer(site: Site, edit: Edit, values: list[Tensor]) -> Callable[..., Tensor]:
    """Writes a pattern, [row head query key], by way of what the heads make of it.

    `values` holds the layer's values, [row pos head d_head]; heads may share them.
    """

    def write(value: Tensor, hook: Any) -> Tensor:
        rows, length, heads, _ = value.shape
        unknown = value.new_full((rows, heads, length, length), math.nan)
        new = _edited(site, edit, _at(site, unknown)).to(value.dtype)
        each = values[-1].repeat_interleave(heads // values[-1].shape[2], 2)
        written = value.clone()
        if site.head is None:
            written[...] = einsum(new, each, "row head query key, row key head d -> row query head d")
        else:
            written[:, :, site.head] = new @ each[:, :, site.head]
        return written

    return write


def _edited(site: Site, edit: Edit, old: Tensor) -> Tensor:
    new = edit(old)
    if new.shape != old.shape:
        raise ValueError(f"{site} is {list(old.shape)} here; {list(new.shape)} was to be written")
    return new


def remember(kept: list[Tensor]) -> Callable[..., Tensor]:
    """Keeps a copy of what it is shown."""

    def look(value: Tensor, hook: Any) -> Tensor:
        kept.append(value.clone())
        return value

    return look


def tapper(tap: Tap) -> Callable[..., Tensor]:
    """Shows `tap` the activation of which a gradient can be taken."""

    def look(value: Tensor, hook: Any) -> Tensor:
        # A tensor of its own: the gradient is that of all that follows from what stands here, and of nothing else.
        value = value.view_as(value) if value.requires_grad else value.detach().clone().requires_grad_()
        tap(value)
        return value

    return look


def reader(site: Site, read: Read, home: torch.device) -> Callable[..., Tensor]:
    """Shows `read` a copy of what stands at a site, on the device `home`."""

    def look(value: Tensor, hook: Any) -> Tensor:
        read(_at(site, value).clone().to(home))
        return value

    return look


def _at(site: Site, value: Tensor) -> Tensor:
    """The part of a hook's activation that the site means."""
    if site.head is None:
        return value
    return value[:, site.head] if site.part == "pattern" else value[:, :, site.head]
