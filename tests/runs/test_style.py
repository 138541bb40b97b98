"""Numbers in cells of a map."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from distractor.runs.style import in_cell, log_axis

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [(0.04, 3.0, "0.0"), (-0.04, 3.0, "0.0"), (-0.06, 3.0, "-0.1"), (-0.04, 0.08, "-0.04"), (-0.004, 0.08, "0.00")],
)
def test_a_cell_has_the_digits_that_its_map_needs(value: float, limit: float, text: str) -> None:
    assert in_cell(value, limit) == text


@pytest.mark.quick
@pytest.mark.parametrize("sizes", [[134_515_008], [70e6, 160e6], [200e6, 990e6], [70e6, 410e6, 2.8e9]])
def test_tick_labels_of_a_short_axis_do_not_overlap(sizes: list[float]) -> None:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot(sizes, [0.5] * len(sizes), "o")
    log_axis(axes, sizes, "parameters")
    figure.canvas.draw()
    left, right = axes.get_window_extent().intervalx
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    shown = sorted((box.x0, box.x1) for box in boxes if left - 1 <= (box.x0 + box.x1) / 2 <= right + 1)
    assert shown
    assert all(before[1] < after[0] for before, after in pairwise(shown))
