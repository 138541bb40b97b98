"""What carries the difference between two prompts: the gap when one prompt runs with the other's activation at one site."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distractor.models.site import STREAM_PARTS, Part, Site, require_one_kind
from distractor.text.task import Condition

# A reading that is on disk is found by the probe's settings alone: what takes seconds to import waits for the call.
if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.models.model import Model
    from distractor.probing.run import Run


@dataclass(frozen=True)
class ActivationPatching:
    """Activation patching between `conflict` and an aligned condition, in both directions.

    The pair with `congruent` differs in the true cue and shows the true task's path; that with `distractor_swapped` in the
    distractor's cue, and shows the distractor's. Where the distractor wins, the first pair shows nothing: both gaps are
    the distractor's.

    Parts of the residual stream are exchanged at one layer and role in the prompt at a time, [pair direction part layer
    role item]; parts of heads at one head, at all positions, [pair direction component item]. `noising` is the change of
    the gap in `conflict` that runs with the other's activation, `denoising` that in the other that runs with the one of
    `conflict`, in nats; of the mean as a share of the mean gap difference (`distractor.statistics.effects`). `roles`
    narrows the positions. Where attention and MLP stand side by side (GPT-NeoX), there is no `resid_mid`.

    Raises:
        TaskError: no item has a role that was asked for.
        ModelError: the model is loaded in half precision, or has no such part.

    """

    parts: tuple[Part, ...] = STREAM_PARTS
    other: Condition = Condition.CONGRUENT
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_one_kind(self.parts)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The pair."""
        return Condition.CONFLICT, self.other

    @property
    def writes(self) -> tuple[Part, ...]:
        """What is exchanged."""
        return self.parts

    def sites(self, model: "Model") -> Sequence[Site]:
        """None: both prompts of a pair go through the model together, and nothing has to be kept."""
        return []

    def __call__(self, run: "Run") -> "DataArray":
        """The change of each item's gap, site by site."""
        from distractor.probing.patching_map import PatchingMap

        cells = PatchingMap.of(run, self.parts, self.roles)
        effects, told = cells.exact(cells.nodes)
        return cells.reading(
            effects.cpu().numpy(),
            {},
            name="activation_patching",
            origin=f"activation patching of {run.model.name}",
            **told,
        )
