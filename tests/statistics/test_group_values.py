"""Group values: every item counts the same, errors are clustered by group, and sizes are compared within items."""

import numpy as np
import pytest
from numpy import ndarray
from numpy.testing import assert_allclose, assert_array_equal

from distractor.errors import ScalingError
from distractor.statistics.group_values import count_items, group_values, least_shared, unweigh, weigh
from distractor.statistics.intervals import group_means
from distractor.statistics.pairs import Pairs, pairs_of_models, pairs_of_weights, weaker_leg
from distractor.statistics.standard_errors import covariance
from ladders import at_most

pytestmark = pytest.mark.quick
GROUPS = ["a"] * 7 + ["b"] * 2 + ["c"] + ["d"] * 4 + ["e"] * 3 + ["f"]


def scores(seed: int = 0, *, sizes: int = 4, missing: float = 0.0) -> ndarray:
    """Values of items that agree within their groups."""
    rng = np.random.default_rng(seed)
    of_group = {name: rng.normal(size=(sizes, 1)) for name in sorted(set(GROUPS))}
    values = np.hstack([of_group[name] for name in GROUPS]) + rng.normal(size=(sizes, len(GROUPS)))
    values[rng.random(values.shape) < missing] = np.nan
    return values


def effects_by_regression(values: ndarray) -> ndarray:
    """The mean at each size by least squares with a dummy variable for each size and each item."""
    sizes, items = values.shape
    size, item = np.nonzero(~np.isnan(values))
    design = np.zeros((len(size), sizes + items))
    design[np.arange(len(size)), size] = design[np.arange(len(size)), sizes + item] = 1
    fitted = np.linalg.lstsq(design, values[size, item], rcond=None)[0]
    return fitted[:sizes] + fitted[sizes:].mean()


def test_the_mean_over_groups_is_the_mean_over_items() -> None:
    values = scores()
    table = group_values(values, GROUPS)
    assert_allclose(table.mean(-1), values.mean(-1))
    assert abs(group_means(values, GROUPS).mean(-1) - values.mean(-1)).max() > 0.1


def test_groups_of_one_size_keep_their_means() -> None:
    values = scores()[:, :12]
    names = list("aabbccddeeff")
    assert_array_equal(group_values(values, names), group_means(values, names))


def test_errors_are_those_of_whole_groups() -> None:
    values, count = scores(), len(set(GROUPS))
    mean = values.mean(-1, keepdims=True)
    off = np.array([(values - mean)[:, np.array(GROUPS) == name].sum(-1) for name in sorted(set(GROUPS))]).T
    expected = off @ off.T / len(GROUPS) ** 2 * count / (count - 1)
    assert_allclose(covariance(group_values(values, GROUPS)), expected)


def test_group_values_are_linear_and_can_be_undone() -> None:
    one, other = scores(1), scores(2)
    assert_allclose(group_values(one - other, GROUPS), group_values(one, GROUPS) - group_values(other, GROUPS))
    means, counts = group_means(one, GROUPS), count_items(GROUPS)
    assert_allclose(unweigh(weigh(means, counts), counts), means)
    assert_array_equal(
        group_values(np.ones((2, len(GROUPS))), GROUPS), np.ones((2, 6))
    )  # exactly, as `interval` expects


def test_missing_items_are_handled_by_regression_on_items_and_sizes() -> None:
    values = np.stack([scores(seed, missing=0.3) for seed in (3, 4)])
    values = values[..., (~np.isnan(values)).any(1).all(0)]
    names = GROUPS[: values.shape[-1]]
    for table, seed in zip(group_values(values, names), values, strict=True):
        low, high = np.nanmin(seed, 1), np.nanmax(seed, 1)
        assert_allclose(table.mean(-1), np.clip(effects_by_regression(seed), low, high))


def test_two_sizes_are_compared_over_the_items_that_both_have() -> None:
    values = scores(5, sizes=2, missing=0.3)
    values = values[:, ~np.isnan(values).all(0)]
    names = GROUPS[: values.shape[-1]]
    low, high = group_values(values, names).mean(-1)
    assert high - low == pytest.approx(np.nanmean(values[1] - values[0]))


