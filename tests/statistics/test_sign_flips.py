"""Sign-flip tests and corrections for many tests."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from distractor.statistics import sign_flips
from distractor.statistics.intervals import group_sums
from distractor.statistics.sign_flips import benjamini_hochberg, holm, sign_flip_p, sign_flips_of_family
from grouped_items import GROUPS, grouped, items

pytestmark = pytest.mark.quick


def test_a_p_value_is_the_share_of_all_sign_flips_of_groups_that_give_as_large_a_mean() -> None:
    rng = np.random.default_rng(0)
    groups = ["a", "b", "b", "c", "d", "d", "d", "e"]
    values = rng.normal(0.4, 1, (3, len(groups)))
    members = [np.array([g == name for g in groups]) for name in sorted(set(groups))]
    for row, found in zip(values, sign_flip_p(values, groups), strict=True):
        flipped = [
            abs(sum(sign * row[mine].sum() for sign, mine in zip(signs, members, strict=True)))
            for signs in product((1, -1), repeat=len(members))
        ]
        assert found == pytest.approx(np.mean(np.array(flipped) >= abs(row.sum()) - 1e-12))


def test_sampled_signs_approximate_all_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(0.3, 1, (20, 24))
    every = sign_flip_p(values, grouped(12))
    monkeypatch.setattr("distractor.statistics.sign_flips.EXACT_GROUPS", 0)
    sampled = sign_flip_p(values, grouped(12), seed=3)
    assert_allclose(sampled, every, atol=0.025)
    assert (sampled == sign_flip_p(values, grouped(12), seed=3)).all()
    assert (sampled != sign_flip_p(values, grouped(12), seed=4)).any()


def test_a_p_value_depends_on_neither_sign_nor_unit_and_zeros_have_p_1() -> None:
    values = np.random.default_rng(3).normal(0.5, 1, (4, 40))
    p = sign_flip_p(values, grouped(20))
    assert (sign_flip_p(-7 * values, grouped(20)) == p).all()
    assert (sign_flip_p(np.zeros((2, 40)), grouped(20)) == 1).all()
    assert sign_flip_p(np.ones((1, 40)), grouped(20)) == pytest.approx(1 / 10_000)


def test_marks_of_a_family_are_those_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        p = np.concatenate([rng.uniform(size=30), rng.uniform(0, 0.01, rng.integers(0, 9))])
        assert (benjamini_hochberg(p) == (stats.false_discovery_control(p) <= 0.05)).all()
    assert not benjamini_hochberg(np.array([[0.5, 0.06], [1, 1]])).any()


def test_the_family_wise_p_is_at_least_p_and_equals_it_for_duplicated_rows() -> None:
    sums = group_sums(items(np.random.default_rng(5), 3)[:, 0], GROUPS)[0]
    p, p_family, _ = sign_flips_of_family(sums)
    assert (p_family >= p).all()
    twice = np.stack([sums[0], 5 * sums[0]])
    p, p_family, _ = sign_flips_of_family(twice)
    assert_allclose(p_family, p)


def test_with_few_groups_all_signs_are_tried() -> None:
    p, _, _ = sign_flips_of_family(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert p[0] == 1 / 8
    assert sign_flips_of_family(np.zeros((1, 4)))[0][0] == 1


def test_holm_is_never_below_p_and_keeps_the_order() -> None:
    p = [0.01, 0.04, 0.03, 0.5]
    assert_allclose(holm(p), [0.04, 0.09, 0.09, 0.5])
    assert holm([0.2]) == [0.2]


def test_signs_in_pieces_give_the_same_p_values(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(0).normal(0.4, 1, size=(3, 9))
    whole = sign_flips_of_family(sums)
    monkeypatch.setattr(sign_flips, "MOST_SIGNS", 50)
    for one, other in zip(sign_flips_of_family(sums), whole, strict=True):
        np.testing.assert_allclose(one, other)
