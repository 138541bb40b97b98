"""Rows of a data file in the columns of the Inverse Scaling Prize, JSON lines or CSV; every kind of damage is named.

A file is read line by line, and no line is read further than `LONGEST`: a broken file costs neither memory nor time.
"""

import ast
import csv
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distractor.errors import TaskError

COLUMNS = ("prompt", "classes", "answer_index")
"""What every row has."""

SHOWN = 60
"""Letters of a value in a message."""

LONGEST = 4 * 2**20
"""Bytes of a line: longer than a prompt of a million tokens."""

LARGEST = 256 * 2**20
"""Bytes of a file: ten times the largest official one."""

CLASSES = 10_000
"""Characters of a list of classes."""


@dataclass(frozen=True)
class Row:
    """One row: its number from 0 and line from 1, the prompt, the classes and which is right, and all other columns."""

    index: int
    line: int
    prompt: str
    classes: tuple[str, str]
    answer: int
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def true(self) -> str:
        """The right class."""
        return self.classes[self.answer]

    @property
    def distractor(self) -> str:
        """The other class."""
        return self.classes[1 - self.answer]


def read_rows(path: Path, *, unique: bool = True) -> list[Row]:
    """The rows of a file: `prompt`, `classes` (a list in a string) and `answer_index`; `.csv` is CSV, all else JSON lines.

    Raises:
        TaskError: the file cannot be read, or a line is no such row, or (where they are to be `unique`) asks what an
            earlier line asks; file and line are named.

    """
    found: list[Row] = []
    seen: dict[str, int] = {}
    for line, told in _told(path):
        row = _row(len(found), line, told, f"{path}, line {line}")
        if unique and row.prompt in seen:
            raise TaskError(
                f"{path}, line {line}: the prompt is the same as in line {seen[row.prompt]}; each is to be asked once"
            )
        seen[row.prompt] = line
        found.append(row)
    if not found:
        raise TaskError(f"{path} is empty; wanted are rows with the columns {', '.join(COLUMNS)}")
    return found


def short(value: object) -> str:
    """A value as it stands in a message."""
    shown = repr(value[: 4 * SHOWN] if isinstance(value, str) else value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"


def _told(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and columns of each row."""
    if path.suffix.lower() == ".csv":
        yield from _told_in_csv(path)
        return
    for line, text in _lines(path):
        try:
            told = json.loads(text)
        except json.JSONDecodeError as error:
            raise TaskError(
                f"{path}, line {line}: no JSON ({error.msg}, character {error.pos + 1}); wanted is one object a line"
            ) from error
        except (ValueError, RecursionError) as error:
            raise TaskError(f"{path}, line {line}: no JSON ({error}); wanted is one object a line") from error
        yield line, told if isinstance(told, dict) else {}


def _told_in_csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    # A byte order mark is what spreadsheets put before the first column's name.
    texts = (text.removeprefix("\ufeff") if line == 1 else text for line, text in _lines(path))
    table = csv.reader(texts, strict=True)
    header: list[str] | None = None
    begun = 1  # a row may go over several lines; it is called by its first
    while True:
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            raise TaskError(f"{path}, line {begun}: no CSV ({error}); is a quotation mark missing?") from error
        if header is None:
            header = cells
            if twice := [name for name in header if header.count(name) > 1]:
                raise TaskError(f"{path}, line 1: there are two columns {short(twice[0])}")
            if missing := [name for name in COLUMNS if name not in header]:
                raise TaskError(f"{path}, line 1: missing: {', '.join(missing)}; wanted are the columns {_columns()}")
        elif cells:
            if len(cells) != len(header):
                raise TaskError(f"{path}, line {begun}: {len(cells)} cells; the first line names {len(header)} columns")
            told: dict[str, Any] = dict(zip(header, cells, strict=True))
            answer = told["answer_index"].strip()
            told["answer_index"] = int(answer) if answer.isascii() and answer.isdecimal() else told["answer_index"]
            yield begun, told
        begun = table.line_num + 1


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their ends, numbered from 1; they end where JSON lines do, and nowhere else."""
    if not path.is_file():
        raise TaskError(f"there is no file {path}; wanted is a data file, JSON lines or CSV")
    try:
        with path.open("rb") as file:
            if (size := path.stat().st_size) > LARGEST:
                # Its first line may say more; what else there is does not matter.
                _text(path, 1, file.readline(LONGEST + 1))
                raise TaskError(f"{path} has {size:,} bytes; at most {LARGEST:,} are read")
            number = 0
            while raw := file.readline(LONGEST + 1):
                number += 1
                yield number, _text(path, number, raw)
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); look at its permissions") from error


def _text(path: Path, number: int, raw: bytes) -> str:
    where = f"{path}, line {number}"
    if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TaskError(f"{where}: this is UTF-16; wanted is UTF-8, save the file as that")
    if b"\0" in raw:
        raise TaskError(f"{where}: there is a NUL byte at {raw.index(0) + 1}; wanted is text in UTF-8")
    if len(raw) > LONGEST:
        raise TaskError(f"{where}: longer than {LONGEST:,} bytes, and read no further; wanted is one row a line")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise TaskError(
            f"{where}: no UTF-8 ({error.reason} at byte {error.start + 1}); save the file as UTF-8"
        ) from error


def _row(index: int, line: int, told: Mapping[str, Any], where: str) -> Row:
    if missing := [name for name in COLUMNS if name not in told]:
        raise TaskError(f"{where}: missing: {', '.join(missing)}; wanted are the columns {_columns()}")
    prompt, classes, answer = (told[name] for name in COLUMNS)
    check_text(prompt, "prompt", where)
    listed = parse_classes(classes)
    if listed is None:
        raise TaskError(f"{where}: classes is {short(classes)}; wanted is a list in a string, \"[' A', ' B']\"")
    if len(listed) != 2 or len(set(listed)) != 2:
        raise TaskError(f"{where}: classes is {short(classes)}; two different ones are wanted")
    for name in listed:
        check_text(name, "classes", where)
    if type(answer) is not int or answer not in (0, 1):
        raise TaskError(f"{where}: answer_index is {short(answer)}; 0 or 1 is wanted")
    more = {name: value for name, value in told.items() if name not in COLUMNS}
    return Row(index, line, prompt, (listed[0], listed[1]), answer, more)


def check_text(value: object, column: str, where: str) -> None:
    """Make sure that a column holds text that a tokenizer can take.

    Raises:
        TaskError: it is no text, or none that can be shown to a model.

    """
    if not isinstance(value, str) or not value.strip():
        raise TaskError(f"{where}: {column} is {short(value)}; wanted is a text")
    if "\0" in value:
        raise TaskError(f"{where}: {column} holds a NUL character; wanted is text")
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise TaskError(f"{where}: {column} holds half a character (a lone surrogate); write it as UTF-8")


def parse_classes(classes: object) -> list[str] | None:
    """The list that a string holds; None where it is none, or not one of texts."""
    if not isinstance(classes, str) or len(classes) > CLASSES:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a backslash in a class
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            listed = ast.literal_eval(classes)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None
    return listed if isinstance(listed, list) and all(isinstance(name, str) and name for name in listed) else None


def _columns() -> str:
    return ", ".join(COLUMNS)
