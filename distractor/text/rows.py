"""Reads the rows of a table (.csv, .tsv, .parquet, .json) or of JSON Lines; errors name the file and the row or line.

Every file may be packed with gzip (.csv.gz).
"""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from distractor import files
from distractor.errors import TableError
from distractor.names import printable

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame

SHOWN = 60  # most characters of a value in a message
UNPACKED = 2**28  # most bytes that a .gz file may hold, since a few packed bytes can hold any number


class TableRow(NamedTuple):
    """One row: cells by column, its line in the file (or its number, from 1), and its place in messages: `results.csv,
    line 5`.
    """

    cells: Mapping[str, Any]
    line: int
    place: str


def read_rows(path: Path, *, largest: int | None = None) -> list[TableRow]:
    """Read all rows of a file. The suffix decides the format; a file without a known suffix is read as JSON Lines.

    Cells of .csv and .tsv are strings; empty ones are None. Blank lines are skipped.

    Raises:
        TableError: the file cannot be read, has more than `largest` bytes, or is damaged.
    """
    return list(iterate_rows(path, largest=largest))


def iterate_rows(path: Path, *, largest: int | None = None) -> Iterator[TableRow]:
    """The rows of a file one after the other, as `read_rows` reads them: a million rows are not in memory at once."""
    return _iterate(path, read_bytes(path, largest=largest))


def parse_rows(path: Path, content: bytes) -> list[TableRow]:
    """Parse the content of a file as `read_rows` does; `path` decides the format and is named in messages."""
    return list(_iterate(path, content))


def _iterate(path: Path, content: bytes) -> Iterator[TableRow]:
    kind, path = kind_of(path), Path(printable(str(path)))
    if kind == ".parquet":
        return _numbered(path, _parse_parquet(path, content).to_pylist())
    text = _decode(path, content)
    if kind in (".csv", ".tsv"):
        return _parse_csv(path, text, "\t" if kind == ".tsv" else ",")
    if kind == ".json" and text.lstrip().startswith("["):
        rows = parse_json(text, str(path))
        if not all(isinstance(row, dict) for row in rows):
            raise TableError(f"{path} must hold a list of objects, each with the column names as keys")
        return _numbered(path, rows)
    if kind == ".json" and text.lstrip().startswith("{") and "\n" in text.strip() and _is_json(text):
        raise TableError(
            f"{path} holds one object; expected a list of objects, each a row, or one row a line in .jsonl"
        )
    return _parse_json_lines(path, text)


def read_parquet(path: Path) -> "DataFrame":
    """Read a .parquet file; empty cells are None, and whole numbers next to them stay whole. Raises TableError like
    `read_rows`.
    """
    content = read_bytes(path)
    _refuse_changed(path, content)
    table = _parse_parquet(path, content)
    frame = table.to_pandas(integer_object_nulls=True, ignore_metadata=True)  # an index of pandas is a column
    for name in table.column_names:
        if table.column(name).null_count:  # pandas writes NaN in its place
            frame[name] = frame[name].astype(object).mask(table.column(name).is_null().to_pandas(), None)
    return frame


