"""Converts the cells of a table of results to numbers, names and texts; messages name the row."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.curves.columns import unit_of
from distractor.curves.model_size import LARGEST, UNITS
from distractor.errors import ScalingError
from distractor.statistics.shape_test import NATS, SHARES
from distractor.text.rows import value_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def quantity_values(table: "DataFrame", column: str, quantity: str, *, are_items: bool) -> "Series[float]":
    """The values of a quantity, NaN for a blank cell; a share must be between 0 and 1."""
    # Accuracy may be written as true or false; a gap in nats may not.
    of_truth = float if are_items and quantity not in NATS else number_of
    values = numbers(table, column, of_truth, may_be_blank=True)
    if quantity in SHARES:
        for place, value in values[(values < 0) | (values > 1)].items():
            hint = f'; divide percentages by 100, or name the column "{column} (%)"' if 1 < value <= 100 else ""
            raise ScalingError(f"{place}: {quantity} must be between 0 and 1, not {value:g}{hint}")
    return values


def numbers(
    table: "DataFrame",
    column: str,
    of_truth: "Callable[[Any], float]" = lambda _: np.nan,
    *,
    may_be_blank: bool = False,
) -> "Series[float]":
    """The numbers of a column, in the unit of its header; `of_truth` converts true and false."""
    unit = unit_of(column)
    cells = table[column].map(lambda cell: cell.strip().removesuffix("%") if unit == "%" and is_text(cell) else cell)
    values = cells.map(lambda cell: of_truth(cell) if isinstance(cell, bool) else number_of(cell)).astype(float)
    is_wrong = ~(values.abs() < LARGEST)
    if may_be_blank:
        is_wrong &= ~table[column].map(is_blank).astype(bool)
    for place, value in table[column][is_wrong].items():
        bound = f" below {LARGEST:g}" if np.isfinite(number_of(value)) else ""
        remedy = (
            "leave the cell empty where nothing was measured" if may_be_blank else "fill it in, or leave the row out"
        )
        raise ScalingError(
            f"{place}: column {column} must be a number{bound}, not {value_text(None if is_blank(value) else value)}; "
            f"{remedy}"
        )
    return values * {**UNITS, "%": 0.01}[unit]


def number_of(value: Any) -> float:
    """The number in a cell, also of 62.5%; NaN for other content."""
    try:
        if is_text(value) and value.rstrip().endswith("%"):
            return float(value.rstrip()[:-1]) / 100
        return np.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def names_of(table: "DataFrame", column: str) -> "Series[str]":
    """The names of items or groups."""
    for place, value in table[column].items():
        if is_empty(value):
            raise ScalingError(f"{place}: column {column} must be a name, not empty; fill it in, or drop the column")
    return texts(table[column])


def is_blank(value: Any) -> bool:
    """Whether a cell was left empty; NaN is not blank, since it may be a failed computation."""
    return value is None or (is_text(value) and not value.strip())


def is_empty(value: Any) -> bool:
    """Whether a cell has no value: blank or NaN."""
    return is_blank(value) or value != value


def is_text(value: Any) -> bool:
    """Whether a cell holds text."""
    return isinstance(value, str)


def texts(column: "Series[Any]") -> "Series[str]":
    """The cells of a column as text, for names and messages."""
    return column.map(lambda value: "nothing" if is_empty(value) else str(value))


def values_of(table: "DataFrame", column: str) -> set[str]:
    """The different values of a column; none without the column."""
    return set(texts(table[column].dropna())) if column in table else set()


def only_value(table: "DataFrame", column: str) -> str | None:
    """The value of a column that has one value in all rows."""
    values = values_of(table, column)
    return values.pop() if len(values) == 1 else None


def rows_where(table: "DataFrame", mask: "Series[bool]") -> Iterable[tuple[Any, Mapping[str, Any]]]:
    """The rows where `mask` is true, with their places."""
    return table[mask].iterrows()  # type: ignore[return-value]
