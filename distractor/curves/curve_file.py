"""Makes a curve from results in a table of items or means, or in logs of lm-evaluation-harness.

Nothing is guessed. Missing, repeated, mixed or non-numeric values are refused with their row. Only items that every model
has can be compared, so other items are left out and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.curves.cells import first, only_value, texts, values_of
from distractor.curves.harness_log import is_log, read_log
from distractor.curves.item_curve import curve_of_items
from distractor.curves.mean_curve import curve_of_means
from distractor.curves.model_size import parse_size
from distractor.curves.request import AXES, CurveRequest
from distractor.curves.row_models import models_of
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve, Size
from distractor.text.rows import names_text, read_parquet, read_rows

if TYPE_CHECKING:
    from pandas import DataFrame


ITEM = ("item", "item_id", "doc_id")
MEAN = ("mean", "value")

CONTEXT = ("task", "format", "shots", "bos", "prompt", "filter", "condition")
"""Columns with one value in a curve; if a table has several, the user must choose."""


KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl")


def paths_of(files: Sequence[str]) -> list[Path]:
    """The paths in a list of FILE or SIZE=FILE."""
    return [path for path, _, _ in map(_parse_file, files)]


def _parse_file(text: str) -> tuple[Path, Size | None, int]:
    """Split SIZE/seedK=FILE into path, size and seed; a path may contain an equals sign."""
    before, equals, after = text.partition("=")
    size = parse_size(before) if equals else None
    return (Path(after), size[0], size[1] or 0) if size else (Path(text), None, 0)


def read_curve(files: Sequence[str], request: CurveRequest) -> Curve:
    """Read one table, or one log for each model: SIZE=FILE, SIZE/seedK=FILE, or FILE next to its results_*.json.

    Raises:
        TableError: a file cannot be read.
        ScalingError: the files are not one table or several logs, or a curve cannot be made without guessing.
    """
    import pandas as pd

    named = [_parse_file(text) for text in files]
    path, size, _ = named[0]
    if len(named) == 1 and size is None and not is_log(path):
        return _curve(_read_table(path), request)
    quantity = request.quantity or "accuracy"
    tables = []
    for path, size, seed in named:
        table = _table(read_log(path, size, seed, quantity, request.group))
        # A size from the user belongs to the requested axis; a size from the results file is in parameters.
        tables.append(table if size is None else table.rename(columns={"size": AXES[request.axis][0]}))
    return _curve(pd.concat(tables), replace(request, group=None))  # the group is now a column of that name


def curve_of(rows: Sequence[Mapping[str, Any]], request: CurveRequest) -> Curve:
    """Make a curve of rows with a size and either item and value, or mean and n (or standard error)."""
    return _curve(_table({f"row {number}": row for number, row in enumerate(rows, 1)}), request)


def _read_table(path: Path) -> "DataFrame":
    if path.suffix.lower() not in KINDS:
        raise ScalingError(f"{path} is not a table; expected a file that ends in {', '.join(KINDS)}")
    if path.suffix.lower() == ".parquet":
        table = read_parquet(path)
        table.index = table.index.map(lambda number: f"{path}, row {number + 1}")
        return table
    return _table({row.place: row.cells for row in read_rows(path)})


def _table(rows: Mapping[str, Mapping[str, Any]]) -> "DataFrame":
    """A table of any values whose index is the place of each row, for messages."""
    import pandas as pd

    return pd.DataFrame(list(rows.values()), index=list(rows), dtype=object)


def _curve(table: "DataFrame", request: CurveRequest) -> Curve:
    if table.empty:
        raise ScalingError("the file has no rows")
    for column, value in request.where:
        if column not in table:
            raise ScalingError(f"--where names the column {column!r}; the columns are {names_text(table)}")
        kept = texts(table[column]) == value
        if not kept.any():
            raise ScalingError(
                f"no row has {column} = {value}; the values are {names_text(texts(table[column]).unique())}"
            )
        table = table[kept]
    table, quantity, value_column = _select_quantity(table, request.quantity)
    if "condition" in table and (is_conflict := texts(table["condition"]) == "conflict").any():
        table = table[is_conflict]  # `ablate` writes all conditions
    _refuse_mixtures(table, mixed_families=request.mixed_families)
    size_column = first(table, AXES[request.axis])
    if size_column is None:
        names = " or ".join(AXES[request.axis])
        raise ScalingError(
            f"a curve against {request.axis} needs a column {names}; the columns are {names_text(table)}"
        )
    models = models_of(table, size_column, request.axis)
    fixed: dict[str, Any] = {
        "quantity": quantity,
        "axis": request.axis,
        "families": tuple(sorted(values_of(table, "family"))),
        "task": only_value(table, "task"),
        "condition": only_value(table, "condition"),
        "sizes": tuple(sorted(set(models["size"]))),
        "seeds": tuple(sorted(set(models["seed"]))),
    }
    item_column = first(table, ITEM)
    if item_column is None:
        return curve_of_means(table, models, value_column, fixed)
    return curve_of_items(table, models, item_column, value_column, request.group, fixed)


def _select_quantity(table: "DataFrame", requested: str | None) -> "tuple[DataFrame, str, str]":
    """The rows of the quantity, its name, and the column of its values: `value` for items, `mean` for means."""
    candidates = MEAN if first(table, ITEM) is None else MEAN[::-1]
    if "quantity" in table:
        quantities = texts(table["quantity"])
        known = quantities.unique()
        quantity = requested or (known[0] if len(known) == 1 else None)
        if quantity is None:
            raise ScalingError(f"the table has several quantities; choose one with --quantity: {names_text(known)}")
        if quantity not in known:
            raise ScalingError(f"the table has no {quantity}; its quantities are {names_text(known)}")
        column = first(table, (*candidates, quantity))
        table = table[quantities == quantity]
    else:
        quantity = requested or "accuracy"
        column = first(table, (quantity, *candidates))
    if column is None:
        raise ScalingError(f"there is no column value, mean or {quantity}; the columns are {names_text(table)}")
    return table, quantity, column


def _refuse_mixtures(table: "DataFrame", *, mixed_families: bool) -> None:
    for name in CONTEXT:
        values = list(texts(table[name]).unique()) if name in table else []
        if len(values) > 1:
            raise ScalingError(
                f"a curve has one {name}, but the rows have {names_text(values)}; choose with --where {name}={values[0]}"
            )
    families = list(texts(table["family"]).unique()) if "family" in table else []
    if len(families) > 1 and not mixed_families:
        raise ScalingError(
            f"the rows mix the families {names_text(families)}, which differ in more than size; choose with --where "
            f"family={families[0]}, or allow a common curve with --mixed-families"
        )
