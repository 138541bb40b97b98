"""Rules answer yes, no and unclear at their thresholds, and measure how clear the answer is."""

import pytest

from distractor.statistics.criteria import Above, AtMost, Criterion, Within

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("criterion", "interval", "answer"),
    [
        (Above(0.2), (0.3, 0.21, 0.4), True),
        (Above(0.2), (0.3, 0.2, 0.4), None),
        (Above(0.2), (0.1, 0.0, 0.2), None),
        (Above(0.2), (0.1, 0.0, 0.19), False),
        (Above(0, 0.05), (0.04, 0.01, 0.06), True),
        (Above(0, 0.05), (0.03, 0.01, 0.04), False),
        (Above(0, 0.05), (0.03, -0.01, 0.06), None),
        (Within(0.4, 0.6), (0.5, 0.4, 0.6), True),
        (Within(0.4, 0.6), (0.5, 0.39, 0.6), None),
        (Within(0.4, 0.6), (0.5, 0.4, 0.61), None),
        (Within(0.4, 0.6), (0.7, 0.61, 0.8), False),
        (Within(0.4, 0.6), (0.2, 0.1, 0.39), False),
        (AtMost(0.5), (0.5, 0.5, 0.5), True),
        (AtMost(0.5), (0.51, 0.51, 0.51), False),
    ],
)
def test_an_interval_is_compared_with_the_thresholds(
    criterion: Criterion, interval: tuple[float, float, float], answer: bool | None
) -> None:
    assert criterion.answer(*interval) is answer
    assert (criterion.margin(*interval) >= 0) >= (answer is True)


def test_the_margin_is_the_distance_from_the_threshold() -> None:
    assert Above(0.2, 0.3).margin(0.5, 0.4, 0.6) == pytest.approx(0.2)
    assert Within(0.4, 0.6).margin(0.5, 0.45, 0.58) == pytest.approx(0.02)
    assert Within(0.4, 0.6).margin(0.5, 0.41, 0.5) == pytest.approx(0.01)
    assert AtMost(0.5).margin(0.7, 0.7, 0.7) == pytest.approx(-0.2)


def test_thresholds_are_in_the_text_in_the_cell_and_in_the_summary() -> None:
    for criterion, plain in (
        (Above(0.2), {"yes_above": 0.2, "no_below": 0.2}),
        (Above(0, 0.05), {"yes_above": 0, "no_below": 0.05}),
        (Within(0.4, 0.6), {"yes_from": 0.4, "yes_to": 0.6}),
        (AtMost(0.5), {"yes_at_most": 0.5}),
    ):
        assert criterion.as_dict() == plain
        assert set(criterion.thresholds) == set(plain.values())
        assert all(f"{value:g}" in criterion.text and f"{value:g}" in criterion.short for value in plain.values())
