"""Changes between two models: planted ones are found, and noise of items and seeds is not a change."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from distractor.errors import ScalingError
from distractor.statistics.changes import changes, halves_differ
from distractor.statistics.intervals import mean_interval
from distractor.statistics.sign_flips import sign_flip_p
from grouped_items import GROUPS, N_ROWS, calls, items, with_seeds

pytestmark = pytest.mark.quick


def test_a_model_compared_with_itself_has_not_changed() -> None:
    first = items(np.random.default_rng(2))
    for one in changes(first, first, GROUPS, counted=[True] * N_ROWS):
        assert (one.mean, one.p, one.p_family, one.call) == (0, 1, 1, "inside item noise")
        # Forty equal groups cannot exclude that one group in eleven differs.
        assert_allclose([one.low, one.high], [-1 + 0.025 ** (1 / 40), 1 - 0.025 ** (1 / 40)])


def test_rounding_errors_do_not_count_as_a_change() -> None:
    first = items(np.random.default_rng(3))
    assert set(calls(first, first + 1e-7)) == {"inside item noise"}
    assert set(calls(first, first + 1e-3)) == {"beyond item noise; seed noise unknown"}


def test_mean_interval_and_p_are_those_of_the_paired_difference() -> None:
    rng = np.random.default_rng(4)
    first, second = items(rng, 2), items(rng, 2)
    first[1, 0, 5] = np.nan  # an item that one model lacks
    for row, one in enumerate(changes(first, second, GROUPS, counted=[False] * 2)):
        difference = second[row, 0] - first[row, 0]
        there = ~np.isnan(difference)
        named = list(np.array(GROUPS)[there])
        assert_allclose((one.mean, one.low, one.high), mean_interval(difference[there], named))
        assert one.p == pytest.approx(float(sign_flip_p(difference, GROUPS)), abs=0.02)
        assert one.p <= one.p_family <= 1


def test_the_null_check_gives_the_share_of_halves_that_differ() -> None:
    values = items(np.random.default_rng(6))[:, 0]
    share = halves_differ(values, GROUPS)
    assert share is not None
    assert share <= 0.1
    few = [str(i // 10) for i in range(len(GROUPS))]
    assert halves_differ(values, few) is None  # four pairs of groups can never be at 5 %


def test_with_two_seeds_seed_noise_is_unknown_but_their_difference_is_reported() -> None:
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
    assert calls(base, base + 1, are_seeds=True) == ["beyond item noise; seed noise itself"]
    assert calls(base, base, are_seeds=True) == ["inside item noise"]


def test_the_same_runs_at_two_steps_are_paired() -> None:
    """What a run keeps during training is not noise of the difference."""
    rng = np.random.default_rng(10)
    first = with_seeds(items(rng, 1), rng, 4, 5.0)
    second = first + 1 + 0.01 * rng.normal(size=(1, 4, 1))
    assert calls(first, second, same_runs=True) == ["beyond item noise and seed noise"]
    assert calls(first, second) == ["beyond item noise, inside seed noise"]
    with pytest.raises(ScalingError, match="4 training runs cannot be paired with 3"):
        calls(first, second[:, :3], same_runs=True)


def test_the_order_of_seeds_changes_nothing_where_they_are_not_paired() -> None:
    rng = np.random.default_rng(11)
    first, second = (with_seeds(items(rng, 2), rng, 3, 1.0) for _ in range(2))
    one, other = (changes(first, each, GROUPS, counted=[False] * 2) for each in (second, second[:, ::-1]))
    for a, b in zip(one, other, strict=True):
        assert a.seeds is not None
        assert b.seeds is not None
        assert_allclose(a.seeds, b.seeds)


def test_infinite_values_are_refused() -> None:
    first = items(np.random.default_rng(12), 1)
    with pytest.raises(ScalingError, match="infinite"):
        changes(first, np.full_like(first, np.inf), GROUPS, counted=[False])
