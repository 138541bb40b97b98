import importlib.util
import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy import ndarray
from scipy import stats

from distractor.curves.curve_file import Wanted, curve_of
from distractor.errors import ScalingError
from distractor.statistics.groups import group_means, interval, simultaneous_interval
from distractor.statistics.pairs import Pairs, labels, pairs_of_models, pairs_of_weights, turning_set, weaker_leg
from distractor.statistics.power import smallest_detectable_dip
from distractor.statistics.shape_test import Level, judge, judge_models, judge_weights
from distractor.statistics.studentized_range import studentized_range_quantile, studentized_range_tail
from distractor.statistics.verdict import Evidence, Rule, Verdict, _as_share, _models_at_peak, _models_at_size, verdict

SIZES = (2000, 4000, 8000, 16000, 32000, 64000, 128000)
CURVES = {
    "inverted-U": (0.5, 0.6, 0.8, 0.95, 0.7, 0.3, 0.05),
    "U-shaped": (0.5, 0.3, 0.1, 0.1, 0.4, 0.8, 0.98),
    "positive": (0.5, 0.52, 0.6, 0.7, 0.8, 0.9, 0.95),
    "inverse": (0.5, 0.5, 0.5, 0.3, 0.1, 0.1, 0.1),
    "flat": (0.5,) * 7,
}
MIRRORED = {"inverted-U": "U-shaped", "U-shaped": "inverted-U", "positive": "inverse", "inverse": "positive"}


