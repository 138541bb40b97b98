"""Remembered results: the same as computed ones, found by their arguments, and read without running foreign code."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from distractor.statistics.intervals import mean_intervals
from distractor.statistics.remember import remembered, remembering
from distractor.statistics.shape_test import judge

pytestmark = pytest.mark.quick

CALLS: list[Any] = []


@remembered
def total(values: ndarray, *, scale: float = 1.0) -> float:
    CALLS.append((values, scale))
    return float(values.sum() * scale)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def test_a_result_is_computed_once_for_the_same_arguments(tmp_path: Path) -> None:
    file = tmp_path / "statistics" / "run.pickle"
    for _ in range(2):
        with remembering(file):
            assert [total(np.arange(3.0)), total(np.arange(3.0)), total(np.arange(3.0), scale=2.0)] == [3, 3, 6]
            assert total(np.arange(4.0)) == 6
    assert len(CALLS) == 3
    assert total(np.arange(3.0)) == 3
    assert len(CALLS) == 4, "nothing is remembered outside of the block"


def test_another_version_of_the_code_computes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (b"one", b"two"):
        monkeypatch.setattr("distractor.statistics.remember._code", lambda code=code: code)
        with remembering(tmp_path / "run.pickle"):
            total(np.arange(3.0))
    assert len(CALLS) == 2


def test_shapes_and_intervals_come_back_as_they_were(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 5, 12))
    groups = [str(k % 4) for k in range(12)]
    results = []
    for _ in range(2):
        with remembering(tmp_path / "run.pickle"):
            results.append((judge(values, [1.0, 2.0, 3.0, 4.0, 5.0]).as_dict(), mean_intervals(values, groups)))
    (shape, ends), (shape_again, ends_again) = results
    assert shape == shape_again == judge(values, [1.0, 2.0, 3.0, 4.0, 5.0]).as_dict()
    assert np.array_equal(ends, ends_again)


class Code:
    def __reduce__(self) -> Any:
        return CALLS.append, ("foreign code",)


@pytest.mark.parametrize("results", [{"key": Code()}, ["no results"], {"key": print}])
def test_a_file_with_anything_but_results_is_ignored(tmp_path: Path, results: Any) -> None:
    file, content = tmp_path / "run.pickle", pickle.dumps(results)
    file.write_bytes(hashlib.sha256(content).digest() + content)
    with remembering(file):
        assert total(np.arange(3.0)) == 3
    assert len(CALLS) == 1
    with remembering(file):
        assert total(np.arange(3.0)) == 3
    assert len(CALLS) == 1, "the file was not replaced"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with remembering(tmp_path / "file" / "run.pickle"):
        assert total(np.arange(3.0)) == 3
