"""Path patching: the change of the logit gap if only one receiver gets a sender's output from the other prompt.

Wang et al. 2022, arXiv 2211.00593; Goldowsky-Dill et al. 2023, arXiv 2304.05969.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distractor.errors import ProbeError
from distractor.models.site import PARTS, Part, Site
from distractor.probing.paths import receiver_of, sender_of
from distractor.probing.probe import Probe
from distractor.progress import record_note
from distractor.text.task import ALIGNED, Condition

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.probe import Extent
    from distractor.probing.run import Run


@dataclass(frozen=True)
class PathPatching(Probe):
    """Path patching between `conflict` and an aligned condition, in both directions.

    A sender is a head (`L0H1`) or an MLP (`L0.mlp_out`); by default, all of them. A receiver is a head's query, key or value
    (`L3H1.q`), an MLP's input (`L2.mlp_in`), or the `logits`. One receiver at a time gets a sender's output of the other
    prompt, at all positions. Everything between them keeps its clean value, MLPs included, and everything after the receiver
    is computed again. Norms are computed exactly.

    The reading is [pair direction receiver component item], with the senders as components. `noising` and `denoising` are
    those of `ActivationPatching`.

    Raises:
        ProbeError: a name is no sender or receiver, or a sender is after all receivers.
        ModelError: the model lacks a sender or receiver, is loaded in half precision, or has no paths (norms after sums).
    """

    receivers: tuple[str, ...] = ("logits",)
    senders: tuple[str, ...] = ()
    other: Condition = Condition.CONGRUENT

    def __post_init__(self) -> None:
        for sender in self.senders:
            sender_of(sender)
        for receiver in self.receivers:
            receiver_of(receiver)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The pair."""
        return Condition.CONFLICT, self.other

    def cost(self, extent: "Extent") -> float:
        """Clean passes, and a part of a pass for each path."""
        return extent.under(*self.conditions) * (2 + 0.3 * extent.sites * len(self.receivers))

    @property
    def writes(self) -> tuple[Part, ...]:
        """The parts through which a path enters a receiver."""
        sites = [receiver_of(name).site for name in self.receivers]
        parts = {site.part for site in sites if site is not None}
        if "mlp_out" in parts:
            parts.add("attn_out")
        return tuple(part for part in PARTS if part in parts or (parts and part == "resid_pre"))

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """None; the model is checked for the senders and receivers."""
        ends = [*map(sender_of, self.senders), *(receiver_of(name).site for name in self.receivers)]
        for site in ends:
            if site is not None:
                model.hook_name(site)
        return []

    def variants(self, conditions: Sequence[Condition]) -> Mapping[str, Probe]:
        """One probe for each aligned condition of the task; only this one if its other condition is not aligned."""
        if self.other not in ALIGNED:
            return {"": self}
        others = [other for other in ALIGNED if other in conditions]
        return {"" if other == self.other else f"/{other}": replace(self, other=other) for other in others}

    def __call__(self, run: "Run") -> "DataArray":
        """The change of each item's gap by each path."""
        import torch
        from einops import rearrange
        from xarray import DataArray

        from distractor.probing.patching_map import DIRECTIONS, PatchingMap
        from distractor.probing.path_check import check_paths
        from distractor.probing.path_patching import path_gaps

        model, receivers = run.model, [receiver_of(name) for name in self.receivers]
        senders = [sender_of(name) for name in self.senders] or model.components
        why = check_paths(run, receivers)
        notes = {"whole_prompts": why} if why else {}
        if why:
            record_note(
                f"{model.name}: every path took the whole prompt, because cached patching does not work ({why})."
            )
        gaps = [path_gaps(run, senders, [receiver], whole_prompts=bool(why)) for receiver in receivers]
        effects = torch.stack(gaps) - run.gap.double()  # [receiver sender direction item]
        is_before = ~effects.isnan().all(-1).all(-1).all(0)
        if self.senders and not bool(is_before.all()):
            first = senders[int((~is_before).int().argmax())]
            raise ProbeError(
                f"{first} is not before {', '.join(map(str, receivers))} in {model.name}, so there is no path; name an "
                "earlier sender or a later receiver"
            )
        kept = [sender for sender, is_kept in zip(senders, is_before.tolist(), strict=True) if is_kept]
        if not kept:
            raise ProbeError(
                f"no head or MLP of {model.name} is before {', '.join(map(str, receivers))}; name a later receiver"
            )
        pair = PatchingMap(run, (), {})
        coords: dict[str, Any] = {
            "pair": ["/".join(run.batch.conditions)],
            "direction": list(DIRECTIONS),
            "receiver": list(map(str, receivers)),
            "component": list(map(str, kept)),
            "item": [item.id for item in run.batch.items],
        }
        of_items = {"group": ("item", pair.groups), "pair_gap": ("item", pair.pair_gap)}
        values = rearrange(effects[:, is_before], "receiver sender direction item -> 1 direction receiver sender item")
        return DataArray(
            values.cpu().numpy(), dims=list(coords), coords=coords | of_items, name="path_patching",
            attrs={
                "quantity": "change of the logit gap", "unit": "nats", "origin": f"path patching of {model.name}",
                "absent": "the sender is not before the receiver", "denominator": pair.denominator, **notes,
            },
        )  # fmt: skip
