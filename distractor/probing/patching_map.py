"""Maps of activation patching between a pair of prompts, by layer and role or by component, in both directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from xarray import DataArray

from distractor.errors import ScalingError, TaskError, nearest
from distractor.models.site import HEAD_PARTS, Part, Site, has_components
from distractor.probing.cells import CHANGE
from distractor.probing.patching import patched_gaps
from distractor.probing.positions import Positions, example_tokens
from distractor.probing.run import Run
from distractor.progress import record_note
from distractor.statistics.intervals import mean_interval

DIRECTIONS = ("noising", "denoising")
"""Noising: prompts of `conflict` with the other condition's activations; is the site necessary? Denoising: the reverse; is
the site sufficient? (Heimersheim and Nanda 2024, arXiv 2404.15255)"""

ALMOST_EQUAL = 0.05
"""Gaps of a pair that differ by less than this share of their size count as equal."""

Node = tuple[Site, str | None]  # one cell of a map: a site at the positions of a role, or a component at all positions


@dataclass(frozen=True, eq=False)
class PatchingMap:
    """The cells of one or more parts' maps: layer × role for parts of the stream, components for heads and MLPs.

    Positions of different items are matched by their roles in the batch's first condition.
    """

    run: Run
    parts: tuple[Part, ...]
    roles: Mapping[str, Tensor]  # label: [item pos], true where the item has the role

    @classmethod
    def of(cls, run: Run, parts: Sequence[Part], only: Sequence[str] = ()) -> "PatchingMap":
        """The map of `parts` at the roles in `only` (all if empty); parts that the model lacks are left out."""
        positions = Positions.of(run.batch)
        index = positions.index[0]
        roles = {label: index == number for number, label in enumerate(positions.labels)}
        roles = {label: at for label, at in roles.items() if bool(at.any())}
        for label in only:
            if label not in roles:
                raise TaskError(
                    f"no item has a token with the role {label!r} in {run.batch.conditions[0]}, so there is nothing in "
                    f"common to exchange; {nearest(label, roles)}"
                )
        chosen = {label: at for label, at in roles.items() if not only or label in only}
        return cls(run, tuple(part for part in parts if part in run.model.parts), chosen)

    @property
    def is_of_components(self) -> bool:
        """Whether the map has heads and MLPs instead of roles."""
        return has_components(self.parts)

    @property
    def layers(self) -> list[Site]:
        """The sites without heads and roles, each part's layers together."""
        return [Site(layer, part) for part in self.parts for layer in range(self.run.model.n_layers)]

    @property
    def nodes(self) -> list[Node]:
        """All cells, in the order of a reading."""
        if self.is_of_components:
            return [(site, None) for whole in self.layers for site in self._sites_of(whole)]
        return [(site, label) for site in self.layers for label in self.roles]

    def _sites_of(self, whole: Site) -> list[Site]:
        """The heads of a part of a layer; the part itself if it has no heads."""
        return self.run.model.head_sites(whole.layer, whole.part) if whole.part in HEAD_PARTS else [whole]

    def exact(self, nodes: Sequence[Node]) -> tuple[Float[Tensor, "node direction=2 item"], dict[str, str]]:
        """The change of the gap if each cell is patched; NaN if an item lacks the role.

        Also notes for the reading's attributes: why every cell took a whole pass, if it did (`patched_gaps`).
        """
        requested = [(site, None if label is None else self.roles[label]) for site, label in nodes]
        gaps, why_whole = patched_gaps(self.run, requested)
        if why_whole:
            record_note(
                f"{self.run.model.name}: every patch took a whole pass, because cached patching does not work ({why_whole})."
            )
        return gaps - self.run.gap.double(), {"whole_passes": why_whole} if why_whole else {}

    def at(self, node: Node, found: Mapping[Site, Float[Tensor, "*rest direction=2 item place"]]) -> Tensor:
        """The estimate (`first_order_effects`) at a cell: [*rest direction item]; NaN if an item lacks the role."""
        site, label = node
        value = found[Site(site.layer, site.part)]
        if label is None:
            return value.sum(-1) if site.head is None else value[..., site.head]
        at = self.roles[label]
        return torch.where(at.any(-1), (value * at).sum(-1), torch.nan)

    @property
    def groups(self) -> list[str]:
        """Each item's group."""
        return [item.group for item in self.run.batch.items]

    @property
    def pair_gap(self) -> Float[ndarray, " item"]:
        """The other condition's gap minus that of the first: the effect of noising everything."""
        return (self.run.gap[1] - self.run.gap[0]).double().cpu().numpy()

    @property
    def gap_in_question(self) -> float:
        """The gap that mean effects are compared with, in nats: the mean difference of the pair's gaps.

        If it may be 0, because items differ in sign, the result is 0. If the two gaps are almost equal in each item, no
        effect is small compared with their difference, so the result is the mean absolute gap.
        """
        size = float(self.run.gap.double().abs().mean())
        if float(np.abs(self.pair_gap).mean()) < ALMOST_EQUAL * size:
            return size
        gap = self.denominator
        return gap["mean"] if gap["low"] is not None and gap["low"] * gap["high"] > 0 else 0.0

    def reading(
        self,
        values: Float[ndarray, "*lead node direction=2 item"],
        lead: Mapping[str, Sequence[str]],
        **attributes: Any,
    ) -> DataArray:
        """Values of all cells as a reading [pair *lead direction part layer role item], or of components [… component item].

        Items have their `group` and `pair_gap` (with the sign of noising) as coordinates, roles their `token` in the
        first item. The attribute `denominator` is the mean of `pair_gap` with its interval. `attributes` are added to
        the reading's own.
        """
        batch = self.run.batch
        name = attributes.pop("name")
        coords: dict[str, Any] = {"pair": ["/".join(batch.conditions)], **lead, "direction": list(DIRECTIONS)}
        values = np.moveaxis(values, -2, -3)  # direction before node
        if self.is_of_components:
            coords["component"] = [str(site) for site, _ in self.nodes]
        else:
            sizes = (len(self.parts), self.run.model.n_layers, len(self.roles))
            values = values.reshape(*values.shape[:-2], *sizes, values.shape[-1])
            coords["part"] = list(self.parts)
            coords["layer"] = [str(layer) for layer in range(self.run.model.n_layers)]
            coords["role"] = list(self.roles)
        coords["item"] = [item.id for item in batch.items]
        dims = list(coords)
        coords |= {"group": ("item", self.groups), "pair_gap": ("item", self.pair_gap)}
        attrs = {"quantity": CHANGE, "unit": "nats", **attributes, "denominator": self.denominator}
        if not self.is_of_components:
            tokens = example_tokens(batch, self.run.model.tokenizer, list(self.roles))["token"][1]
            coords["token"] = ("role", tokens[0])
            attrs.setdefault("absent", "the item has no token with this role")
        return DataArray(values[None], dims=dims, coords=coords, name=name, attrs=attrs)

    @property
    def denominator(self) -> dict[str, Any]:
        """The mean of `pair_gap` with its 95 % interval over groups; a single group has no interval."""
        try:
            mean, low, high = mean_interval(self.pair_gap, self.groups)
        except ScalingError:  # all items are of one group: no interval
            return {"mean": float(self.pair_gap.mean()), "low": None, "high": None}
        return {"mean": mean, "low": low, "high": high}
