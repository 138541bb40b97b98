"""Recognises the accuracies of a model that always gives the same answer, from means or from items without answers.

Such a model is right on one class only, so its accuracy is the share of that class. At two sizes it repeats exactly, or
mirrors itself (m and 1 - m) where the answer changes to the other of two classes. Its right items repeat, too.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.statistics.curve import Curve, Size
from distractor.statistics.shape_test import HARNESS_SHARES
from distractor.text.rows import names_text

QUANTITIES = ("accuracy", *HARNESS_SHARES)
"""Shares of right answers."""

EQUAL = 1e-6  # means that differ by less are the same number in another notation
CLASSES = (2, 3, 4, 5)  # numbers of classes whose balanced share is recognised
FEWEST_ITEMS = 10  # the right items of two models may agree by chance where there are fewer


def constant_notes(curve: Curve) -> Iterator[str]:
    """Yield a warning for the sizes whose accuracy may come from a constant answer; 0 and 1 are no such shares."""
    if curve.quantity not in QUANTITIES:
        return
    for seed, means in zip(curve.seeds, curve.means, strict=True):
        where = f", seed {seed}" if len(curve.seeds) > 1 else ""
        yield from _notes(curve.sizes, means, where)


def same_items_note(right: Float[ndarray, "model item"], names: Sequence[str]) -> Iterator[str]:
    """Yield a warning for models that are right on exactly the same items, or on exactly the others'."""
    n_items = right.shape[1]
    if n_items < FEWEST_ITEMS or not np.isin(right, (0, 1)).all():
        return
    patterns: dict[bytes, list[str]] = {}
    for name, row in zip(names, right, strict=True):
        if 0 < row.sum() < n_items:
            patterns.setdefault(min(row.tobytes(), (1 - row).tobytes()), []).append(name)
    for alike in patterns.values():
        if len(alike) > 1:
            yield (
                f"the models at {names_text(alike)} are right on the same items or on exactly the others, as models are "
                "that always give the same answer; check their answers"
            )


def _notes(sizes: Sequence[Size], means: Float[ndarray, " size"], where: str) -> Iterator[str]:
    """The warnings about one seed's means."""
    is_coarse = bool((np.abs(100 * means - np.round(100 * means)) < EQUAL).all())
    chance = ", or means with two digits agree by chance" * is_coarse
    inner = [index for index, mean in enumerate(means) if EQUAL < mean < 1 - EQUAL]
    noted: set[int] = set()
    for first in inner:
        alike = [
            index
            for index in inner
            if min(abs(means[index] - means[first]), abs(means[index] + means[first] - 1)) < EQUAL
        ]
        if first in noted or len(alike) < 2:
            continue
        noted |= set(alike)
        kinds = {f"{means[index]:.4g}" for index in alike}
        relation = "repeats exactly" if len(kinds) == 1 else "(m and 1 - m) repeat or mirror each other"
        subject = "accuracy" if len(kinds) == 1 else "accuracies"
        places = names_text(f"{sizes[index]:,.15g}" for index in alike)
        yield (
            f"the {subject} {' and '.join(sorted(kinds))} {relation} at {places}{where}: a model that always gives the same "
            f"answer scores so{chance}; check the answers before you believe the shape"
        )
    for index in inner if not is_coarse else ():  # a rounded mean is too often 0.5
        share = next((k for k in CLASSES if abs(means[index] - 1 / k) < EQUAL), None)
        if index not in noted and share:
            yield (
                f"the accuracy at {sizes[index]:,.15g}{where} is exactly 1/{share}, the share of one of {share} equally "
                "frequent answers: a model that always gives the same answer scores so; check the answers"
            )