def calibration() -> ModuleType:
    path = Path(__file__).parents[2] / "experiments" / "calibration" / "calibrate.py"
    spec = importlib.util.spec_from_file_location("calibrate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CALIBRATION = calibration()


def ladder(
    curve: tuple[float, ...],
    seed: int = 0,
    *,
    seeds: int = 5,
    groups: int = 100,
    items: float = 0.1,
    noise: float = 0.0,
) -> ndarray:
    """A ladder with normal noise of groups (`items`) and of seeds at each size (`noise`)."""
    rng = np.random.default_rng(seed)
    shape = (seeds, len(curve), groups)
    return np.array(curve)[:, None] + noise * rng.normal(size=(*shape[:2], 1)) + items * rng.normal(size=shape)


def half_width_1(values: ndarray, draws: int, seed: int = 0) -> ndarray:
    """Level 1's bounds again, one draw, one pair and one group at a time."""
    n_sizes, n_groups = values.shape
    values = values[:, np.lexsort(values)]
    counts = np.random.default_rng(seed).multinomial(n_groups, [1 / n_groups] * n_groups, draws)
    error = np.zeros((n_sizes, n_sizes))
    for j in range(n_sizes):
        for k in range(n_sizes):
            error[j, k] = np.std(values[k] - values[j], ddof=1) / n_groups**0.5
    most = []
    for count in counts:
        resampled = np.repeat(values, count, axis=1)
        off = [
            abs((resampled[k] - resampled[j]).mean() - (values[k] - values[j]).mean()) / error[j, k]
            for j in range(n_sizes)
            for k in range(j + 1, n_sizes)
        ]
        most.append(max(off) * (n_groups / (n_groups - 1)) ** 0.5)
    normal = sorted(most, reverse=True)[int(0.05 * (draws + 1)) - 1]
    return float(stats.t.isf(stats.norm.sf(normal), n_groups - 1)) * error


def shared_by_seeds(difference: ndarray) -> float:
    """The variance of the mean of `difference` [seed group] that is due to groups which all seeds share: two-way ANOVA."""
    n_seeds, n_groups = difference.shape
    grand = difference.mean()
    of_group = n_seeds * sum((difference[:, g].mean() - grand) ** 2 for g in range(n_groups)) / (n_groups - 1)
    left = sum(
        (difference[s, g] - difference[s].mean() - difference[:, g].mean() + grand) ** 2
        for s, g in np.ndindex(n_seeds, n_groups)
    ) / ((n_seeds - 1) * (n_groups - 1))
    return max(float(of_group - left), 0) / (n_seeds * n_groups)


def half_width_2(values: ndarray) -> ndarray:
    """Level 2's bounds again, pair by pair, with scipy's studentized range."""
    n_seeds, n_sizes, _ = values.shape
    v = [float(np.var([values[s, k].mean() for s in range(n_seeds)], ddof=1)) for k in range(n_sizes)]
    u = [max(one, sum(v) / n_sizes) for one in v]
    q = float(stats.studentized_range.ppf(0.9, n_sizes, n_sizes * (n_seeds - 1)))
    half = np.zeros((n_sizes, n_sizes))
    for j in range(n_sizes):
        for k in range(n_sizes):
            g = shared_by_seeds(values[:, k] - values[:, j])
            half[j, k] = q * ((u[j] + u[k]) / (2 * n_seeds) + g / 2) ** 0.5
    return half


def alone_1(values: ndarray) -> ndarray:
    """The bound of each pair by itself at level 1: a paired t interval over groups."""
    error = stats.sem(values[None, :] - values[:, None], axis=-1)
    return float(stats.t.ppf(0.975, values.shape[-1] - 1)) * error


def alone_2(values: ndarray) -> ndarray:
    """The bound of each pair by itself at level 2: Welch and Satterthwaite over two sizes' seeds and the groups."""
    n_seeds, n_sizes, n_groups = values.shape
    v = np.var(values.mean(-1), axis=0, ddof=1)
    u = np.maximum(v, v.mean()) / n_seeds
    half = np.zeros((n_sizes, n_sizes))
    for j, k in np.ndindex(n_sizes, n_sizes):
        g = shared_by_seeds(values[:, k] - values[:, j])
        freedom = (u[j] + u[k] + g) ** 2 / ((u[j] ** 2 + u[k] ** 2) / (n_seeds - 1) + g**2 / (n_groups - 1))
        half[j, k] = stats.t.ppf(0.975, min(freedom, n_sizes * (n_seeds - 1))) * (u[j] + u[k] + g) ** 0.5
    return half


def width(level: Level) -> float:
    return level.end[2] - level.end[0]


# The bounds


def test_level_1_bounds_equal_a_slow_loop() -> None:
    values = ladder(CURVES["inverted-U"], seeds=1, groups=25)[0]
    assert width(judge_weights(values, SIZES, draws=200)) == pytest.approx(half_width_1(values, 200)[0, -1], rel=1e-9)


def test_level_2_bounds_equal_the_formula() -> None:
    values = ladder(CURVES["inverted-U"], noise=0.05)
    values[:, 3] += 0.3 * np.random.default_rng(1).normal(size=(5, 1))  # one size far more spread than the mean one
    assert width(judge_models(values, SIZES)) == pytest.approx(half_width_2(values)[0, -1], rel=1e-6)


@pytest.mark.parametrize(("k", "degrees"), [(3, 6), (11, 22), (6, 300)])
def test_studentized_range_equals_scipys(k: int, degrees: int) -> None:
    for share in (0.9, 0.99):
        mine, theirs = studentized_range_quantile(share, k, degrees), stats.studentized_range.ppf(share, k, degrees)
        assert mine == pytest.approx(theirs, rel=1e-6)
        assert studentized_range_tail(mine, k, degrees) == pytest.approx(1 - share, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_turn_is_clear_iff_some_triple_of_sizes_shows_both_legs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = ladder(tuple(0.5 + 0.12 * rng.normal(size=6)), seed, seeds=3, groups=40, items=0.3, noise=0.02)
    sizes = SIZES[:6]
    one = values[0]
    of_level_1 = (judge_weights(one, sizes, draws=300), one.mean(-1), half_width_1(one, 300), alone_1(one))
    of_level_2 = (judge_models(values, sizes), values.mean((0, 2)), half_width_2(values), alone_2(values))
    for level, m, half, alone in (of_level_1, of_level_2):
        for turn, sign in ((level.inverted_u, 1), (level.u, -1)):
            shown = any(
                sign * (m[j] - m[i]) > half[i, j] and sign * (m[j] - m[k]) > half[j, k]
                for i in range(6)
                for j in range(i + 1, 6)
                for k in range(j + 1, 6)
            )
            assert turn.is_clear == shown == (max(turn.p_left, turn.p_right) <= 0.05)
            beaten = [any(sign * (m[i] - m[j]) > half[i, j] for i in range(6) if i != j) for j in range(1, 5)]
            assert turn.turning_set == tuple(sizes[j] for j in range(1, 5) if not beaten[j - 1])
            for found, bound in ((turn.high, half), (turn.at_most, alone)):
                most = max(
                    min(
                        max(sign * (m[j] - m[i]) + bound[i, j] for i in range(j)),
                        max(sign * (m[j] - m[k]) + bound[k, j] for k in range(j + 1, 6)),
                    )
                    for j in range(1, 5)
                )
                assert found == pytest.approx(most, rel=1e-6)


# The labels


@pytest.mark.parametrize("label", CURVES)
def test_planted_shapes_are_found_at_both_levels(label: str) -> None:
    shape = judge(ladder(CURVES[label], items=0.05, noise=0.004), SIZES)
    assert shape.label_level_1 == shape.label == label
    assert shape.models is not None
    assert (shape.models.no_u, shape.models.no_inverted_u) == (label != "U-shaped", label != "inverted-U")
    if "U" in label:
        assert shape.turning_point == (16000 if label == "inverted-U" else shape.turning_point)
        assert shape.turning_point in shape.models.turn.turning_set


def test_what_noise_hides_is_undetermined_and_nothing_is_ruled_out() -> None:
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
def test_turning_the_values_over_turns_the_label_over(label: str) -> None:
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
    small, large = judge(values, SIZES).as_dict(), judge(40 * values, SIZES, delta=40 * 0.05).as_dict()
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


# Curves without spread


def test_curves_without_any_spread_are_read_as_they_are() -> None:
    for label, curve in CURVES.items():
        shape = judge(np.tile(np.array(curve)[None, :, None], (3, 1, 40)), SIZES)
        assert shape.label == shape.label_level_1 == label
        assert any("same value at 2000, 4000" in warning for warning in shape.warnings)


def test_rounding_is_no_difference() -> None:
    values = np.full((3, 7, 40), 0.1)
    values[:, 2] += 1e-16
    assert values[0, 2, 0] != values[0, 0, 0]
    for level in (judge_weights(values[0], SIZES), judge_models(values, SIZES)):
        assert level.label == "flat"
        assert not level.inverted_u.is_clear
        assert level.inverted_u.turning_set == SIZES[1:-1]


def test_a_few_groups_off_saturation_are_no_turn() -> None:
    values = np.ones((1, 7, 60))
    values[0, 0], values[0, 2, :2] = 0.0, 0.0
    assert judge(values, SIZES).label == "positive"


# What is refused, and what is warned of


@pytest.mark.parametrize(
    ("values", "sizes", "message"),
    [
        (np.zeros((1, 2, 40)), (1, 2), "at least 3 sizes, better 8; 2 came"),
        (np.zeros((1, 3, 40)), (1, 2), "hold 3 sizes, but 2 sizes were named"),
        (np.zeros((1, 3, 40)), (1, 3, 2), "must ascend, each once; 3 came before 2"),
        (np.zeros((1, 3, 40)), (-1, 3, 5), "sizes are positive numbers .* -1 came"),
        (np.zeros((1, 3, 40)), (1, 2, 2), "must ascend, each once; 2 came twice"),
        (np.zeros((1, 3, 1)), (1, 2, 3), "at least 2, better 30; 1 came"),
    ],
)
def test_what_cannot_be_judged_is_refused(values: ndarray, sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        judge(values, sizes)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_named_and_never_averaged_away(bad: float) -> None:
    values = ladder(CURVES["flat"])
    values[2, 3, 17] = bad
    with pytest.raises(ScalingError, match=rf"seed 2, size 16000 \(index 3\), group 17 is {bad} .*: 1"):
        judge(values, SIZES)
    with pytest.raises(ScalingError, match=rf"group 17 in row 17 is {bad}"):
        interval(values)


def test_level_2_needs_three_seeds() -> None:
    shape = judge(ladder(CURVES["inverted-U"], seeds=2), SIZES)
    assert shape.models is None
    assert shape.as_dict()["level"] == 1
    assert shape.as_dict()["level_2"] == "not identified"
    assert "two seeds: level 2 not identified" in shape.warnings
    with pytest.raises(ScalingError, match="at least 3 seeds a size, better 5; 2 came"):
        judge_models(ladder(CURVES["inverted-U"], seeds=2), SIZES)


def test_few_groups_are_warned_of() -> None:
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


# Error rates: small versions of experiments/calibration


def at_most(rate: float, of: int) -> int:
    """A count that a tool with this error rate exceeds once in a thousand runs."""
    return int(stats.binom.ppf(0.999, of, rate))


@pytest.mark.parametrize(
    ("name", "noise", "sizes", "seeds"),
    [("flat", ".05", 8, 3), ("step to plateau", ".05 unequal", 8, 3), ("step to plateau", "0", 11, 5)],
)
def test_level_2_seldom_sees_a_turn_that_is_not_there_where_peak_picking_often_does(
    name: str, noise: str, sizes: int, seeds: int
) -> None:
    rng = np.random.default_rng(5)
    truth, (sd, ratio) = 0.5 - 0.35 * CALIBRATION.NULL_CURVES[name](np.linspace(0, 1, sizes)), CALIBRATION.NOISES[noise]
    ladders = CALIBRATION.curve_ladders(truth, 300, seeds, 60, 4, sd, ratio, rng)
    assert turns(pairs_of_models(ladders)) <= at_most(0.05, 300)
    assert CALIBRATION.naive(ladders).sum() > at_most(0.05, 300)


@pytest.mark.parametrize("name", ["flat", "step to plateau"])
def test_level_1_seldom_sees_a_turn_that_is_not_there(name: str) -> None:
    rng = np.random.default_rng(6)
    truth = 0.5 - 0.45 * CALIBRATION.NULL_CURVES[name](np.linspace(0, 1, 8))
    ladders = CALIBRATION.curve_ladders(truth, 200, 1, 40, 4, 0.0, 1.0, rng)[:, 0]
    assert turns(pairs_of_weights(ladders, draws=500)[0]) <= at_most(0.05, 200)


@pytest.mark.parametrize("name", ["flat", "step to plateau"])
def test_means_alone_seldom_show_a_turn_that_is_not_there(name: str) -> None:
    rng = np.random.default_rng(7)
    truth = 0.5 - 0.45 * CALIBRATION.NULL_CURVES[name](np.linspace(0, 1, 8))
    shares = rng.binomial(100, np.broadcast_to(truth, (400, 8))) / 100
    assert turns(CALIBRATION.means(shares, 100, rng)) <= at_most(0.05, 400)


def test_many_ladders_at_once_are_judged_as_one_by_one() -> None:
    ladders = np.stack([ladder(CURVES[label], noise=0.05, groups=40) for label in CURVES])
    together, (weights, _) = pairs_of_models(ladders), pairs_of_weights(ladders[:, 0])
    for place, values in enumerate(ladders):
        alone = judge_models(values, SIZES)
        assert labels(together, 0.05)[place] == alone.label
        one = judge_weights(values[0], SIZES)
        assert labels(weights, 0.05)[place] == one.label
        assert turning_set(weights, 1)[place].sum() == len(one.inverted_u.turning_set)


def turns(pairs: Pairs) -> int:
    return int(CALIBRATION.turned(pairs).sum())


def test_seeds_that_differ_item_by_item_are_counted_once() -> None:
    """Coins thrown anew by every seed: their noise is between seeds, and the level 2 error is that of all coins."""
    coins = np.random.default_rng(0).normal(size=(400, 4, 3, 50))
    pairs = pairs_of_models(coins)
    truth = (1 / (4 * 50)) ** 0.5
    assert 0.98 <= float(np.sqrt((pairs.error[:, 0, 2] ** 2).mean()) / truth) <= 1.35  # the larger variance is believed
    shared = np.broadcast_to(coins[:, :1], coins.shape)
    assert float(np.sqrt((pairs_of_models(shared).error[:, 0, 2] ** 2).mean())) == pytest.approx(50**-0.5, rel=0.03)


def test_all_pairs_at_once_are_covered_as_often_as_promised() -> None:
    """On flat curves any difference beyond its bound is false: 5 % at level 1, twice 5 % (a direction) at level 2."""
    flat = [(ladder((0.5,) * 5, seed, groups=40, items=0.05, noise=0.05)) for seed in range(200)]
    weights, _ = pairs_of_weights(
        np.stack([ladder((0.5,) * 5, s, seeds=1, groups=40)[0] for s in range(200)]), draws=500
    )
    for pairs, rate in ((weights, 0.05), (pairs_of_models(np.stack(flat)), 0.10)):
        wrong = int((np.abs(pairs.rise) > pairs.bound).any((-2, -1)).sum())
        assert 1 <= wrong <= at_most(rate, 200)  # a bound that never fails is no 95 % bound


def test_a_turn_of_delta_is_seldom_ruled_out() -> None:
    """The truth turns by exactly δ at one size: ruling it out is false, and happens in at most 5 %."""
    curve = (0.5, 0.5, 0.55, 0.5, 0.5)
    one = pairs_of_weights(np.stack([ladder(curve, s, seeds=1, groups=60)[0] for s in range(200)]), draws=300)[0]
    three = pairs_of_models(np.stack([ladder(curve, s, seeds=3, groups=60, noise=0.01) for s in range(200)]))
    for pairs in (one, three):
        assert int((weaker_leg(pairs.rise + pairs.pointwise).max(-1) < 0.05).sum()) <= at_most(0.05, 200)


@pytest.mark.parametrize(("seeds", "noise"), [(5, 0.05), (1, 0.0)])
def test_the_smallest_detectable_dip_is_detected_four_times_out_of_five(seeds: int, noise: float) -> None:
    depth = smallest_detectable_dip(7, seeds, 50, item_sd=0.2, seed_sd=noise)
    curve = (0.6, 0.6, 0.6, 0.6 - depth, 0.6, 0.6, 0.6)
    found = after = 0.0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        same_for_all = 0.2 * rng.normal(size=(1, 7, 50))
        values = same_for_all + ladder(curve, 1000 + seed, seeds=seeds, groups=50, items=1e-6, noise=noise)
        level = judge_models(values, SIZES) if seeds > 1 else judge_weights(values[0], SIZES, draws=500)
        found += level.u.is_clear
        after += level.smallest_detectable_dip / 80
    assert 0.66 <= found / 80 <= 0.93
    assert after == pytest.approx(depth, rel=0.15)


def test_more_groups_and_seeds_show_smaller_dips() -> None:
    assert smallest_detectable_dip(9, 5, 400) < smallest_detectable_dip(9, 5, 100)
    assert smallest_detectable_dip(9, 5, 100) < smallest_detectable_dip(9, 3, 100)
    assert smallest_detectable_dip(9, 5, 100, seed_sd=0.01) < smallest_detectable_dip(9, 5, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 1, 100, seed_sd=0.01) == smallest_detectable_dip(9, 1, 100, seed_sd=0.1)
    assert smallest_detectable_dip(9, 5, 100, power=0.5) < smallest_detectable_dip(9, 5, 100, power=0.9)
    with pytest.raises(ScalingError, match="at least 3 sizes, 1 seed and 2 item groups; asked for 2 sizes"):
        smallest_detectable_dip(2, 5, 100)


# Intervals


def test_interval_equals_a_slow_bootstrap_and_weights_groups_by_their_items() -> None:
    rng = np.random.default_rng(2)
    values, counts = rng.normal(size=(3, 2, 20)), rng.integers(1, 6, 20).astype(float)
    mean, low, high = interval(values, counts=counts, draws=300)
    drawn = np.random.default_rng(0).multinomial(20, [1 / 20] * 20, 300)
    for row in np.ndindex(3, 2):
        items, order = np.repeat(values[row], counts.astype(int)), np.lexsort(np.vstack([values[row], counts]))
        assert mean[row] == pytest.approx(items.mean())
        means = [
            np.repeat(np.repeat(values[row][order], d), np.repeat(counts[order], d).astype(int)).mean() for d in drawn
        ]
        stretched = items.mean() + (np.array(means) - items.mean()) * (20 / 19) ** 0.5
        assert (low[row], high[row]) == pytest.approx(tuple(np.quantile(stretched, [0.025, 0.975])))


def test_interval_covers_as_often_as_it_says() -> None:
    values = np.random.default_rng(4).exponential(size=(400, 60))
    _, low, high = interval(values)
    assert 0.89 <= ((low < 1) & (high > 1)).mean() <= 0.97


def test_a_saturated_share_still_has_an_interval() -> None:
    _, low, high = interval(np.stack([np.ones(50), np.zeros(50)]), limits=(0.0, 1.0))
    exact = stats.binomtest(50, 50).proportion_ci(method="exact")
    assert (low[0], high[0]) == pytest.approx((exact.low, 1.0))
    assert (low[1], high[1]) == pytest.approx((0.0, 1 - exact.low))
    assert interval(np.ones((1, 50)))[1][0] == pytest.approx(1)


def test_the_order_of_groups_does_not_change_an_interval() -> None:
    values = np.random.default_rng(0).normal(size=(4, 30))
    for one, other in zip(interval(values), interval(values[:, ::-1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_row_has_the_same_interval_whatever_comes_with_it() -> None:
    values, counts = np.random.default_rng(1).normal(size=(4, 30)), np.arange(1.0, 31)
    together = interval(values, counts=counts)
    for row in range(4):
        np.testing.assert_allclose([each[row] for each in together], interval(values[row], counts=counts), atol=1e-12)


def test_an_interval_at_a_picked_size_is_right_where_a_plain_one_is_not() -> None:
    """All sizes have a mean of 0, the highest is picked: how often does its interval claim to be above 0?"""
    at_once = plain = models = 0
    for seed in range(200):
        inner = ladder((0.0,) * 7, seed, seeds=1, groups=40)[0]
        picked = int(inner.mean(-1).argmax())
        at_once += bool(simultaneous_interval(inner, draws=500)[1][picked] > 0)
        plain += bool(interval(inner, draws=500)[1][picked] > 0)
        values = ladder((0.0,) * 9, seed, seeds=3, groups=40, items=0.3, noise=0.05)
        models += _models_at_peak(values, 1 + int(values[:, 1:-1].mean((0, 2)).argmax()))[1] > 0
    assert at_once <= at_most(0.05, 200)
    assert models <= at_most(0.05, 200)
    assert plain > at_most(0.05, 200)


def test_level_2_interval_at_a_fixed_size_is_welchs() -> None:
    values = ladder(CURVES["positive"], seeds=4, groups=50, items=0.3, noise=0.1)
    one = values[:, 2]
    a, b = np.var(one.mean(-1), ddof=1) / 4, shared_by_seeds(one)
    half = stats.t.ppf(0.975, (a + b) ** 2 / (a**2 / 3 + b**2 / 49)) * (a + b) ** 0.5
    assert _models_at_size(values, 2, False) == pytest.approx((one.mean(), one.mean() - half, one.mean() + half))


@pytest.mark.parametrize("items", range(1, 13))
def test_groups_that_are_all_right_are_right_to_the_last_digit(items: int) -> None:
    groups = np.repeat(np.arange(30), items)
    means = group_means(np.ones((2, len(groups))), groups)
    assert (means == 1).all()
    rows = [{"size": n, "item": i, "group": i // items, "accuracy": 1} for n in (1, 2, 3) for i in range(30 * items)]
    values = curve_of(rows, Wanted()).values
    assert values is not None
    assert (values == 1).all()


def test_where_every_group_of_every_seed_is_right_level_2_is_no_surer_than_level_1() -> None:
    values = np.ones((3, 5, 20))
    least = stats.binomtest(20, 20).proportion_ci(method="exact").low
    assert _models_at_size(values, 4, True) == pytest.approx((1.0, least, 1.0))
    assert _models_at_size(1 - values, 4, True) == pytest.approx((0.0, 0.0, 1 - least))
    assert _models_at_size(values, 4, False) == pytest.approx((1.0, 1.0, 1.0))
    at_once = stats.binomtest(20, 20).proportion_ci(1 - 0.05 / 3, method="exact").low
    assert _as_share((1.0, 1.0, 1.0), values) == pytest.approx((1.0, at_once, 1.0))


# The verdict


@cache
def world(name: str, seed: int = 0, seeds: int = 5) -> Evidence:
    evidence: Evidence = CALIBRATION.planted(name, np.random.default_rng(seed), n_seeds=seeds, n_groups=80)
    return evidence


def judged(evidence: Evidence, rule: Rule | None = None) -> Verdict:
    return verdict(evidence, rule, draws=250)


def holds(found: Verdict, level: int) -> dict[str, bool | None]:
    return {part.name: part.holds for part in found.because if part.level == level}


def test_planted_worlds_are_told_apart() -> None:
    calls: dict[str, Counter[str]] = {name: Counter() for name in CALIBRATION.WORLDS}
    for name, call in calls.items():
        for seed in range(2):
            found = judged(world(name, seed))
            call[found.label] += 1
            if name != "distractor":
                assert found.these_weights != "supported", (name, seed, found.sentence)
    wrong = sum(call["supported"] for name, call in calls.items() if name != "distractor")
    assert wrong <= at_most(0.05, 16)
    for name, right in CALIBRATION.WORLDS.items():
        assert calls[name][right] == 2, (name, calls[name])


def test_one_seed_is_judged_at_level_1_only() -> None:
    found = judged(world("distractor", seeds=1))
    assert found.label == "undetermined"
    assert found.these_weights == "supported"
    assert "undetermined for models like these (one seed: level 2 not identified)" in found.sentence
    assert "supported for these weights" in found.sentence
    assert {part.level for part in found.because} == {1}
    assert all("Level 1, these weights" in part.sentence for part in found.because)


def test_every_part_is_reported_at_both_levels_with_its_numbers() -> None:
    found = judged(world("distractor"))
    assert len(holds(found, 1)) == len(holds(found, 2)) == 9
    for part in found.because:
        assert part.number is not None
        assert part.low is not None
        assert part.high is not None
        assert part.low <= part.number <= part.high
        assert f"Level {part.level}, " in part.sentence
    summary = json.loads(json.dumps(found.as_dict()))
    assert (summary["label"], summary["delta"], summary["delta_d"]) == ("supported", 0.05, 0.2)
    assert summary["because"][0]["name"] == "rise_and_fall"


def test_supported_needs_every_part() -> None:
    full = world("distractor")
    assert judged(full).label == "supported"
    none = np.zeros_like(full.true_pull)
    changes = {
        "distractor_over_true_at_peak": {"true_pull": full.true_pull + 5},
        "distractor_pull_at_peak": {"distractor_pull": none + np.random.default_rng(0).normal(size=none.shape)},
        "distractor_only_above_chance": {"accuracy_distractor_only": 0.5 + 0 * none},
        "true_over_distractor_at_top": {"true_pull": none},
        "more_than_neutral": {"preference_neutral": full.preference - 0.001 * full.preference.mean()},
    }
    for name, change in changes.items():
        found = judged(replace(full, **change))
        assert found.label != "supported", name
        assert found.these_weights != "supported", name
        assert holds(found, 2)[name] is not True, name
        assert holds(found, 1)[name] is not True, name


def test_what_was_not_measured_supports_nothing() -> None:
    full = world("distractor")
    found = judged(replace(full, preference_neutral=None, preference_true_only=None))
    assert found.label == "undetermined"
    assert "no control" in found.reason
    found = judged(replace(full, accuracy_distractor_only=None))
    assert "distractor_only_above_chance is not measured" in found.reason
    assert judged(replace(full, preference_true_only=None)).label == "supported"
    assert judged(replace(full, preference_neutral=None)).label == "supported"


def test_true_only_counts_only_where_it_is_a_pure_control() -> None:
    spoilt = replace(world("distractor"), preference_true_only=world("distractor").preference)
    assert judged(spoilt).label == "contradicted"
    assert judged(spoilt).reason.endswith("in true_only")
    assert judged(replace(spoilt, true_only_is_pure=False)).label == "supported"
    assert judged(replace(spoilt, true_only_is_pure=False, preference_neutral=None)).label == "undetermined"


def test_contradicted_needs_the_whole_range() -> None:
    """Without a turn, and cut off before mastery or begun below chance: nothing was shown."""
    monotone = world("monotone")
    assert judged(monotone).label == judged(monotone).these_weights == "contradicted"
    fields = [name for name, _ in monotone.arrays()]

    def cut(part: slice) -> Evidence:
        kept = {name: getattr(monotone, name)[:, part] for name in fields}
        return replace(monotone, sizes=monotone.sizes[part], **kept)

    assert judged(cut(slice(0, 6))).label == "undetermined"
    assert judged(cut(slice(6, None))).reason == "no rise and fall, but the range does not clearly start at chance"


def test_a_range_that_ends_at_the_peak_says_so() -> None:
    assert judged(world("truncated range")).reason == "the range ends before recovery"


def test_the_unit_of_the_pulls_does_not_matter() -> None:
    full = world("distractor")
    scaled = replace(full, true_pull=7 * full.true_pull, distractor_pull=7 * full.distractor_pull)
    one, other = judged(full), judged(scaled, Rule(delta_d=7 * 0.2))
    assert [part.holds for part in one.because] == [part.holds for part in other.because]
    assert one.sentence == other.sentence


def test_a_pull_below_the_smallest_of_interest_contradicts() -> None:
    found = judged(world("distractor"), Rule(delta_d=4.0))
    assert found.label == found.these_weights == "contradicted"
    assert "below 4" in found.reason


def test_the_order_of_groups_does_not_change_the_verdict() -> None:
    full = world("distractor", seeds=3)
    order = np.random.default_rng(0).permutation(full.preference.shape[-1])
    mixed = replace(full, **{name: values[..., order] for name, values in full.arrays()})
    for one, other in zip(judged(full).because, judged(mixed).because, strict=True):
        assert one.holds == other.holds
        assert (one.number, one.low, one.high) == pytest.approx((other.number, other.low, other.high), abs=1e-9)


def test_seeds_that_disagree_leave_these_weights_undetermined() -> None:
    one, other = world("distractor", seeds=1), world("monotone", seeds=1)
    both = replace(one, **{name: np.concatenate([v, getattr(other, name)]) for name, v in one.arrays()})
    found = judged(both)
    assert found.these_weights == "undetermined"
    assert found.reason_these_weights == "1 of 2 seeds supported, 1 of 2 seeds contradicted"
    (rise,) = (part for part in found.because if part.name == "rise_and_fall")
    assert (rise.holds, rise.seeds_yes, rise.seeds) == (None, 1, 2)
    assert "two seeds: level 2 not identified" in found.sentence


def test_a_curve_that_turns_again_is_told_as_that() -> None:
    one = world("distractor", seeds=1)
    peak = int(one.preference.mean((0, 2)).argmax())
    fallen = one.preference.shape[1] - 1
    # Between the peak and the last size, one size that is back where the peak was, behind one that is not.
    order = [*range(peak + 1), fallen, peak, *range(peak + 1, fallen + 1)]
    again = replace(
        one, sizes=tuple(100 * 2**n for n in range(len(order))), **{n: v[:, order] for n, v in one.arrays()}
    )
    found = judged(again)
    assert found.these_weights == "undetermined"
    assert found.reason_these_weights.startswith("the curve turns more than once: a rise and fall of 0.")


def test_evidence_that_does_not_match_is_refused() -> None:
    full = world("distractor")
    with pytest.raises(ScalingError, match=r"true_pull has \(5, 11, 79\).* \(5, 11, 80\)"):
        replace(full, true_pull=full.true_pull[..., 1:])
    broken = full.distractor_pull.copy()
    broken[1, 2, 3] = np.nan
    with pytest.raises(ScalingError, match=r"distractor_pull at seed 1, size 5120 \(index 2\), group 3 is nan"):
        replace(full, distractor_pull=broken)
