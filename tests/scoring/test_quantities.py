"""Identities between quantities, and their limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from distractor.scoring.quantities import accuracy, coverage, distractor_pull, logit_gap, preference, true_pull
from distractor.text.task import Answer

pytestmark = pytest.mark.quick

log_probs = arrays(np.float64, (5, 2), elements=st.floats(-50, 0))
gaps = arrays(np.float64, 5, elements=st.floats(-50, 50))


@given(log_probs)
def test_preference_is_the_logistic_of_the_negative_gap(scores: ndarray) -> None:
    assert_allclose(preference(scores), expit(-logit_gap(scores)), rtol=1e-12)
    p_true, p_distractor = np.exp(scores).T
    assert_allclose(preference(scores), p_distractor / (p_true + p_distractor), rtol=1e-12)


@given(log_probs)
def test_swapping_the_answers_reverses_every_quantity_but_coverage(scores: ndarray) -> None:
    swapped = scores[:, ::-1]
    assert_array_equal(logit_gap(swapped), -logit_gap(scores))
    assert_allclose(preference(swapped), 1 - preference(scores), atol=1e-15)
    assert_allclose(coverage(swapped), coverage(scores), rtol=1e-15)
    assert_array_equal(accuracy(swapped, Answer.TRUE), accuracy(scores, Answer.DISTRACTOR))


@given(log_probs)
def test_the_accuracies_of_both_answers_sum_to_one_even_on_ties(scores: ndarray) -> None:
    assert_array_equal(accuracy(scores, Answer.TRUE) + accuracy(scores, Answer.DISTRACTOR), 1)
    assert_array_equal(accuracy(scores[:, [0, 0]], Answer.TRUE), 0.5)


@given(log_probs)
def test_accuracy_is_one_exactly_if_preference_is_below_a_half(scores: ndarray) -> None:
    scores = scores[np.abs(logit_gap(scores)) > 1e-12]
    assert_array_equal(accuracy(scores, Answer.TRUE), preference(scores) < 0.5)


@pytest.mark.parametrize("gap", [800.0, -800.0])
def test_at_extreme_gaps_preference_is_one_minus_accuracy(gap: float) -> None:
    with np.errstate(under="ignore"):
        scores = np.array([[-1.0, -1.0 - gap]]) if gap > 0 else np.array([[-1.0 + gap, -1.0]])
        assert_array_equal(preference(scores), 1 - accuracy(scores, Answer.TRUE))


@given(gaps, gaps, gaps)
def test_the_gap_in_conflict_is_the_neutral_gap_plus_true_pull_minus_distractor_pull(
    conflict: ndarray, congruent: ndarray, neutral: ndarray
) -> None:
    t, d = true_pull(conflict, congruent), distractor_pull(conflict, congruent, neutral)
    assert_allclose(neutral + t - d, conflict, atol=1e-13)
    assert_allclose(neutral - t - d, congruent, atol=1e-13)


@given(gaps, gaps, gaps, st.floats(-20, 20))
def test_a_bias_towards_one_answer_changes_neither_pull(
    conflict: ndarray, congruent: ndarray, neutral: ndarray, bias: float
) -> None:
    assert_allclose(true_pull(conflict + bias, congruent + bias), true_pull(conflict, congruent), atol=1e-13)
    assert_allclose(
        distractor_pull(conflict + bias, congruent + bias, neutral + bias),
        distractor_pull(conflict, congruent, neutral),
        atol=1e-12,
    )


def test_two_equal_answers_with_all_the_mass_have_coverage_one_and_preference_a_half() -> None:
    coin = np.log([[0.5, 0.5]])
    assert_allclose([coverage(coin), preference(coin), logit_gap(coin)], [[1.0], [0.5], [0.0]])
