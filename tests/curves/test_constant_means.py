"""The accuracies of a model that always gives the same answer are recognised, with and without items; others are not."""

from typing import Any

import numpy as np
import pytest

from distractor.curves.curve_file import curve_of
from distractor.curves.request import CurveRequest

pytestmark = pytest.mark.quick


def notes_of(means: list[float], **more: Any) -> str:
    rows = [{"size": f"{k + 1}M", "accuracy": mean, "n": 104, **more} for k, mean in enumerate(means)]
    return " | ".join(curve_of(rows, CurveRequest()).notes)


def test_a_class_share_and_its_mirror_are_recognised() -> None:
    notes = notes_of([0.365, 0.365, 0.635, 0.365, 0.365])
    assert all(
        fact in notes
        for fact in ("0.365 and 0.635", "mirror each other", "1,000,000, 2,000,000, 3,000,000, 4,000,000, 5,000,000")
    )
    assert notes_of([0.36538461538461536, 0.6346153846153846, 0.5])


@pytest.mark.parametrize(
    ("means", "fact"),
    [
        ([0.412, 0.583, 0.412], "0.412 repeats exactly at 1,000,000, 3,000,000:"),
        ([0.41, 0.59, 0.77], "0.41 and 0.59 (m and 1 - m) repeat or mirror each other at 1,000,000, 2,000,000:"),
        ([0.5, 0.521, 0.77], "at 1,000,000 is exactly 1/2"),
        ([0.413, 0.25, 0.77], "at 2,000,000 is exactly 1/4"),
    ],
)
def test_a_repeated_mirrored_or_balanced_share_gets_one_warning(means: list[float], fact: str) -> None:
    notes = notes_of(means)
    assert fact in notes
    assert notes.count("always gives the same answer") == 1


def test_chance_is_named_where_means_are_rounded() -> None:
    assert "two digits agree by chance" in notes_of([0.3, 0.1, 0.3])
    assert "chance" not in notes_of([0.365, 0.1, 0.365])


def test_ordinary_accuracies_get_no_warning() -> None:
    assert notes_of([0.48, 0.31, 0.44, 0.71, 0.9]) == ""
    assert notes_of([0.3, 0.4, 0.5]) == ""  # rounded
    assert notes_of([0.0, 0.1, 1.0, 1.0]) == ""  # 0 and 1 are floor and ceiling


def test_only_shares_of_right_answers_are_recognised() -> None:
    rows = [{"size": f"{k}M", "coverage": 0.4, "n": 50} for k in (1, 2, 3)]
    assert curve_of(rows, CurveRequest("coverage")).notes == ()


def test_each_seed_has_its_own_warning() -> None:
    rows = [
        {"size": f"{k}M", "seed": seed, "accuracy": 0.365 if seed == 4 else 0.11 * k, "n": 50}
        for seed in (3, 4)
        for k in (1, 2, 3)
    ]
    notes = curve_of(rows, CurveRequest()).notes
    assert len(notes) == 1
    assert ", seed 4" in notes[0]


def items_of(right: np.ndarray) -> tuple[str, ...]:
    rows = [
        {"size": f"{k + 1}M", "item": item, "value": int(value)}
        for k, of_model in enumerate(right)
        for item, value in enumerate(of_model)
    ]
    return curve_of(rows, CurveRequest()).notes


def test_models_that_are_right_on_the_same_items_or_the_others_are_recognised() -> None:
    labels = np.random.default_rng(0).integers(0, 2, 40)
    answers = np.random.default_rng(1).integers(0, 2, 40)
    notes = items_of(np.stack([labels == 0, labels == answers, labels == 1]))
    assert len(notes) == 1
    assert "at 1,000,000, 3,000,000 are right on the same items or on exactly the others" in notes[0]


def test_models_with_the_same_accuracy_on_different_items_get_no_warning() -> None:
    rng = np.random.default_rng(0)
    one = np.repeat([0, 1], 20)
    assert items_of(np.stack([rng.permutation(one), rng.permutation(one), rng.permutation(one)])) == ()
    assert items_of(np.ones((3, 40))) == ()
