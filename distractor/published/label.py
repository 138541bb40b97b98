"""Our label of a published curve, judged at level 1 from its means and errors, and the caveats of its numbers."""

from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np

from distractor.published.curves import Published, published
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.shape_test import judge_means

CONSTANT = "constant answers"
"""The label of models that always give the same answer. Their curve is not flat: it says nothing about the task."""
FEWEST_POINTS = 5  # fewer accuracies may agree by chance
END = 0.05  # an accuracy so near 0 or 1 is that of a model that is always wrong or right
WITHIN = 1.5  # items; an accuracy may miss the share of one answer by one item


@cache
def label(curve: Published) -> str | None:
    """The shape at level 1 with δ = .05, or "constant answers"; None with fewer than three points or an unknown error."""
    if constant_share(curve):
        return CONSTANT
    points = curve.points
    if len(points) < MIN_SIZES or any(point.n is None and point.stderr is None for point in points):
        return None
    means, errors = (np.array([[getattr(point, name) for point in points]]) for name in ("accuracy", "error"))
    sizes = [point.size + (curve.axis == "rank") for point in points]  # ranks start at 0
    return judge_means(means, errors, sizes).weights[0].label


def constant_share(curve: Published) -> tuple[int, int] | None:
    """The number of right items that most accuracies are within one item of, and how many are; None if there is none.

    A model that always gives the same answer is right on the items with that answer, so its accuracy is their share: the
    most frequent number of right items in all curves of the reference on this task.
    """
    n = curve.n_items
    if n is None or len(curve.points) < FEWEST_POINTS:
        return None
    alike = [one for one in published() if (one.task, one.reference) == (curve.task, curve.reference)]
    right = Counter(round(point.accuracy * n) for one in alike for point in one.points)
    share = max(
        (count for count in right if END * n < count < (1 - END) * n), key=lambda count: right[count], default=0
    )
    near = sum(abs(point.accuracy * n - share) < WITHIN for point in curve.points)
    return (share, near) if share and near > len(curve.points) / 2 else None


def caveats(curve: Published) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    if share := constant_share(curve):
        right, count = share
        yield (
            f"{count} of {len(curve.points)} accuracies are within one item of {right} of {curve.n_items}, the share of one "
            f"answer: {CONSTANT}, not a flat curve"
        )
    if curve.file:
        yield f"over {curve.file}, not the file of the release"
    if curve.note:
        yield curve.note
