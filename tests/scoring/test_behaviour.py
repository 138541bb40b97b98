"""Per-item quantities of a model, complete items, and models at several steps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny
from distractor.errors import ScalingError
from distractor.models.source import Source
from distractor.scoring.behaviour import (
    TaskScores,
    complete_items,
    model_at_several_steps,
    quantity_limits,
    refuse_several_steps,
    values_of,
)
from distractor.scoring.settings import Settings
from distractor.scoring.sweep import Scores
from distractor.text.task import Answer, Condition

pytestmark = pytest.mark.quick

TASK = tiny.task()
CONDITIONS = TASK.conditions
SHAPE = (len(CONDITIONS), len(TASK.items), 2)


def scores(seed: int = 0) -> Scores:
    return Scores(Source("f", "m", Path("m")), np.random.default_rng(seed).uniform(-9, 0, SHAPE), True, 0, {})


def test_the_gap_in_conflict_is_the_neutral_gap_plus_the_true_pull_minus_the_distractor_pull() -> None:
    values = values_of(TASK, scores())
    gap = dict(zip(CONDITIONS, values.by_condition["logit_gap"], strict=True))
    neutral = gap.get(Condition.NEUTRAL, np.zeros(SHAPE[1]))
    assert_allclose(neutral + values.pulls["true_pull"] - values.pulls["distractor_pull"], gap[Condition.CONFLICT])
    assert np.ptp(values.pulls["true_pull"]) > 1


def test_accuracy_counts_the_right_answer_of_each_condition_and_is_nan_without_one() -> None:
    values = values_of(TASK, scores())
    for condition, accuracy, gap in zip(
        CONDITIONS, values.by_condition["accuracy"], values.by_condition["logit_gap"], strict=True
    ):
        right = TASK.right.get(condition)
        expected = np.full(SHAPE[1], np.nan) if right is None else (gap > 0) == (right is Answer.TRUE)
        assert_allclose(accuracy, expected)


def test_scores_of_several_models_are_grouped_by_size_and_counted_over_complete_items() -> None:
    models = [
        replace(scores(k), source=Source("f", name, Path(name), n_params=n, seed=seed))
        for k, (name, n, seed) in enumerate([("big", 900, 0), ("small", 100, 0), ("big", 900, 1)])
    ]
    models[1].log_probs[CONDITIONS.index(Condition.CONFLICT), :2] = np.nan  # both items of the first group
    result = TaskScores(TASK, Settings(), tuple(models))
    assert [source.model for source in result.sources] == ["big", "small", "big"]
    assert result.sizes == ((1,), (0, 2))
    assert (result.size_names, result.n_params) == (("small", "big"), (100, 900))
    assert result.complete.tolist() == [False] * 2 + [True] * (SHAPE[1] - 2)
    assert result.groups[:3] == ("Paris/Rome", "Paris/Rome", "gold/iron")
    assert result.n_groups == SHAPE[1] // 2 - 1
    for condition in CONDITIONS:
        gap = models[2].log_probs[CONDITIONS.index(condition)] @ [1, -1]
        assert_allclose(result.item_values(2, "logit_gap", condition), gap)
    assert_allclose(result.item_values(2, "true_pull"), values_of(TASK, models[2]).pulls["true_pull"])
    assert np.isnan(result.item_values(2, "logit_gap", Condition.TRUE_ONLY)).all()


def test_an_item_that_one_model_was_not_shown_is_incomplete_except_under_distractor_swapped() -> None:
    first, second = scores(0), scores(1)
    second.log_probs[CONDITIONS.index(Condition.CONFLICT), 1] = np.nan
    second.log_probs[CONDITIONS.index(Condition.DISTRACTOR_SWAPPED), 2] = np.nan
    assert np.flatnonzero(~complete_items(TASK, [first, second])).tolist() == [1]
    values = values_of(TASK, second)
    assert all(np.isnan(rows[CONDITIONS.index(Condition.CONFLICT), 1]) for rows in values.by_condition.values())


def test_a_model_at_several_steps_is_refused_by_name() -> None:
    seeds = [Source("f", "m", Path("m"), seed=seed, step=9) for seed in (0, 1)]
    assert model_at_several_steps(seeds) is None
    refuse_several_steps(seeds)
    with pytest.raises(ScalingError, match="f/m"):
        refuse_several_steps([*seeds, replace(seeds[1], step=3)])


@pytest.mark.parametrize("quantity", ["distractor_preference", "accuracy", "coverage"])
def test_probabilities_are_between_0_and_1_and_gaps_are_unlimited(quantity: str) -> None:
    assert quantity_limits(quantity) == (0, 1)
    assert quantity_limits("logit_gap") is quantity_limits("true_pull") is None
