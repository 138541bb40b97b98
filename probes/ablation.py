"""Ablation: how the logit gap changes if the output of a head or MLP is replaced, and how later layers respond.

Mean ablation and resampling: Chan et al. 2022; compensation: McGrath et al. 2023, arXiv 2307.15771. A mean over `conflict`
alone would keep the cue, and ablating a pure negation detector would have no effect. So the mean is balanced over the
pair's conditions and over the answers, and taken by role in the prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from distractor.models.site import Part, Site
from distractor.probing.probe import Probe
from distractor.text.task import Condition

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.run import Run

AblationKind = Literal["mean", "zero", "resample", "cue_free"]
"""The replacement of an output: the mean over other groups' items, zero, single items of other groups, or the mean over
other groups' prompts of a condition without cues.
"""

MOST_NAMED = 4
"""The number of components that a warning names, the largest disagreement first."""

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

    The reading is the total effect gap(ablated) − gap(clean), in nats: [component condition item]. It is negative if
    the component supports the true answer, and positive if it supports the distractor's. With `together`, these sites
    are ablated at once, as one component.

    Raises:
        TaskError: all items are of one group, or `kind` is `cue_free` and the task lacks `cue_free_from`.
        ModelError: the model has no such site.
    """

    together: tuple[Site, ...] = ()
    compared: tuple[AblationKind, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for site in self.together:
            if site.part not in self.writes:
                raise ValueError(f"{site} cannot be knocked out; choose from: {', '.join(self.writes)}")

    @property
    def donors(self) -> tuple[Condition, ...]:
        """The conditions whose prompts give values without cues, if they are needed."""
        return self.cue_free_from if "cue_free" in (self.kind, *self.compared) else ()

    @property
    def kinds(self) -> "Mapping[str, Ablation]":
        """The ablation with each kind of replacement value alone, its own kind first."""
        return {kind: replace(self, kind=kind, compared=()) for kind in (self.kind, *self.compared)}

    def knock_out(self, sites: Sequence[Site]) -> "Ablation":
        """The same ablation of these sites together, with its own kind of replacement value."""
        return replace(self, together=tuple(sites), compared=())

    def __call__(self, run: "Run") -> "DataArray":
        """The total effect of each component on the gap of each item under each condition."""
        import torch

        for site in self.together:
            run.model.hook_name(site)  # raises ModelError if the head does not exist
        sets: list[tuple[Site, ...]] = (
            [self.together] if self.together else [(site,) for site in _components(run, self.writes)]
        )
        names = ["+".join(map(str, sites)) for sites in sets]
        giving = {item.group for donors in run.donors.values() for item in donors.items}
        can_give = set(self.cue_free_from) <= set(run.donors) and len(giving) > 1
        kinds = (self.kind, *(kind for kind in self.compared if kind != "cue_free" or can_give))
        replacements = _Replacements(run, self, kinds)
        effects = torch.stack([replacements.effects(sites) for sites in sets], 1)
        attributes = _attributes(run, self.kind)
        if len(kinds) > 1:
            tables = dict(zip(kinds, effects.double().cpu().numpy(), strict=True))
            attributes |= _comparison(run, names, self.kind, tables)
        return run.reading("ablation", effects[0], {"component": names}, **attributes)


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

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The outputs of all heads, MLPs and attention layers, and the last residual stream."""
        every = [Site(layer, part) for layer in range(model.n_layers) for part in (*self.writes, "attn_out")]
        return [*every, Site(model.n_layers - 1, "resid_post")]

    def __call__(self, run: "Run") -> "DataArray":
        """The change of each item's gap along each path, for each component."""
        import torch

        replacements = _Replacements(run, self, (self.kind,))
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
    largest = max(abs((gap[0] - gap[-1]).mean()), abs((gap[0] + gap[-1]).mean()))
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
    """The replacement values of each part of a run, of one or several kinds, computed once for each part."""

    def __init__(self, run: "Run", settings: Knockout, kinds: Sequence[AblationKind]) -> None:
        import numpy as np

        from distractor.errors import TaskError
        from distractor.probing.replacement_values import ReplacementValues

        self.run, self.parts, self.kinds = run, settings.writes, kinds
        missing = [c.value for c in settings.cue_free_from if c not in run.donors]
        if "cue_free" in kinds and missing:
            raise TaskError(
                f"replacement values without cues come from {' and '.join(missing)} prompts, which the task lacks; add them "
                "to its items, or use another kind (mean, zero, resample) in a probe of your own"
            )
        self.givers = [run.donors[condition] for condition in settings.cue_free_from] if "cue_free" in kinds else []
        self.of_others = ReplacementValues.of(run.batch, settings.folds) if {"mean", "resample"} & {*kinds} else None
        self.of_givers = ReplacementValues.of(run.batch, settings.folds, self.givers) if self.givers else None
        rng = np.random.default_rng(settings.seed)
        self.drawn = (
            [self.of_others.draw(rng) for _ in range(settings.draws)] if self.of_others and "resample" in kinds else []
        )
        self.seen: list[Mapping[Site, Tensor]] = []  # activations of one layer: of the batch, and of each giver
        self.last: tuple[Site, list[Tensor]] | None = None

    def values(self, site: Site) -> "list[Tensor]":
        """The replacement values at a site, kind by kind, and for each draw of a kind."""
        whole = Site(site.layer, site.part)
        if self.last is None or self.last[0] != whole:
            self.last = None  # frees memory before the next part
            own, *given = self._activations(whole)
            self.last = whole, [value for kind in self.kinds for value in self._of_kind(kind, own, given)]
        return [value if site.head is None else value[..., site.head, :] for value in self.last[1]]

    def _activations(self, whole: Site) -> "list[Tensor]":
        """The activation at a site in the batch, and in each giver's. Those of one layer at a time are kept in memory."""
        from distractor.probing.run import observe

        is_seen = whole in self.run.seen
        if not (self.seen and whole in self.seen[-1]):
            self.seen = []
            of_layer = [Site(whole.layer, part) for part in self.parts]
            batches = self.givers if is_seen else [self.run.batch, *self.givers]
            self.seen = [observe(self.run.model, batch, of_layer).seen for batch in batches]
        read = [seen[whole] for seen in self.seen]
        return [self.run.seen[whole], *read] if is_seen else read

    def _of_kind(self, kind: AblationKind, own: "Tensor", given: "Sequence[Tensor]") -> "list[Tensor]":
        """The values of one kind in the place of a site's `own`, one for each draw."""
        import torch

        if kind == "resample":
            return [donors.give(own) for donors in self.drawn]
        if kind == "cue_free" and self.of_givers is not None:
            return [self.of_givers.mean(own, given)]
        if kind == "mean" and self.of_others is not None:
            return [self.of_others.mean(own)]
        return [torch.zeros_like(own)]

    def effects(self, sites: Sequence[Site]) -> "Tensor":
        """The change of the gap when these sites are knocked out at once: [kind condition item], means over the draws."""
        import torch

        sites = sorted(sites, key=lambda site: (site.layer, site.part))  # each part of a layer is read once
        of_sites = zip(*map(self.values, sites), strict=True)
        gaps = self.run.gaps_again([dict(zip(sites, values, strict=True)) for values in of_sites])
        counts = [len(self.drawn) if kind == "resample" else 1 for kind in self.kinds]
        return torch.stack([(drawn - self.run.gap).mean(0) for drawn in gaps.split(counts)])


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
