"""Makes a curve from results in a table of items or means, or in logs of lm-evaluation-harness.

Nothing is guessed. Missing, repeated, mixed or non-numeric values are refused with their row. Only items that every model
has can be compared, so other items are left out and counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.curves.cells import only_value, quantity_values, texts, values_of
from distractor.curves.choose import choose_quantity, keep_rows, refuse_mixtures, size_column
from distractor.curves.columns import ITEM, NAMES_OF, find, with_usual_names
from distractor.curves.constant_means import constant_notes
from distractor.curves.harness_log import first_quantity, is_log, read_log
from distractor.curves.harness_results import read_results, results_in
from distractor.curves.item_curve import curve_of_items
from distractor.curves.mean_curve import curve_of_means
from distractor.curves.model_size import parse_model, parse_size
from distractor.curves.request import CurveRequest
from distractor.curves.row_models import models_of, with_families
from distractor.curves.wide_table import lengthen
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve, Size, check_sizes
from distractor.text.rows import iterate_rows, kind_of, names_text, read_parquet

if TYPE_CHECKING:
    from pandas import DataFrame

KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl")


@dataclass(frozen=True)
class Curves:
    """The curves in some files, one for each task, and why other tasks are left out."""

    curves: tuple[Curve, ...]
    left_out: tuple[str, ...] = ()


def paths_of(files: Sequence[str], axis: str = "parameters") -> list[Path]:
    """The paths in a list of FILE or SIZE=FILE."""
    return [path for path, _, _ in (_parse_file(text, axis) for text in files)]


def _parse_file(text: str, axis: str) -> tuple[Path, Size | None, int | None]:
    """Split SIZE/seedK=FILE into path, place on the axis and seed; a path may contain an equals sign."""
    before, equals, after = text.partition("=")
    if not equals or Path(text).exists():
        return Path(text), None, None
    try:
        return Path(after), *parse_model(before, axis)
    except ValueError as error:
        if parse_size(before) is None:
            return Path(text), None, None
        raise ScalingError(f"{text}: the size before the file {error}") from error


def read_curves(files: Sequence[str], request: CurveRequest) -> Curves:
    """Read one table, or one file of lm-evaluation-harness for each model: SIZE=FILE, SIZE/seedK=FILE, or FILE.

    There is one curve for each task. A task that gives no curve is left out, unless it is the only one.

    Raises:
        TableError: a file cannot be read.
        ScalingError: the files are neither one table nor several files of one kind, or give no curve without guessing.
    """
    table, request = _read(files, request)
    return _curves(table, request)


def read_curve(files: Sequence[str], request: CurveRequest) -> Curve:
    """As `read_curves`, for files with one task."""
    return _only_curve(read_curves(files, request))


def curve_of(rows: Sequence[Mapping[str, Any]], request: CurveRequest) -> Curve:
    """Make the curve of rows with a size and either item and value, or mean and n (or standard error)."""
    return _only_curve(_curves(_table((f"row {number}", row) for number, row in enumerate(rows, 1)), request))


def _only_curve(curves: Curves) -> Curve:
    if len(curves.curves) + len(curves.left_out) == 1:
        return curves.curves[0]
    names = [str(curve.task) for curve in curves.curves]
    raise ScalingError(
        f"a curve has one task, but the rows have {names_text(names)}; choose with --where task={names[0]}"
    )


def _read(files: Sequence[str], request: CurveRequest) -> "tuple[DataFrame, CurveRequest]":
    """The table in some files, and the request with the quantity that they have by default."""
    named = [_parse_file(text, request.axis) for text in files]
    first, place, _ = named[0]
    quantity = "accuracy" if request.quantity == "acc" else request.quantity
    if results_in(first) is not None:
        return _read_results(named, replace(request, quantity=quantity))
    if is_log(first) or len(named) > 1 or place is not None:
        quantity = quantity or first_quantity(first)
        rows = (read_log(path, request.axis, place, seed, quantity, request.group) for path, place, seed in named)
        # The group is now a column of that name.
        return _joined(rows), replace(request, quantity=quantity, group=None)
    table = _read_table(first)
    if table.empty:
        raise ScalingError(f"{first} has no rows; expected a header and one row for each item or mean")
    return table, request


def _read_results(
    named: Sequence[tuple[Path, Size | None, int | None]], request: CurveRequest
) -> "tuple[DataFrame, CurveRequest]":
    rows = []
    for path, place, seed in named:
        content = results_in(path)
        if content is None:
            raise ScalingError(f"{path} is not a results file of lm-evaluation-harness, as {named[0][0]} is")
        rows.append(read_results(path, content, request.axis, place, seed))
    table = _joined(rows)
    has_accuracy = table["quantity"].isin(NAMES_OF["accuracy"]).any()
    return table, replace(request, quantity=request.quantity or ("accuracy" if has_accuracy else None))


def _joined(rows: Iterable[Mapping[str, Mapping[str, Any]]]) -> "DataFrame":
    import pandas as pd

    return pd.concat([_table(of_file.items()) for of_file in rows])


def _read_table(path: Path) -> "DataFrame":
    if kind_of(path) not in KINDS:
        raise ScalingError(f"{path} is not a table; expected a file that ends in {', '.join(KINDS)}, or .gz after it")
    if kind_of(path) == ".parquet":
        table = read_parquet(path)
        table.index = table.index.map(lambda number: f"{path}, row {number + 1}")
        return table
    return _table((row.place, row.cells) for row in iterate_rows(path))


def _table(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> "DataFrame":
    """A table of any values whose index is the place of each row, for messages; a missing cell is None.

    Equal texts are one object, so that a million rows fit into memory.
    """
    import pandas as pd

    columns: dict[str, list[Any]] = {}
    places: list[str] = []
    known: dict[str, str] = {}
    for place, cells in rows:
        for name, value in cells.items():
            if name not in columns:
                columns[name] = [None] * len(places)
            columns[name].append(known.setdefault(value, value) if isinstance(value, str) else value)
        places.append(place)
        for column in columns.values():
            if len(column) < len(places):
                column.append(None)
    return pd.DataFrame({name: pd.Series(column, places, object) for name, column in columns.items()}, places)


def _curves(table: "DataFrame", request: CurveRequest) -> Curves:
    """The curve of each task in a table."""
    if table.empty:
        raise ScalingError("the file has no rows")
    table = keep_rows(lengthen(with_usual_names(table), request.axis), request.where)
    every = list(texts(table["task"]).unique()) if "task" in table else []
    table, quantity, value_column = choose_quantity(table, request.quantity)
    if "condition" in table and (is_conflict := texts(table["condition"]) == "conflict").any():
        table = table[is_conflict]  # `ablate` writes all conditions
    tasks = texts(table["task"]) if "task" in table else None
    if tasks is None or tasks.nunique() == 1 or "nothing" in set(tasks):
        return Curves((_curve(table, quantity, value_column, request),))
    left_out = [f"{task}: no {quantity}" for task in every if task not in set(tasks)]
    curves = []
    for task in tasks.unique():
        try:
            curve = _curve(table[tasks == task], quantity, value_column, request)
            check_sizes(len(curve.sizes), curve.sizes, "means")
            curves.append(curve)
        except ScalingError as error:
            left_out.append(f"{task}: {error}")
    if not curves:
        raise ScalingError(f"no task gives a curve: {'; '.join(left_out[:3])}")
    return Curves(tuple(curves), tuple(left_out))


def _curve(table: "DataFrame", quantity: str, value_column: str, request: CurveRequest) -> Curve:
    column = size_column(table, request.axis)
    table = with_families(table, column)
    refuse_mixtures(table, mixed_families=request.mixed_families)
    item_column = find(table, ITEM)
    values = quantity_values(table, value_column, quantity, are_items=item_column is not None)
    is_known = values.notna()
    if not is_known.any():
        raise ScalingError(f"the column {value_column} is empty in all rows")
    lost = set(texts(table[column])) - set(texts(table[column][is_known]))
    table, values = table[is_known], values[is_known]
    notes = [f"{(~is_known).sum()} of {len(is_known)} values are empty and count as missing"] * (not is_known.all())
    notes += [f"{names_text(sorted(lost))} has no values and is left out"] * bool(lost)
    models = models_of(table, column, request.axis)
    fixed: dict[str, Any] = {
        "quantity": quantity,
        "axis": request.axis,
        "families": tuple(sorted(values_of(table, "family"))),
        "task": only_value(table, "task"),
        "condition": only_value(table, "condition"),
        "sizes": tuple(sorted(set(models["size"]))),
        "seeds": tuple(sorted(set(models["seed"]))),
    }
    if item_column is None:
        curve = curve_of_means(table, models, values, fixed)
        notes += constant_notes(curve)
    else:
        curve = curve_of_items(table, models, item_column, values, request.group, fixed)
    return replace(curve, notes=(*notes, *curve.notes))
