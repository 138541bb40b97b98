"""The arithmetic of a pass: the dtype of attention, and an MLP at some positions only."""

import contextlib
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.overrides import TorchFunctionMode


class DoubleSoftmax(TorchFunctionMode):
    """Keep the softmax of float64 scores in float64; TransformerLens uses float32, which costs seven digits."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.nn.functional.softmax and args[0].dtype == torch.float64:
            kwargs["dtype"] = None
        return func(*args, **kwargs)


class HalfPattern(TorchFunctionMode):
    """Multiply attention patterns with values in the dtype of the values; OLMo 2 keeps its patterns in float32."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.matmul and args[0].dtype == torch.float32 != args[1].dtype:
            args = (args[0].to(args[1].dtype), *args[1:])
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def restrict_positions(mlp: Any, keep: Int[Tensor, " kept"] | Bool[Tensor, "row pos"]) -> Iterator[None]:
    """Compute an MLP, from and to [row pos d_model], only at the positions `keep`, which are those of every row, or a mask;
    its output is 0 at the others.
    """
    shapes: list[tuple[int, int]] = []
    is_mask = keep.dtype == torch.bool

    def narrow(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not args:
            return None
        value, here = args[0], keep.to(args[0].device)
        shapes.append((value.shape[0], value.shape[1]))
        return value[here][None] if is_mask else value[:, here], *args[1:]

    def widen(_: Any, __: Any, output: Tensor) -> Tensor:
        if not shapes:
            return output
        wide, here = output.new_zeros(*shapes.pop(), *output.shape[2:]), keep.to(output.device)
        if is_mask:
            wide[here] = output[0]
        else:
            wide[:, here] = output
        return wide

    handles = mlp.register_forward_pre_hook(narrow), mlp.register_forward_hook(widen)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


_positionwise: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def is_positionwise(mlp: Any, d_model: int) -> bool:
    """Whether an MLP treats each position alone, tested on random input; False if it cannot be called alone (OPT, BLOOM)."""
    if mlp not in _positionwise:
        weight = next(mlp.parameters(), torch.zeros(()))
        sample = torch.randn(1, 3, d_model, generator=torch.Generator().manual_seed(0)).to(weight.device, weight.dtype)
        try:
            together, alone = mlp(sample)[:, -1:], mlp(sample[:, -1:])
            tolerance = 1e-4 if weight.dtype in (torch.float32, torch.float64) else 1e-2
            _positionwise[mlp] = bool((together - alone).abs().max() <= tolerance * together.abs().max())
        except (TypeError, AttributeError, IndexError, RuntimeError):
            _positionwise[mlp] = False
    return _positionwise[mlp]
