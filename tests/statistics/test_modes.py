"""Seeds in two modes are counted, with the level of each; noise around one half is no mode."""

import numpy as np
import pytest

from distractor.statistics.modes import modes

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("preference", "above", "levels", "are_two"),
    [
        ([0.9, 0.8, 0.2], 2, (0.85, 0.2), True),
        ([0.9, 0.8, 0.7], 3, (0.8, None), False),
        ([0.1, 0.2, 0.3], 0, (None, 0.2), False),
        ([0.53, 0.51, 0.2], 2, (0.52, 0.2), False),
        ([0.9, 0.49, 0.47], 1, (0.9, 0.48), False),
        ([0.5, 0.5, 0.5], 0, (None, 0.5), False),
        ([0.5 + 1e-9, 0.5 - 1e-9, 0.5 + 1e-4], 0, (None, 0.5), False),
    ],
)
def test_each_mode_has_its_share_and_its_level(
    preference: list[float], above: int, levels: tuple[float | None, float | None], are_two: bool
) -> None:
    found = modes(np.array(preference))
    assert (found.seeds, found.above, found.are_two) == (3, above, are_two)
    for level, expected in zip((found.level_above, found.level_below), levels, strict=True):
        assert level == (None if expected is None else pytest.approx(expected, abs=1e-4))
    plain = found.as_dict()
    assert (plain["share_above"], plain["two_modes"], plain["seeds"]) == (pytest.approx(above / 3), are_two, 3)
