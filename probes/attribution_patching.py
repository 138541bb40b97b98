"""Attribution patching: a first-order estimate, from gradients, of what activation patching does at every site.

Nanda 2023; AtP*: Kramár et al. 2024, arXiv 2403.00745.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.models.site import HEAD_PARTS, Site, has_components
from distractor.probing.probe import GRADIENTS, PairProbe

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from numpy import ndarray
    from xarray import DataArray

    from distractor.probing.patching_map import PatchingMap
    from distractor.probing.probe import Extent
    from distractor.probing.run import Run


CELL_OF_COMPONENT, CELL_OF_STREAM = 0.5, 0.08  # of a pass, for each exact patch: see `ActivationPatching.cost`


@dataclass(frozen=True)
class AttributionPatching(PairProbe):
    """Attribution patching (Nanda 2023) with the corrections of AtP* (Kramár et al. 2024, arXiv 2403.00745).

    Cells, directions and unit are those of `ActivationPatching`. A further dim, `estimate`, holds:

    - `gradient`: gradient times change, for all sites and items from one forward and one backward pass. With
      `through_softmax`, a patched query, key, value or pattern is passed through its head exactly; the gradient starts
      after the head.
    - `grad_drop`: the mean absolute estimate over gradients that each skip one layer. It shows paths
      that cancel, is never negative, and costs one more backward pass per layer. Computed if
      `grad_drop` is True.
    - `exact`: the self-check by exact patching, always included: all cells up to 2,000, otherwise a random sample of each
      layer's cells (NaN for the others).

    The attribute `self_check` compares each estimate with the exact means, by part and direction. It lists the rank
    correlation, the recall of the largest effects, and the share of missed sites. `warning` names estimates that fail.

    Raises:
        TaskError, ModelError: as `ActivationPatching`; or a gradient is not finite.
    """

    through_softmax: bool = True
    grad_drop: bool = True
    seed: int = 0

    def cost(self, extent: "Extent") -> float:
        """Gradients, one more backward pass for each layer that is dropped, and exact patches as a check."""
        pair, heads = extent.under(*self.conditions), extent.sites - extent.layers
        backward = GRADIENTS + (GRADIENTS - 1) * extent.layers * self.grad_drop
        if has_components(self.parts):
            cells = sum(heads if part in HEAD_PARTS else extent.layers for part in self.parts)
            return pair * (1 + backward + CELL_OF_COMPONENT * cells)
        return pair * (1 + backward + CELL_OF_STREAM * len(self.parts) * extent.layers * extent.length)

    def __call__(self, run: "Run") -> "DataArray":
        """Estimates of the change of each item's gap at all cells, and exact changes at the checked cells."""
        import numpy as np
        import torch

        from distractor.probing.patching import first_order_effects, grad_drop
        from distractor.probing.patching_map import PatchingMap
        from distractor.statistics.agreement import sample

        cells = PatchingMap.of(run, self.parts, self.roles)
        effects = first_order_effects(
            run.model, run.batch, cells.layers, drop_layers=self.grad_drop, through_softmax=self.through_softmax
        )
        estimates = [(node, cells.at(node, effects)) for node in cells.nodes]
        values = {"gradient": torch.stack([estimate[0] for _, estimate in estimates]).cpu().numpy()}
        if self.grad_drop:
            values["grad_drop"] = torch.stack([grad_drop(e, node[0].part) for node, e in estimates]).cpu().numpy()
        values["exact"] = np.full_like(values["gradient"], np.nan)
        checked = sample([Site(site.layer, site.part) for site, _ in cells.nodes], seed=self.seed)
        exact, notes = cells.exact([cells.nodes[index] for index in checked])
        values["exact"][checked] = exact.cpu().numpy()
        checks = _self_check(cells, values, checked)
        return cells.reading(
            np.stack(list(values.values())),
            {"estimate": list(values)},
            name="attribution_patching",
            origin=f"attribution patching of {run.model.name}",
            absent="the item has no token with this role, or the exact patch was not run there",
            self_check=checks,
            **notes,
            **_warning(checks),
        )


def _self_check(cells: "PatchingMap", values: "dict[str, ndarray]", checked: "ndarray") -> "list[dict[str, Any]]":
    """How well each estimate agrees with the exact effects, map by map."""
    import numpy as np

    from distractor.probing.patching_map import DIRECTIONS
    from distractor.statistics.agreement import agreement

    parts = np.array([site.part for site, _ in cells.nodes])
    checks = []
    for name in [name for name in values if name != "exact"]:
        for part in cells.parts:
            members = np.flatnonzero(parts == part)
            used = np.intersect1d(members, checked)
            for d, direction in enumerate(DIRECTIONS):
                exact, estimate = values["exact"][used, d], values[name][used, d]
                if name == "grad_drop":  # an absolute value
                    exact = np.abs(exact)
                result = agreement(
                    np.nanmean(exact, -1),
                    np.nanmean(estimate, -1),
                    gap=cells.gap_in_question,
                    sites=len(members),
                    rounding=1e-5 * float(cells.run.gap.double().abs().mean()),
                )
                names = {"estimate": name, "part": part, "direction": direction}
                checks.append({**names, **result.as_dict(), "fails": list(result.fails)})
    return checks


def _warning(checks: "list[dict[str, Any]]") -> dict[str, str]:
    failed: dict[str, list[str]] = {}
    for check in checks:
        if check["fails"]:
            failed.setdefault(f"{check['estimate']} ({check['direction']})", []).append(check["part"])
    if not failed:
        return {}
    maps = "; ".join(f"{name} at {', '.join(parts)}" for name, parts in failed.items())
    return {"warning": f"the estimate disagrees with exact patching: {maps}"}
