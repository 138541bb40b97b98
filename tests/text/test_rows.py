"""Rows of every format are the same; damaged files are refused with the file, the line or row, and the reason."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distractor.errors import TableError
from distractor.text.rows import names_text, parse_rows, read_parquet, read_rows, value_text

pytestmark = pytest.mark.quick

ROWS: list[dict[str, Any]] = [{"item": "a", "value": "0.5"}, {"item": "b", "value": None}]


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif path.suffix in (".csv", ".tsv"):
        path.write_text("item,value\na,0.5\nb,\n".replace(",", "\t" if path.suffix == ".tsv" else ","))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".json", ".jsonl", ".txt"])
def test_every_format_gives_the_same_rows(suffix: str, tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path / f"t{suffix}"))
    assert [row.cells for row in rows] == ROWS
    first = {".csv": "line 2", ".tsv": "line 2", ".parquet": "row 1", ".json": "row 1"}.get(suffix, "line 1")
    assert rows[0].place == f"{tmp_path}/t{suffix}, {first}"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".json", ".jsonl"])
def test_a_packed_file_gives_the_same_rows(suffix: str, tmp_path: Path) -> None:
    plain = write(tmp_path / f"t{suffix}")
    packed = tmp_path / f"t{suffix}.GZ"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [row.cells for row in read_rows(packed)] == ROWS


def test_a_damaged_or_huge_packed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gzip.compress(b"item,value\na,1\n")
    path = tmp_path / "t.csv.gz"
    for content in (b"item,value\na,1\n", whole[:-9], whole[:20], whole[:12] + b"xxxx" + whole[16:]):
        path.write_bytes(content)
        with pytest.raises(TableError, match=r"t\.csv\.gz is not a gzip file, or it is damaged"):
            read_rows(path)
    monkeypatch.setattr("distractor.text.rows.UNPACKED", 1000)
    path.write_bytes(gzip.compress(b"item,value\n" + b"a,1\n" * 1000))
    with pytest.raises(TableError, match="holds more than 1,000 bytes; unpack it"):
        read_rows(path)
    with pytest.raises(TableError, match=r"(more than|bytes; files of at most) 20"):
        read_rows(path, largest=20)


def test_cells_of_a_csv_keep_their_text() -> None:
    (row,) = parse_rows(Path("t.csv"), b'a,b,c,d,e\n007,NA, x ,"1,5",nan\n')
    assert list(row.cells.values()) == ["007", "NA", " x ", "1,5", "nan"]


def test_lines_are_counted_through_cells_of_several_lines_and_blank_lines() -> None:
    rows = parse_rows(Path("t.csv"), b'\n\nprompt,n\n"one\n""two""\r\nthree",1\n\nfour,2\nfive,3\n')
    assert [row.cells["prompt"] for row in rows] == ['one\n"two"\r\nthree', "four", "five"]
    assert [row.line for row in rows] == [4, 8, 9]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark_change_nothing(end: str, mark: bytes) -> None:
    for name, text in (("t.csv", "item,value\na,0.5\nb,\n"), ("t.jsonl", '{"item": "a"}\n\n{"item": "b"}')):
        rows = parse_rows(Path(name), mark + text.replace("\n", end).encode())
        assert [row.cells["item"] for row in rows] == ["a", "b"]


def test_a_line_of_json_lines_may_hold_other_separators() -> None:
    text = json.dumps({"a": "x\u2028y\x85z"}, ensure_ascii=False)
    assert [row.cells for row in parse_rows(Path("t.jsonl"), text.encode())] == [{"a": "x\u2028y\x85z"}]


def test_whole_numbers_of_a_parquet_file_stay_whole_next_to_empty_cells(tmp_path: Path) -> None:
    pq.write_table(pa.table({"seed": [2**63 - 1, None]}), tmp_path / "t.parquet")
    assert read_parquet(tmp_path / "t.parquet")["seed"].tolist() == [2**63 - 1, None]


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv, line 3: 1 cells, .* 2 columns"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv, line 2: 3 cells, .* 2 columns"),
        ("a.csv", b'a,b\n1,"2\n3,4\n', "a.csv, line 3 .*quotation mark"),
        ("a.csv", b"a,b,a\n1,2,3\n", "two columns 'a'"),
        ("a.csv", b"a;b\n1;2\n", "a.csv: the columns are divided by ';'; divide them by ','"),
        ("a.tsv", b"a|b\n1|2\n", "a.tsv: the columns are divided by '|'"),
        ("a.json", b'{\n"a": [1, 2]\n}', "a.json holds one object; expected a list of objects"),
        ("a.json", b'[{"a": 1}, 2]', "a.json .*list of objects"),
        ("a.json", b"[", "a.json: not JSON"),
        ("a.json", b'[{"a": 0, "a": 1}]', "'a' appears twice"),
        ("a.json", b'[{"a": ' + b"9" * 5000 + b"}]", "a.json: not JSON .*limit"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl, line 2: not JSON .*character 7"),
        ("a.jsonl", b"[" * 100_000, "line 1: not JSON .*recursion"),
        ("a.jsonl", b'\n"x"\n', "line 2: .*object"),
        ("a.jsonl", b'{"a": "\\ud800"}', "line 1: half a character"),
        ("a.jsonl", b'{"a": "x\0"}', "line 1: a NUL byte"),
        ("a.csv", b"a\n\xe9\n", r"a.csv, line 2: not UTF-8 \(byte 0xe9\)"),
        ("a.csv", "a\n1\n".encode("utf-16"), "line 1: .*UTF-16"),
        ("a.parquet", b"x", "a.parquet is not a Parquet file"),
    ],
)
def test_damaged_files_are_refused_with_the_place(name: str, content: bytes, facts: str) -> None:
    with pytest.raises(TableError, match=facts):
        parse_rows(Path(name), content)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none.csv", "there is no file .*none.csv"),
        (tmp_path, "is a folder; name a file in it"),
    ):
        with pytest.raises(TableError, match=message):
            read_rows(path)
    with pytest.raises(TableError, match="too long"):
        read_rows(tmp_path / f"{'a' * 5000}.csv")
    with pytest.raises(TableError, match=r"has 20 bytes; .* 9 bytes"):
        read_rows(write(tmp_path / "t.csv"), largest=9)


def test_an_empty_cell_of_a_parquet_file_is_none_and_nan_stays_nan(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"value": pa.array([0.5, None, float("nan")]), "n": pa.array([1, None, 3])}), path)
    frame = read_parquet(path)
    assert list(frame["value"])[:2] == [0.5, None]
    assert list(frame["value"])[2] != list(frame["value"])[2]
    assert list(frame["n"]) == [1, None, 3]


def test_the_index_of_a_pandas_table_is_read_as_columns(tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"size": ["1M", "2M"], "item": ["a", "a"], "value": [0, 1]})
    frame.set_index(["size", "item"]).to_parquet(path)
    assert read_parquet(path)[["size", "item", "value"]].to_dict("list") == frame.to_dict("list")
    assert list(read_parquet(path).index) == [0, 1]


def test_an_empty_file_has_no_rows() -> None:
    for name in ("a.csv", "a.jsonl"):
        assert parse_rows(Path(name), b"\n") == []


def test_names_and_values_in_messages_are_short() -> None:
    assert names_text(range(15)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"
    assert len(value_text("x" * 1000)) <= 61
    assert value_text("") == value_text(None) == "nothing"
