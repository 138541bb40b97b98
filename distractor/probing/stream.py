"""The residual stream at the answer slot, as the sum of what each layer writes there."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.site import Part, Site
from distractor.probing.run import Run

PARTS: tuple[Part, ...] = ("resid_pre", "attn_out", "mlp_out", "resid_post")
"""The parts that a run must read at the answer slot."""

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # the largest relative rounding error of a sum, by dtype


def sites(model: HookedModel) -> list[Site]:
    """The sites that a run must read for `Stream.of`."""
    every = [Site(layer, part) for layer in range(model.n_layers) for part in PARTS]
    return [site for site in every if site.part != "resid_pre" or site.layer == 0]


@dataclass(frozen=True, eq=False)
class Stream:
    """The residual stream at the answer slot, each part [condition item d_model].

    `embed` enters the first layer (token and position); `attn[layer]` and `mlp[layer]` are added by the layers.
    """

    embed: Float[Tensor, "condition item d_model"]
    attn: Sequence[Float[Tensor, "condition item d_model"]]
    mlp: Sequence[Float[Tensor, "condition item d_model"]]
    last: Float[Tensor, "condition item d_model"]

    @classmethod
    def of(cls, run: Run) -> "Stream":
        """The stream of a run that saw `sites`, at the answer slot."""
        model = run.model
        if model.dtype not in TOLERANCE:
            raise ModelError(
                f"{model.name} was loaded in {str(model.dtype).removeprefix('torch.')}; its sums "
                "cannot be decomposed in this precision; "
                "use --dtype float32"
            )
        if not model.is_additive:
            raise ModelError(
                f"{model.name} has a norm after each sum of what its layers write, so its residual stream cannot be "
                "decomposed"
            )
        attn = [at_slot(run, Site(layer, "attn_out")) for layer in range(model.n_layers)]
        mlp = [at_slot(run, Site(layer, "mlp_out")) for layer in range(model.n_layers)]
        stream = cls(
            at_slot(run, Site(0, "resid_pre")), attn, mlp, at_slot(run, Site(model.n_layers - 1, "resid_post"))
        )
        resid = stream.embed
        for layer in range(model.n_layers):
            resid = resid + attn[layer] + mlp[layer]
            if not is_close(resid, at_slot(run, Site(layer, "resid_post")), model.dtype):
                raise ModelError(
                    f"{model.name}: after layer {layer} the residual stream is not the sum of what attention and MLP wrote, "
                    "so it cannot be decomposed in this architecture"
                )
        return stream

    @property
    def stages(self) -> dict[str, Float[Tensor, "condition item d_model"]]:
        """The stream before the first layer, and after the attention half and the MLP half of each layer.

        In models with parallel attention and MLP (GPT-NeoX), the attention half is the stream without the layer's MLP.
        """
        resid = self.embed
        stages = {str(Site(0, "resid_pre")): resid}
        for layer, (attn, mlp) in enumerate(zip(self.attn, self.mlp, strict=True)):
            stages[f"L{layer}.resid_mid"] = resid + attn
            resid = resid + attn + mlp
            stages[str(Site(layer, "resid_post"))] = resid
        stages[str(Site(len(self.mlp) - 1, "resid_post"))] = self.last
        return stages


def at_slot(run: Run, site: Site) -> Float[Tensor, "condition item *rest"]:
    """The activation at each prompt's last position; the run may hold all positions or only this one."""
    value = run.seen[site]
    if value.shape[2] == 1:
        return value[:, :, 0]
    items = torch.arange(value.shape[1], device=value.device)
    return value[:, items, run.batch.lengths - 1]


def is_close(stages: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether two values are equal up to rounding."""
    scale = max(float(stages.abs().max()), float(expected.abs().max()), 1.0)
    return bool(((stages - expected).abs().max() <= TOLERANCE[dtype] * scale).item())
