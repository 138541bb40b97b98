"""Reads files of results into one table: a table of any format, or files of lm-evaluation-harness."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.curves.columns import NAMES_OF
from distractor.curves.harness_log import first_quantity, is_log, read_log
from distractor.curves.harness_results import read_results, results_in
from distractor.curves.model_size import parse_model, parse_size
from distractor.curves.request import CurveRequest
from distractor.errors import ScalingError
from distractor.names import printable
from distractor.statistics.curve import Size
from distractor.text.rows import iterate_rows, kind_of, read_parquet

if TYPE_CHECKING:
    from pandas import DataFrame

KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl")


def paths_of(files: Sequence[str], axis: str = "parameters") -> list[Path]:
    """The paths in a list of FILE or SIZE=FILE."""
    return [path for path, _, _ in (_parse_file(text, axis) for text in files)]


def _parse_file(text: str, axis: str) -> tuple[Path, Size | None, int | None]:
    """Split SIZE/seedK=FILE into path, place on the axis and seed; a path may contain an equals sign."""
    before, equals, after = text.partition("=")
    if not equals or os.path.exists(text):  # Path.exists fails for a long name
        return Path(text), None, None
    try:
        return Path(after), *parse_model(before, axis)
    except ValueError as error:
        if parse_size(before) is None:
            return Path(text), None, None
        raise ScalingError(f"{text}: the size before the file {error}") from error


def read_files(files: Sequence[str], request: CurveRequest) -> "tuple[DataFrame, CurveRequest]":
    """The table in some files, and the request with the quantity that they have by default.

    The index is the place of each row, for messages. Raises TableError for a file that cannot be read, and ScalingError
    for files that are neither one table nor several files of one kind.
    """
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

    return pd.concat([table_of(of_file.items()) for of_file in rows])


def _read_table(path: Path) -> "DataFrame":
    if kind_of(path) not in KINDS:
        raise ScalingError(f"{path} is not a table; expected a file that ends in {', '.join(KINDS)}, or .gz after it")
    if kind_of(path) == ".parquet":
        table = read_parquet(path)
        place = printable(str(path))
        table.index = table.index.map(lambda number: f"{place}, row {number + 1}")
        return table
    return table_of((row.place, row.cells) for row in iterate_rows(path))


def table_of(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> "DataFrame":
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
