"""Cells are saved whole or not at all, and a damaged cell is refused."""

import os
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from distractor.errors import StoreError
from distractor.files import parquet_bytes, write_bytes, write_text
from distractor.progress import count_run, record_forward_pass
from distractor.scoring.settings import Settings
from distractor.scoring.store import DAY, Cell, Key, Store

pytestmark = pytest.mark.quick

KEY: Key = {"model": "m", "condition": "conflict", "dtype": "float32"}
CELL = Cell(
    pa.table({"item": [f"fact{n}" for n in range(40)], "log_prob_true": np.linspace(-9, 0, 40)}),
    {"n_params": 732, "bos": True, "dropped": 0},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cells")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def is_same(found: Cell, saved: Cell) -> bool:
    return found.table.equals(saved.table) and dict(found.facts) == dict(saved.facts)


def test_a_saved_cell_is_read_back(store: Store) -> None:
    assert not store.has(KEY)
    store.save(KEY, CELL)
    assert store.has(KEY)
    assert is_same(store.get(KEY), CELL)


def test_pandas_reads_a_cell(store: Store) -> None:
    import pandas as pd

    store.save(KEY, CELL)
    assert pd.read_parquet(store.path(KEY))["item"].tolist() == CELL.table["item"].to_pylist()


def test_equal_cells_have_the_same_path_and_bytes(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "1"), Store(tmp_path / "2")
    one.save(KEY, CELL)
    two.save(dict(reversed(KEY.items())), Cell(CELL.table, dict(reversed(CELL.facts.items()))))
    assert files(one.folder) == files(two.folder)
    assert one.path(KEY).read_bytes() == two.path(KEY).read_bytes()


def test_a_missing_cell_is_computed_and_then_read(store: Store) -> None:
    calls: list[str] = []

    def compute() -> Cell:
        calls.append("compute")
        record_forward_pass(5)
        return CELL

    def load() -> None:
        calls.append("load")
        record_forward_pass(3)

    with count_run() as counter:
        first, second = (store.get_or_compute(KEY, load, compute) for _ in range(2))
    assert calls == ["load", "compute"]
    assert is_same(first, CELL)
    assert is_same(second, first)
    assert (counter.forward_passes, counter.cache_hits) == (2, 0)
    with count_run() as counter:
        store.get_or_compute(KEY, load, compute)
    assert (counter.forward_passes, counter.cache_hits) == (0, 1)


@pytest.mark.parametrize("name", KEY)
def test_every_part_of_the_key_changes_the_cell(store: Store, name: str) -> None:
    store.save(KEY, CELL)
    assert not store.has({**KEY, name: "other"})


def test_no_temporary_files_remain(store: Store, tmp_path: Path) -> None:
    store.check_writable()
    store.save(KEY, CELL)
    write_text(tmp_path / "out" / "a.txt", "a")
    assert files(tmp_path) == sorted([store.path(KEY).name, "a.txt"])


def test_a_truncated_cell_is_refused_with_its_path(store: Store) -> None:
    store.save(KEY, CELL)
    path = store.path(KEY)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match="delete") as refused:
            store.get(KEY)
        assert str(path) in str(refused.value)


def test_a_changed_byte_is_refused_or_harmless(store: Store) -> None:
    store.save(KEY, CELL)
    path = store.path(KEY)
    whole = path.read_bytes()
    refused = 0
    for place in random.Random(0).sample(range(len(whole)), 300):
        broken = bytearray(whole)
        broken[place] ^= 0x15
        path.write_bytes(broken)
        try:
            assert is_same(store.get(KEY), CELL), f"byte {place} of {len(whole)}"
        except StoreError:
            refused += 1
    assert refused > 100


def test_a_cell_under_the_path_of_another_key_is_refused(store: Store) -> None:
    other = {**KEY, "dtype": "float64"}
    store.save(other, CELL)
    store.path(KEY).parent.mkdir(exist_ok=True)
    store.path(other).rename(store.path(KEY))
    with pytest.raises(StoreError, match="another cell"):
        store.get(KEY)


def test_a_table_without_a_key_is_refused(store: Store) -> None:
    write_bytes(store.path(KEY), parquet_bytes(CELL.table))
    with pytest.raises(StoreError, match="delete"):
        store.get(KEY)


def test_only_old_unfinished_files_are_deleted(store: Store) -> None:
    store.save(KEY, CELL)
    here = store.path(KEY).parent
    old, young, trial = (here / f"{name}.0123abcd.part" for name in ("old.parquet", "young.parquet", "../trial"))
    others = here / "others.part"
    for path in (old, young, trial, others):
        path.write_bytes(b"half")
    for path in (old, trial, others, store.path(KEY)):
        os.utime(path, (time.time() - DAY - 60,) * 2)
    store.delete_stale_files()
    assert files(store.folder) == sorted([young.name, others.name, store.path(KEY).name])


def test_deleting_stale_files_needs_no_folder(store: Store) -> None:
    store.delete_stale_files()
    assert not store.folder.exists()


@pytest.mark.parametrize("blocked", ["cells", "cells/deeper/still"])
def test_an_unwritable_folder_is_refused_with_its_path(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "cells").write_text("a file where a folder should be", encoding="utf-8")
    store = Store(tmp_path / blocked)
    assert not store.has(KEY)
    for write in (store.check_writable, lambda: store.save(KEY, CELL)):
        with pytest.raises(StoreError, match=re.escape(str(store.folder))):
            write()
    assert files(tmp_path) == ["cells"]


def test_a_file_that_cannot_be_written_is_named_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(StoreError, match=r"taken\b.*--out"):
        write_bytes(tmp_path / "taken", b"content")
    assert files(tmp_path) == ["x"]


def test_threads_can_save_the_same_cell_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(store.save, KEY, CELL) for _ in range(40)]:
            done.result()
    assert files(store.folder) == [store.path(KEY).name]
    assert is_same(store.get(KEY), CELL)


def test_only_settings_that_change_numbers_are_part_of_a_key() -> None:
    plain = {"device": "cpu", "dtype": "float32"}
    assert Settings(device="cpu").identity() == plain
    assert Settings(device="cpu", batch_size=3, threads=1).identity() == plain
    changed = {"bos": False, "self_check": False, "device_map": "auto", "trust_remote_code": True}
    assert Settings(device="cpu", **changed).identity() == plain | changed  # type: ignore[arg-type]
