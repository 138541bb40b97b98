"""Chooses the rows of one curve: filters, the quantity, and the settings that a curve must not mix."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from distractor.curves.cells import number_of, texts
from distractor.curves.columns import GENERIC, ITEM, METRICS, NAMES_OF, find, find_any, own_error_column, read_header
from distractor.curves.model_size import parse_size
from distractor.curves.request import AXES
from distractor.errors import ScalingError
from distractor.numbers import finite_or_none
from distractor.statistics.shape_test import NATS, SHARES
from distractor.text.rows import names_text

if TYPE_CHECKING:
    from pandas import DataFrame

CONTEXT = ("task", "format", "shots", "bos", "prompt", "filter", "condition")
"""Columns with one value in a curve; if a table has several, the user must choose."""

VARYING = ("step", "n_params", "size", "model", "quantity", "task", "seed")
"""Columns that may differ between two rows for one model, in the order in which a message proposes them."""


def keep_rows(table: "DataFrame", where: Sequence[tuple[str, str]]) -> "DataFrame":
    """The rows that have all values of `where`; a number may be written in any way: 70M, 7e7 or 70000000.0."""
    for name, value in where:
        column = find_any(table, name)
        if column is None:
            raise ScalingError(f"--where names the column {name!r}; the columns are {names_text(table)}")
        cells = texts(table[column])
        kept = cells.str.lower() == value.lower()
        if (number := _amount(value)) is not None:
            kept |= cells.map(_amount) == number
        if not kept.any():
            raise ScalingError(f"no row has {column} = {value}; the values are {names_text(cells.unique())}")
        table = table[kept]
    return table


def _amount(text: str) -> float | None:
    size = parse_size(text)
    return float(size[0]) if size and size[1] is None else finite_or_none(number_of(text))


def choose_quantity(table: "DataFrame", requested: str | None) -> "tuple[DataFrame, str, str]":
    """The rows of the quantity, its name, and the column of its values: `value` for items, `mean` for means."""
    candidates = GENERIC if find(table, ITEM) is None else ("value", "mean", "score")
    requested = _known_name(requested) if requested else None
    if "quantity" in table:
        quantities = texts(table["quantity"]).map(_known_name)
        known = list(quantities.unique())
        quantity = requested or (known[0] if len(known) == 1 else None)
        if quantity is None:
            raise ScalingError(f"the table has several quantities; choose one with --quantity: {names_text(known)}")
        if quantity not in known:
            raise ScalingError(f"the table has no {quantity}; its quantities are {names_text(known)}")
        column = find(table, (*candidates, *NAMES_OF.get(quantity, (quantity,))))
        table = table[quantities == quantity]
    else:
        quantity = requested or _only_metric(table) or "accuracy"
        names = NAMES_OF.get(quantity, (quantity, read_header(quantity).name))
        if len(found := {column for name in names if (column := find(table, (name,)))}) > 1:
            raise ScalingError(f"the columns {' and '.join(sorted(found))} both mean {quantity}; remove or rename one")
        column = find(table, (*names, *candidates))
    if column is None:
        typo = _typo(table, (quantity, *NAMES_OF["accuracy"], *GENERIC))
        raise ScalingError(
            f"there is no column value, mean or {quantity}; the columns are {names_text(table)}{typo}. Name the column with "
            "the values by --quantity; if the table has one column for each task, write one row for each task instead, with "
            "the columns task and accuracy"
        )
    return table, quantity, column


def _known_name(quantity: str) -> str:
    """A quantity in any case, by its name here."""
    name = read_header(quantity).name
    return "accuracy" if name == "acc" else name if name in SHARES + NATS else quantity


def _only_metric(table: "DataFrame") -> str | None:
    """The metric of a table that has neither accuracy nor a column such as value: the only one with a standard error."""
    if find(table, (*NAMES_OF["accuracy"], *GENERIC)):
        return None
    named = [column for column in map(str, table) if read_header(column).name in METRICS]
    with_error = [column for column in map(str, table) if own_error_column(table, column)]
    found = list(dict.fromkeys([*named, *with_error]))
    return read_header(found[0]).name if len(found) == 1 else None


def size_column(table: "DataFrame", axis: str) -> str:
    """The column with the place of each model on `axis`."""
    column = find(table, AXES[axis])
    if column is None:
        names, typo = " or ".join(AXES[axis][:4]), _typo(table, AXES[axis])
        raise ScalingError(f"a curve against {axis} needs a column {names}; the columns are {names_text(table)}{typo}")
    return column


def _typo(table: "DataFrame", names: Sequence[str]) -> str:
    """A question about the column whose header is most like one of `names`."""
    for column in map(str, table):
        if close := difflib.get_close_matches(read_header(column).name, names, n=1, cutoff=0.75):
            return f" (is {column} meant to be {close[0]}?)"
    return ""


def refuse_mixtures(table: "DataFrame", *, mixed_families: bool) -> None:
    """Raise ScalingError if the rows mix settings or families."""
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


def way_to_choose(repeated: "DataFrame") -> str:
    """How to keep one of the rows for one model, from a column in which they differ."""
    for name in VARYING:
        values = list(texts(repeated[name]).unique()) if name in repeated else []
        if len(values) > 1:
            return f"keep the rows of one curve with --where {name}={values[0]}"
    return "remove one"
