"""Replacement values of heads and MLPs, kind by kind, and the effects of putting them in place."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from distractor.models.site import Part, Site
from distractor.text.task import Condition

# Settings of probes name the kinds, so slow imports wait until sites are ablated.
if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

    from distractor.probing.run import Run

AblationKind = Literal["mean", "zero", "resample", "cue_free"]
"""The replacement of an output: the mean over other groups' items, zero, single items of other groups, or the mean over
other groups' prompts of a condition without cues.
"""

VALUES_AT_ONCE = 2**26
"""The number of gradients in memory at once while sites are screened."""


@runtime_checkable
class ReplacementSettings(Protocol):
    """What decides replacement values; see `probes.ablation`."""

    @property
    def folds(self) -> int: ...  # noqa: D102
    @property
    def writes(self) -> tuple[Part, ...]: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def cue_free_from(self) -> tuple[Condition, ...]: ...  # noqa: D102


class Replacements:
    """The replacement values of each part of a run, of one or several kinds, computed once for each part.

    With `by_layer`, sites come in the order of their layers, and no layer below them is computed again. `keep_means` keeps
    the means of all layers, which are small, for many sets of sites. With `only`, effects are measured in these items
    alone; means are over all items.
    """

    def __init__(
        self,
        run: "Run",
        settings: ReplacementSettings,
        kinds: Sequence[AblationKind],
        *,
        by_layer: bool = False,
        keep_means: bool = False,
        only: Sequence[int] | None = None,
    ) -> None:
        import numpy as np

        from distractor.errors import TaskError
        from distractor.probing.onward import Onward, why_not_onward
        from distractor.probing.replacement_values import ReplacementValues

        self.run, self.parts, self.kinds = run, settings.writes, kinds
        self.only = None if only is None or len(only) == len(run.batch.items) else list(only)
        missing = [str(c) for c in settings.cue_free_from if c not in run.donors]
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
        self.kept: dict[Site, list[Callable[[], Tensor]]] | None = {} if keep_means and not self.drawn else None
        self.last: tuple[Site, Tensor | None, list[Tensor]] | None = None
        self.measured = run if self.only is None else run.take(self.only)
        self.onward: list[Onward] = []  # of the run, and of each giver
        self.edited: Onward | None = None  # of the items in which effects are measured
        share = not self.drawn  # means and zeros are equal where prompts begin alike; random donors differ
        if by_layer and not why_not_onward(run, share=share):
            self.onward = [Onward(run.model, batch, share=share) for batch in (run.batch, *self.givers)]
            is_apart = self.kept is not None or self.only is not None
            self.edited = Onward(run.model, self.measured.batch, share=share) if is_apart else self.onward[0]

    def values(self, site: Site) -> "list[Tensor]":
        """The replacement values at a site, kind by kind, and for each draw of a kind."""
        whole = Site(site.layer, site.part)
        if self.last is None or self.last[0] != whole:
            self.last = None  # frees memory before the next part
            if self.kept is not None and whole in self.kept:
                self.last = whole, None, [make() for make in self.kept[whole]]
            else:
                own, *given = self._activations(whole)
                makers = [make for kind in self.kinds for make in self._makers(kind, own, given)]
                if self.kept is not None:
                    self.kept[whole] = makers
                self.last = whole, own, [make() for make in makers]
        return [value if site.head is None else value[..., site.head, :] for value in self.last[2]]

    def own(self, whole: Site) -> "Tensor":
        """The activation at a site in the batch."""
        self.values(whole)
        assert self.last is not None
        assert self.last[1] is not None
        return self.last[1]

    def _activations(self, whole: Site) -> "list[Tensor]":
        """The activation at a site in the batch, and in each giver's. Those of one layer at a time are kept in memory."""
        from distractor.probing.run import observe

        if self.onward:
            return [prompts.values(whole.layer, self.parts)[whole] for prompts in self.onward]
        is_seen = whole in self.run.seen
        if not (self.seen and whole in self.seen[-1]):
            self.seen = []
            of_layer = [Site(whole.layer, part) for part in self.parts]
            batches = self.givers if is_seen else [self.run.batch, *self.givers]
            self.seen = [observe(self.run.model, batch, of_layer).seen for batch in batches]
        read = [seen[whole] for seen in self.seen]
        return [self.run.seen[whole], *read] if is_seen else read

    def _makers(self, kind: AblationKind, own: "Tensor", given: "Sequence[Tensor]") -> "list[Callable[[], Tensor]]":
        """What makes the values of one kind in the place of a site's `own`, one for each draw."""
        import torch

        if kind == "resample":
            return [partial(donors.give, own) for donors in self.drawn]
        if kind == "cue_free" and self.of_givers is not None:
            return [partial(self.of_givers.spread, self.of_givers.means(own, given), own.shape[3:])]
        if kind == "mean" and self.of_others is not None:
            return [partial(self.of_others.spread, self.of_others.means(own), own.shape[3:])]
        return [partial(torch.zeros, own.shape, dtype=own.dtype, device=own.device)]

    def effects(self, sites: Sequence[Site], kinds: int | None = None) -> "Tensor":
        """The change of the gap when these sites are knocked out at once: [kind condition item], means over the draws.

        `kinds` is the number of kinds that are tried, the first ones; all if None.
        """
        sites = sorted(sites, key=lambda site: (site.layer, site.part))  # each part of a layer is read once
        of_sites = list(zip(*map(self.values, sites), strict=True))[: sum(self._draws(kinds))]
        edits = [dict(zip(sites, map(self._measured, values), strict=True)) for values in of_sites]
        gaps = self.edited.gaps(edits) if self.edited else self.measured.gaps_again(edits)
        return self.by_kind(gaps - self.measured.gap, kinds)

    def effects_of_sets(self, sets: Sequence[Sequence[Site]]) -> "Tensor":
        """The `effects` of each set of sites: [kind set condition item]. For many sets, use `keep_means`."""
        import torch

        if self.kept is not None:
            for whole in sorted({Site(site.layer, site.part) for sites in sets for site in sites}, key=self._order):
                self.values(whole)
        order = sorted(range(len(sets)), key=lambda k: min(site.layer for site in sets[k]))
        found = {k: self.effects(sets[k]) for k in order}
        return torch.stack([found[k] for k in range(len(sets))], 1)

    def _order(self, whole: Site) -> tuple[int, int]:
        return whole.layer, self.parts.index(whole.part)

    def _measured(self, value: "Tensor") -> "Tensor":
        """A value in the items in which effects are measured."""
        return value if self.only is None else value[:, self.only]

    def by_kind(self, values: "Tensor", kinds: int | None = None) -> "Tensor":
        """Means over the draws: [kind *rest] from [value *rest]."""
        import torch

        return torch.stack([drawn.mean(0) for drawn in values.split(self._draws(kinds))])

    def _draws(self, kinds: int | None) -> list[int]:
        """The number of values of each kind."""
        return [len(self.drawn) if kind == "resample" else 1 for kind in self.kinds[:kinds]]


