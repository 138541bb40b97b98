"""Converts the cells of a table of results to numbers, names and texts; messages name the row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.curves.model_size import LARGEST
from distractor.errors import ScalingError
from distractor.statistics.shape_test import NATS, SHARES
from distractor.text.rows import value_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def quantity_values(table: "DataFrame", column: str, quantity: str, *, are_items: bool) -> "Series[float]":
    """The values of a quantity; a share must be between 0 and 1."""
    # Accuracy may be written as true or false; a gap in nats may not.
    values = numbers(table, column, float if are_items and quantity not in NATS else number_of)
    if quantity in SHARES:
        for place, value in values[(values < 0) | (values > 1)].items():
            hint = "; divide percentages by 100" if 1 < value <= 100 else ""
            raise ScalingError(f"{place}: {quantity} must be between 0 and 1, not {value:g}{hint}")
    return values


def numbers(table: "DataFrame", column: str, of_truth: "Callable[[Any], float]" = lambda _: np.nan) -> "Series[float]":
    """The numbers of a column; `of_truth` converts true and false."""
    values = table[column].map(lambda value: of_truth(value) if isinstance(value, bool) else number_of(value))
    for place, value in table[column][~(values.abs() < LARGEST)].items():
        bound = f" below {LARGEST:g}" if np.isfinite(number_of(value)) else ""
        raise ScalingError(
            f"{place}: column {column} must be a number{bound}, not {value_text(None if is_empty(value) else value)}; "
            "leave out items or models without a measurement"
        )
    return values.astype(float)


def number_of(value: Any) -> float:
    """The number in a cell; NaN for other content."""
    try:
        return np.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def names_of(table: "DataFrame", column: str) -> "Series[str]":
    """The names of items or groups."""
    for place, value in table[column].items():
        if is_empty(value):
            raise ScalingError(f"{place}: column {column} must be a name, not empty; fill it in, or drop the column")
    return texts(table[column])


def is_empty(value: Any) -> bool:
    """Whether a cell has no value."""
    return value is None or value == "" or value != value


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


def first(table: "DataFrame", names: Sequence[str]) -> str | None:
    """The first of `names` that is a column."""
    return next((name for name in names if name in table), None)
