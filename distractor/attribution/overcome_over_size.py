"""How the distractor is overcome over model size, with T, D and the gap in `distractor_only`: what is drawn and recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.probing.cells import kind_of, labels
from distractor.probing.overcome import ModelOvercome
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading
from distractor.statistics.intervals import MIN_SEEDS, Mean, known_interval_of_models, known_mean_interval
from distractor.statistics.overcoming import Overcome, over_seeds
from distractor.text.task import Condition

Rows = Float[ndarray, "seed item"]
MEANS = ("true_pull", "distractor_pull", "gap_alone")
SHARES = ("omega", "kappa", "rho")


@dataclass(frozen=True)
class AtSize:
    """One model, or all seeds of one size.

    T, D and `gap_alone`, the gap in `distractor_only`, are in nats. Their intervals, and those of `found`, are over item
    groups for one model, and over seeds and item groups for three `seeds` or more.
    """

    name: str
    n_params: int
    found: Overcome
    true_pull: Mean | None
    distractor_pull: Mean | None
    gap_alone: Mean | None
    seeds: tuple["AtSize", ...] = ()

    @property
    def is_overcome(self) -> bool:
        """Whether no caution says that the distractor's answer still wins."""
        return not self.found.cautions

    def of(self, quantity: str) -> Mean | None:
        """One of `MEANS` or of `SHARES`; None if it is not defined."""
        mean: Mean | None = getattr(self if quantity in MEANS else self.found, quantity)
        return mean

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        means = {name: (mean := self.of(name)) and mean._asdict() for name in (*MEANS, *SHARES)}
        seeds = {"seeds": [seed.as_dict() for seed in self.seeds]} if self.seeds else {}
        return {"size": self.name, "n_params": self.n_params, "label": self.found.label, **means, **seeds}


def over_size(results: ProbeResults, models: Sequence[ModelOvercome]) -> list[AtSize]:
    """All sizes, the smallest first: one entry for a size with three seeds or more, else one for each model."""
    readings = {reading.source.name: reading for reading in readings_of(results)}
    found = {model.source.name: model.found for model in models}
    shown: list[AtSize] = []
    for size, of_size in zip(results.size_names, results.sizes, strict=True):
        names = {index: results.sources[index].name for index in of_size if results.sources[index].name in found}
        single = tuple(_at(results, results.short(name), [i], readings, found[name]) for i, name in names.items())
        of_all = over_seeds([found[name] for name in names.values()])
        shown += single if of_all is None else [_at(results, size, [*names], readings, of_all, single)]
    return shown


def readings_of(results: ProbeResults) -> list[Reading]:
    """The readings of `overcoming`."""
    return [one for readings in results.readings.values() for one in readings if kind_of(one.data) == "exchanges"]


def _at(
    results: ProbeResults,
    name: str,
    models: Sequence[int],
    readings: Mapping[str, Reading],
    found: Overcome,
    seeds: tuple[AtSize, ...] = (),
) -> AtSize:
    true, distractor = (
        [np.where(results.complete, results.item_values(model, pull), np.nan) for model in models]
        for pull in ("true_pull", "distractor_pull")
    )
    gaps = [_gap_alone(results, readings[results.sources[model].name]) for model in models]
    return AtSize(
        name,
        results.sources[models[0]].n_params or 1,
        found,
        true_pull=_mean(np.array(true), results.groups),
        distractor_pull=_mean(np.array(distractor), results.groups),
        gap_alone=_mean(np.array(gaps), results.groups),
        seeds=seeds,
    )


def _mean(rows: Rows, groups: Sequence[str]) -> Mean | None:
    if len(rows) >= MIN_SEEDS:
        return known_interval_of_models(rows, groups)
    return known_mean_interval(rows[0], groups)


def _gap_alone(results: ProbeResults, reading: Reading) -> Float[ndarray, " item"]:
    """The gap in the probe's own `distractor_only` prompts; NaN for items that it did not read."""
    gap = reading.data["gap"].sel(condition=Condition.DISTRACTOR_ONLY.value)
    of_item = dict(zip(labels(reading.data, "item"), gap.values.tolist(), strict=True))
    return np.array([of_item.get(item.id, np.nan) for item in results.task.items])
