"""Muon in single precision: the same steps as `torch.optim.Muon`'s, which rounds its iterations to bfloat16.

Few CPUs have bfloat16 arithmetic; where it is emulated, its part of a step of 80x2 takes twelve times as long as here (70 ms
instead of 6; the gradients take 75).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

AS_ADAMW = 0.2
"""Times the square root of the longer side, it makes a step's root mean square that of AdamW (Liu et al. 2025, arXiv
2502.16982, eq. 4)."""


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`; settings and state are its own."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step for every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                mean = state.setdefault("momentum_buffer", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                turned = orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(turned, alpha=-group["lr"] * AS_ADAMW * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Singular values moved near 1 by Newton–Schulz iterations (Jordan 2024), [row column]."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T, coefficients, steps, eps).T
    a, b, c = coefficients
    found = matrix / matrix.norm().clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found
