"""The sites that matter most in a model: what each does, its effect, and which words it reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.site import site_of
from distractor.probing.cells import groups_of, kind_of, labels
from distractor.probing.overcome import ModelOvercome, State
from distractor.probing.probe_results import ProbeResults
from distractor.probing.strengths import first_half, losses, pair_effects, patching_pair
from distractor.statistics.effects import LEAST_SHARE
from distractor.statistics.intervals import Mean, mean_interval
from distractor.statistics.sign_flips import benjamini_hochberg, sign_flip_p

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MOST = 10  # the largest number of ranked sites
ROLES = 2  # the largest number of roles that a head is said to read
LEAST_READ = 0.1  # the smallest share of attention that is named

WRITES = "writes the distractor's answer"
IN_CONFLICT: dict[State, str] = {
    "carried": "also in conflict",
    "silent": "but not in conflict",
    "inverted": "and its opposite in conflict",
    "in between": "in part in conflict",
}
WRITES_BOTH = "writes for both tasks"
WRITES_TRUE = "writes the true answer"
AGAINST = "works against the distractor's answer"
SILENCES = "silences the distractor's sites"
ON_PATH = ("on the true task's path", "on the distractor's path")
ON_BOTH = "on the path of both tasks"


@dataclass(frozen=True)
class RankedSite:
    """A site, or a set of sites that act together, and what it does.

    `effect` is in nats on the items that did not choose sites, and `p` its p-value: by sign flips over item groups, or
    against random sets for sites that silence others. None if there are too few random sets. `reads` are the roles with
    the largest attention from the answer slot in `conflict`; empty for MLPs, or if attention was not read.
    """

    sites: tuple[str, ...]
    does: str
    effect: Mean
    p: float | None
    reads: tuple[tuple[str, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        reads = [{"role": role, "share": share} for role, share in self.reads]
        return {"sites": list(self.sites), "does": self.does, **self.effect._asdict(), "p": self.p, "reads": reads}


def ranked_sites(results: ProbeResults, model: str, overcome: ModelOvercome | None) -> list[RankedSite]:
    """The sites of a model with the largest effects, at most `MOST`, and each site once.

    Sites whose interval reaches 0, or with less than 5 % of the largest effect, are left out.
    """
    found: dict[tuple[str, ...], RankedSite] = {}
    for one in (*_by_transplants(results, overcome), *_on_paths(results, model)):
        is_new = not any(set(one.sites) <= set(sites) for sites in found)
        if is_new and one.effect.low > 0:  # on items that did not choose it
            found[one.sites] = one
    order = sorted(found.values(), key=lambda one: -one.effect.mean)
    order = [one for one in order if one.effect.mean >= LEAST_SHARE * order[0].effect.mean][:MOST]
    readings = (
        (one, cells)
        for name, of_probe in results.readings.items()
        for one, cells in zip(of_probe, results.cells[name], strict=True)
    )
    is_attention = (cells for one, cells in readings if one.source.name == model and kind_of(one.data) == "attention")
    attention = next(is_attention, None)
    return [_with_reads(one, attention) for one in order]


def _by_transplants(results: ProbeResults, overcome: ModelOvercome | None) -> Iterator[RankedSite]:
    """Sites that write, work against or silence the distractor's answer, from the reading of `overcoming`."""
    if overcome is None:
        return
    readings = (one for of_probe in results.readings.values() for one in of_probe)
    reading = next(
        one for one in readings if one.source.name == overcome.source.name and kind_of(one.data) == "exchanges"
    )
    data = reading.data.sel(exchange="transplant")
    half = data["is_choosing"].values.astype(bool)
    groups = np.array(groups_of(results.task, data))[~half].tolist()
    alone, conflict, congruent = (_by_site(data, name) for name in ("distractor_only", "conflict", "congruent"))
    true, against = (congruent - conflict) / 2, -(congruent + conflict) / 2
    names = labels(data, "component")
    at = {name: k for k, name in enumerate(names)}

    def site(name: str, does: str, values: Float[ndarray, "site item"]) -> RankedSite:
        row = values[at[name]][~half]
        return RankedSite((name,), does, mean_interval(row, groups), float(sign_flip_p(row, groups)))

    for one in overcome.sites:
        # What an earlier site gives may be turned into an answer by a site of both tasks.
        is_last = not any(site_of(shared).depth > site_of(one.site).depth for shared in overcome.shared)
        yield site(one.site, f"{WRITES if is_last else ON_PATH[1]}, {IN_CONFLICT[one.state]}", alone)
    yield from (site(name, WRITES_BOTH, alone) for name in overcome.shared)
    yield from (site(name, WRITES_TRUE, true) for name in data.attrs["true"])
    if (latent := overcome.latent) is not None and latent.result != "not shown":
        change = data.sel(component="latent", condition="conflict") - data.sel(component="chosen", condition="conflict")
        yield RankedSite(latent.suppressors, SILENCES, mean_interval(change.values[~half], groups), latent.p)
    least = LEAST_SHARE * max(abs(float(values[at["all"]].mean())) for values in (alone, true, against))
    means = against[:, half].mean(-1)
    tested = [k for k, name in enumerate(names) if "." in name and means[k] >= least]  # NaN is not
    if tested:
        is_real = benjamini_hochberg(sign_flip_p(against[tested][:, ~half], groups))
        yield from (site(names[k], AGAINST, against) for k, real in zip(tested, is_real, strict=True) if real)


def _on_paths(results: ProbeResults, model: str) -> Iterator[RankedSite]:
    """The chosen sites of each task (`choose`): half of the exchange's effect, or the loss when they are knocked out."""
    strength = next((one for one in results.strengths if one.source.name == model), None)
    if strength is None:
        return
    readings = [one for of_probe in results.readings.values() for one in of_probe if one.source.name == model]
    pair = patching_pair(readings)
    ablation = next((one for one in readings if one.data.name == "ablation"), None)
    for task, names in enumerate(strength.chosen):
        reading = pair[task] if pair else ablation
        if reading is None:
            return
        half = first_half(groups_of(results.task, reading.data), results.task.items)
        groups = [group for group, is_in in zip(groups_of(results.task, reading.data), half, strict=True) if not is_in]
        known = labels(reading.data, "component")
        for name in names:
            if pair:
                # The gaps of the true task's pair differ by 2T, those of the distractor's by 2D.
                noising = reading.data.sel(direction="noising", component=name).values[0]
                sign = np.sign(reading.data["pair_gap"].values.mean())
                values = sign * noising / 2
            else:
                values = losses(pair_effects(reading))[task][known.index(name)]
            row = values[~half]
            does = ON_BOTH if all(name in chosen for chosen in strength.chosen) else ON_PATH[task]
            yield RankedSite((name,), does, mean_interval(row, groups), float(sign_flip_p(row, groups)))


def _by_site(data: "DataArray", condition: str) -> Float[ndarray, "site item"]:
    return data.sel(condition=condition).transpose("component", "item").values


def _with_reads(one: RankedSite, attention: "Dataset | None") -> RankedSite:
    """The site with what its head reads."""
    if attention is None or len(one.sites) > 1 or not one.sites[0].endswith(".z"):
        return one
    shares = attention["mean"].sel(component=one.sites[0].removesuffix("z") + "pattern", condition="conflict")
    of_role = dict(zip(labels(shares, "role"), np.nan_to_num(shares.values).tolist(), strict=True))
    order = sorted(of_role, key=lambda role: (-of_role[role], role))[:ROLES]
    return replace(one, reads=tuple((role, of_role[role]) for role in order if of_role[role] >= LEAST_READ))
