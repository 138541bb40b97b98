"""T and D over model size, of sites and of behaviour: means over seeds, and which one rises or falls first."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.probing.probe_results import ProbeResults
from distractor.statistics.group_values import count_items, weigh
from distractor.statistics.intervals import (
    MIN_SEEDS,
    Groups,
    Mean,
    group_means,
    interval,
    interval_of_models,
    known_interval_of_models,
    mean_interval,
)
from distractor.statistics.ordering import Order, order


class Pulls(NamedTuple):
    """T and D in nats, item by item, with the items' groups."""

    true_pull: Float[ndarray, " item"]
    distractor_pull: Float[ndarray, " item"]
    groups: tuple[str, ...]

    def group_values(self, pull: str, names: Sequence[str]) -> Float[ndarray, " group"]:
        """The group values (see `weigh`) of the named groups, in ascending order."""
        used = np.isin(self.groups, names)
        groups = np.array(self.groups)[used]
        return weigh(group_means(getattr(self, pull)[used], groups), count_items(groups))


def pulls_of(results: ProbeResults, model: int, *, of_sites: bool) -> Pulls:
    """T and D of a model's behaviour. With `of_sites`, the loss of T and D without the model's sites, on the half that
    measures sites.
    """
    if of_sites:
        strength = results.strengths[model]
        return Pulls(strength.true, strength.distractor, strength.groups)
    used = np.flatnonzero(results.complete)
    groups = tuple(results.task.items[i].group for i in used)
    return Pulls(**{name: row[used] for name, row in results.values[model].pulls.items()}, groups=groups)


def mean_over_models(results: ProbeResults, models: Sequence[int], pull: str, *, of_sites: bool) -> Mean | None:
    """The mean of `true_pull` or `distractor_pull` (nats) over models, with its 95 % interval of `interval_level`.

    None if the task has no congruent prompts, and so no pulls, or the models share fewer than two groups.
    """
    pulls = [pulls_of(results, model, of_sites=of_sites) for model in models]
    shared = sorted(set.intersection(*(set(one.groups) for one in pulls)))
    if len(shared) < 2:
        return None
    values = np.array([one.group_values(pull, shared) for one in pulls])
    if np.isnan(values).any():
        return None
    if results.interval_level == 2 and len(models) >= MIN_SEEDS:
        return Mean(*(float(end[0]) for end in interval_of_models(values[:, None])))
    return Mean(*map(float, interval(values.mean(0))))


def mean_over_seeds(values: Float[ndarray, "seed item"], groups: Groups) -> Mean:
    """The mean over seeds and items with its 95 % interval: over seeds and groups for three seeds or more, else over groups.

    Raises ScalingError for items of fewer than two groups, or without a value.
    """
    if len(values) >= MIN_SEEDS and (mean := known_interval_of_models(values, groups)) is not None:
        return mean
    return mean_interval(values.mean(0), groups)


def orders(results: ProbeResults, *, of_sites: bool) -> dict[str, Order]:
    """Which rises first over size, T or D (`onset`), and whether D declines before T rises (`decline`).

    If T rises before D declines, the distractor is overridden. If D declines first, the model stops doing the
    distractor task before it does the true task. Empty if the models are not a complete grid of seeds and sizes, or are of
    different families.
    """
    grid = None if results.why_mixed else _grid(results, of_sites=of_sites)
    if grid is None:
        return {}
    sizes, true, distractor = grid
    return {
        "onset": order(true, distractor, sizes, names=("T", "D")),
        "decline": order(true, distractor, sizes, names=("T", "D"), falling=True),
    }


def order_sentences(results: ProbeResults) -> list[str]:
    """The order of T and D in words, of sites and of behaviour, without repetitions, or why it is not judged."""
    if results.why_mixed:
        return [f"Which of T and D changes first is not judged: {results.why_mixed}."]
    sentences = [
        f"{kind}: {one.sentence}"
        for kind in ("sites", "behaviour")
        for one in orders(results, of_sites=kind == "sites").values()
    ]
    return list(dict.fromkeys(sentences))


def _grid(results: ProbeResults, *, of_sites: bool) -> tuple[ndarray, ndarray, ndarray] | None:
    """Sizes, and T and D by seed, size and item group; None without a complete grid of seeds and sizes."""
    sources = [scores.source for scores in results.scores]
    keys = [(source.seed or 0, source.n_params or 0) for source in sources]
    seeds, sizes = (sorted(set(values)) for values in zip(*keys, strict=True))
    if (of_sites and len(results.strengths) != len(sources)) or not (
        len(set(keys)) == len(sources) == len(seeds) * len(sizes)
    ):
        return None
    pulls = {key: pulls_of(results, model, of_sites=of_sites) for model, key in enumerate(keys)}
    shared = sorted(set.intersection(*(set(one.groups) for one in pulls.values())))
    if len(shared) < 2:
        return None
    true, distractor = (
        np.array([[pulls[seed, size].group_values(pull, shared) for size in sizes] for seed in seeds])
        for pull in ("true_pull", "distractor_pull")
    )
    if np.isnan(true).any() or np.isnan(distractor).any():
        return None
    return np.array(sizes, dtype=float), true, distractor
