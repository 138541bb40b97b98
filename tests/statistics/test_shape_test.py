"""Planted shapes get their label at both levels, and curves that cannot be judged are refused."""

import json

import numpy as np
import pytest
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.statistics.intervals import interval
from distractor.statistics.pairs import pairs_of_models, pairs_of_weights
from distractor.statistics.shape_test import (
    METHOD_1,
    METHOD_2,
    Level,
    Turn,
    delta_of,
    judge,
    judge_means,
    judge_models,
    judge_weights,
)
from ladders import CURVES, SIZES, ladder

pytestmark = pytest.mark.quick


MIRRORED = {"inverted-U": "U-shaped", "U-shaped": "inverted-U", "positive": "inverse", "inverse": "positive"}


@pytest.mark.parametrize("label", CURVES)
def test_planted_shapes_are_found_at_both_levels(label: str) -> None:
    shape = judge(ladder(CURVES[label], groups=200, items=0.05, noise=0.004), SIZES)
    assert shape.label_level_1 == shape.label == label
    assert shape.models is not None
    assert (shape.models.no_u, shape.models.no_inverted_u) == (label != "U-shaped", label != "inverted-U")
    if "U" in label:
        assert shape.turning_point == (16000 if label == "inverted-U" else shape.turning_point)
        assert shape.turning_point in shape.models.turn.turning_set


def test_a_noisy_curve_is_undetermined_and_no_turn_is_excluded() -> None:
    shape = judge(ladder(CURVES["inverted-U"], groups=30, items=0.1, noise=0.6), SIZES)
    assert shape.models is not None
    assert shape.label == "undetermined"
    assert not shape.models.no_u
    assert not shape.models.no_inverted_u


def test_a_curve_that_turns_twice_by_the_same_amount_is_undetermined() -> None:
    shape = judge(ladder((0.5, 0.9, 0.9, 0.5, 0.1, 0.1, 0.5), noise=0.01), SIZES)
    assert shape.label == "undetermined"
    assert judge(ladder((0.5, 0.45, 0.9, 0.9, 0.1, 0.1, 0.1), items=0.01), SIZES).label == "inverted-U"


@pytest.mark.parametrize("label", CURVES)
def test_mirrored_values_get_the_mirrored_label(label: str) -> None:
    values = ladder(CURVES[label], items=0.05, noise=0.004)
    up, down, back = judge(values, SIZES), judge(-values, SIZES), judge(values[:, ::-1], SIZES)
    assert down.label == MIRRORED.get(label, label)
    assert back.label == (MIRRORED[label] if label in ("positive", "inverse") else label)
    assert up.models is not None
    assert down.models is not None
    assert back.models is not None
    assert down.models.u.p_left == pytest.approx(up.models.inverted_u.p_left, abs=1e-9)
    assert back.models.u.p_right == pytest.approx(up.models.u.p_left, abs=1e-9)


def test_the_unit_of_the_values_does_not_matter() -> None:
    values = ladder(CURVES["inverted-U"], items=0.4, noise=0.05)
    small, large = (judge(unit * values, SIZES, delta=unit * 0.05, is_share=False).as_dict() for unit in (1, 40))
    for key in ("label", "turning_low", "turning_high", "no_u", "no_inverted_u", "p_left", "p_right"):
        assert large[key] == (small[key] if key[0] != "p" else pytest.approx(small[key], rel=1e-6)), key
    assert large["smallest_detectable_dip"] == pytest.approx(40 * small["smallest_detectable_dip"], rel=1e-6)


def test_the_order_of_groups_and_seeds_changes_nothing() -> None:
    values = ladder(CURVES["inverted-U"], items=0.4, noise=0.05)
    rng = np.random.default_rng(3)
    mixed = values[:, :, rng.permutation(values.shape[-1])]
    assert judge_weights(mixed[0], SIZES) == judge_weights(values[0], SIZES)
    seeds = rng.permutation(5)
    one, other = judge_models(values, SIZES), judge_models(mixed[seeds], SIZES)
    assert (one.label, one.turn.turning_set) == (other.label, other.turn.turning_set)
    assert other.turn.low == pytest.approx(one.turn.low, abs=1e-9)
    assert [level.label for level in judge(values[seeds], SIZES).weights] == [
        judge(values, SIZES).weights[s].label for s in seeds
    ]


def test_equal_ends_at_a_ceiling_have_an_interval() -> None:
    values = np.ones((3, 4, 30))
    values[:, 1] = np.arange(30) % 2
    shape = judge(values, SIZES[:4])
    for level in (*shape.weights, shape.models):
        assert level is not None
        assert level.end[2] - level.end[1] > 2 / 30


