"""Rows as a file holds them, whether a table or JSON lines: each with the place where it stands."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from distractor.errors import ScalingError
from distractor.statistics.curve import Size

SIZE = re.compile(
    r"(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?P<unit>[kKmMbBtT]?)(?:/seed(?P<seed>\d{1,18}))?", re.ASCII
)
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
LARGEST = 1e40
"""Beyond any model, budget or score: a slip, whose fourth power, which the judgement needs, comes near infinity."""

EXACT = 2**53
"""Up to here a float holds every whole number."""


class Row(NamedTuple):
    """Where a row stands, for whoever has to look it up (`results.csv, row 5`), and what its columns hold."""

    place: str
    cells: Mapping[str, Any]


@lru_cache  # a table has many rows, and few sizes
def parse_size(text: str) -> tuple[Size, int | None] | None:
    """(size, seed) of "70000000", "7e7", "70M" or "70M/seed1", seed None where it is not said; None where it is no size.

    >>> parse_size("1.5B/seed2")
    (1500000000, 2)
    """
    match = SIZE.fullmatch(text.strip())
    if match is None:
        return None
    size = float(match["number"]) * UNITS[match["unit"].lower()]
    if size and not 1 / LARGEST < size < LARGEST:
        return None
    seed = None if match["seed"] is None else int(match["seed"])
    return (round(size) if 1 <= size <= EXACT and abs(size - round(size)) < 1e-6 else size), seed


def listed(names: Iterable[Any]) -> str:
    """Names in one line, the first dozen of them."""
    shown = list(names)
    return ", ".join(map(str, shown[:12])) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def content(path: Path) -> bytes:
    """What a file holds. Raises ScalingError where there is none, or it may not be read."""
    try:
        if not path.is_file():
            raise ScalingError(f"there is no file {path}")
        return path.read_bytes()
    except OSError as error:
        raise ScalingError(f"{path} cannot be read: {error.strerror}") from error


def read_table(path: Path, quantity: str | None = None) -> list[Row]:
    """The rows of a .csv, .tsv, .parquet, .json or .jsonl; of a .parquet only those of `quantity`, if it has any.

    Raises:
        ScalingError: there is no such file, or it is no such table; rows or columns are doubled or cut short.

    """
    data, kind = content(path), path.suffix.lower()
    if kind == ".jsonl":
        return read_lines(path)
    if kind == ".parquet":
        return _parquet(path, data, quantity)
    if kind in (".csv", ".tsv"):
        return _csv(path, _text(path, data), "\t" if kind == ".tsv" else ",")
    if kind == ".json":
        told = _json(_text(path, data), str(path))
        if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
            raise ScalingError(f"{path} should hold a list of rows, each an object with column names")
        return _numbered(path, told)
    raise ScalingError(f"{path} is no table that can be read: .csv, .tsv, .parquet, .json or .jsonl is wanted")


def read_lines(path: Path) -> list[Row]:
    """The rows of a .jsonl, one object a line; empty lines are passed over. Raises ScalingError as `read_table`."""
    rows = []
    # Not splitlines: texts may hold characters that it takes for the end of a line.
    for number, line in enumerate(_text(path, content(path)).replace("\r", "\n").split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        cells = _json(line, place)
        if not isinstance(cells, dict):
            raise ScalingError(f"{place}: each line should be an object with column names")
        rows.append(Row(place, cells))
    return rows


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line, byte = error.object[: error.start].count(b"\n") + 1, error.object[error.start]
        raise ScalingError(f"{path}, line {line}: no UTF-8 (byte 0x{byte:02x}); save the file as UTF-8") from error


def _json(text: str, place: str) -> Any:
    try:
        told = json.loads(text, object_pairs_hook=_each_once)
        if "\\ud" in text.lower():
            json.dumps(told, ensure_ascii=False).encode()  # half a character could be neither printed nor drawn
    except (ValueError, RecursionError) as error:
        raise ScalingError(f"{place}: no JSON that can be read ({error})") from error
    return told


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{_doubled(name for name, _ in pairs)!r} stands twice")
    return found


def _csv(path: Path, text: str, delimiter: str) -> list[Row]:
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if line]
    except csv.Error as error:
        raise ScalingError(f"{path} cannot be read as a table: {error}") from error
    if not lines:
        return []
    header, *lines = lines
    _refuse_doubled(path, filter(None, header))
    for number, line in enumerate(lines, 1):
        if len(line) != len(header):
            which = "more" if len(line) > len(header) else "fewer"
            raise ScalingError(f"{path}, row {number}: {which} values than the header has columns")
    return _numbered(path, [{k: v or None for k, v in zip(header, line, strict=True)} for line in lines])


def _parquet(path: Path, data: bytes, quantity: str | None) -> list[Row]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _refuse_doubled(path, file.schema_arrow.names)
        table = file.read()
        places: Sequence[int] = range(len(table))
        if quantity and "quantity" in table.column_names:
            chosen = pc.indices_nonzero(pc.equal(table["quantity"].cast(pa.string()), quantity))
            if len(chosen):  # else all, so that what there is can be told
                table, places = table.take(chosen), chosen.to_pylist()
        return [Row(f"{path}, row {at + 1}", cells) for at, cells in zip(places, table.to_pylist(), strict=True)]
    except ScalingError:
        raise
    except Exception as error:  # pyarrow's errors have no common ground
        raise ScalingError(f"{path} cannot be read as a table: {error}") from error


def _numbered(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [Row(f"{path}, row {number}", cells) for number, cells in enumerate(rows, 1)]


def _refuse_doubled(path: Path, columns: Iterable[str]) -> None:
    if doubled := _doubled(columns):
        raise ScalingError(f"{path} has two columns {doubled}; leave one out, or rename it")


def _doubled(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