def test_an_easy_or_hard_item_that_a_model_lacks_changes_no_difference() -> None:
    values = scores(6, missing=0.2)
    values = values[:, ~np.isnan(values).all(0)]
    names = GROUPS[: values.shape[-1]]
    shifted = values + 0.5 * np.arange(values.shape[1])
    before, after = (group_values(each, names) for each in (values, shifted))
    inner = np.abs(np.diff(before.mean(-1)))
    assert inner.max() > 0.1
    assert_allclose(np.diff(after, axis=0), np.diff(before, axis=0), atol=1e-9)


def test_errors_with_missing_items_agree_with_the_jackknife_over_groups() -> None:
    rng = np.random.default_rng(7)
    names = [f"g{k:02}" for k in range(60) for _ in range(1 + k % 4)]
    values = rng.normal(size=(5, 1)) + rng.normal(size=(5, len(names))) + 2 * rng.normal(size=len(names))
    values[rng.random(values.shape) < 0.2] = np.nan
    values = values[:, known := ~np.isnan(values).all(0)]
    groups = np.array(names)[known]
    table = group_values(values, groups)
    left_out = [
        np.diff(group_values(values[:, groups != name], groups[groups != name]).mean(-1)) for name in set(groups)
    ]
    jackknife = np.var(left_out, axis=0) * (60 - 1)
    assert_allclose(np.var(np.diff(table, axis=0), axis=-1, ddof=1) / 60, jackknife, rtol=0.05)


def test_a_size_without_a_wrong_answer_stays_at_1() -> None:
    values = (np.random.default_rng(8).random((4, len(GROUPS))) < 0.5).astype(float)
    values[3] = 1
    values[3, :4] = np.nan
    assert_array_equal(group_values(values, GROUPS)[3], np.ones(6))


def test_sizes_that_share_too_few_items_are_refused() -> None:
    values = scores(9)
    values[:2, :9] = values[2:, 9:] = np.nan
    assert least_shared(values, GROUPS) == (0, 2, 0)
    with pytest.raises(ScalingError, match=r"sizes 1 and 3 .* share items of 0 groups"):
        group_values(values, GROUPS)
    values = scores(9)
    values[0] = np.where(np.array(GROUPS) == "a", values[0], np.nan)
    with pytest.raises(ScalingError, match=r"sizes 1 and 2 .* share items of 1 groups"):
        group_values(values, GROUPS)
    values = scores(9)
    values[:, 0] = np.nan
    with pytest.raises(ScalingError, match="item 0 has no value"):
        group_values(values, GROUPS)


@pytest.mark.parametrize("ladders", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_missing_items_do_not_make_false_turns(ladders: int) -> None:
    """A step to a plateau; models lack hard items, the largest three quarters of them."""
    groups, turns_1, turns_2, errors = np.repeat(np.arange(40), 5), 0, 0, []
    level = np.where(np.arange(8) < 3, 0.4, 0.7)
    for seed in range(ladders):
        rng = np.random.default_rng(seed)
        ease = 0.2 * rng.normal(size=40)[groups] + 0.15 * rng.normal(size=200)
        of_seeds = np.array([0, 0.03, 0.03, 0.03])[:, None, None] * rng.normal(size=(4, 8, 1))
        values = (rng.random((4, 8, 200)) < level[:, None] + of_seeds + ease).astype(float)
        is_hard = ease < np.quantile(ease, 0.4)
        is_missing = rng.random(values.shape) < np.linspace(0, 0.75, 8)[:, None] * is_hard
        table = group_values(np.where(is_missing, np.nan, values), groups)
        turns_1 += has_turn(pairs_of_weights(table[0], draws=300)[0])
        turns_2 += has_turn(pairs_of_models(table[1:]))
        errors.append(np.ptp((table.mean(-1) - values.mean(-1))[:, [0, 7]], axis=1).mean())
    assert turns_1 <= at_most(0.1, ladders)
    assert turns_2 <= at_most(0.1, ladders)
    assert np.mean(errors) < 0.03


def has_turn(pairs: Pairs) -> bool:
    return any(weaker_leg(sign * pairs.rise - pairs.bound).max() > 0 for sign in (-1, 1))
