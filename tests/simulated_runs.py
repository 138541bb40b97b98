"""Runs of `ablate` with chosen values, without a model, and their pages."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import logit

import oracles
from distractor.ablation.ablate import AblationResult, SizeCurves
from distractor.ablation.page import page
from distractor.runs.page.render import render_page
from distractor.scoring.settings import Settings
from distractor.statistics.shape_test import judge
from distractor.statistics.verdict import verdict
from distractor.text.task import Condition, Item, Task
from tasks import TASKS

MANIFEST = {
    "command": ["distractor", "ablate", "--task", "negation_qa"],
    "versions": {"numpy": "2"},
    "task": {"name": "negation_qa", "items": 2, "source": "tasks/facts.py", "hash": "0" * 64},
    "models": [{"name": "10", "hash": "1" * 64}],
}


def simulated(
    curve: list[float], of_seed: dict[int, list[float]] | None = None, seeds: int = 3, hostile: str = ""
) -> AblationResult:
    """A run with this distractor preference in `conflict` over sizes; `of_seed` gives other values for single seeds.

    The names of task, items and groups, and all texts, end in `hostile`; prompts also clear a terminal.
    """
    task = TASKS["negation_qa"]().take(60)
    if hostile:
        task = replace(task, name=f"t{hostile}", items=tuple(_named(item, hostile) for item in task.items))
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


def _named(item: Item, hostile: str) -> Item:
    names = {name: getattr(item, name) + hostile for name in ("id", "group", "true", "distractor")}
    return replace(item.map_prompts(lambda prompt: f"{prompt}{hostile}\x1b[2J"), **names)


def many(items: int, more: str = "") -> AblationResult:
    """A run without a verdict on many items in groups of three, of three sizes. All prompts begin with `more`."""
    task = TASKS["negation_qa"]().take(1)
    item = task.items[0].map_prompts(lambda prompt: more + prompt)
    texts = tuple(replace(item, id=f"{i}", group=f"{i // 3}") for i in range(items))
    task = Task(task.name, task.question, texts, task.source)
    rng = np.random.default_rng(0)
    scores = [
        oracles.scored(task, rng.normal(-3, 1, (len(task.conditions), items, 2)), 10 * 2**size) for size in range(3)
    ]
    return AblationResult(task, Settings(), tuple(scores), {}, None, "made by hand")


def hand_made(
    gaps: list[list[float]],
    sizes: list[int] | None = None,
    seeds: int = 1,
    only: Sequence[Condition] = tuple(Condition),
) -> AblationResult:
    """A run of equal seeds with these logit gaps in `conflict` [size item], and 0 under all other conditions of `only`."""
    task = TASKS["negation_qa"]().take(len(gaps[0]))
    kept = [replace(i, prompts={c: i.prompts[c] for c in only if c in i.prompts}, rewordings={}) for i in task.items]
    task = task if len(only) == len(Condition) else replace(task, items=tuple(kept))
    conflict = task.conditions.index(Condition.CONFLICT)
    scores = []
    for k, row in enumerate(gaps):
        log_probs = np.full((len(task.conditions), len(row), 2), -5.0)
        log_probs[conflict, :, 0] += row
        scores += [oracles.scored(task, log_probs, sizes[k] if sizes else 10 * 2**k, seed) for seed in range(seeds)]
    return AblationResult(task, Settings(), tuple(scores), {}, None, "made by hand")


def html_of(result: AblationResult) -> str:
    """The page of a run without its figures' files and its manifest."""
    content = {"items": int(result.complete.sum()), "knockouts": [], "figures": {"names": ["curves"]}}
    return render_page(page(result, content, {}))
