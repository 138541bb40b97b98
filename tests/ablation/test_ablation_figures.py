"""The figures of `distractor ablate` can be read for any number of models and any range of sizes."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from distractor.ablation import figures as plot
from distractor.ablation.ablate import AblationResult
from shown import check_texts
from simulated_runs import hand_made

LARGEST = [(1, 70e6), (2, 100e6), (2, 12e9), (3, 990e6), (3, 70e12), (11, 100e6), (11, 12e9), (11, 70e12), (154, 12e9)]


@pytest.mark.parametrize("draw", [plot.curves, plot.conditions, plot.distractor_alone])
@pytest.mark.parametrize(("count", "largest"), LARGEST)
def test_no_text_is_cut_or_overlaps(
    count: int, largest: float, draw: Callable[[AblationResult], Figure | None]
) -> None:
    sizes = [round(size) for size in np.geomspace(70e6, largest, count)]
    if figure := draw(hand_made([[-1.0, 0.5]] * count, sizes)):
        check_texts(figure)
