"""The store: what was put is what is got, whole or not at all, and damage never passes for a result."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from distractor.errors import StoreError
from distractor.files import write_bytes, write_table, write_text
from distractor.scoring.store import DAY, Cell, Key, Store

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


def is_same(found: Cell, put: Cell) -> bool:
    return found.table.equals(put.table) and dict(found.facts) == dict(put.facts)


def test_what_is_put_is_got(store: Store) -> None:
    assert not store.has(KEY)
    store.put(KEY, CELL)
    assert store.has(KEY)
    assert is_same(store.get(KEY), CELL)


def test_a_cell_is_any_parquet_readers_table(store: Store) -> None:
    import pandas as pd

    store.put(KEY, CELL)
    assert pd.read_parquet(store.path(KEY))["item"].tolist() == CELL.table["item"].to_pylist()


def test_the_same_content_gives_the_same_bytes_at_the_same_place(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "1"), Store(tmp_path / "2")
    one.put(KEY, CELL)
    two.put(dict(reversed(KEY.items())), Cell(CELL.table, dict(reversed(CELL.facts.items()))))
    assert files(one.folder) == files(two.folder)
    assert one.path(KEY).read_bytes() == two.path(KEY).read_bytes()


@pytest.mark.parametrize("name", KEY)
def test_every_part_of_the_key_makes_another_cell(store: Store, name: str) -> None:
    store.put(KEY, CELL)
    assert not store.has({**KEY, name: "other"})


def test_nothing_is_left_beside_what_was_written(store: Store, tmp_path: Path) -> None:
    store.make_ready()
    store.put(KEY, CELL)
    write_text(tmp_path / "out" / "a.txt", "a")
    write_table(tmp_path / "out" / "t.parquet", CELL.table)
    assert files(tmp_path) == sorted([store.path(KEY).name, "a.txt", "t.parquet"])


def test_a_cell_that_was_cut_off_is_refused_with_its_path(store: Store) -> None:
    store.put(KEY, CELL)
    path = store.path(KEY)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match="delete the file") as refused:
            store.get(KEY)
        assert str(path) in str(refused.value)


def test_a_flipped_byte_is_refused_or_does_no_harm(store: Store) -> None:
    store.put(KEY, CELL)
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


def test_another_cell_in_its_place_is_refused(store: Store) -> None:
    other = {**KEY, "dtype": "float64"}
    store.put(other, CELL)
    store.path(KEY).parent.mkdir(exist_ok=True)
    store.path(other).rename(store.path(KEY))
    with pytest.raises(StoreError, match="damaged or holds another cell"):
        store.get(KEY)


def test_a_table_that_is_no_cell_is_refused(store: Store) -> None:
    write_table(store.path(KEY), CELL.table)
    with pytest.raises(StoreError, match="cannot be read"):
        store.get(KEY)


def test_only_old_scraps_are_cleared(store: Store) -> None:
    store.put(KEY, CELL)
    here = store.path(KEY).parent
    old, young = here / "old.parquet.1.part", here / "young.parquet.2.part"
    for scrap in (old, young, store.folder / "trial.3.part"):
        scrap.write_bytes(b"half")
    for path in (old, store.folder / "trial.3.part", store.path(KEY)):
        os.utime(path, (time.time() - DAY - 60,) * 2)
    store.clear_scraps()
    assert files(store.folder) == sorted([young.name, store.path(KEY).name])


def test_there_is_nothing_to_clear_in_a_store_that_is_not_there(store: Store) -> None:
    store.clear_scraps()
    assert not store.folder.exists()


@pytest.mark.parametrize("blocked", ["cells", "cells/deeper/still"])
def test_a_place_that_cannot_be_written_is_refused_beforehand(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "cells").write_text("a file where a folder should be")
    store = Store(tmp_path / blocked)
    assert not store.has(KEY)
    for write in (store.make_ready, lambda: store.put(KEY, CELL)):
        with pytest.raises(StoreError, match="run from a folder that can be written"):
            write()
    assert files(tmp_path) == ["cells"]


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(StoreError, match=r"taken cannot be written .* --out"):
        write_bytes(tmp_path / "taken", b"content")
    assert files(tmp_path) == ["x"]


def test_many_writers_of_one_cell_do_no_harm(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(store.put, KEY, CELL) for _ in range(40)]:
            done.result()
    assert files(store.folder) == [store.path(KEY).name]
    assert is_same(store.get(KEY), CELL)
