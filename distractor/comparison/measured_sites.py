"""Says which sites of a compared pair were measured, and how many others may have changed."""

import numpy as np

from distractor.comparison.result import ComparisonResult, Pair
from distractor.probing.cells import labels
from distractor.probing.screening import SharedScreening
from distractor.statistics.agreement import most_left

CHOSEN = (
    "Gradients chose the sites that were measured in each model: those with the largest estimates or differences of "
    "estimates, edited ones, and others at random."
)
EXACT = "Measure every site with --exact."


def measured_sites(result: ComparisonResult, pair: Pair) -> list[str]:
    """Which sites of a screened pair were measured, and how many others may have changed; empty if all were measured."""
    sentences = []
    for name, maps in pair.maps_by_probe.items():
        model = next(model for probe, model, _ in pair.maps if probe == name)
        screening = result.screened.get((model, name.partition("/")[0]))
        read = result.probe_results[model]
        if not isinstance(screening, SharedScreening) or read is None or name not in read.readings:
            continue
        every, sample = len(labels(read.readings[name][0].data, "component")), len(screening.sampled)
        changed = {one.sites[i] for one in maps for i in np.flatnonzero(one.is_marked)}
        hits, left = len(changed & set(screening.sampled)), every - screening.measured
        sentences.append(
            f"{name}: {screening.measured} of {every} sites. Of the {sample} at random, {hits} changed, so at most "
            f"{most_left(hits, sample, left + sample)} of the {left} that were not measured did (95 % bound)."
        )
    return [CHOSEN, *sentences, EXACT] if sentences else []
