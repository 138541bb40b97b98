"""The residual stream at the answer slot, as the sum of what each layer writes there."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.model import Model
from distractor.models.site import Part, Site
from distractor.probing.run import Run

PARTS: tuple[Part, ...] = ("resid_pre", "attn_out", "mlp_out", "resid_post")
"""What has to be seen at the answer slot."""


TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""How far a sum may be off, as a share of its terms: what rounding does in each type."""


def sites(model: Model) -> list[Site]:
    """What a run must have seen for `Stream.of`."""
    every = [Site(layer, part) for layer in range(model.n_layers) for part in PARTS]
    return [site for site in every if site.part != "resid_pre" or site.layer == 0]


@dataclass(frozen=True, eq=False)
class Stream:
    """What is in the residual stream where the answer is read off, each [condition item d_model].

    `embed` is what enters the first layer (token and position), `attn[layer]` and `mlp[layer]` what the layers add.
    """

    embed: Float[Tensor, "condition item d_model"]
    attn: Sequence[Float[Tensor, "condition item d_model"]]
    mlp: Sequence[Float[Tensor, "condition item d_model"]]
    last: Float[Tensor, "condition item d_model"]

    @classmethod
    def of(cls, run: Run) -> "Stream":
        """The stream of a run that saw `sites`, at the answer slot.

        Raises:
            ModelError: the stream is no sum of what the layers write (as in OPT-350m, whose norms stand behind the sum), or
                the model runs in half precision, where sums are too coarse to be taken apart.

        """
        model = run.model
        if model.dtype not in TOLERANCE:
            raise ModelError(
                f"{model.name} was loaded in {str(model.dtype).removeprefix('torch.')}, too coarse to take its sums apart; "
                "use --dtype float32"
            )
        if not model.is_additive:
            raise ModelError(
                f"{model.name} puts a norm behind the sum of what its layers write, so its residual stream cannot be taken "
                "apart"
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
                    f"{model.name}: behind layer {layer} the residual stream is not the sum of what attention and MLP wrote, "
                    "so it cannot be taken apart in this architecture"
                )
        return stream

    @property
    def stages(self) -> dict[str, Float[Tensor, "condition item d_model"]]:
        """The stream before the first layer, and behind the attention half and behind the whole of each.

        Where attention and MLP of a layer work side by side (GPT-NeoX), the half between is what the stream would be
        without the MLP.
        """
        resid = self.embed
        found = {str(Site(0, "resid_pre")): resid}
        for layer, (attn, mlp) in enumerate(zip(self.attn, self.mlp, strict=True)):
            found[f"L{layer}.resid_mid"] = resid + attn
            resid = resid + attn + mlp
            found[str(Site(layer, "resid_post"))] = resid
        found[str(Site(len(self.mlp) - 1, "resid_post"))] = self.last
        return found


def at_slot(run: Run, site: Site) -> Float[Tensor, "condition item *rest"]:
    """What was seen at each prompt's last position, whether all positions were kept or that one alone."""
    value = run.seen[site]
    if value.shape[2] == 1:
        return value[:, :, 0]
    items = torch.arange(value.shape[1], device=value.device)
    return value[:, items, run.batch.lengths - 1]


def is_close(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    """Whether a sum is what it should be, up to rounding."""
    scale = max(float(found.abs().max()), float(wanted.abs().max()), 1.0)
    return bool(((found - wanted).abs().max() <= TOLERANCE[dtype] * scale).item())
