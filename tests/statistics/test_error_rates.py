"""Error rates and coverage of tests and intervals over groups, on simulated items."""

import numpy as np

from distractor.statistics.changes import changes, do_halves_differ
from distractor.statistics.effects import judge
from distractor.statistics.sign_flips import sign_flip_p, sign_flips_of_family
from distractor.statistics.verdict import _models_at_peak
from grouped_items import GROUPS, N_GROUPS, N_ROWS, calls, clustered, grouped, items, with_seeds


def test_p_values_keep_their_level_where_items_of_a_group_agree() -> None:
    """The control: flips of single items find effects in noise."""
    values = clustered(np.random.default_rng(2), 1000, 30)
    by_group = sign_flip_p(values, grouped(30, 4))
    by_item = sign_flip_p(values, [str(n) for n in range(120)])
    assert (by_group <= 0.05).mean() <= 0.065
    assert (by_item <= 0.05).mean() > 0.25


def test_a_map_without_effects_is_seldom_marked() -> None:
    rng = np.random.default_rng(7)
    marked = [judge(clustered(rng, 40, 20), grouped(20, 4), np.full(80, 1.0)).is_marked.any() for _ in range(60)]
    assert np.mean(marked) <= 0.15


def test_the_interval_of_a_share_covers_it() -> None:
    rng = np.random.default_rng(10)
    covered = []
    for _ in range(250):
        gap = 2 + np.repeat(rng.normal(size=25), 2)
        effect = 0.6 * gap + np.repeat(rng.normal(size=25), 2)
        found = judge(effect[None], grouped(25), gap)
        covered.append(found.recovery_low[0] <= 0.6 <= found.recovery_high[0])
    assert 0.92 <= np.mean(covered) <= 0.98


def test_halves_of_one_model_differ_in_at_most_6_5_percent_of_comparisons() -> None:
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
        false += any(call != "inside item noise" for call in calls(first, second))
        second[3] += 0.6
        right += calls(first, second)[3] == "beyond item noise; seed noise unknown"
    assert false / 100 <= 0.1
    assert right / 100 >= 0.9


def test_the_family_wise_p_controls_errors_over_many_rows() -> None:
    rng = np.random.default_rng(13)
    judged = [sign_flips_of_family(rng.normal(size=(N_ROWS, N_GROUPS)), draws=499) for _ in range(300)]
    assert np.mean([(p_family <= 0.05).any() for _, p_family, _ in judged]) <= 0.09
    assert np.mean([(p <= 0.05).any() for p, _, _ in judged]) >= 0.4, "and needed to be"
    first = items(rng, 100)
    lucky = changes(first, first + rng.normal(size=first.shape), GROUPS, counted=[False] * 100)
    assert any(one.p <= 0.05 < one.p_family for one in lucky)
    assert all(one.call == "inside item noise" for one in lucky if one.p_family > 0.05)


def test_seed_noise_is_inside_seed_noise_and_a_larger_difference_is_beyond() -> None:
    rng = np.random.default_rng(7)
    base = items(rng, 3)
    beyond = {0.0: 0, 4.0: 0}
    for _ in range(60):
        for planted in beyond:
            first, second = (with_seeds(base, rng, 3, 0.4) for _ in range(2))
            found = calls(first, second + planted)
            assert "beyond item noise; seed noise unknown" not in found
            beyond[planted] += any(call == "beyond item noise and seed noise" for call in found)
    assert beyond[0.0] / 60 <= 0.1
    assert beyond[4.0] / 60 >= 0.95


def test_few_groups_that_all_seeds_share_are_seldom_called_beyond_seed_noise() -> None:
    """Three groups give the items' variance two degrees of freedom, however many seeds there are."""
    rng = np.random.default_rng(21)
    groups, wrong = grouped(3), 0
    for _ in range(400):
        first, second = (
            np.repeat(rng.normal(size=(1, 1, 6)), 5, 1) + 0.01 * rng.normal(size=(1, 5, 1)) for _ in range(2)
        )
        (judged,) = changes(first, second, groups, counted=[False])
        assert judged.seeds is not None
        wrong += judged.seeds.p <= 0.05
    assert wrong / 400 <= 0.08


def test_an_interval_at_the_peak_covers_the_mean_also_with_few_groups() -> None:
    rng = np.random.default_rng(22)
    missed = 0
    for _ in range(400):
        values = rng.normal(size=(1, 5, 3)) + 0.01 * rng.normal(size=(5, 5, 1))
        bounds = [_models_at_peak(values, size) for size in (1, 2, 3)]
        missed += any(low > 0 or high < 0 for _, low, high in bounds)
    assert missed / 400 <= 0.08