def test_curves_without_spread_get_their_label() -> None:
    for label, curve in CURVES.items():
        shape = judge(np.tile(np.array(curve)[None, :, None], (3, 1, 80)), SIZES)
        assert shape.label == shape.label_level_1 == label
        assert any("same value at 2,000, 4,000" in warning for warning in shape.warnings)


def test_rounding_does_not_count_as_a_difference() -> None:
    values = np.full((3, 7, 80), 0.1)
    values[:, 2] += 1e-16
    assert values[0, 2, 0] != values[0, 0, 0]
    for level in (judge_weights(values[0], SIZES), judge_models(values, SIZES)):
        assert level.label == "flat"
        assert not level.inverted_u.is_clear
        assert level.inverted_u.turning_set == SIZES[1:-1]


def test_shares_at_a_ceiling_do_not_exclude_a_dip_of_one_or_two_items() -> None:
    """30 items, all right from the second size on: a dip by one item cannot be excluded, and one of 400 can."""
    for n_items, is_excluded in ((30, False), (400, True)):
        values = np.ones((1, 5, n_items))
        values[:, 0, ::2] = 0
        level = judge(values, SIZES[:5]).weights[0]
        assert (level.label, level.no_u) == ("positive", is_excluded)
        assert level.u.at_most > 2 / n_items
        assert judge(values, SIZES[:5], is_share=False).weights[0].u.at_most < 1e-6


def test_means_at_a_ceiling_do_not_exclude_a_dip_of_one_or_two_items() -> None:
    """The same from accuracies and their standard errors, which are 0 at 1. The number of items is that of the others."""
    for n_items, is_excluded in ((30, False), (1000, True)):
        means = np.array([[0.5, 1.0, 1.0, 1.0, 1.0]])
        level = judge_means(means, np.sqrt(means * (1 - means) / (n_items - 1)), SIZES[:5]).weights[0]
        assert (level.label, level.no_u) == ("positive", is_excluded)
        assert level.smallest_detectable_dip > 2 / n_items
    unknown = judge_means(np.ones((3, 5)), np.zeros((3, 5)), SIZES[:5])
    for level in (*unknown.weights, unknown.models):
        assert level is not None
        assert level.label == "undetermined"
        assert not level.no_u


def test_both_levels_allow_5_percent_in_each_direction() -> None:
    """On a flat curve without seed noise both levels judge the same means, with the same share of errors."""
    assert METHOD_1.rpartition("; ")[2] == METHOD_2.rpartition("; ")[2] == "5 % in each direction"
    rng = np.random.default_rng(0)
    of_items = rng.normal(size=(400, 1, 5, 60))
    weights, _ = pairs_of_weights(of_items[:, 0], draws=500)
    models = pairs_of_models(np.repeat(of_items, 3, 1))
    for pairs in (weights, models):
        rises = np.triu(pairs.rise > pairs.bound).any((-2, -1))
        assert 0.02 <= rises.mean() <= 0.08
    assert np.median(weights.bound / weights.error) == pytest.approx(np.median(models.bound / models.error), rel=0.05)


def test_a_few_groups_below_saturation_do_not_make_a_turn() -> None:
    values = np.ones((1, 7, 60))
    values[0, 0], values[0, 2, :2] = 0.0, 0.0
    assert judge(values, SIZES).label == "positive"


