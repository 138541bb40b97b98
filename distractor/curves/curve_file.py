"""Makes curves of results: finds the columns, divides the rows by task, and refuses what would need a guess.

Missing, repeated, mixed or non-numeric values are refused with their row; empty values count as missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distractor.curves.cells import number_of, only_value, quantity_values, texts, values_of
from distractor.curves.choose import choose_quantity, keep_rows, refuse_mixtures, size_column
from distractor.curves.columns import ITEM, find, with_usual_names
from distractor.curves.constant_means import constant_notes
from distractor.curves.item_curve import curve_of_items
from distractor.curves.mean_curve import curve_of_means
from distractor.curves.request import CurveRequest
from distractor.curves.results_files import read_files, table_of
from distractor.curves.row_models import models_of, with_families
from distractor.curves.wide_table import lengthen
from distractor.errors import ScalingError
from distractor.numbers import finite_or_none
from distractor.statistics.curve import Curve, check_sizes
from distractor.text.rows import names_text

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Curves:
    """The curves in some files, one for each task, and why other tasks are left out."""

    curves: tuple[Curve, ...]
    left_out: tuple[str, ...] = ()


def read_curves(files: Sequence[str], request: CurveRequest) -> Curves:
    """Read one table, or one file of lm-evaluation-harness for each model: SIZE=FILE, SIZE/seedK=FILE, or FILE.

    There is one curve for each task. A task that gives no curve is left out, unless it is the only one.

    Raises:
        TableError: a file cannot be read.
        ScalingError: the files are neither one table nor several files of one kind, or give no curve without guessing.
    """
    table, request = read_files(files, request)
    return _curves(table, request)


def read_curve(files: Sequence[str], request: CurveRequest) -> Curve:
    """As `read_curves`, for files with one task."""
    return _only_curve(read_curves(files, request))


def curve_of(rows: Sequence[Mapping[str, Any]], request: CurveRequest) -> Curve:
    """Make the curve of rows with a size and either item and value, or mean and n (or standard error)."""
    return _only_curve(_curves(table_of((f"row {number}", row) for number, row in enumerate(rows, 1)), request))


def _only_curve(curves: Curves) -> Curve:
    if len(curves.curves) + len(curves.left_out) == 1:
        return curves.curves[0]
    names = [str(curve.task) for curve in curves.curves]
    raise ScalingError(
        f"a curve has one task, but the rows have {names_text(names)}; choose with --where task={names[0]}"
    )


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
        "scoring": only_value(table, "format"),
        "shots": _count(only_value(table, "shots")),
        "sizes": tuple(sorted(set(models["size"]))),
        "seeds": tuple(sorted(set(models["seed"]))),
    }
    if item_column is None:
        curve = curve_of_means(table, models, values, fixed)
        notes += constant_notes(curve)
    else:
        curve = curve_of_items(table, models, item_column, values, request.group, fixed)
    return replace(curve, notes=(*notes, *curve.notes))


def _count(text: str | None) -> int | None:
    """A whole number in any notation; None if it is none."""
    number = None if text is None else finite_or_none(number_of(text))
    return int(number) if number is not None and number == int(number) else None