def _keep_slope(
    slopes: "dict[Site, Tensor]", shape: tuple[int, ...], site: Site, rows: "Tensor", _: "Tensor", slope: "Tensor"
) -> None:
    """Keep the gradient at a site in some rows of a batch of this shape [row pos]; 0 elsewhere."""
    of_site = slopes.setdefault(site, slope.new_zeros(*shape, *slope.shape[2:]))
    of_site[rows, : slope.shape[1]] = slope


def mean_estimates(
    run: "Run", settings: ReplacementSettings, kinds: Sequence[AblationKind], sites: Sequence[Site]
) -> "ndarray":
    """First-order estimates of the mean effect of each kind under each condition: [view site].

    Gradients are kept for as many layers at once as memory allows.
    """
    import torch

    from distractor.probing.slopes import visit_slopes

    replacements = Replacements(run, settings, kinds, by_layer=True)
    parts = list(dict.fromkeys(Site(site.layer, site.part) for site in sites))
    found: dict[Site, Tensor] = {}  # [kind condition head], or without heads
    size = run.batch.tokens.numel() * 2 * run.model.d_model
    for layers in torch.arange(run.model.n_layers).split(max(1, VALUES_AT_ONCE // size)):
        here = [part for part in parts if part.layer in layers.tolist()]
        slopes: dict[Site, Tensor] = {}
        visit_slopes(run.model, run.batch, here, partial(_keep_slope, slopes, run.batch.tokens.flatten(0, 1).shape))
        for part in here:
            slope = slopes.pop(part).unflatten(0, run.batch.tokens.shape[:2])
            moved = [((value - replacements.own(part)) * slope).double() for value in replacements.values(part)]
            dims = (1, 2, 4) if part.part == "z" else (1, 2, 3)
            by_value = torch.stack([one.sum(dims) / one.shape[1] for one in moved])
            found[part] = replacements.by_kind(by_value)
    views = [
        found[Site(site.layer, site.part)][..., site.head] if site.head is not None else found[site] for site in sites
    ]
    return torch.stack(views, -1).flatten(0, 1).cpu().numpy()
