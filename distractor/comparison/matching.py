"""How the sites of two models correspond: by name, by relative depth, or only by function.

Sites of models of one training run correspond by name. Models of separate runs have no corresponding sites. They are
compared by function (the sites of each task, `strengths.py`) and, if both have enough layers, by relative depth.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.site import SITE_NAME, site_of
from distractor.probing.cells import labels
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading
from distractor.probing.strengths import ChosenSites
from distractor.statistics.agreement import rank_correlation

Match = Literal["name", "depth", "function"]  # how the sites of two models correspond
MIN_LAYERS = 6  # with fewer layers, relative depth means nothing


def match_of(first: ProbeResults, second: ProbeResults, *, same_run: bool) -> Match:
    """How the sites of two models correspond; `same_run` if the models are of one training run."""
    if same_run:
        return "name"
    return "depth" if min(n_layers(first), n_layers(second)) >= MIN_LAYERS else "function"


def n_layers(results: ProbeResults) -> int:
    """A model's number of layers, by the names of its sites; 0 if no reading names any."""
    layers = [-1]
    for readings in results.readings.values():
        data = readings[0].data
        layers += [int(found["layer"]) for name in labels(data, "component") if (found := SITE_NAME.fullmatch(name))]
        layers += [int(layer) for layer in labels(data, "layer")]
    return 1 + max(layers)


def carried(chosen: ChosenSites, target: Sequence[str], layers: tuple[int, int], match: Match) -> ChosenSites | None:
    """Maps sites chosen in one model to the components `target` of another; None if they correspond only by function.

    By name, the sites keep their names. By depth, the result is whole blocks (all heads, or the MLP) of the layer at
    the same relative depth. `layers` holds the two models' numbers of layers.
    """
    if match == "name":
        return ChosenSites(*(tuple(name for name in names if name in set(target)) for names in chosen))
    if match == "function":
        return None
    scale = (layers[1] - 1) / (layers[0] - 1)
    return ChosenSites(*(_blocks(names, target, scale) for names in chosen))


def blocks_of(chosen: ChosenSites, target: Sequence[str]) -> ChosenSites:
    """Widens chosen sites to whole blocks (all heads, or the MLP, of a layer) in the same model."""
    return ChosenSites(*(_blocks(names, target, 1.0) for names in chosen))


def depth_correlation(first: Reading, second: Reading, outer: Mapping[str, str]) -> dict[str, float]:
    """Rank correlation over depth of two models' summed effects per layer, by kind of site (heads, MLP).

    Both profiles are interpolated at the relative depths of the shallower model. `outer` selects the map, for example
    {"condition": "conflict"}.
    """
    profiles = depth_profile(first, outer), depth_profile(second, outer)
    correlations = {}
    for part in [part for part in profiles[0] if part in profiles[1]]:
        rows = [profile[part] for profile in profiles]
        depth = np.linspace(0, 1, min(map(len, rows)))
        correlations[part] = rank_correlation(*(np.interp(depth, np.linspace(0, 1, len(row)), row) for row in rows))
    return correlations


def depth_profile(reading: Reading, outer: Mapping[str, str]) -> dict[str, Float[ndarray, " layer"]]:
    """The summed mean effects of each layer's heads, and of its MLP, in one map; by kind of site."""
    values = reading.data.sel(outer).transpose("component", "item").values
    means = np.nan_to_num(values).mean(-1)  # sites that were not measured have small effects
    sites = [site_of(name) for name in labels(reading.data, "component")]
    n = 1 + max(site.layer for site in sites)
    profile: dict[str, ndarray] = {}
    for site, mean in zip(sites, means, strict=True):
        profile.setdefault(site.part, np.zeros(n))[site.layer] += mean
    return profile


def _blocks(names: Sequence[str], target: Sequence[str], scale: float) -> tuple[str, ...]:
    """The components of `target` in the blocks of `names`, with layer numbers multiplied by `scale`."""
    blocks = {(round(site.layer * scale), site.part) for site in map(site_of, names)}
    return tuple(name for name in target if (site_of(name).layer, site_of(name).part) in blocks)
