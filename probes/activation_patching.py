"""Activation patching: the change of the logit gap if one prompt runs with the other prompt's activation at a site.

Heimersheim and Nanda 2024, arXiv 2404.15255.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distractor.probing.probe import PairProbe

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.probing.run import Run


@dataclass(frozen=True)
class ActivationPatching(PairProbe):
    """Activation patching between `conflict` and an aligned condition, in both directions.

    `congruent` differs from `conflict` in the true cue, so this pair shows the path of the true task.
    `distractor_swapped` differs in the distractor's cue, and shows its path. If the distractor wins, the first pair shows
    nothing: the distractor decides both gaps.

    The residual stream is patched at one layer and role at a time: [pair direction part layer role item]. Heads, and the
    MLPs beside them, are patched one at a time at all positions: [pair direction component item].

    `noising` is the change of the gap (nats) in `conflict` with activations of the other prompt. `denoising` is the change
    in the other prompt with activations of `conflict`. Models with parallel attention and MLP (GPT-NeoX) have no
    `resid_mid`.

    Raises:
        TaskError: no item has a requested role.
        ModelError: the model is loaded in half precision, or has no such part.
    """

    def __call__(self, run: "Run") -> "DataArray":
        """The change of each item's gap, site by site."""
        from distractor.probing.patching_map import PatchingMap

        cells = PatchingMap.of(run, self.parts, self.roles)
        effects, notes = cells.exact(cells.nodes)
        return cells.reading(
            effects.cpu().numpy(),
            {},
            name="activation_patching",
            origin=f"activation patching of {run.model.name}",
            **notes,
        )
