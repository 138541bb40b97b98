"""Annotations are contracts while tests run: wrong shapes, wrong types and wrong fields are refused."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from distractor.models.source import Source
from distractor.scoring import quantities
from distractor.statistics.intervals import exact_reach, sum_groups

pytestmark = pytest.mark.quick


def test_an_array_of_another_shape_or_type_is_refused() -> None:
    numbers = np.array([0, 0, 1])
    assert sum_groups(np.ones((2, 3)), numbers).shape == (2, 2)
    with pytest.raises(TypeCheckError, match="values"):
        sum_groups(np.ones((2, 4)), numbers)  # four items have three numbers
    with pytest.raises(TypeCheckError, match="numbers"):
        sum_groups(np.ones((2, 3)), numbers.astype(float))


def test_a_result_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quantities.preference(np.zeros((5, 2))).shape == (5,)
    monkeypatch.setattr(quantities, "logit_gap", lambda _: np.zeros(7))
    with pytest.raises(TypeCheckError):
        quantities.preference(np.zeros((5, 2)))


def test_without_arrays_another_type_is_refused_and_an_int_is_a_float() -> None:
    assert exact_reach(8) == exact_reach(8.0)
    with pytest.raises(TypeCheckError, match="n_groups"):
        exact_reach("8")  # type: ignore[arg-type]


def test_a_field_of_another_type_is_refused() -> None:
    assert Source("family", "model", Path("here")).model == "model"
    with pytest.raises(TypeCheckError, match="model"):
        Source("family", 5, Path("here"))  # type: ignore[arg-type]
