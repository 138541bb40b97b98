"""Activation patching: the change of the logit gap if one prompt runs with the other prompt's activation at a site.

Heimersheim and Nanda 2024, arXiv 2404.15255.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distractor.models.site import HEAD_PARTS, has_components
from distractor.probing.probe import GRADIENTS, PairProbe
from distractor.probing.screening import Screening
from distractor.text.task import ALIGNED, Condition

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.probing.patching_map import PatchingMap
    from distractor.probing.probe import Extent
    from distractor.probing.run import Run
    from distractor.probing.screening import Picked


CELL_OF_COMPONENT = 0.5  # of a pass: a patch of a component computes the layers above it
CELL_OF_STREAM = 0.08  # of a pass: a patch at one position computes the layers above it and the positions behind it


@dataclass(frozen=True)
class ActivationPatching(PairProbe):
    """Activation patching between `conflict` and an aligned condition, in both directions.

    `congruent` differs from `conflict` in the true cue, so this pair shows the path of the true task.
    `distractor_swapped` differs in the distractor's cue, and shows its path. If the distractor wins, the first pair shows
    nothing: the distractor decides both gaps.

    The residual stream is patched at one layer and role at a time: [pair direction part layer role item]. Heads, and the
    MLPs beside them, are patched one at a time at all positions: [pair direction component item].

    `other` may also be a condition of another length, such as `neutral`. Then a prompt gets the activations at the positions
    whose role both prompts have; the answer slot always matches. Patterns have two positions and are left out.

    `noising` is the change of the gap (nats) in `conflict` with activations of the other prompt. `denoising` is the change
    in the other prompt with activations of `conflict`. Models with parallel attention and MLP (GPT-NeoX) have no
    `resid_mid`.

    With `screening`, components of models with many of them are screened by gradients (`AttributionPatching`), and patched
    where the estimate is largest in either direction, and at a random sample of the others. The other components are NaN;
    the attribute `screening` bounds the effects that were missed. Patterns are left out beside other parts: a head's `z` has
    their effect too.

    Raises:
        TaskError: no item has a requested role, or the parts are patterns alone and `other` has other lengths.
        ModelError: the model is loaded in half precision, or has no such part.
    """

    screening: Screening | None = None

    def screened(self, screening: Screening) -> "ActivationPatching":
        """The same patches with this screening."""
        return replace(self, screening=screening)

    @property
    def unscreened(self) -> "ActivationPatching":
        """The same patches of every site."""
        return replace(self, screening=None)

    def cost(self, extent: "Extent") -> float:
        """A clean pass, the gradients of screening, and half a pass for each patch of a component."""
        pair = extent.under(*self.conditions, *self.others)
        if not has_components(self.parts):
            return pair * (1 + CELL_OF_STREAM * len(self.parts) * extent.layers * extent.length)
        heads = extent.sites - extent.layers
        screening = self.screening or Screening()
        if self.screening is not None and screening.is_needed(extent.sites):
            return pair * (1 + GRADIENTS + CELL_OF_COMPONENT * screening.measured)
        return pair * (
            1 + CELL_OF_COMPONENT * sum(heads if part in HEAD_PARTS else extent.layers for part in self.parts)
        )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The pair, or `conflict` alone if the other condition has other lengths."""
        return (Condition.CONFLICT, self.other) if self.other in ALIGNED else (Condition.CONFLICT,)

    @property
    def others(self) -> tuple[Condition, ...]:
        """The other condition if it has other lengths."""
        return () if self.other in ALIGNED else (self.other,)

    def __call__(self, run: "Run") -> "DataArray":
        """The change of each item's gap, site by site."""
        import numpy as np

        from distractor.probing.patching_map import PatchingMap
        from distractor.statistics.agreement import SMALL

        if self.others:
            return self._by_role(run)
        outputs = tuple(part for part in self.parts if part != "pattern") or self.parts
        cells = PatchingMap.of(run, outputs, self.roles)
        if not self._is_screened(cells):
            cells = PatchingMap.of(run, self.parts, self.roles)
        nodes, picked = cells.nodes, self._picked(cells) if self._is_screened(cells) else None
        if picked is not None and picked.are_only_estimated:
            nothing = picked.spread(np.zeros((0, 2, len(run.batch.items))))
            return cells.reading(
                nothing,
                {},
                name="activation_patching",
                origin=f"gradients of {run.model.name}",
                absent="not measured",
                estimates=picked.estimates.tolist(),
            )
        effects, notes = cells.exact(nodes if picked is None else [nodes[k] for k in picked.measured])
        values, attributes = effects.cpu().numpy(), dict[str, Any](notes)
        if picked is not None:
            least = SMALL * (abs(cells.gap_in_question) or float(abs(cells.pair_gap).mean()))
            attributes["screening"] = picked.report([site for site, _ in nodes], values.mean(-1).T, least)
            attributes["absent"] = "not measured: its estimated effect is small"
            values = picked.spread(values)
        return cells.reading(
            values,
            {},
            name="activation_patching",
            origin=f"activation patching of {run.model.name}",
            **attributes,
        )

    def _by_role(self, run: "Run") -> "DataArray":
        """The same between prompts of different lengths."""
        from distractor.probing.role_patching import beside, patched_by_role

        pair = beside(run, run.others[self.other])
        cells, effects = patched_by_role(pair, tuple(part for part in self.parts if part != "pattern"), self.roles)
        return cells.reading(
            effects.cpu().numpy(),
            {},
            name="activation_patching",
            origin=f"activation patching of {run.model.name}, matched by role",
            absent="the item has no token with this role under both conditions",
        )

    def _is_screened(self, cells: "PatchingMap") -> bool:
        """Whether the model has so many components that only some are patched."""
        return bool(self.screening and cells.is_of_components and self.screening.is_needed(len(cells.nodes)))

    def _picked(self, cells: "PatchingMap") -> "Picked":
        """The components to patch."""
        import torch

        from distractor.probing.patching import first_order_effects

        assert self.screening is not None
        effects = first_order_effects(cells.run.model, cells.run.batch, cells.layers)
        estimates = torch.stack([cells.at(node, effects)[0].mean(-1) for node in cells.nodes], -1)
        return self.screening.pick(estimates.cpu().numpy(), [site for site, _ in cells.nodes])
