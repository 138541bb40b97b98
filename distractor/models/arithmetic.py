"""The arithmetic of a pass: the dtype of attention, and an MLP at some positions only."""

import contextlib
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
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
def restrict_positions(mlp: Any, keep: Int[Tensor, " kept"]) -> Iterator[None]:
    """Compute an MLP, from and to [row pos d_model], only at the positions `keep`; its output is 0 at the others."""
    lengths: list[int] = []

    def narrow(_: Any, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not args:
            return None
        lengths.append(args[0].shape[1])
        return args[0][:, keep.to(args[0].device)], *args[1:]

    def widen(_: Any, __: Any, output: Tensor) -> Tensor:
        if not lengths:
            return output
        wide = output.new_zeros(len(output), lengths.pop(), *output.shape[2:])
        wide[:, keep.to(output.device)] = output
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
