"""Activation patching at all sites at once, to first order: what gradients say that each exchange would do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.models.site import STREAM_PARTS, Part, Site, require_one_kind
from distractor.text.task import Condition

# A reading that is on disk is found by the probe's settings alone: what takes seconds to import waits for the call.
if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import DataArray

    from distractor.models.model import Model
    from distractor.probing.patching_map import PatchingMap
    from distractor.probing.run import Run


@dataclass(frozen=True)
class AttributionPatching:
    """Attribution patching (Nanda 2023), with the corrections of AtP* (Kramár et al. 2024, arXiv 2403.00745).

    Cells, directions and unit are those of `ActivationPatching`, with one more axis, `estimate`:

    - `gradient`: gradient times change, for all sites and items by one forward and backward pass of the batch. With
      `through_softmax`, what is exchanged at a query, key, value or pattern is carried through its head exactly, and the
      gradient takes over behind it.
    - `grad_drop`: the mean size of the estimate over gradients that do not flow back through one layer, each layer
      in turn, so that paths which cancel are seen; at least 0; one more backward pass a layer. Left out if not `grad_drop`.
    - `exact`: the self-check. Never left out: every estimate comes with exact patches beside it, of all cells up to 2,000,
      else of a random sample of each layer's (NaN elsewhere).

    The attribute `self_check` holds, for each estimate, part and direction, the rank correlation with the exact means, how
    many of the largest are found, and the share of sites that are missed; `warning` says where these fail.

    Raises:
        TaskError, ModelError: as `ActivationPatching`; or a gradient is not finite.

    """

    parts: tuple[Part, ...] = STREAM_PARTS
    other: Condition = Condition.CONGRUENT
    roles: tuple[str, ...] = ()
    through_softmax: bool = True
    grad_drop: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_kind(self.parts)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The pair."""
        return Condition.CONFLICT, self.other

    @property
    def writes(self) -> tuple[Part, ...]:
        """What the self-check exchanges."""
        return self.parts

    def sites(self, model: "Model") -> Sequence[Site]:
        """None: both prompts of a pair go through the model together, and nothing has to be kept."""
        return []

    def __call__(self, run: "Run") -> "DataArray":
        """Estimates of the change of each item's gap at all cells, and exact changes at those that are checked."""
        import numpy as np
        import torch

        from distractor.probing.patching import first_order_effects, grad_drop
        from distractor.probing.patching_map import PatchingMap
        from distractor.statistics.agreement import sample

        cells = PatchingMap.of(run, self.parts, self.roles)
        found = first_order_effects(
            run.model, run.batch, cells.layers, drop_layers=self.grad_drop, through_softmax=self.through_softmax
        )
        every = [(node, cells.at(node, found)) for node in cells.nodes]
        values = {"gradient": torch.stack([estimate[0] for _, estimate in every]).cpu().numpy()}
        if self.grad_drop:
            values["grad_drop"] = torch.stack([grad_drop(e, node[0].part) for node, e in every]).cpu().numpy()
        values["exact"] = np.full_like(values["gradient"], np.nan)
        checked = sample([Site(site.layer, site.part) for site, _ in cells.nodes], seed=self.seed)
        exact, how = cells.exact([cells.nodes[place] for place in checked])
        values["exact"][checked] = exact.cpu().numpy()
        told = _self_check(cells, values, checked)
        return cells.reading(
            np.stack(list(values.values())),
            {"estimate": list(values)},
            name="attribution_patching",
            origin=f"attribution patching of {run.model.name}",
            absent="the item has no token with this role, or the exact patch was not run there",
            self_check=told,
            **how,
            **_warning(told),
        )


def _self_check(cells: "PatchingMap", values: "dict[str, ndarray]", checked: "ndarray") -> "list[dict[str, Any]]":
    """How each estimate agrees with the exact effects, map by map."""
    import numpy as np

    from distractor.probing.patching_map import DIRECTIONS
    from distractor.statistics.agreement import agreement

    gap = cells.denominator
    is_there = gap["low"] is not None and gap["low"] * gap["high"] > 0
    parts = np.array([site.part for site, _ in cells.nodes])
    told = []
    for name in [name for name in values if name != "exact"]:
        for part in cells.parts:
            members = np.flatnonzero(parts == part)
            used = np.intersect1d(members, checked)
            for d, direction in enumerate(DIRECTIONS):
                exact, estimate = values["exact"][used, d], values[name][used, d]
                if name == "grad_drop":  # it has no sign
                    exact = np.abs(exact)
                found = agreement(
                    np.nanmean(exact, -1),
                    np.nanmean(estimate, -1),
                    pair_gap=gap["mean"] if is_there else 0.0,
                    sites=len(members),
                    rounding=1e-5 * float(np.abs(cells.pair_gap).mean()),
                )
                told.append(
                    {
                        "estimate": name,
                        "part": part,
                        "direction": direction,
                        **found.as_dict(),
                        "fails": list(found.fails),
                    }
                )
    return told


def _warning(told: "list[dict[str, Any]]") -> dict[str, str]:
    broken: dict[str, list[str]] = {}
    for each in told:
        if each["fails"]:
            parts = broken.setdefault(f"{each['estimate']} ({each['direction']})", [])
            parts.append(each["part"])
    if not broken:
        return {}
    where = "; ".join(f"{name} at {', '.join(parts)}" for name, parts in broken.items())
    return {"warning": f"not to be trusted beside exact patches: {where}"}
