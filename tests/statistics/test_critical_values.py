"""Critical values equal scipy's distributions, and degrees of freedom follow the parts of a variance."""

import numpy as np
import pytest
from scipy import stats

from distractor.statistics.critical_values import (
    Part,
    combine,
    maxima_deviate,
    maxima_tail,
    normal_at,
    range_deviate,
    range_tail,
    t_at,
)
from distractor.statistics.group_values import weigh
from distractor.statistics.standard_errors import (
    cautious,
    covariance,
    effective_groups,
    group_degrees,
    number_of_answers,
    of_seeds,
    per_answer,
    variance_of_differences,
)

pytestmark = pytest.mark.quick


def test_a_normal_deviate_and_its_value_of_t_have_the_same_tail() -> None:
    for freedom in (1.0, 4.5, 60.0, np.inf):
        t = float(t_at(2.5, freedom))
        assert stats.t.sf(t, freedom) == pytest.approx(stats.norm.sf(2.5))
        assert normal_at(t, freedom) == pytest.approx(2.5)


def test_the_degrees_of_freedom_are_those_of_the_part_that_dominates() -> None:
    error, freedom = combine(Part(0.04, 6), Part(0.0, 11))
    assert (error, freedom) == (pytest.approx(0.2), pytest.approx(6))
    assert combine(Part(0.0, 6), Part(0.04, 11))[1] == pytest.approx(11)
    assert combine(Part(0.02, 6), Part(0.02, 11))[1] == pytest.approx(4 / (1 / 6 + 1 / 11))
    assert combine(Part(0.02, 6), Part(0.02, np.inf))[1] == pytest.approx(24)
    assert combine(Part(0.0, 6), Part(0.0, 11)) == (0, np.inf)


def test_the_largest_difference_exceeds_the_critical_deviate_in_5_percent_a_direction() -> None:
    for k in (3, 8):
        deviate = range_deviate(k)
        assert range_tail(deviate, k) == pytest.approx(0.05, abs=1e-6)
        means = np.random.default_rng(k).normal(size=(40_000, k))
        assert (np.ptp(means, axis=-1) / 2**0.5 > deviate).mean() == pytest.approx(0.1, abs=0.006)


def test_the_p_value_of_maxima_is_at_most_5_percent_where_they_are_exceeded() -> None:
    for scale in (0.1, 1.0):  # where few groups vary, the deviate of one difference is the limit
        maxima = np.sort(scale * np.abs(np.random.default_rng(0).normal(size=(500, 6))).max(-1))
        deviate = float(maxima_deviate(maxima, 0.1))
        assert deviate >= stats.norm.isf(0.05)
        assert maxima_tail(deviate - 1e-9, maxima) > 0.05 >= maxima_tail(deviate + 1e-9, maxima)


def test_the_degrees_of_freedom_of_groups_are_less_where_few_groups_make_up_the_variance() -> None:
    rng = np.random.default_rng(0)
    difficulty = 5 * rng.normal(size=(1, 60))  # the same at all sizes, so that no difference contains it
    equal = difficulty + rng.normal(size=(200, 8, 60))
    assert np.median(group_degrees(equal)) == pytest.approx(59, abs=3)
    counts = np.array([*[30.0] * 5, *[1.0] * 55])
    unequal = weigh(difficulty + rng.normal(size=(200, 8, 60)), counts)
    assert np.median(group_degrees(unequal)) < 7
    assert group_degrees(np.ones((3, 8, 60))).tolist() == [59, 59, 59]
    assert effective_groups(np.full(60, 7.0)) == pytest.approx(60)
    assert effective_groups(counts) < 10


def test_two_more_groups_enter_the_variance_of_a_difference_as_if_they_had_been_seen() -> None:
    answers = (np.random.default_rng(1).random((2, 40)) < 0.7).astype(float)
    difference = answers[1] - answers[0]
    more = np.append(difference - difference.mean(), [1.0, -1.0])  # around the mean difference
    seen = cautious(covariance(answers), 40, is_share=True)
    assert variance_of_differences(seen)[0, 1] == pytest.approx(more.var(ddof=1) / 42)
    assert (cautious(seen, 40, is_share=False) == seen).all()


def test_answers_give_their_number_and_the_variance_of_one() -> None:
    answers = (np.random.default_rng(2).random((3, 200)) < 0.6).astype(float)
    means, errors = answers.mean(1), answers.std(1, ddof=1) / 200**0.5
    assert number_of_answers(means, errors) == pytest.approx(200)
    assert number_of_answers(np.array([0.5, 1.0]), np.array([0.05, 0.0])) == pytest.approx(101)
    assert number_of_answers(np.array([1.0, 1.0]), np.zeros(2)) == 0
    assert per_answer(answers, 200) == pytest.approx(1 / 199)
    assert per_answer(np.ones((3, 200)), 50) == 1 / 50


def test_the_variance_over_seeds_is_the_mean_one_plus_the_excess_of_noisy_sizes() -> None:
    common, excess = of_seeds(np.array([0.3, 0.6, 1.5]), 3)
    np.testing.assert_allclose(common, [0.8 / 3])
    np.testing.assert_allclose(excess, [0, 0, 0.7 / 3])
