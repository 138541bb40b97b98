"""What each head and MLP contributes: how the logit gap changes when its output is replaced by a mean.

A mean over `conflict` alone would keep the cue, and knocking out a pure negation detector would then do nothing. So
the mean is balanced over the conditions of the pair and over the answers' labels, and taken by role in the prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distractor.site import Part, Site
from distractor.task import Condition

# A reading that is on disk is found by the probe's settings alone: what takes seconds to import waits for the call.
if TYPE_CHECKING:
    from torch import Tensor
    from xarray import DataArray

    from distractor.model import Model
    from distractor.run import Run


@dataclass(frozen=True)
class Ablation:
    """Mean ablation of every head (`z`) and every MLP (`mlp_out`) at all positions, one component at a time.

    An item's activations are replaced by the mean over items of *other* groups at positions of the same role (the part
    of the prompt, counted from its end), averaged first within and then over the cells condition × answer label. Other
    groups are those outside the item's fold; the groups are dealt out to `folds` folds in order of appearance.

    The reading is the total effect gap(knocked out) − gap(as it was), in nats [component condition item]: negative
    where the component works for the true answer, positive where it works for the distractor's.

    Raises:
        TaskError: all items are of one group, so that there is no other to take a mean over.

    """

    folds: int = 5
    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)
    writes: tuple[Part, ...] = ("z", "mlp_out")

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"{self.folds} folds leave no other items to take a mean over; at least 2 are needed")

    def sites(self, model: "Model") -> Sequence[Site]:
        """The values of all heads and the output of the MLP of each layer."""
        return [Site(layer, part) for layer in range(model.n_layers) for part in self.writes]

    def __call__(self, run: "Run") -> "DataArray":
        """The total effect of each component on the gap of each item under each condition."""
        import torch
        from xarray import DataArray

        from distractor.elsewhere import Elsewhere

        elsewhere = Elsewhere.of(run.batch, self.folds)
        effects: dict[str, Tensor] = {}
        for layer in range(run.model.n_layers):
            for part in self.writes:
                mean = elsewhere.mean(run.seen[Site(layer, part)])
                if part == "z":
                    sites = [(Site(layer, "z", head), mean[..., head, :]) for head in range(run.model.n_heads)]
                else:
                    sites = [(Site(layer, part), mean)]
                for site, value in sites:
                    effects[str(site)] = run.again({site: value}).gap - run.gap
        return DataArray(
            torch.stack(list(effects.values())).double().cpu().numpy(),
            dims=("component", "condition", "item"),
            coords={
                "component": list(effects),
                "condition": [str(c) for c in run.batch.conditions],
                "item": [item.id for item in run.batch.items],
            },
            name="ablation",
            attrs={
                "quantity": "change of the logit gap",
                "unit": "nats",
                "origin": f"mean ablation of {run.model.name}",
            },
        )
