"""Ablation: how the logit gap changes if the output of a head or MLP is replaced, and how later layers respond.

Mean ablation and resampling: Chan et al. 2022; compensation: McGrath et al. 2023, arXiv 2307.15771. A mean over `conflict`
alone would keep the cue, and ablating a pure negation detector would have no effect. So the mean is balanced over the
pair's conditions and over the answers, and taken by role in the prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from distractor.models.site import Part, Site
from distractor.probing.probe import GRADIENTS, Probe
from distractor.probing.replacements import AblationKind, Replacements, mean_estimates
from distractor.probing.screening import Screening
from distractor.text.task import Condition

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.probe import Extent
    from distractor.probing.run import Run

MOST_NAMED = 4
"""The number of components that a warning names, the largest disagreement first."""

MOST_COMPARED = 8
"""The number of components at which kinds are compared in models that are screened; as many as a table shows."""

ONWARD = 0.5  # of a pass, where passes start at the first layer that changes

LEAST_NATS = 0.01
"""Smaller disagreements are rounding."""


@dataclass(frozen=True)
class Knockout(Probe):
    """Settings of probes that replace the outputs of heads and MLPs; see `Ablation`."""

    folds: int = 5
    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)
    writes: tuple[Part, ...] = ("z", "mlp_out")
    kind: AblationKind = "mean"
    draws: int = 4
    seed: int = 0
    cue_free_from: tuple[Condition, ...] = (Condition.NEUTRAL,)

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"{self.folds} folds leave no other items for the mean; use at least 2")
        if self.kind not in get_args(AblationKind) or self.draws < 1:
            raise ValueError(
                f"expected the kind {', '.join(get_args(AblationKind))} and at least 1 draw, got {self.kind!r} with "
                f"{self.draws} draws"
            )


@dataclass(frozen=True)
class Ablation(Knockout):
    """Ablation of every head (`z`) and every MLP (`mlp_out`) at all positions, one component at a time.

    By default an item's activations are replaced by a mean over items of *other* groups, at positions of the same role.
    The mean is taken within each cell (condition × answer label), and then over the cells. Groups are split into
    `folds` folds in order of appearance; other groups are those in other folds. `zero` replaces activations by 0, which
    later layers never saw in training. `resample` takes those of a random prompt of another fold, with equal
    probability for each cell (Chan et al. 2022). The effect is then averaged over `draws` draws with random seed
    `seed`. `cue_free` takes the mean over prompts of `cue_free_from`, also by role; they may have other lengths. It
    replaces what the pair's conditions share, such as a sign that there is a cue. Of the other kinds, only `zero` does.

    With `compared`, the effect is also computed with these other replacement values, in the same passes; without prompts of
    `cue_free_from`, `cue_free` is left out. The attribute `replacements` holds the mean effect of each kind on each
    component under each condition, with its 95 % interval; `warning` names the components where they disagree.

    With `screening`, models with many sites are screened by gradients, and components are ablated where the estimated
    effect is largest for any kind of replacement value under any condition, and at a random sample of the others. The
    other components are NaN; the attribute `screening` bounds the effects that were missed. Kinds are then `compared` at
    the `MOST_COMPARED` largest estimates only.

    The reading is the total effect gap(ablated) − gap(clean), in nats: [component condition item]. It is negative if
    the component supports the true answer, and positive if it supports the distractor's. With `together`, these sites
    are ablated at once, as one component. Up to `random_sets` further components are random sets of other sites, of the
    same kind and number. With `groups`, they are ablated in the items of these groups only, and other items are NaN; means
    are over all items.

    Raises:
        TaskError: all items are of one group, or `kind` is `cue_free` and the task lacks `cue_free_from`.
        ModelError: the model has no such site.
    """

    together: tuple[Site, ...] = ()
    random_sets: int = 0
    groups: tuple[str, ...] = ()
    compared: tuple[AblationKind, ...] = ()
    screening: Screening | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for site in self.together:
            if site.part not in self.writes:
                raise ValueError(f"{site} cannot be knocked out; choose from: {', '.join(self.writes)}")

    @property
    def donors(self) -> tuple[Condition, ...]:
        """The conditions whose prompts give values without cues, if they are needed."""
        return self.cue_free_from if "cue_free" in (self.kind, *self.compared) else ()

    def cost(self, extent: "Extent") -> float:
        """A clean pass, the gradients of screening, and a pass for each component and kind of replacement value.

        In models with many sites, passes start at the component's layer.
        """
        pair, screening = extent.under(*self.conditions), self.screening or Screening()
        is_large = screening.is_needed(extent.sites)
        kinds = sum(self.draws if kind == "resample" else 1 for kind in (self.kind, *self.compared))
        knocked_out = (1 + self.random_sets if self.together else extent.sites) * kinds
        if self.screening is not None and is_large and not self.together:
            knocked_out = screening.measured + (kinds - 1) * MOST_COMPARED
            return pair * (1 + GRADIENTS + ONWARD * knocked_out)
        return pair * (1 + (ONWARD if is_large else 1) * knocked_out)

    @property
    def kinds(self) -> "Mapping[str, Ablation]":
        """The ablation with each kind of replacement value alone, its own kind first."""
        return {kind: replace(self, kind=kind, compared=(), screening=None) for kind in (self.kind, *self.compared)}

    @property
    def unscreened(self) -> "Ablation":
        """The same ablation of every component."""
        return replace(self, screening=None)

    def screened(self, screening: Screening) -> "Ablation":
        """The same ablation with this screening."""
        return replace(self, screening=screening)

    def knock_out(self, sites: Sequence[Site], random_sets: int = 0, groups: Sequence[str] = ()) -> "Ablation":
        """The same ablation of these sites together, with its own kind of replacement value."""
        return replace(self, together=tuple(sites), random_sets=random_sets, groups=tuple(groups), compared=())

    def __call__(self, run: "Run") -> "DataArray":
        """The total effect of each component on the gap of each item under each condition."""
        import torch

        for site in self.together:
            run.model.hook_name(site)  # raises ModelError if the head does not exist
        every = [site for site in run.model.components if site.part in self.writes]
        giving = {item.group for donors in run.donors.values() for item in donors.items}
        can_give = set(self.cue_free_from) <= set(run.donors) and len(giving) > 1
        kinds = (self.kind, *(kind for kind in self.compared if kind != "cue_free" or can_give))
        is_large = (self.screening or Screening()).is_needed(len(every))
        if self.together:
            return self._together(run, self._with_random_sets(every), by_layer=is_large)
        if self.screening is not None and is_large:
            return self._screened(run, self.screening, every, kinds)
        names = list(map(str, every))
        replacements = Replacements(run, self, kinds, by_layer=is_large)
        effects = torch.stack([replacements.effects([site]) for site in every], 1)
        attributes = _attributes(run, self.kind)
        if len(kinds) > 1:
            tables = dict(zip(kinds, effects.double().cpu().numpy(), strict=True))
            attributes |= _comparison(run, names, self.kind, tables)
        return run.reading("ablation", effects[0], {"component": names}, **attributes)

    def _together(self, run: "Run", sets: Sequence[Sequence[Site]], *, by_layer: bool) -> "DataArray":
        """The effects of sets of sites, each ablated at once."""
        import numpy as np

        items = [k for k, item in enumerate(run.batch.items) if not self.groups or item.group in self.groups]
        replacements = Replacements(run, self, (self.kind,), keep_means=True, by_layer=by_layer, only=items)
        effects = np.full((len(sets), *run.gap.shape), np.nan)
        effects[..., items] = replacements.effects_of_sets(sets)[0].double().cpu().numpy()
        attributes = _attributes(run, self.kind) | ({"absent": "not measured"} if self.groups else {})
        names = ["+".join(map(str, sites)) for sites in sets]
        return run.reading("ablation", effects, {"component": names}, **attributes)

    def _screened(
        self, run: "Run", screening: Screening, sites: Sequence[Site], kinds: Sequence[AblationKind]
    ) -> "DataArray":
        """The effects of the sites that screening picks."""
        import numpy as np
        import torch

        picked, names = screening.pick(mean_estimates(run, self, kinds, sites), sites), list(map(str, sites))
        attributes = _attributes(run, self.kind) | {"absent": "not measured: its estimated effect is small"}
        if picked.are_only_estimated:
            nothing = picked.spread(np.zeros((0, *run.gap.shape)))
            estimates = {"estimates": picked.estimates.tolist()}
            return run.reading("ablation", nothing, {"component": names}, **attributes, **estimates)
        replacements, largest = Replacements(run, self, kinds, by_layer=True), sorted(picked.largest[:MOST_COMPARED])
        of_site = {
            k: replacements.effects([sites[k]], None if k in largest else 1).double().cpu() for k in picked.measured
        }
        compared = torch.stack([of_site[k] for k in largest], 1)
        table = torch.stack([of_site[k][0] for k in picked.measured]).numpy()
        attributes["screening"] = picked.report(sites, table.mean(-1).T, _least(run))
        if len(kinds) > 1:
            tables = dict(zip(kinds, compared.numpy(), strict=True))
            attributes |= _comparison(run, [names[k] for k in largest], self.kind, tables)
        return run.reading("ablation", picked.spread(table), {"component": names}, **attributes)

    def _with_random_sets(self, every: Sequence[Site]) -> list[tuple[Site, ...]]:
        import numpy as np

        from distractor.probing.random_sets import random_sets

        others = [site for site in every if site not in self.together]
        rng = np.random.default_rng(self.seed)
        return [self.together, *random_sets(self.together, others, rng, self.random_sets)]


@dataclass(frozen=True)
class Compensation(Knockout):
    """How later layers compensate for a knocked-out component (McGrath et al. 2023, arXiv 2307.15771).

    Heads and MLPs are knocked out one at a time, as by `Ablation`. By default they are replaced by values without cues: a
    mean over `conflict` and `congruent` keeps a component's sign that it has written, and a backup that waits for this
    sign stays silent. The reading is a change of the gap in nats [component path condition item], along these paths:

    - `total`: the effect when all later layers react;
    - `direct`: the effect of the component's own output at the answer slot, with later layers' outputs held fixed;
    - `later`: total − direct, the reaction of all later layers. The opposite sign to `direct` means compensation;
    - a later component (`L1H2.z`): the change that its own reaction at the answer slot adds to `direct`. These changes
      do not sum exactly to `later`, because the final norm and soft-capping are not linear. If a norm follows the heads
      (Gemma 2 and 3), a layer's heads are one path, `L1.attn_out`.

    Raises:
        TaskError: all items are of one group, or `kind` is `cue_free` and the task lacks `cue_free_from`.
        ModelError: the residual stream is not the sum of the layers' outputs (OPT-350m), so no direct path exists.
    """

    kind: AblationKind = "cue_free"
    slot_parts: ClassVar[tuple[Part, ...]] = ("attn_out", "resid_post")

    @property
    def donors(self) -> tuple[Condition, ...]:
        """The conditions whose prompts give values without cues, if they are needed."""
        return self.cue_free_from if self.kind == "cue_free" else ()

    def cost(self, extent: "Extent") -> float:
        """A clean pass, and a pass for each component."""
        return extent.under(*self.conditions) * (1 + extent.sites)

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The outputs of all heads, MLPs and attention layers, and the last residual stream."""
        every = [Site(layer, part) for layer in range(model.n_layers) for part in (*self.writes, "attn_out")]
        return [*every, Site(model.n_layers - 1, "resid_post")]

    def __call__(self, run: "Run") -> "DataArray":
        """The change of each item's gap along each path, for each component."""
        import torch

        replacements = Replacements(run, self, (self.kind,))
        slot = _SlotPaths(run)
        effects: dict[str, dict[str, Tensor]] = {}
        for site in (one for one in run.model.components if one.part in self.writes):
            drawn = [slot.paths(site, value) for value in replacements.values(site)]
            effects[str(site)] = {path: torch.stack([each[path] for each in drawn]).mean(0) for path in drawn[0]}
        values = torch.stack([torch.stack(list(paths.values())) for paths in effects.values()])
        lead = {"component": list(effects), "path": list(next(iter(effects.values())))}
        return run.reading("compensation", values, lead, **_attributes(run, self.kind))


