"""How models overcome the distractor: the answer for each model from its reading of `overcoming`, site by site."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from distractor.models.source import Source
from distractor.probing.cells import groups_of, kind_of, labels
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading
from distractor.statistics.latent import LatentTest, latent_test
from distractor.statistics.overcoming import (
    NEAR_0,
    NEGATIVE,
    POSITIVE,
    ModelEffects,
    Overcome,
    Written,
    judge,
    not_learned,
    over_seeds,
)
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from xarray import DataArray

State = Literal["carried", "silent", "inverted", "in between"]
"""What a chosen site writes in conflict, compared with `distractor_only`."""


@dataclass(frozen=True)
class SiteShare:
    """A chosen site: its share of the effect of all sites in `distractor_only`, and its own ω in conflict.

    Shares add up to that of all chosen sites. A site's share is what it adds to the sites that were chosen before it.
    """

    site: str
    share: float
    omega: float

    @property
    def state(self) -> State:
        """Whether the site goes on writing."""
        if POSITIVE[0] <= self.omega:
            return "carried"
        return (
            "inverted" if self.omega <= NEGATIVE else "silent" if NEAR_0[0] <= self.omega <= NEAR_0[1] else "in between"
        )


@dataclass(frozen=True)
class ModelOvercome:
    """How one model overcomes the distractor. `shared` names sites of both tasks; `cautions` limit what can be said.

    `latent` is the test of what silences the sites; None unless they are silent in conflict.
    """

    source: Source
    found: Overcome
    sites: tuple[SiteShare, ...]
    shared: tuple[str, ...]
    cautions: tuple[str, ...]
    latent: LatentTest | None = None

    @property
    def shares(self) -> dict[str, float]:
        """The shares of the effect of all sites in `distractor_only`, which add up to 1; empty if they are not defined.

        Sets of sites are added one after another: first the chosen sites (carried, silent, inverted or in between), then
        the `rest` of the sites of the distractor's task alone, then `shared`, the sites of both tasks. A set that works
        against those before it has a negative share.
        """
        covered, shared = self.found.covered, self.found.only_shared
        if covered is None or shared is None:
            return {}
        states = ("carried", "silent", "inverted", "in between")
        shares = {state: sum(one.share for one in self.sites if one.state == state) for state in states}
        return {**shares, "shared": shared, "rest": 1 - shared - sum(shares.values())}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        sites = [{"site": one.site, "share": one.share, "omega": one.omega, "state": one.state} for one in self.sites]
        return {
            "model": self.source.name,
            "n_params": self.source.n_params,
            **self.found.as_dict(),
            "cautions": list(self.cautions),
            "sites": sites,
            "shared_sites": list(self.shared),
            "shares": self.shares,
            "latent": self.latent and self.latent.as_dict(),
        }


@dataclass(frozen=True)
class SizeOvercome:
    """How models of one size overcome the distractor, over seeds."""

    size: str
    found: Overcome


def how_overcome(results: ProbeResults) -> list[ModelOvercome]:
    """The answer for each model with a reading of `overcoming`, the smallest model first."""
    models = [
        of_model(results.task, reading)
        for readings in results.readings.values()
        for reading in readings
        if kind_of(reading.data) == "exchanges"
    ]
    judged = not_learned([model.found for model in models])
    return [replace(model, found=found) for model, found in zip(models, judged, strict=True)]


def over_sizes(results: ProbeResults, models: Sequence[ModelOvercome]) -> list[SizeOvercome]:
    """The answer for each size with at least three seeds, the smallest size first."""
    by_name = {model.source.name: model.found for model in models}
    found = [
        (size, over_seeds([by_name[name] for i in of_size if (name := results.sources[i].name) in by_name]))
        for size, of_size in zip(results.size_names, results.sizes, strict=True)
    ]
    return [SizeOvercome(size, one) for size, one in found if one is not None]


def of_model(task: Task, reading: Reading) -> ModelOvercome:
    """The answer for one model, from its reading of `overcoming`."""
    data, task = reading.data, task.with_cue_alone()
    found = judge(_evidence(task, data))
    # Where nothing writes the distractor's answer, the chosen sites are noise.
    is_written = found.label != "unlearning"
    sites = _site_shares(data, found.covered or 0.0) if is_written else ()
    shared = tuple(data.attrs["shared"]) if is_written else ()
    cautions = (*found.cautions, *_cautions(task, data))
    return ModelOvercome(reading.source, found, sites, shared, cautions, _latent(task, data, found))


def _latent(task: Task, data: "DataArray", found: Overcome) -> LatentTest | None:
    if "suppressors" not in data.attrs or found.label not in ("suppression at the source", "undetermined"):
        return None
    held_out = _held_out(data)
    effects = data.sel(exchange="transplant").isel(item=held_out)
    return latent_test(
        data.attrs["suppressors"],
        alone=effects.sel(component="chosen", condition="distractor_only").values,
        conflict=effects.sel(component="chosen", condition="conflict").values,
        latent=effects.sel(component="latent", condition="conflict").values,
        groups=np.array(groups_of(task, data))[held_out].tolist(),
        random=data.attrs["random"],
    )


def _evidence(task: Task, data: "DataArray") -> ModelEffects:
    groups, held_out = np.array(groups_of(task, data)), _held_out(data)
    gap = {condition: data["gap"].sel(condition=condition).values for condition in labels(data, "condition")}
    neutral = data["neutral_gap"].values

    def effects(exchange: str, component: str) -> Written:
        values = data.sel(exchange=exchange, component=component)
        return {c: values.sel(condition=c).values[held_out] for c in labels(data, "condition")}

    return ModelEffects(
        groups=groups.tolist(),
        alone=neutral - gap[Condition.DISTRACTOR_ONLY],
        pull=neutral - (gap[Condition.CONFLICT] + gap[Condition.CONGRUENT]) / 2,
        conflict=gap[Condition.CONFLICT],
        held_out=groups[held_out].tolist(),
        chosen=effects("transplant", "chosen"),
        unshared=effects("transplant", "unshared"),
        shared=effects("transplant", "shared"),
        all=effects("transplant", "all"),
        knock_out=effects("knock_out", "chosen"),
        final_norm={c: data["final_norm"].sel(condition=c).values[held_out] for c in labels(data, "condition")},
        cue_is_built_on_distractor=not task.true_only_is_pure,
        impure="" if task.distractor_only_is_pure else "distractor_only asks another question than neutral",
    )


def _held_out(data: "DataArray") -> Bool[ndarray, " item"]:
    return ~data["is_choosing"].values.astype(bool)


def _site_shares(data: "DataArray", covered: float) -> tuple[SiteShare, ...]:
    held_out = data.sel(exchange="transplant").isel(item=_held_out(data)).mean("item")
    steps = np.diff([0.0, *data.attrs["joint"]])
    sites = []
    for name, step in zip(data.attrs["chosen"], steps, strict=True):
        alone, conflict = (float(held_out.sel(component=name, condition=c)) for c in ("distractor_only", "conflict"))
        sites.append(SiteShare(name, covered * float(step / steps.sum()), conflict / alone if alone else 0.0))
    return tuple(sites)


def _cautions(task: Task, data: "DataArray") -> tuple[str, ...]:
    cautions = []
    if (same := float(data.attrs["same_last_token"])) < 1:
        cautions.append(
            f"in {1 - same:.0%} of items the last token differs between neutral and distractor_only; what it writes itself "
            "is not transplanted"
        )
    if all(
        item.prompts.get(Condition.TRUE_ONLY) == item.prompts.get(Condition.DISTRACTOR_SWAPPED) for item in task.items
    ):
        cautions.append(
            "true_only equals distractor_swapped, so its distractor cue is replaced and not absent; sites that read it there "
            "count as shared"
        )
    for name in ("screening", "suppressor_screening"):
        if name in data.attrs:
            cautions.append(data.attrs[name]["sentence"])
    return tuple(cautions)
