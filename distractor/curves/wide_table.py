"""Reads tables with one column for each size: the headers are sizes (70M, 160M) or names of models (pythia-70m)."""

from typing import TYPE_CHECKING

from distractor.curves.columns import ERROR, find, read_header, unit_of
from distractor.curves.model_size import parse_model, parse_size
from distractor.curves.request import AXES
from distractor.errors import ScalingError
from distractor.text.rows import names_text

if TYPE_CHECKING:
    from pandas import DataFrame

FEWEST = 2
"""A table with fewer headers that are sizes is not a wide one."""


def lengthen(table: "DataFrame", axis: str) -> "DataFrame":
    """A table with one row for each value, if the headers are sizes; other tables are returned as they are.

    A column such as `70M_stderr` holds the errors of the column 70M. Raises ScalingError for headers that are numbers
    without a unit, and for a table that has sizes in headers and in a column.
    """
    import pandas as pd

    columns = list(map(str, table.columns))
    named = [column for column in columns if _is_size(column, axis)]
    errors = {column: _error_of(column, columns) for column in named}
    size_columns = [column for column in named if column not in errors.values()]
    has_sizes = find(table, AXES[axis][:-2] if axis == "parameters" else AXES[axis]) is not None
    if len(size_columns) < FEWEST:
        if not has_sizes and (bare := [column for column in columns if parse_size(column)]):
            raise ScalingError(_without_unit(bare, axis))
        return table
    if has_sizes:
        raise ScalingError(
            f"the headers {names_text(size_columns)} are sizes, but the table has a column with sizes, too; remove one"
        )
    kept = [column for column in table.columns if column not in {*size_columns, *errors.values()}]
    name = AXES[axis][0]
    parts = []
    for column in size_columns:
        # The unit of the header goes with the values.
        part = table[kept].assign(**{f"value{_percent(column)}": table[column]})
        part["model"] = part[name] = column
        if errors[column]:
            part[f"value_stderr{_percent(errors[column])}"] = table[errors[column]]
        part.index = part.index + f", column {column}"
        parts.append(part)
    return pd.concat(parts)


def _percent(header: str | None) -> str:
    return " (%)" if header and unit_of(header) == "%" else ""


def _is_size(header: str, axis: str) -> bool:
    try:
        parse_model(header, axis)
    except ValueError:
        return False
    return True


def _error_of(column: str, columns: list[str]) -> str | None:
    forms = {f"{read_header(column).name}_{error}" for error in ERROR}
    return next((other for other in columns if read_header(other).name in forms), None)


def _without_unit(headers: list[str], axis: str) -> str:
    if axis != "parameters":
        return f"the table has one column with numbers as header, {headers[0]}; a wide table needs at least {FEWEST}"
    return (
        f"the headers {names_text(headers)} are numbers without a unit; if they are sizes in billions, write "
        f"{headers[0]}B, otherwise add a column size"
    )
