"""Attention from the answer slot: the share that each head gives to each part of the prompt."""

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
class Attention(Probe):
    """The share of each head's attention from the answer slot to the tokens of each role (cue, options, quote, …).

    The reading is [component role condition item], shares that sum to 1 over the roles that a prompt has; NaN at the
    others. Attention is not an effect: see `ablation` and patching for effects.
    """

    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)
    slot_parts: ClassVar[tuple[Part, ...]] = ("pattern",)

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The attention pattern of every layer."""
        return [Site(layer, "pattern") for layer in range(model.n_layers)]

    def __call__(self, run: "Run") -> "DataArray":
        """The share of each head's attention that goes to each role, for each item under each condition."""
        import torch

        from distractor.probing.positions import Positions, example_tokens

        positions = Positions.of(run.batch)
        shares_of_layers = []
        for site in self.sites(run.model):
            pattern = run.seen[site][:, :, :, 0].double()  # [condition item head key]
            shares_of_layers.append(positions.sums(pattern.movedim(2, 0)))
        shares = torch.where(positions.present, torch.cat(shares_of_layers), torch.nan)
        model = run.model
        components = [f"L{layer}H{head}.pattern" for layer in range(model.n_layers) for head in range(model.n_heads)]
        return run.reading(
            "attention",
            shares,
            {"component": components, "role": positions.labels},
            example_tokens(run.batch, model.tokenizer, positions.labels),
            quantity="attention from the answer slot",
            unit="share",
            origin=f"attention patterns of {model.name}",
            absent="the prompt has no token of the role",
        )
