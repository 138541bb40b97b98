"""Two lines, Lind–Mehlum and the quadratic equal hand calculations, and are tested on curves that fool them."""

import json

import numpy as np
import pytest
from numpy import ndarray

from distractor.statistics.second_opinion import (
    TOO_FEW,
    LindMehlum,
    TwoLines,
    fieller,
    lind_mehlum,
    on_log_axis,
    quadratic,
    second_opinion,
    slopes,
    smooth,
    two_lines,
)

pytestmark = pytest.mark.quick

LINE = (np.arange(8.0), np.array([0.0, 2, 3, 7, 6, 5, 1, 0]))


def test_both_lines_have_the_slopes_and_errors_of_a_hand_calculation() -> None:
    """Up to the break at 3: (0,0) (1,2) (2,3) (3,7). x̄ = 1.5, Sxx = 5, Sxy = 11, slope 2.2, ȳ = 3.

    Residuals .3, .1, −1.1, .7; leverages .7, .3, .3, .7. HC3: off · residual / (1 − leverage) = −1.5, −.0714286,
    −.7857143, 3.5, squares summing to 15.1224490, so that the error is 3.8887593 / 5 and z = 2.8286657.

    From 3 on: (3,7) (4,6) (5,5) (6,1) (7,0). x̄ = 5, Sxx = 10, Sxy = −19, slope −1.9, ȳ = 3.8. Residuals −.6, .3, 1.2,
    −.9, 0; leverages .6, .3, .2, .3, .6: 3, −.4285714, 0, −1.2857143, 0, squares 10.8367347, error .3291920, z −5.7717084.
    """
    slope_left, z_left, p_left, slope_right, z_right, p_right = slopes(*LINE, 3.0)
    assert (slope_left, z_left) == pytest.approx((2.2, 2.2 * 5 / 15.1224489796**0.5), rel=1e-9)
    assert z_left == pytest.approx(2.828666, abs=1e-6)
    assert p_left == pytest.approx(0.004674, abs=1e-6)
    assert (slope_right, z_right) == pytest.approx((-1.9, -19 / 10.8367346939**0.5), rel=1e-9)
    assert z_right == pytest.approx(-5.771708, abs=1e-6)
    assert p_right < 1e-7


def test_robin_hood_gives_the_weaker_line_more_points() -> None:
    x = np.arange(1.0, 31)
    rng = np.random.default_rng(0)
    y = np.where(x < 10, x, 10 - 0.25 * np.maximum(x - 14, 0)) + 0.3 * rng.normal(size=30)
    found = two_lines(x, y)
    low, high = found.flat
    middle = x[(x >= low) & (x <= high)]
    first = slopes(x, y, float(np.median(middle)))
    share = abs(first[4]) / (abs(first[1]) + abs(first[4]))
    assert found.breakpoint == pytest.approx(np.quantile(middle, share), abs=1e-9)
    assert found.way == "inverted-U"
    assert found.turns
    assert (found.breakpoint < np.median(middle)) == (abs(first[4]) < abs(first[1]))


def test_a_line_through_two_sizes_has_no_error_and_p_1() -> None:
    x = np.arange(8.0)
    slope_left, _, p_left, *_ = slopes(x, x, 1.0)
    assert (slope_left, p_left) == (1.0, 1.0)


def by_orthogonal_parts() -> tuple[ndarray, ndarray]:
    """x from −2 to 2, y = 3 + ½·(−2 −1 0 1 2) + (2 −1 −2 −1 2) + .1·(−1 2 0 −2 1): 1 + .5 x + x² and a residual."""
    x = np.arange(-2.0, 3)
    return x, 1 + 0.5 * x + x**2 + 0.1 * np.array([-1.0, 2, 0, -2, 1])


def test_lind_mehlum_equals_a_hand_calculation() -> None:
    """The parts are orthogonal: RSS = .01 · 10 = .1 on 2 degrees, σ² = .05, var b = .005, var c = .05/14, no covariance.

    Slopes at the ends −3.5 and 4.5 with variance .005 + 16 · .05/14 = .0621429: t = −14.0402 and 18.0517. One-sided on 2
    degrees, p = ½ (1 − t / √(t² + 2)): .002518 on the left, the larger. Turning point −.25.

    Fieller, t² = 18.5128205: 4 (1 − .0661172) θ² + 2 θ + (.25 − .0925641) = 0, so θ = −.4401110 and −.0952832.
    """
    found = lind_mehlum(*by_orthogonal_parts())
    t = 3.5 / (0.005 + 16 * 0.05 / 14) ** 0.5
    assert (found.slope_left, found.slope_right, found.turning_point) == pytest.approx((-3.5, 4.5, -0.25), abs=1e-9)
    assert (found.t_left, found.t_right) == pytest.approx((-t, t * 4.5 / 3.5), rel=1e-9)
    assert found.p == pytest.approx(0.5 * (1 - t / (t**2 + 2) ** 0.5), abs=1e-9)
    assert found.p == pytest.approx(0.002518, abs=1e-6)
    two, none = 4 * (1 - 18.5128205128 * 0.05 / 14), 0.25 - 18.5128205128 * 0.005
    ends = [(-2 + sign * (4 - 4 * two * none) ** 0.5) / (2 * two) for sign in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-6)
    assert (found.way, found.turns) == ("U-shaped", True)


