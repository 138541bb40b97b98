"""Reads a data file in the columns of the Inverse Scaling Prize: JSON Lines, or CSV by its suffix."""

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distractor.errors import TaskError
from distractor.text import rows as table_rows
from distractor.text.rows import value_text
from distractor.text.task import check_text

COLUMNS = ("prompt", "classes", "answer_index")  # the columns that every row has
DISTRACTOR_INDEX = "distractor_index"  # the column that a row with more than two classes needs, too
LARGEST = 64 * 2**20  # maximum size of a file in bytes: four times the largest official file
CLASSES = 10_000  # maximum length of a list of classes in characters


@dataclass(frozen=True)
class Row:
    """One row: its number from 0, its line from 1, the prompt, the classes, the right one's index, all other columns.

    `distractor_index` is the index of the distractor's class. Of two classes, it is the other one by default.
    """

    index: int
    line: int
    prompt: str
    classes: tuple[str, ...]
    answer: int
    more: Mapping[str, Any] = field(default_factory=dict)
    distractor_index: int | None = None

    @property
    def true(self) -> str:
        """The right class."""
        return self.classes[self.answer]

    @property
    def distractor(self) -> str:
        """The distractor's class."""
        return self.classes[1 - self.answer if self.distractor_index is None else self.distractor_index]


def read_rows(path: Path, *, unique: bool = True, unfit: list[str] | None = None) -> list[Row]:
    """Read `prompt`, `classes` (a list in a string), `answer_index` and all other columns of each row.

    A row with more than two classes also needs `distractor_index`. If `unfit` is given, rows with a wrong value are
    skipped, and their names are added to it.

    Raises:
        TableError: the file cannot be read, or is damaged.
        TaskError: a column is missing or has a wrong value, or (if `unique`) two rows have the same prompt; or no row is
            left.
    """
    rows: list[Row] = []
    line_of: dict[str, int] = {}
    for index, (cells, line, place) in enumerate(table_rows.read_rows(path, largest=LARGEST)):
        try:
            row = _row(index, line, cells, place)
        except TaskError:
            if unfit is None:
                raise
            unfit.append(f"row {index}")
            continue
        if unique and row.prompt in line_of:
            raise TaskError(f"{place}: the prompt is the same as in line {line_of[row.prompt]}; remove one of them")
        line_of[row.prompt] = line
        rows.append(row)
    if not rows:
        what = "has no valid row" if unfit else "is empty"
        raise TaskError(f"{path} {what}; expected rows with the columns {', '.join(COLUMNS)}")
    return rows


def _row(index: int, line: int, cells: Mapping[str, Any], place: str) -> Row:
    if missing := [name for name in COLUMNS if name not in cells]:
        raise TaskError(f"{place}: missing: {', '.join(missing)}; expected the columns {', '.join(COLUMNS)}")
    prompt, classes, answer = (cells[name] for name in COLUMNS)
    check_text(prompt, "prompt", place)
    names = parse_classes(classes)
    if names is None:
        raise TaskError(f"{place}: classes is {value_text(classes)}; expected a list in a string, \"[' A', ' B']\"")
    if len(names) < 2 or len(set(names)) < len(names):
        raise TaskError(f"{place}: classes is {value_text(classes)}; expected at least two, each only once")
    for name in names:
        check_text(name, "classes", place)
    right = _index(answer, "answer_index", len(names), place)
    more = {name: value for name, value in cells.items() if name not in (*COLUMNS, DISTRACTOR_INDEX)}
    return Row(index, line, prompt, tuple(names), right, more, _distractor_index(cells, right, len(names), place))


def _distractor_index(cells: Mapping[str, Any], right: int, count: int, place: str) -> int | None:
    """The index of the distractor's class; None if the row does not give it and has only two."""
    value = cells.get(DISTRACTOR_INDEX)
    if value in (None, ""):
        if count > 2:
            raise TaskError(
                f"{place}: {count} classes, and no distractor among them; write the index of the distractor's class (from "
                f"0) into a column {DISTRACTOR_INDEX}"
            )
        return None
    index = _index(value, DISTRACTOR_INDEX, count, place)
    if index == right:
        raise TaskError(f"{place}: {DISTRACTOR_INDEX} is {index}, as answer_index is; name another class")
    return index


def _index(value: object, name: str, count: int, place: str) -> int:
    """The index of one of `count` classes, written as a whole number or as its text."""
    if isinstance(value, bool | float) or str(value) not in map(str, range(count)):
        expected = "0 or 1" if count == 2 else f"0 to {count - 1}"
        raise TaskError(f"{place}: {name} is {value_text(value)}; expected {expected}")
    return int(str(value))


def parse_classes(classes: object) -> list[str] | None:
    """Parse a list of texts in a string; None if it is anything else."""
    if not isinstance(classes, str) or len(classes) > CLASSES:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a backslash in a class
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            names = ast.literal_eval(classes)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None
    return names if isinstance(names, list) and all(isinstance(name, str) and name for name in names) else None
