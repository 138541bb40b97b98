"""The Muon optimizer in single precision, for matrices with a leading seed axis.

`torch.optim.Muon` takes one matrix at a time, and rounds its iterations to bfloat16, which few CPUs compute fast.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

AS_ADAMW = 0.2
"""Scale of a step, times the square root of the longer side: the root mean square of a step then equals AdamW's.

Source: Liu et al. 2025, arXiv 2502.16982, eq. 4."""

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton–Schulz iterations. Source: Jordan 2024, https://kellerjordan.github.io/posts/muon."""
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for parameters [seed row column]."""

    def __init__(self, matrices: Iterable[Parameter], weight_decay: float) -> None:
        super().__init__(matrices, {"lr": 0.0, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update each matrix."""
        for group in self.param_groups:
            for matrix in group["params"]:
                state = self.state[matrix]
                mean = state.setdefault("momentum", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - MOMENTUM)
                direction = orthogonal(matrix.grad.lerp(mean, MOMENTUM))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(direction, alpha=-group["lr"] * AS_ADAMW * max(matrix.shape[1:]) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Move the singular values of matrices [seed row column] close to 1 by Newton–Schulz iterations."""
    if matrix.shape[1] > matrix.shape[2]:
        return orthogonal(matrix.transpose(1, 2)).transpose(1, 2)
    a, b, c = COEFFICIENTS
    result = matrix / matrix.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(ITERATIONS):
        gram = result @ result.transpose(1, 2)
        result = torch.baddbmm(result, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), result, beta=a)
    return result
