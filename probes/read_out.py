"""How large a gap the read-out can make, and how much of it the residual stream uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from distractor.models.site import Part, Site
from distractor.probing.probe import Probe
from distractor.text.task import Condition

if TYPE_CHECKING:
    from torch import Tensor
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.run import Run


@dataclass(frozen=True)
class ReadOut(Probe):
    """The gap as a product of the residual stream's direction and the read-out's size, at the answer slot.

    gap = cosine · stream · answers + rest, exactly. `answers` is the length of the difference of the two answers' rows in
    the unembedding, with the gain of the final norm in them. `stream` is the length of the normalised residual stream
    (about √d_model), and `cosine` is between the two vectors. `rest` is from biases and the soft cap. So the largest gap
    that the read-out can make, stream · answers, is known apart from what the stream holds. The cosine does not change
    if the unembedding or the norm's gain is scaled, or the basis rotated; the other factors cannot change the gap's sign.

    The reading is [factor condition item]: `gap` and `rest` in nats, and the three other factors.

    Raises:
        ModelError: the model has no final norm, or its gap is not this sum.
    """

    conditions: tuple[Condition, ...] = (Condition.CONFLICT,)
    is_aligned: ClassVar[bool] = False
    slot_parts: ClassVar[tuple[Part, ...]] = ("resid_post",)

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The last residual stream."""
        return [Site(model.n_layers - 1, "resid_post")]

    def __call__(self, run: "Run") -> "DataArray":
        """The gap and its factors, for each item under each condition."""
        import torch

        from distractor.errors import ModelError
        from distractor.probing.stream import TOLERANCE, at_slot

        model = run.model
        if not model.has_final_norm:
            raise ModelError(
                f"{model.name} has no norm before its unembedding, so the length of its residual stream cannot be told from "
                "what the stream holds; leave out read_out for this model"
            )
        with torch.inference_mode():
            resid = at_slot(run, Site(model.n_layers - 1, "resid_post")).flatten(0, 1)
            answers = run.batch.answers.repeat(run.gap.shape[0], 1)
            here, rest = model.gap_direction(resid, answers)
            # The direction at a stream without zeros, times its scale, is made of weights alone.
            signs = torch.ones_like(resid)
            signs[:, 1::2] = -1
            weights = (model.gap_direction(signs, answers)[0] * model.final_norm_scale(signs)[:, None]).double()
            here, resid = here.double(), resid.double()
            factors = _factors(resid, here, weights, model.final_norm_scale(resid))
            bias = sum((term.double() for term in rest.values()), torch.zeros_like(factors["cosine"]))
        gap = run.gap.double().flatten()
        off = factors["cosine"] * factors["stream"] * factors["answers"] + bias - gap
        largest = max(1.0, float((factors["stream"] * factors["answers"]).max()))
        if not float(off.abs().max()) <= max(TOLERANCE[model.dtype], 1e-6) * largest:
            raise ModelError(
                f"{model.name}: final norm and unembedding do not give the model's gap (off by {float(off.abs().max()):.1e} "
                "nats), so its factors are not known in this architecture; leave out read_out for this model"
            )
        parts = {"gap": gap, **factors, "rest": bias}
        return run.reading(
            "read_out",
            torch.stack(list(parts.values())).reshape(len(parts), *run.gap.shape),
            {"factor": list(parts)},
            quantity="gap, and the factors that make it",
            unit="nats; factors without unit",
            origin=f"read-out of {model.name}",
            absent="the item has no prompt under the condition",
        )


def _factors(resid: "Tensor", here: "Tensor", weights: "Tensor", scale: "Tensor") -> "dict[str, Tensor]":
    """Cosine, length of the normalised stream and length of the answers' difference, each [row].

    `here` is the direction of the gap in a residual stream whose rms or standard deviation is `scale`; `weights` is the
    same direction without the norm's scale.
    """
    import torch

    length, answers = scale * resid.shape[-1] ** 0.5, weights.norm(dim=-1)
    # Some norms give no gain where the stream is 0, and nothing is read there.
    read = torch.where(here == 0, 0, weights).square().sum(-1)
    divided = (here * weights).sum(-1) / torch.where(read == 0, 1, read)
    product = length * answers
    cosine = (resid * weights).sum(-1) / torch.where(product == 0, 1, product)
    return {"cosine": cosine, "stream": length * divided, "answers": answers}
