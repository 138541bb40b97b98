"""Makes a curve of a table with one row for each model: means with their standard errors."""

from typing import TYPE_CHECKING, Any

from distractor.curves.cells import is_blank, numbers, rows_where
from distractor.curves.choose import way_to_choose
from distractor.curves.columns import COUNT, error_column, find, unit_of
from distractor.curves.grid import grid_of
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve
from distractor.statistics.shape_test import SHARES
from distractor.text.rows import names_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series

DEVIATION = ("sd", "std", "std_dev", "standard_deviation")


def curve_of_means(table: "DataFrame", models: "DataFrame", means: "Series[float]", fixed: dict[str, Any]) -> Curve:
    """The means, with errors from the column of standard errors or from the number of items.

    `means` are those of the rows of `table`, and their name is that of the column.
    """
    column, is_share = str(means.name), fixed["quantity"] in SHARES
    error_name, count_name = (_unless_blank(table, name) for name in (error_column(table, column), find(table, COUNT)))
    if error_name is None and (count_name is None or not is_share):
        needed = "n (number of items) or se (standard error)" if is_share else "se (standard error)"
        deviation = find(table, DEVIATION)
        hint = f"; {deviation} is a standard deviation, and se is it divided by the root of n" if deviation else ""
        raise ScalingError(
            f"a table of means needs a column {needed}; a table of items needs a column item; the columns are "
            f"{names_text(table)}{hint}"
        )
    rows = models.assign(mean=means)
    is_repeated = rows.duplicated(["seed", "size"])
    for place, row in rows_where(rows, is_repeated):
        alike = (rows["seed"] == row["seed"]) & (rows["size"] == row["size"])
        raise ScalingError(
            f"{place}: size {row['size']:g}, seed {row['seed']} appears twice; {way_to_choose(table[alike])}, or add a "
            "column seed or task, or a column item if these are items"
        )
    if error_name is not None:
        rows["error"] = _errors(table, error_name, column, is_share=is_share)
        if is_share and (is_zero := rows["error"] == 0).any():
            rows.loc[is_zero, "error"] = _eased_error(rows["mean"], _items(table, count_name, rows))[is_zero]
    else:
        rows["error"] = _eased_error(rows["mean"], _items(table, count_name, rows))
    shape = len(fixed["seeds"]), len(fixed["sizes"])
    grids = {name: grid_of(rows, name, fixed).to_numpy(float).reshape(shape) for name in ("mean", "error")}
    return Curve(means=grids["mean"], errors=grids["error"], **fixed)


def _eased_error(means: "Series[float]", count: Any) -> "Series[float]":
    """One right and one wrong item are added (Agresti and Caffo 2000), so that a share of 0 or 1 has an error too."""
    eased = (means * count + 1) / (count + 2)
    error: Series[float] = (eased * (1 - eased) / (count + 2)) ** 0.5
    return error


def _errors(table: "DataFrame", error_name: str, column: str, *, is_share: bool) -> "Series[float]":
    """The standard errors, in the unit of the means."""
    if "%" in {unit_of(column), unit_of(error_name)} and unit_of(column) != unit_of(error_name):
        raise ScalingError(f'one of the columns {column} and {error_name} is in %; write both in %: "{error_name} (%)"')
    errors = numbers(table, error_name)
    for place, error in errors[errors < 0].items():
        raise ScalingError(f"{place}: {error_name} is a standard error, 0 or more, not {error:g}")
    for place, error in errors[errors > 0.5].items() if is_share else ():
        raise ScalingError(
            f"{place}: {error_name} is {error:g}, but the standard error of a share is at most .5; write both columns "
            f'between 0 and 1, or both in %: "{column} (%)", "{error_name} (%)"'
        )
    return errors


def _counts(table: "DataFrame", count_name: str) -> "Series[float]":
    counts = numbers(table, count_name)
    for place, count in counts[(counts < 1) | (counts % 1 != 0)].items():
        raise ScalingError(f"{place}: {count_name} is a number of items, 1 or more, not {count:g}")
    return counts


def _unless_blank(table: "DataFrame", column: str | None) -> str | None:
    return None if column is None or table[column].map(is_blank).all() else column


def _items(table: "DataFrame", count_name: str | None, rows: "DataFrame") -> Any:
    """The number of items: given, or the one that the errors of the other shares imply."""
    if count_name is not None:
        return _counts(table, count_name)
    implied = (rows["mean"] * (1 - rows["mean"]) / rows["error"] ** 2)[rows["error"] > 0]
    if implied.empty:
        raise ScalingError("all standard errors are 0, so nothing can be judged; add a column n (number of items)")
    return implied.median()