@pytest.mark.parametrize(
    ("values", "sizes", "message"),
    [
        (np.zeros((1, 2, 40)), (1, 2), "at least 3 sizes, better 8; got 2"),
        (np.zeros((1, 3, 40)), (1, 2), "hold 3 sizes, but 2 sizes were named"),
        (np.zeros((1, 3, 40)), (1, 3, 2), "must ascend, each once; got 3 before 2"),
        (np.zeros((1, 3, 40)), (-1, 3, 5), "sizes are positive numbers .* got -1"),
        (np.zeros((1, 3, 40)), (1, 2, 2), "must ascend, each once; got 2 twice"),
        (np.zeros((1, 3, 1)), (1, 2, 3), "at least 2, better 30; got 1"),
    ],
)
def test_curves_that_cannot_be_judged_are_refused(values: ndarray, sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        judge(values, sizes)


@pytest.mark.parametrize(
    ("means", "errors", "message"),
    [
        (np.zeros((1, 2)), np.ones((1, 2)), "at least 3 sizes"),
        (np.zeros((1, 3)), np.ones((1, 4)), "standard errors"),
        (np.full((1, 3), np.nan), np.ones((1, 3)), "the mean at seed 0, size 2,000 .* is nan"),
        (np.zeros((1, 3)), -np.ones((1, 3)), "the standard error at seed 0, size 2,000 .* is -1"),
        (np.zeros((1, 3)), np.full((1, 3), np.inf), "the standard error at seed 0, size 2,000 .* is inf"),
    ],
)
def test_means_that_cannot_be_judged_are_refused(means: ndarray, errors: ndarray, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        judge_means(means, errors, SIZES[: means.shape[1]])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_named_and_never_averaged_away(bad: float) -> None:
    values = ladder(CURVES["flat"])
    values[2, 3, 17] = bad
    with pytest.raises(ScalingError, match=rf"seed 2, size 16,000 \(index 3\), group 17 is {bad} .*: 1"):
        judge(values, SIZES)
    with pytest.raises(ScalingError, match=rf"group 17 in row 17 is {bad}"):
        interval(values)


def test_level_2_needs_three_seeds() -> None:
    shape = judge(ladder(CURVES["inverted-U"], seeds=2), SIZES)
    assert shape.models is None
    assert shape.as_dict()["level"] == 1
    assert shape.as_dict()["level_2"] == "not identified"
    assert "two seeds: level 2 not identified" in shape.warnings
    with pytest.raises(ScalingError, match="at least 3 seeds a size, better 5; got 2"):
        judge_models(ladder(CURVES["inverted-U"], seeds=2), SIZES)


def test_the_turn_of_a_level_is_the_one_its_label_names_or_else_the_deeper_one() -> None:
    u, inverted = (Turn(depth, 0.0, 1.0, 1.0, 4000, (4000,), 0.5, 0.5) for depth in (0.2, 0.3))
    for label, turns, expected in (
        ("U-shaped", (u, inverted), u),
        ("inverted-U", (inverted, u), u),
        ("undetermined", (u, inverted), inverted),
        ("undetermined", (inverted, u), inverted),
    ):
        level = Level(1, label, *turns, (0.0, 0.0, 0.0), 0.05, lambda: 0.0)  # type: ignore[arg-type]
        assert level.turn is expected


def test_the_method_names_the_highest_level_and_that_only_means_are_known() -> None:
    values = ladder(CURVES["inverted-U"])
    assert judge(values, SIZES).method == METHOD_2
    assert judge(values[:2], SIZES).method == METHOD_1
    means, errors = values.mean(-1), np.full((5, 7), 0.01)
    assert "level 2 (models like these): from means" in judge_means(means, errors, SIZES).method
    of_one = judge_means(means[:1], errors[:1], SIZES)
    assert "level 1 (these weights): from means" in of_one.method
    assert (of_one.label, of_one.turning_point) == ("inverted-U", 16000)


@pytest.mark.parametrize("depth", np.linspace(0.0, 2.0, 21))
def test_with_few_groups_a_turn_is_clear_where_both_p_values_are_at_most_5_percent(depth: float) -> None:
    turn = judge_weights(ladder((0, depth, 0), 3, seeds=1, groups=4, items=0.2)[0], (1, 2, 3), draws=500).inverted_u
    assert turn.is_clear == (max(turn.p_left, turn.p_right) <= 0.05)


def test_the_smallest_difference_of_interest_follows_the_unit_of_the_quantity() -> None:
    assert (delta_of("accuracy"), delta_of("true_pull")) == (0.05, 0.2)
    with pytest.raises(ScalingError, match=r"'loss'.*accuracy.*true_pull"):
        delta_of("loss")


def test_few_groups_give_a_warning() -> None:
    assert any("29 item groups" in text for text in judge(ladder(CURVES["flat"], groups=29), SIZES).warnings)
    assert judge(ladder(CURVES["flat"], groups=30), SIZES).warnings == ()


def test_seeds_that_differ_give_no_common_label() -> None:
    values = ladder(CURVES["inverted-U"], seeds=2)
    values[1] = ladder(CURVES["inverse"], seeds=1)[0]
    assert [level.label for level in judge(values, SIZES).weights] == ["inverted-U", "inverse"]
    assert judge(values, SIZES).label == "undetermined"


def test_the_summary_holds_plain_numbers() -> None:
    for seeds in (1, 2, 3):
        summary = json.loads(json.dumps(judge(ladder(CURVES["inverted-U"], seeds=seeds), SIZES).as_dict()))
        assert summary["label"] == "inverted-U"
        assert (summary["turning_low"], summary["turning_point"], summary["turning_high"]) == (16000, 16000, 16000)
        assert summary["p_left"] <= 0.05
        assert summary["p_right"] <= 0.05
        assert len(summary["level_1"]["seeds"]) == seeds
        assert {one["turn"] for one in summary["level_1"]["seeds"]} == {"inverted-U"}
