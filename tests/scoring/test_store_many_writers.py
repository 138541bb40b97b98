"""Many processes write one store at once, also on a network file system, without locks and without damage."""

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from distractor.errors import StoreError
from distractor.scoring.store import Cell, Key, Store

WRITERS, CELLS = 64, 8


def key(number: int) -> Key:
    return {"model": "m", "number": number}


def cell(number: int) -> Cell:
    return Cell(pa.table({"value": np.arange(50.0) + number}), {"n_params": number})


def start(action: Callable[[int], None], number: int) -> int:
    """Run `action` in a copy of this process; give its id."""
    child = os.fork()
    if not child:
        status = 1
        try:
            action(number)
            status = 0
        finally:
            os._exit(status)
    return child


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_64_writers_and_a_reader_see_whole_cells_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "cells")

    def write(writer: int) -> None:
        for turn in range(CELLS):
            number = (writer + turn) % CELLS
            found = store.get_or_compute(key(number), lambda: None, partial(cell, number))
            assert found.table.equals(cell(number).table)

    Store(tmp_path / "other").save(key(0), cell(0))  # imports what writing needs
    left, statuses = [start(write, number) for number in range(WRITERS)], []
    while left:
        for number in filter(lambda number: store.has(key(number)), range(CELLS)):
            assert store.get(key(number)).table.equals(cell(number).table)
        ended = [found for child in left if (found := os.waitpid(child, os.WNOHANG))[0]]
        statuses += [os.waitstatus_to_exitcode(status) for _, status in ended]
        left = [child for child in left if child not in {child for child, _ in ended}]
    assert statuses == [0] * WRITERS
    assert all(store.has(key(number)) for number in range(CELLS))
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert len(files) == CELLS
    assert all(path.suffix == ".parquet" for path in files)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EBUSY, errno.EIO, errno.ENOENT])
def test_a_rename_that_fails_for_a_moment_is_tried_again(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, left, replace = Store(tmp_path / "cells"), [3], Path.replace

    def fail(path: Path, target: Any) -> Path:
        if left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code), str(path))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    store.save(key(1), cell(1))
    assert store.get(key(1)).table.equals(cell(1).table)
    assert not [*store.folder.rglob("*.part")]
    left[0] = 9
    with pytest.raises(StoreError, match="cannot save results"):
        store.save(key(2), cell(2))
    assert not [*store.folder.rglob("*.part")]


def test_a_full_disk_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def fail(path: Path, content: bytes) -> int:
        calls.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(StoreError, match="No space left on device"):
        Store(tmp_path / "cells").save(key(1), cell(1))
    assert len(calls) == 1


def test_a_stale_listing_costs_a_computation_and_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine has written a cell that this one does not see yet, or has removed one that this one still sees."""
    store = Store(tmp_path / "cells")
    store.get_or_compute(key(1), lambda: None, lambda: cell(1))
    before = store.path(key(1)).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "has", lambda *_: False)
        assert store.get_or_compute(key(1), lambda: None, lambda: cell(1)).table.equals(cell(1).table)
    assert store.get(key(1)).table.equals(cell(1).table)
    assert store.path(key(1)).read_bytes() == before
    store.path(key(1)).unlink()
    monkeypatch.setattr(Store, "has", lambda *_: True)
    assert store.get_or_compute(key(1), lambda: None, lambda: cell(1)).table.equals(cell(1).table)


def test_a_folder_that_vanishes_while_a_cell_is_written_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`distractor cache` removes empty folders, perhaps between their making and the writing of a file."""
    store, removed, write = Store(tmp_path / "cells"), list[Path](), Path.write_bytes

    def late(path: Path, content: bytes) -> int:
        if not removed:
            removed.append(path.parent)
            path.parent.rmdir()
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", late)
    store.save(key(1), cell(1))
    assert removed
    assert store.get(key(1)).facts["n_params"] == 1
