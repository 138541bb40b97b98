"""Runs of `ablate` with a chosen curve, without a model."""

import numpy as np
from scipy.special import logit

import oracles
from distractor.ablation.ablate import AblationResult, SizeCurves
from distractor.scoring.settings import Settings
from distractor.statistics.shape_test import judge
from distractor.statistics.verdict import verdict
from distractor.text.task import Condition
from tasks import TASKS


def simulated(curve: list[float], of_seed: dict[int, list[float]] | None = None, seeds: int = 3) -> AblationResult:
    """A run with this distractor preference in `conflict` over sizes; `of_seed` gives other values for single seeds."""
    task = TASKS["negation_qa"]().take(60)
    rng = np.random.default_rng(0)
    scores = []
    for seed in range(seeds):
        for index, preference in enumerate((of_seed or {}).get(seed, curve)):
            level = {Condition.CONFLICT: logit(preference)}
            noise = rng.normal(0, 0.1, (len(task.conditions), len(task.items)))
            ahead = np.array([level.get(c, 0.0) for c in task.conditions])[:, None] + noise
            log_probs = np.stack([np.full_like(ahead, -5.0), ahead - 5], -1)
            scores.append(oracles.scored(task, log_probs, 10 * 2**index, seed))
    scores.sort(key=lambda each: (each.source.n_params or 0, each.source.seed or 0))
    complete = np.ones(len(task.items), dtype=bool)
    curves = SizeCurves.over(task, scores, complete)
    shapes = {"distractor_preference": judge(curves.of("distractor_preference"), curves.sizes)}
    return AblationResult(task, Settings(), tuple(scores), shapes, verdict(curves.evidence(task)))
