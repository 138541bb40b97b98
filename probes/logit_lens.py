"""The logit lens (nostalgebraist 2020): the model's answer if it stopped after each layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from distractor.models.site import Part, Site
from distractor.probing.probe import Probe
from distractor.text.task import Condition

if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.run import Run


@dataclass(frozen=True)
class LogitLens(Probe):
    """The logit lens (nostalgebraist 2020): final norm and unembedding applied to the residual stream of every layer.

    Each layer is read twice at the answer slot, after its attention half (`L0.resid_mid`) and after its MLP half
    (`L0.resid_post`), under every condition of the task. Early layers may use another basis than the last one. So a flat
    lens does not show that a layer lacks information (`linear_probe` may find it).

    The reading is [quantity stage condition item]: the logit gap in nats, distractor preference, and coverage. At the
    last stage all three are the model's own.

    Raises:
        ModelError: the last stage differs from the model's own output, so no stage can be trusted; or see `Stream`.
    """

    conditions: tuple[Condition, ...] = tuple(Condition)
    is_aligned: ClassVar[bool] = False
    slot_parts: ClassVar[tuple[Part, ...]] = ("resid_pre", "attn_out", "mlp_out", "resid_post")

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The input of the first layer, and the outputs of every layer."""
        from distractor.probing import stream

        return stream.sites(model)

    def __call__(self, run: "Run") -> "DataArray":
        """Gap, preference and coverage at each stage, for each item under each condition."""
        import numpy as np
        import torch

        from distractor.errors import ModelError
        from distractor.probing.stream import TOLERANCE, Stream
        from distractor.scoring import quantities
        from distractor.scoring.pass_size import rows_per_pass

        shape = run.gap.shape
        size = rows_per_pass(1, 1, run.model.vocab)
        stages = Stream.of(run).stages
        rows = torch.stack(list(stages.values())).flatten(0, 2)
        answers = run.batch.answers.repeat(len(stages) * shape[0], 1)
        parts = zip(rows.split(size), answers.split(size), strict=True)
        with torch.inference_mode():
            seen = [run.model.lens_log_probs(some).gather(1, ids) for some, ids in parts]
        log_probs = torch.cat(seen).reshape(len(stages), *shape, 2).double().cpu().numpy()
        own = run.log_probs.double().cpu().numpy()
        if not np.abs(log_probs[-1] - own).max() <= TOLERANCE[run.model.dtype] * max(1.0, np.abs(own).max()):
            raise ModelError(
                f"{run.model.name}: final norm and unembedding of the last layer do not give what the model answers (off "
                f"by {np.abs(log_probs[-1] - own).max():.1e} nats), so the lens cannot be trusted in this architecture"
            )
        quantities_by_name = {
            "logit_gap": quantities.logit_gap(log_probs),
            "distractor_preference": quantities.preference(log_probs),
            "coverage": quantities.coverage(log_probs),
        }
        return run.reading(
            "logit_lens",
            np.stack(list(quantities_by_name.values())),
            {"quantity": list(quantities_by_name), "stage": list(stages)},
            quantity="what the model would answer if it stopped there",
            unit="nats; shares",
            origin=f"logit lens of {run.model.name}",
            absent="the item has no prompt under the condition",
        )
