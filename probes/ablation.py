"""Ablation: how the logit gap changes if the output of a head or MLP is replaced, and how later layers respond.

Mean ablation and resampling: Chan et al. 2022; compensation: McGrath et al. 2023, arXiv 2307.15771. A mean over `conflict`
alone would keep the cue, and ablating a pure negation detector would have no effect. So the mean is balanced over the
pair's conditions and over the answers, and taken by role in the prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from distractor.models.site import Part, Site
from distractor.probing.probe import Probe
from distractor.text.task import Condition

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from torch import Tensor
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.run import Run

AblationKind = Literal["mean", "zero", "resample"]
"""The replacement of an output: the mean over other groups' items, zero, or single items of other groups."""


@dataclass(frozen=True)
class Knockout(Probe):
    """Settings of probes that replace the outputs of heads and MLPs; see `Ablation`."""

    folds: int = 5
    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)
    writes: tuple[Part, ...] = ("z", "mlp_out")
    kind: AblationKind = "mean"
    draws: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"{self.folds} folds leave no other items for the mean; use at least 2")
        if self.kind not in ("mean", "zero", "resample") or self.draws < 1:
            raise ValueError(
                f"expected the kind mean, zero or resample and at least 1 draw, got {self.kind!r} with {self.draws} draws"
            )


