"""A damaged cell never crashes, and never gives a wrong number: it is computed again."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distractor.errors import StoreError, TableError
from distractor.files import parquet_bytes, write_bytes
from distractor.progress import count_run
from distractor.runs.folder import RunFolder
from distractor.scoring.store import Cell, Key, Store
from distractor.text.rows import read_parquet as read_table

KEY: Key = {"model": "m", "probe": "ablation"}

FLIP_EACH = """
import sys
from pathlib import Path
from distractor.errors import StoreError, TableError
from distractor.files import parquet_bytes
from distractor.scoring.store import Store

store, key = Store(Path(sys.argv[1])), {"model": "m", "probe": "ablation"}
path = store.path(key)
whole, right = path.read_bytes(), store.get(key).table
for bit in map(int, sys.stdin):
    print(bit, end=" ", flush=True)  # so that the bit of a crash is known
    path.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
    try:
        table = store.get(key).table
    except StoreError:
        print("refused")
        continue
    parquet_bytes(table)
    table.to_pandas()
    print("right" if table.equals(right) else "WRONG")
"""


FLIP_TABLE = """
from pathlib import Path
from distractor.errors import TableError
from distractor.text.rows import read_parquet

path = Path("t.parquet")
whole = path.read_bytes()
for bit in BITS:
    path.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
    try:
        read_parquet(path)
    except TableError:
        print("refused")
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def labels(places: np.ndarray, names: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places.ravel()), pa.array(names))


def reading() -> Cell:
    """A table as a probe gives it: dims as columns of few values."""
    random_values = np.random.default_rng(0)
    heads = [f"L{layer}H{head}.z" for layer in range(2) for head in range(4)]
    items = [f"capital/{number}" for number in range(50)]
    condition, component, item = np.indices((2, len(heads), len(items)), dtype=np.int32)
    columns = {
        "condition": labels(condition, ["conflict", "congruent"]),
        "component": labels(component, heads),
        "item": labels(item, items),
        "value": random_values.normal(size=item.size),
    }
    return Cell(pa.table(columns), {"name": "ablation", "n_params": 732})


def flip(folder: Path, bits: list[int]) -> list[str]:
    """Flip each bit of the cell, alone, in another process; return what each gives."""
    given = "\n".join(map(str, bits))
    done = subprocess.run(
        [sys.executable, "-c", FLIP_EACH, str(folder)], input=given, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, f"exit status {done.returncode} after bit {done.stdout.split()[-1]}\n{done.stderr}"
    return [line.split()[1] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("bits", ["headers", "anywhere"])
def test_a_flipped_bit_never_crashes_and_never_changes_a_number(store: Store, tmp_path: Path, bits: str) -> None:
    store.save(KEY, reading())
    size = store.path(KEY).stat().st_size
    assert 6_000 < size < 16_000
    flipped = list(range(8 * 150, 8 * 350)) if bits == "headers" else random.Random(0).sample(range(8 * size), 1_000)
    given = flip(tmp_path, flipped)
    assert len(given) == len(flipped)
    assert "WRONG" not in given
    assert given.count("refused") > 0.5 * len(given)


def page_of_other_values(store: Store, cell: Cell) -> bytes:
    """A file whose pages are sound but hold the values of another cell."""
    header = {name: value for name, value in pq.read_schema(store.path(KEY)).metadata.items() if b"ARROW" not in name}
    other = cell.table.set_column(3, "value", [cell.table["value"].to_numpy() + 1e-9])
    return parquet_bytes(other.replace_schema_metadata(header))


@pytest.mark.quick
def test_values_that_are_not_those_saved_are_refused(store: Store) -> None:
    cell = reading()
    store.save(KEY, cell)
    store.path(KEY).write_bytes(page_of_other_values(store, cell))
    with pytest.raises(StoreError, match="values"):
        store.get(KEY)


@pytest.mark.quick
def test_a_cell_of_version_0_2_0_is_still_read(store: Store) -> None:
    cell = reading()
    schema = cell.table.schema.to_string()
    facts = json.dumps(cell.facts, sort_keys=True)
    sealed = "\n".join([json.dumps(KEY, sort_keys=True), facts, schema, str(cell.table.num_rows)])
    header = {"facts": facts, "seal": hashlib.sha256(sealed.encode()).hexdigest()}
    write_bytes(store.path(KEY), parquet_bytes(cell.table.replace_schema_metadata(header)))
    assert store.get(KEY).table.equals(cell.table)


@pytest.mark.quick
def test_a_damaged_cell_is_computed_again_with_a_remark(store: Store) -> None:
    cell = reading()
    store.save(KEY, cell)
    path = store.path(KEY)
    whole = path.read_bytes()
    path.write_bytes(whole[:312] + bytes([whole[312] ^ 0x80]) + whole[313:])
    with count_run() as counter:
        again = store.get_or_compute(KEY, lambda: None, lambda: cell)
    assert again.table.equals(cell.table)
    assert (counter.damaged, counter.cache_hits) == (1, 0)
    (sentence,) = counter.sentences
    assert "1 result in the cache was damaged" in sentence
    with count_run() as counter:
        store.get_or_compute(KEY, lambda: None, lambda: pytest.fail("computed although the cell is sound"))
    assert (counter.damaged, counter.cache_hits) == (0, 1)


def test_damaged_results_of_a_run_are_refused_or_the_same(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    columns = {
        "size": [10**7, 10**8, 10**9] * 20,
        "item": [f"i{k // 3}" for k in range(60)],
        "value": [k % 2 for k in range(60)],
    }
    folder.write_table("results", pa.table(columns))
    folder.write_summary({"results_sha256": folder.hash_of("results")})
    path = tmp_path / "results.parquet"
    whole, right = path.read_bytes(), read_table(path)
    assert right["size"].tolist() == columns["size"]
    for bit in random.Random(0).sample(range(8 * len(whole)), 300):
        path.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
        with pytest.raises(TableError):
            read_table(path)
    (tmp_path / "summary.json").write_text("{}", encoding="utf-8")  # of an earlier version
    path.write_bytes(whole)
    assert read_table(path).equals(right)


def test_damaged_tables_never_crash(tmp_path: Path) -> None:
    whole = parquet_bytes(reading().table)
    (tmp_path / "t.parquet").write_bytes(whole)
    code = FLIP_TABLE.replace("BITS", repr(random.Random(0).sample(range(8 * len(whole)), 300)))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused") > 100
