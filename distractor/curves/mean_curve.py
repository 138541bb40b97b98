"""Makes a curve of a table with one row for each model: means with their standard errors."""

from typing import TYPE_CHECKING, Any

from distractor.curves.cells import first, numbers, quantity_values, rows_where
from distractor.curves.grid import grid_of
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve
from distractor.statistics.shape_test import SHARES
from distractor.text.rows import names_text

if TYPE_CHECKING:
    from pandas import DataFrame


COUNT = ("n", "n_items")
ERROR = ("se", "stderr")


def curve_of_means(table: "DataFrame", models: "DataFrame", mean_column: str, fixed: dict[str, Any]) -> Curve:
    """The means, with errors from the column of standard errors or from the number of items."""
    error_column, count_column = first(table, ERROR), first(table, COUNT)
    is_share = fixed["quantity"] in SHARES
    if error_column is None and (count_column is None or not is_share):
        needed = "n (number of items) or se (standard error)" if is_share else "se (standard error)"
        raise ScalingError(
            f"a table of means needs a column {needed}; a table of items needs a column item; the columns are "
            f"{names_text(table)}"
        )
    means = models.assign(mean=quantity_values(table, mean_column, fixed["quantity"], are_items=False))
    for place, mean in rows_where(means, means.duplicated(["seed", "size"])):
        raise ScalingError(
            f"{place}: size {mean['size']:g}, seed {mean['seed']} appears twice; keep the rows of one curve with --where "
            "column=value, or add a column seed or item"
        )
    if error_column is not None:
        means["error"] = numbers(table, error_column)
        for place, mean in rows_where(means, means["error"] < 0):
            raise ScalingError(f"{place}: {error_column} is a standard error, 0 or more, not {mean['error']:g}")
    else:
        count = numbers(table, str(count_column))
        for place, mean in rows_where(means.assign(n=count), (count < 1) | (count % 1 != 0)):
            raise ScalingError(f"{place}: n is a number of items, 1 or more, not {mean['n']:g}")
        # One right and one wrong item are added (Agresti and Caffo 2000), so that a share of 0 or 1 has an error too.
        eased = (means["mean"] * count + 1) / (count + 2)
        means["error"] = (eased * (1 - eased) / (count + 2)) ** 0.5
    shape = len(fixed["seeds"]), len(fixed["sizes"])
    grids = {name: grid_of(means, name, fixed).to_numpy(float).reshape(shape) for name in ("mean", "error")}
    return Curve(means=grids["mean"], errors=grids["error"], **fixed)
