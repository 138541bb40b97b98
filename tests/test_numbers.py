"""Number formatting."""

import pytest

from distractor.numbers import number, p_value, with_interval

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.126, 2, "0.13"),
        (-0.126, 2, "-0.13"),
        (-0.004, 2, "0.00"),
        (-0.0, 2, "0.00"),
        (-0.04, 1, "0.0"),
        (-10.0, 2, "-10.00"),
    ],
)
def test_a_number_that_rounds_to_zero_has_no_sign(value: float, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_an_interval_follows_its_mean() -> None:
    assert with_interval(-0.001, -0.2, 0.125) == "0.00 [-0.20, 0.12]"


@pytest.mark.parametrize(("p", "text"), [(0.05, "0.050"), (0.001, "0.001"), (0.00099, "< .001")])
def test_a_small_p_value_is_not_shown_as_zero(p: float, text: str) -> None:
    assert p_value(p) == text