def test_fieller_has_no_end_where_the_curvature_is_not_clear() -> None:
    assert fieller(np.array([0.0, 1, 0.1]), np.diag([1.0, 1.0, 1.0]), 10) == (None, None)


def test_the_quadratic_equals_a_hand_calculation() -> None:
    found = quadratic(*by_orthogonal_parts())
    t = 1 / (0.05 / 14) ** 0.5
    assert (found.curvature, found.turning_point) == pytest.approx((1.0, -0.25), abs=1e-9)
    assert found.p == pytest.approx(1 - t / (t**2 + 2) ** 0.5, abs=1e-9)
    assert found.turns


def test_a_shift_of_the_axis_changes_no_test() -> None:
    x, y = by_orthogonal_parts()
    here, far = lind_mehlum(x, y), lind_mehlum(x + 30, y)
    assert far.p == pytest.approx(here.p, rel=1e-6)
    assert far.turning_point == pytest.approx(here.turning_point + 30, abs=1e-6)


def test_the_smooth_curve_is_a_line_for_a_line_and_follows_a_wave() -> None:
    x = np.linspace(0, 1, 20)
    fitted, _ = smooth(x, 2 * x)
    np.testing.assert_allclose(fitted, 2 * x, atol=1e-6)
    wave = np.sin(6 * x)
    fitted, error = smooth(np.tile(x, 3), np.tile(wave, 3) + 0.05 * np.random.default_rng(0).normal(size=60))
    assert np.abs(fitted - np.tile(wave, 3)).max() < 0.12
    assert (error > 0).all()


def test_a_levelling_curve_fools_the_quadratic_and_not_the_two_lines() -> None:
    sizes = [2**k for k in range(11)]
    rng = np.random.default_rng(1)
    fooled = lines = 0
    for _ in range(40):
        x = np.linspace(0, 1, 11)
        found = second_opinion(0.5 - 0.35 * np.log1p(30 * x) / np.log(31) + 0.02 * rng.normal(size=(3, 11)), sizes)
        assert isinstance(found.two_lines, TwoLines)
        fooled += found.quadratic.turns
        lines += found.two_lines.turns
    assert fooled > 30
    assert lines <= 8


def test_a_planted_turn_is_found_in_sizes_of_the_users_unit() -> None:
    sizes = (10.0 ** np.linspace(3, 8, 11)).tolist()
    x = np.linspace(-1, 1, 11)
    found = second_opinion(0.2 + 0.5 * x**2 + 0.01 * np.random.default_rng(0).normal(size=(3, 11)), sizes)
    assert isinstance(found.lind_mehlum, LindMehlum)
    assert isinstance(found.two_lines, TwoLines)
    assert found.two_lines.turns
    assert found.lind_mehlum.turns
    assert found.lind_mehlum.turning_point == pytest.approx(10**5.5, rel=0.2)
    assert found.lind_mehlum.low is not None
    assert found.lind_mehlum.high is not None
    assert found.lind_mehlum.low < found.lind_mehlum.turning_point < found.lind_mehlum.high
    assert 10**4.5 < found.two_lines.breakpoint < 10**6.5
    json.dumps(found.as_dict(), allow_nan=False)


def test_fewer_than_eight_sizes_are_too_few() -> None:
    found = second_opinion(np.random.default_rng(0).normal(size=(5, 7)), range(1, 8))
    assert (found.two_lines, found.lind_mehlum) == (TOO_FEW, TOO_FEW)
    assert second_opinion(np.zeros((1, 3)), (1, 2, 3)).quadratic.p == 1
    json.dumps(second_opinion(np.zeros((3, 9)), range(1, 10)).as_dict(), allow_nan=False)


def test_step_0_has_a_position_on_the_log_axis() -> None:
    np.testing.assert_allclose(on_log_axis([0, 1, 9]), np.log([1, 2, 10]))
    np.testing.assert_allclose(on_log_axis([1, 10]), np.log([1, 10]))


def test_the_caution_is_written_beside_every_result_and_only_there() -> None:
    few, enough = (second_opinion(np.zeros((1, n)), range(1, n + 1)).as_dict()["caution"] for n in (7, 8))
    assert few is None
    assert "12 to 30 %" in enough
    assert "82 to 95 %" in enough
