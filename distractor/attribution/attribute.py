"""Runs probes in one or more models on the items of a task."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from distractor.models.source import Source
from distractor.probing.cells import groups_of, labels
from distractor.probing.probe_results import ProbeResults
from distractor.probing.read_probes import check_request, measures_strengths, read_probes
from distractor.probing.readings import Reading
from distractor.probing.steps import reading_steps
from distractor.probing.strengths import PAIR
from distractor.scoring.prompt_tokens import CountTokens, estimate_tokens
from distractor.scoring.settings import Settings
from distractor.scoring.steps import score_steps
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.statistics.divergence import Divergence, divergence
from distractor.statistics.intervals import group_means, number_groups
from distractor.statistics.random_sets import ENOUGH
from distractor.text.task import Task
from distractor.work import Step

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


def attribute(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    *,
    store: Store,
    settings: Settings | None = None,
    forgive: bool = False,
) -> ProbeResults:
    """Read named `probes` in each model on the items of `task`, together with the model's behaviour.

    A probe that compares `conflict` with an aligned condition is read in each of its `variants` that the task has
    (`activation_patching` also as `activation_patching/distractor_swapped`). `forgive` skips a probe that a model
    does not support and lists it in `refused`. With `ablation`, the strength of the chosen sites of each task is
    measured, and that of random sets of sites of the same kind and number. Results are cached in `store`.

    Raises:
        DistractorError: an unusable model, task text or store; bfloat16 or float16 weights; or, without `forgive`, a probe
            that fails in a model.
    """
    settings = settings or Settings()
    check_request(task, settings, halved=measures_strengths(task, sources, probes))
    scores = sweep(task, sources, store, settings)
    return read_probes(task, scores, probes, store=store, settings=settings, forgive=forgive, random_sets=ENOUGH)


def run_steps(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    store: Store,
    settings: Settings,
    count: CountTokens = estimate_tokens,
) -> list[Step]:
    """The steps of `attribute`, for its progress and its plan."""
    readings = reading_steps(task, sources, probes, store, settings, count, random_sets=ENOUGH)
    return [*score_steps(task, sources, store, settings, count), *readings]


def divergence_of(results: ProbeResults, reading: Reading) -> Divergence | None:
    """The stage of a logit lens at which conflict and congruent diverge.

    None if the task has no congruent prompts, or their items have fewer than two groups.
    """
    if not set(PAIR) <= set(labels(reading.data, "condition")):
        return None
    gap = reading.data.sel(quantity="logit_gap").transpose("condition", "stage", "item")
    difference = gap.sel(condition=PAIR[0].value).values - gap.sel(condition=PAIR[1].value).values
    is_known = ~np.isnan(difference).any(0)
    groups = number_groups(np.array(groups_of(results.task, reading.data))[is_known])
    if len(set(groups)) < 2:
        return None
    return divergence(group_means(difference[:, is_known], groups), np.bincount(groups).astype(float))