def _attributes(run: "Run", kind: str) -> dict[str, Any]:
    return {"quantity": "change of the logit gap", "unit": "nats", "origin": f"{kind} ablation of {run.model.name}"}


def _comparison(run: "Run", names: list[str], kind: str, effects: "dict[str, ndarray]") -> dict[str, Any]:
    """The mean effects with each kind of replacement value, and a warning where another kind than `kind` disagrees.

    Kinds disagree at a component if their difference is significant at 5 % false discoveries over all components and
    conditions, and at least 5 % of the largest of 2T, 2D and all mean effects.
    """
    import numpy as np

    from distractor.numbers import number
    from distractor.statistics.effects import LEAST_SHARE, judge
    from distractor.statistics.intervals import Mean, mean_intervals
    from distractor.statistics.sign_flips import benjamini_hochberg

    groups = [item.group for item in run.batch.items]
    conditions = [condition.value for condition in run.batch.conditions]
    gap = run.gap.double().cpu().numpy()
    means = {name: np.array(mean_intervals(effect, groups)) for name, effect in effects.items()}
    table = {
        name: {
            component: {condition: Mean(*ends[:, k, c].tolist())._asdict() for c, condition in enumerate(conditions)}
            for k, component in enumerate(names)
        }
        for name, ends in means.items()
    }
    differences = np.stack([effect - effects[kind] for name, effect in effects.items() if name != kind])
    judged = judge(differences, groups, gap[0])
    largest = _gap_in_question(run)
    largest = max(largest, *(np.abs(ends[0]).max() for ends in means.values()), LEAST_NATS / LEAST_SHARE)
    size = np.abs(judged.mean)
    size = np.where(benjamini_hochberg(judged.p) & (size >= LEAST_SHARE * largest), size, 0).max(0)
    worst = size.max(1)
    notes = []
    for k in np.argsort(-worst, kind="stable")[: int((worst > 0).sum())]:
        c = int(size[k].argmax())
        each = ", ".join(f"{name.replace('_', '-')} {number(ends[0][k, c])}" for name, ends in means.items())
        notes.append(f"{names[k]} in {conditions[c]} ({each})")
    if not notes:
        return {"replacements": table}
    more = f" and {len(notes) - MOST_NAMED} more" if len(notes) > MOST_NAMED else ""
    warning = f"the effect depends on the replacement values: {'; '.join(notes[:MOST_NAMED])}{more}"
    return {"replacements": table, "warning": warning}


def _gap_in_question(run: "Run") -> float:
    """The larger of 2T and 2D in nats."""
    gap = run.gap.double()
    return max(abs(float((gap[0] - gap[-1]).mean())), abs(float((gap[0] + gap[-1]).mean())))


def _least(run: "Run") -> float:
    """The smallest effect that counts, in nats."""
    from distractor.statistics.effects import LEAST_SHARE

    return max(LEAST_SHARE * _gap_in_question(run), LEAST_NATS)


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