@dataclass(frozen=True)
class Ablation(Knockout):
    """Ablation of every head (`z`) and every MLP (`mlp_out`) at all positions, one component at a time.

    By default an item's activations are replaced by a mean over items of *other* groups, at positions of the same role.
    The mean is taken within each cell (condition × answer label), and then over the cells. Groups are split into
    `folds` folds in order of appearance; other groups are those in other folds. `zero` replaces activations by 0, which
    later layers never saw in training. `resample` takes those of a random prompt of another fold, with equal
    probability for each cell (Chan et al. 2022). The effect is then averaged over `draws` draws with random seed
    `seed`.

    The reading is the total effect gap(ablated) − gap(clean), in nats: [component condition item]. It is negative if
    the component supports the true answer, and positive if it supports the distractor's. With `together`, these sites
    are ablated at once, as one component.

    Raises:
        TaskError: all items are of one group.
        ModelError: the model has no such site.
    """

    together: tuple[Site, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for site in self.together:
            if site.part not in self.writes:
                raise ValueError(f"{site} cannot be knocked out; choose from: {', '.join(self.writes)}")

    def knock_out(self, sites: Sequence[Site]) -> "Ablation":
        """The same ablation of these sites together."""
        return replace(self, together=tuple(sites))

    def __call__(self, run: "Run") -> "DataArray":
        """The total effect of each component on the gap of each item under each condition."""
        import torch

        replacements = _Replacements(run, self.folds, self.kind, self.draws, self.seed)
        if self.together:
            for site in self.together:
                run.model.hook_name(site)  # raises ModelError if the head does not exist
            effects = {"+".join(map(str, self.together)): replacements.effect(self.together)}
        else:
            effects = {str(site): replacements.effect((site,)) for site in _components(run, self.writes)}
        values = torch.stack(list(effects.values()))
        return run.reading("ablation", values, {"component": list(effects)}, **_attributes(run, self.kind))


@dataclass(frozen=True)
class Compensation(Knockout):
    """How later layers compensate for a knocked-out component (McGrath et al. 2023, arXiv 2307.15771).

    Heads and MLPs are knocked out one at a time, as by `Ablation`. The reading is a change of the gap in nats
    [component path condition item], along these paths:

    - `total`: the effect when all later layers react;
    - `direct`: the effect of the component's own output at the answer slot, with later layers' outputs held fixed;
    - `later`: total − direct, the reaction of all later layers. The opposite sign to `direct` means compensation;
    - a later component (`L1H2.z`): the change that its own reaction at the answer slot adds to `direct`. These changes
      do not sum exactly to `later`, because the final norm and soft-capping are not linear. If a norm follows the heads
      (Gemma 2 and 3), a layer's heads are one path, `L1.attn_out`.

    Raises:
        TaskError: all items are of one group.
        ModelError: the residual stream is not the sum of the layers' outputs (OPT-350m), so no direct path exists.
    """

    slot_parts: ClassVar[tuple[Part, ...]] = ("attn_out", "resid_post")

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The outputs of all heads, MLPs and attention layers, and the last residual stream."""
        every = [Site(layer, part) for layer in range(model.n_layers) for part in (*self.writes, "attn_out")]
        return [*every, Site(model.n_layers - 1, "resid_post")]

    def __call__(self, run: "Run") -> "DataArray":
        """The change of each item's gap along each path, for each component."""
        import torch

        replacements = _Replacements(run, self.folds, self.kind, self.draws, self.seed)
        slot = _SlotPaths(run)
        effects: dict[str, dict[str, Tensor]] = {}
        for site in _components(run, self.writes):
            drawn = [slot.paths(site, value) for value in replacements.values(site)]
            effects[str(site)] = {path: torch.stack([each[path] for each in drawn]).mean(0) for path in drawn[0]}
        values = torch.stack([torch.stack(list(paths.values())) for paths in effects.values()])
        lead = {"component": list(effects), "path": list(next(iter(effects.values())))}
        return run.reading("compensation", values, lead, **_attributes(run, self.kind))


def _attributes(run: "Run", kind: str) -> dict[str, Any]:
    return {"quantity": "change of the logit gap", "unit": "nats", "origin": f"{kind} ablation of {run.model.name}"}


def _components(run: "Run", parts: Sequence[Part]) -> list[Site]:
    """Every head and every MLP, in the order of the layers."""
    heads = run.model.n_heads
    return [
        site
        for layer in range(run.model.n_layers)
        for part in parts
        for site in ([Site(layer, part, head) for head in range(heads)] if part == "z" else [Site(layer, part)])
    ]


class _Replacements:
    """The replacement values of each part of a run, computed once for each part."""

    def __init__(self, run: "Run", folds: int, kind: AblationKind, draws: int, seed: int) -> None:
        import numpy as np

        from distractor.probing.replacement_values import ReplacementValues

        self.run, self.kind = run, kind
        self.values_of_others = None if kind == "zero" else ReplacementValues.of(run.batch, folds)
        rng = np.random.default_rng(seed)
        self.donors = (
            [self.values_of_others.draw(rng) for _ in range(draws)]
            if self.values_of_others and kind == "resample"
            else []
        )
        self.last: tuple[Site, list[Tensor]] | None = None

    def values(self, site: Site) -> "list[Tensor]":
        """The replacement values at a site, for each draw."""
        import torch

        whole = Site(site.layer, site.part)
        if self.last is None or self.last[0] != whole:
            self.last = None  # frees memory before the next part
            seen = self._seen(whole)
            if self.kind == "zero":
                self.last = whole, [torch.zeros_like(seen)]
            elif self.donors:
                self.last = whole, [donors.give(seen) for donors in self.donors]
            elif self.values_of_others is not None:
                self.last = whole, [self.values_of_others.mean(seen)]
        assert self.last is not None
        return [value if site.head is None else value[..., site.head, :] for value in self.last[1]]

    def _seen(self, whole: Site) -> "Tensor":
        """The activation at a site. If the run lacks it, it is read now and not stored."""
        from distractor.probing.run import observe

        if whole in self.run.seen:
            return self.run.seen[whole]
        return observe(self.run.model, self.run.batch, [whole]).seen[whole]

    def effect(self, sites: Sequence[Site]) -> "Tensor":
        """The change of the gap when these sites are knocked out at once, averaged over the draws: [condition item]."""
        import torch

        sites = sorted(sites, key=lambda site: (site.layer, site.part))  # each part of a layer is read once
        drawn = [self.values(site) for site in sites]
        changes = [
            self.run.again(dict(zip(sites, values, strict=True))).gap - self.run.gap
            for values in zip(*drawn, strict=True)
        ]
        return torch.stack(changes).mean(0)


class _SlotPaths:
    """The activations at the answer slot of a run, and the gap computed from them."""

    def __init__(self, run: "Run") -> None:
        from distractor.errors import ModelError
        from distractor.probing.stream import at_slot, is_close

        self.run, model = run, run.model
        if not model.is_additive:
            raise ModelError(
                f"{model.name}: its residual stream is not the sum of what the layers write (a norm follows the sum), "
                "so no path can be followed"
            )
        self.last = Site(model.n_layers - 1, "resid_post")
        self.seen = {site: at_slot(run, site) for site in run.seen}
        self.gap = self.gap_at(self.seen[self.last])
        if not is_close(self.gap, run.gap, model.dtype):
            raise ModelError(
                f"{model.name}: its last residual stream does not give its answer, so no path can be followed"
            )
        # The output projection of each head; None if the heads' outputs do not sum to the attention output.
        self.mixing: list[Tensor] | None = [model.output_projection(layer)[0] for layer in range(model.n_layers)]
        for layer in range(model.n_layers):
            mixed = self.heads(layer, self.seen[Site(layer, "z")]).sum(0) + model.output_projection(layer)[1]
            if not is_close(mixed, self.seen[Site(layer, "attn_out")], model.dtype):
                self.mixing = None
                break

    def gap_at(self, resid: "Tensor") -> "Tensor":
        """The gap if this were the last residual stream: [condition item]."""
        answers = self.run.batch.answers.repeat(len(resid), 1)
        logits = self.run.model.answer_logits(resid.flatten(0, 1), answers)
        return (logits[:, 0] - logits[:, 1]).unflatten(0, resid.shape[:2])

    def heads(self, layer: int, z: "Tensor") -> "Tensor":
        """The output of each head of a layer: [head condition item d_model]."""
        from einops import einsum

        assert self.mixing is not None
        return einsum(
            z, self.mixing[layer], "condition item head d_head, head d_head d_model -> head condition item d_model"
        )

    def paths(self, site: Site, value: "Tensor") -> "dict[str, Tensor]":
        """The changes of the gap along each path if `value` replaces the activation at a site."""
        import torch

        from distractor.errors import ModelError
        from distractor.probing.run import observe
        from distractor.probing.stream import at_slot, is_close

        model = self.run.model
        parts: tuple[Part, ...] = ("z", "mlp_out", "attn_out")
        sites = [Site(layer, part) for layer in range(site.layer, model.n_layers) for part in parts] + [self.last]
        after = observe(model, self.run.batch, sites, {site: value}, slot_parts=(*parts, "resid_post"))
        moved = {s: at_slot(after, s) - self.seen[s] for s in sites}
        own = moved[Site(site.layer, "attn_out" if site.part == "z" else "mlp_out")]
        direct = self.gap_at(self.seen[self.last] + own)
        paths = {"total": after.gap - self.run.gap, "direct": direct - self.gap}
        paths["later"] = paths["total"] - paths["direct"]
        written = own
        for layer in range(model.n_layers):
            later: dict[str, Tensor] = {}
            if self.mixing is None:
                later[f"L{layer}.attn_out"] = moved.get(Site(layer, "attn_out"), torch.zeros_like(own))
            else:
                z = moved.get(Site(layer, "z"), torch.zeros_like(self.seen[Site(layer, "z")]))
                later |= {f"L{layer}H{head}.z": each for head, each in enumerate(self.heads(layer, z))}
            later[f"L{layer}.mlp_out"] = moved.get(Site(layer, "mlp_out"), torch.zeros_like(own))
            for name, far in later.items():
                is_own = name == str(site) or (layer == site.layer and site.part == "z" and name.endswith("attn_out"))
                far = torch.zeros_like(far) if is_own else far
                written = written + far
                paths[name] = self.gap_at(self.seen[self.last] + own + far) - direct
        if not is_close(self.seen[self.last] + written, at_slot(after, self.last), model.dtype):
            raise ModelError(
                f"{model.name}: with {site} knocked out, the last residual stream is not the sum of what the layers write, "
                "so no path can be followed"
            )
        return paths
