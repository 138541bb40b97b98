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
LARGEST = 64 * 2**20  # maximum size of a file in bytes: four times the largest official file
CLASSES = 10_000  # maximum length of a list of classes in characters


@dataclass(frozen=True)
class Row:
    """One row: its number from 0, its line from 1, the prompt, both classes, the right one's index, all other columns."""

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
    """Read `prompt`, `classes` (a list in a string), `answer_index` and all other columns of each row.

    Raises:
        TableError: the file cannot be read, or is damaged.
        TaskError: a column is missing or has a wrong value, or (if `unique`) two rows have the same prompt.
    """
    rows: list[Row] = []
    line_of: dict[str, int] = {}
    for index, (cells, line, place) in enumerate(table_rows.read_rows(path, largest=LARGEST)):
        row = _row(index, line, cells, place)
        if unique and row.prompt in line_of:
            raise TaskError(f"{place}: the prompt is the same as in line {line_of[row.prompt]}; remove one of them")
        line_of[row.prompt] = line
        rows.append(row)
    if not rows:
        raise TaskError(f"{path} is empty; expected rows with the columns {', '.join(COLUMNS)}")
    return rows


def _row(index: int, line: int, cells: Mapping[str, Any], place: str) -> Row:
    if missing := [name for name in COLUMNS if name not in cells]:
        raise TaskError(f"{place}: missing: {', '.join(missing)}; expected the columns {', '.join(COLUMNS)}")
    prompt, classes, answer = (cells[name] for name in COLUMNS)
    check_text(prompt, "prompt", place)
    names = parse_classes(classes)
    if names is None:
        raise TaskError(f"{place}: classes is {value_text(classes)}; expected a list in a string, \"[' A', ' B']\"")
    if len(names) != 2 or len(set(names)) != 2:
        raise TaskError(f"{place}: classes is {value_text(classes)}; expected two different ones")
    for name in names:
        check_text(name, "classes", place)
    if answer not in (0, 1, "0", "1") or isinstance(answer, bool | float):
        raise TaskError(f"{place}: answer_index is {value_text(answer)}; expected 0 or 1")
    more = {name: value for name, value in cells.items() if name not in COLUMNS}
    return Row(index, line, prompt, (names[0], names[1]), int(answer), more)


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
