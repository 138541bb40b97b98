"""Numbers in cells of a map."""

import pytest

from distractor.runs.style import in_cell

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [(0.04, 3.0, "0.0"), (-0.04, 3.0, "0.0"), (-0.06, 3.0, "-0.1"), (-0.04, 0.08, "-0.04"), (-0.004, 0.08, "0.00")],
)
def test_a_cell_has_the_digits_that_its_map_needs(value: float, limit: float, text: str) -> None:
    assert in_cell(value, limit) == text
