"""What counts as a change: planted ones are found, halves and seeds of one model are not taken for two models."""

import numpy as np
import pytest
from numpy import ndarray
from numpy.testing import assert_allclose

from distractor.errors import ScalingError
from distractor.statistics.changes import changes, do_halves_differ, halves_differ
from distractor.statistics.groups import group_sums, mean_interval
from distractor.statistics.sign_flips import holm, sign_flip_p, sign_flips_of_family

N_GROUPS, N_ITEMS, N_ROWS = 40, 2, 19
GROUPS = [str(i // N_ITEMS) for i in range(N_GROUPS * N_ITEMS)]


def items(rng: np.random.Generator, rows: int = N_ROWS, seeds: int = 1) -> ndarray:
    """Values of a model's items, alike within groups and between rows, the same for all seeds."""
    size = (rows, 1, N_GROUPS)
    of_groups = rng.normal(size=(1, 1, N_GROUPS)) + rng.normal(size=size)
    return np.repeat(np.repeat(of_groups, N_ITEMS, 2) + rng.normal(size=(rows, 1, N_GROUPS * N_ITEMS)), seeds, 1)


def call_of(first: ndarray, second: ndarray, **more: bool) -> list[str]:
    return [one.call for one in changes(first, second, GROUPS, counted=[False] * len(first), **more)]


# The null of items.


def test_halves_of_one_model_differ_in_at_most_six_and_a_half_of_a_hundred_comparisons() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(1000):
        means = rng.normal(size=(1, 30)) + 0.5 * rng.normal(size=(N_ROWS, 30)) ** 3
        found += do_halves_differ(means, rng)
    assert 0.02 <= found / 1000 <= 0.065


def test_two_measurements_of_one_model_seldom_differ_and_a_planted_change_is_found() -> None:
    rng = np.random.default_rng(1)
    false, right = 0, 0
    for _ in range(100):
        first = items(rng, 4)
        second = first + 0.5 * items(rng, 4)
        false += any(call != "inside item noise" for call in call_of(first, second))
        second[3] += 0.6
        right += call_of(first, second)[3] == "beyond item noise; seed noise unknown"
    assert false / 100 <= 0.1
    assert right / 100 >= 0.9


def test_looking_at_many_rows_is_accounted_for() -> None:
    rng = np.random.default_rng(13)
    judged = [sign_flips_of_family(rng.normal(size=(N_ROWS, N_GROUPS)), draws=499) for _ in range(300)]
    assert np.mean([(p_family <= 0.05).any() for _, p_family, _ in judged]) <= 0.09
    assert np.mean([(p <= 0.05).any() for p, _, _ in judged]) >= 0.4, "and needed to be"
    first = items(rng, 100)
    lucky = changes(first, first + rng.normal(size=first.shape), GROUPS, counted=[False] * 100)
    assert any(one.p <= 0.05 < one.p_family for one in lucky)
    assert all(one.call == "inside item noise" for one in lucky if one.p_family > 0.05)


def test_a_model_against_itself_has_not_changed() -> None:
    first = items(np.random.default_rng(2))
    for one in changes(first, first, GROUPS, counted=[True] * N_ROWS):
        assert (one.mean, one.p, one.p_family, one.call) == (0, 1, 1, "inside item noise")
        # Forty like groups cannot rule out that one in eleven is unlike.
        assert_allclose([one.low, one.high], [-1 + 0.025 ** (1 / 40), 1 - 0.025 ** (1 / 40)])


def test_what_rounding_leaves_is_no_change() -> None:
    first = items(np.random.default_rng(3))
    assert set(call_of(first, first + 1e-7)) == {"inside item noise"}
    assert set(call_of(first, first + 1e-3)) == {"beyond item noise; seed noise unknown"}


def test_mean_interval_and_p_are_those_of_the_paired_difference() -> None:
    rng = np.random.default_rng(4)
    first, second = items(rng, 2), items(rng, 2)
    first[1, 0, 5] = np.nan  # an item that one model is not posed
    for row, one in enumerate(changes(first, second, GROUPS, counted=[False] * 2)):
        difference = second[row, 0] - first[row, 0]
        there = ~np.isnan(difference)
        named = list(np.array(GROUPS)[there])
        assert_allclose((one.mean, one.low, one.high), mean_interval(difference[there], named))
        assert one.p == pytest.approx(float(sign_flip_p(difference, GROUPS)), abs=0.02)
        assert one.p <= one.p_family <= 1


def test_p_among_all_rows_is_not_below_that_of_one_and_equals_it_for_a_row_told_twice() -> None:
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


def test_the_share_of_halves_that_would_pass_for_two_models_is_told() -> None:
    values = items(np.random.default_rng(6))[:, 0]
    share = halves_differ(values, GROUPS)
    assert share is not None
    assert share <= 0.1
    few = [str(i // 10) for i in range(len(GROUPS))]
    assert halves_differ(values, few) is None  # four pairs of groups can never be at 5 %


# The null of seeds.


def with_seeds(base: ndarray, rng: np.random.Generator, seeds: int, noise: float) -> ndarray:
    return np.repeat(base, seeds, 1) + noise * rng.normal(size=(len(base), seeds, 1))


def test_a_difference_of_the_size_of_seed_noise_is_inside_it_and_a_larger_one_beyond() -> None:
    rng = np.random.default_rng(7)
    base = items(rng, 3)
    beyond = {0.0: 0, 4.0: 0}
    for _ in range(60):
        for planted in beyond:
            first, second = (with_seeds(base, rng, 3, 0.4) for _ in range(2))
            found = call_of(first, second + planted)
            assert "beyond item noise; seed noise unknown" not in found
            beyond[planted] += any(call == "beyond item noise and seed noise" for call in found)
    assert beyond[0.0] / 60 <= 0.1
    assert beyond[4.0] / 60 >= 0.95


def test_with_fewer_than_three_seeds_seed_noise_is_unknown_but_what_two_differ_by_is_told() -> None:
    rng = np.random.default_rng(8)
    base = items(rng, 1)
    first, second = np.repeat(base, 2, 1), np.repeat(base + 3, 2, 1)
    second[:, 1] += 0.5
    (one,) = changes(first, second, GROUPS, counted=[False])
    assert one.call == "beyond item noise; seed noise unknown"
    assert one.seeds is None
    assert one.between_seeds == pytest.approx(0.5)


def test_seeds_of_one_model_differ_by_seed_noise_itself() -> None:
    base = items(np.random.default_rng(9), 1)
    assert call_of(base, base + 1, are_seeds=True) == ["beyond item noise; seed noise itself"]
    assert call_of(base, base, are_seeds=True) == ["inside item noise"]


def test_the_same_runs_at_two_steps_are_paired() -> None:
    """What a run keeps through training is no noise of the difference."""
    rng = np.random.default_rng(10)
    first = with_seeds(items(rng, 1), rng, 4, 5.0)
    second = first + 1 + 0.01 * rng.normal(size=(1, 4, 1))
    assert call_of(first, second, same_runs=True) == ["beyond item noise and seed noise"]
    assert call_of(first, second) == ["beyond item noise, inside seed noise"]
    with pytest.raises(ScalingError, match="4 training runs cannot be paired with 3"):
        call_of(first, second[:, :3], same_runs=True)


def test_the_order_of_seeds_changes_nothing_where_they_are_not_paired() -> None:
    rng = np.random.default_rng(11)
    first, second = (with_seeds(items(rng, 2), rng, 3, 1.0) for _ in range(2))
    one, other = (changes(first, each, GROUPS, counted=[False] * 2) for each in (second, second[:, ::-1]))
    for a, b in zip(one, other, strict=True):
        assert a.seeds is not None
        assert b.seeds is not None
        assert_allclose(a.seeds, b.seeds)


def test_holm_is_never_below_p_and_keeps_the_order() -> None:
    p = [0.01, 0.04, 0.03, 0.5]
    assert_allclose(holm(p), [0.04, 0.09, 0.09, 0.5])
    assert holm([0.2]) == [0.2]


def test_what_is_infinite_is_refused() -> None:
    first = items(np.random.default_rng(12), 1)
    with pytest.raises(ScalingError, match="infinite"):
        changes(first, np.full_like(first, np.inf), GROUPS, counted=[False])