def _refuse_changed(path: Path, content: bytes) -> None:
    """Compare the results of a run with their hash in its summary: a Parquet file has no checksum of its column names."""
    summary = path.with_name("summary.json")
    if path.name != "results.parquet" or not summary.is_file():
        return
    try:
        expected = json.loads(summary.read_text(encoding="utf-8"))["results_sha256"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # of another version, or of another program
        return
    if expected != hashlib.sha256(content).hexdigest():
        raise TableError(
            f"{path} is not what its run wrote: it is damaged or was edited; run the command again, or move an edited file "
            "to another folder"
        )


def kind_of(path: Path) -> str:
    """The suffix that decides the format of a file, without `.gz`."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


def read_bytes(path: Path, *, largest: int | None = None) -> bytes:
    """Read a whole file, unpacked. Raises TableError if it cannot be read or has more than `largest` bytes."""
    try:
        if not path.is_file():
            if path.is_dir():
                raise TableError(f"{path} is a folder; name a file in it")
            if path.exists():
                raise TableError(f"{path} is no regular file; copy its content into one")
            raise TableError(f"there is no file {path}")
        if largest is not None and (size := path.stat().st_size) > largest:
            raise TableError(f"{path} has {size:,} bytes; files of at most {largest:,} bytes are read")
        return _unpack(path, largest or UNPACKED) if path.suffix.lower() == ".gz" else path.read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}); check its name and permissions") from error


def _unpack(path: Path, largest: int) -> bytes:
    try:
        with gzip.open(path) as file:
            content = file.read(largest + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(f"{path} is not a gzip file, or it is damaged ({error}); pack it again") from error
    if len(content) > largest:
        raise TableError(f"{path} holds more than {largest:,} bytes; unpack it, and keep the rows that are needed")
    return content


def names_text(names: Iterable[Any]) -> str:
    """Join names for a message, at most twelve of them."""
    shown = list(map(str, names))
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def value_text(value: object) -> str:
    """Format a value for a message: quoted, shortened, `nothing` for an empty cell."""
    if value is None or value == "":
        return "nothing"
    text = repr(value[: 4 * SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _decode(path: Path, content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError(f"{path}, line 1: the file is UTF-16; save it as UTF-8")
    if (position := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, position) + 1
        raise TableError(f"{path}, line {line}: a NUL byte; the file must be text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise TableError(f"{path}, line {line}: not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8") from error


def _parse_parquet(path: Path, content: bytes) -> "pa.Table":
    try:
        table = files.read_parquet(content)
    except Exception as error:  # pyarrow's errors have no common class
        raise TableError(f"{path} is not a Parquet file, or it is damaged ({error})") from error
    _refuse_repeated(path, table.column_names)
    return table


def _parse_csv(path: Path, text: str, delimiter: str) -> Iterator[TableRow]:
    body = text.lstrip("\r\n")
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
    lines = text[: len(text) - len(body)].count("\n")
    header: list[str] = []
    try:
        for start, cells in _with_lines(reader):
            place = f"{path}, line {lines + start}"
            if not header:
                header = cells
                _check_header(path, header, delimiter)
            elif cells and len(cells) != len(header):
                raise TableError(f"{place}: {len(cells)} cells, but the header has {len(header)} columns")
            elif cells:
                named = {name: cell or None for name, cell in zip(header, cells, strict=True)}
                yield TableRow(named, lines + start, place)
    except csv.Error as error:
        raise TableError(
            f"{path}, line {lines + reader.line_num} is not a row of a table: {error}; look for a missing or extra "
            "quotation mark"
        ) from error


def _with_lines(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each row of a `csv.reader`, after the number of its first line; a quoted cell may span several lines."""
    start = 1
    for cells in reader:
        yield start, cells
        start = reader.line_num + 1


def _check_header(path: Path, header: Sequence[str], delimiter: str) -> None:
    if len(header) == 1 and (mark := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise TableError(
            f"{path}: the columns are divided by {mark!r}; divide them by {delimiter!r} (decimal point: .)"
        )
    _refuse_repeated(path, filter(None, header))


def _parse_json_lines(path: Path, text: str) -> Iterator[TableRow]:
    # `str.splitlines` would also split at other characters, which may occur inside a text.
    for line, content in enumerate(io.StringIO(text, newline=None), 1):
        if not content.strip():
            continue
        place = f"{path}, line {line}"
        cells = parse_json(content.rstrip("\n"), place)
        if not isinstance(cells, dict):
            raise TableError(f"{place}: each line must be a JSON object with the column names as keys")
        yield TableRow(cells, line, place)


def parse_json(text: str, place: str) -> Any:
    """Parse JSON; `place` is named in messages. Raises TableError for a repeated key, too."""
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise TableError(f"{place}: half a character (a lone surrogate), which cannot be printed") from error
    except json.JSONDecodeError as error:
        line = f" of line {error.lineno}" if error.lineno > 1 else ""
        raise TableError(f"{place}: not JSON ({error.msg}, character {error.colno}{line})") from error
    except (ValueError, RecursionError) as error:
        raise TableError(f"{place}: not JSON ({error})") from error
    return value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) < len(pairs):
        raise ValueError(f"{_repeated(key for key, _ in pairs)!r} appears twice")
    return cells


def _numbered(path: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[TableRow]:
    return (TableRow(cells, number, f"{path}, row {number}") for number, cells in enumerate(rows, 1))


def _refuse_repeated(path: Path, columns: Iterable[str]) -> None:
    if name := _repeated(columns):
        raise TableError(f"{path} has two columns {name!r}; remove or rename one")


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
