"""The model of each row of a table: its size, its seed and its family."""

from typing import TYPE_CHECKING, Any

from distractor.curves.cells import is_empty, number_of, texts
from distractor.curves.columns import find, unit_of
from distractor.curves.model_size import UNITS, family_in, parse_model
from distractor.errors import ScalingError
from distractor.runs.results_table import COLUMNS
from distractor.text.rows import value_text

if TYPE_CHECKING:
    from pandas import DataFrame

MODEL = ("model", "model_name")


def models_of(table: "DataFrame", size_column: str, axis: str) -> "DataFrame":
    """Size and seed of each row's model; the seed is in the column `seed`, or next to the size (70M/seed1)."""
    import pandas as pd

    unit = unit_of(size_column)
    if unit not in UNITS:
        raise ScalingError(f"the column {size_column} holds sizes, which are no percentages; rename it")
    is_own = set(COLUMNS) <= set(table.columns)  # a table that `distractor ablate` wrote
    sizes, seeds = [], []
    given_seeds = table["seed"] if "seed" in table else [None] * len(table)
    for place, text, given in zip(table.index, texts(table[size_column]), given_seeds, strict=True):
        try:
            size, seed = parse_model(text, axis, unit, is_count=is_own)
        except ValueError as error:
            raise ScalingError(f"{place}: column {size_column} {error}") from error
        column_seed = _seed(given, place)
        if column_seed is not None and seed is not None and column_seed != seed:
            raise ScalingError(
                f"{place}: the seed is {column_seed} in column seed, but {seed} in column {size_column}; correct one, or "
                "leave the column seed out"
            )
        sizes.append(size)
        seeds.append(column_seed or seed or 0)
    return pd.DataFrame({"size": pd.Series(sizes, dtype=object), "seed": pd.Series(seeds, dtype=object)}).set_index(
        table.index
    )


def with_families(table: "DataFrame", size_column: str) -> "DataFrame":
    """The table with a column `family`, if it has none and the names of all models contain a size: pythia-70m."""
    for column in (size_column, find(table, MODEL)) if "family" not in table else ():
        families = texts(table[column]).map(family_in) if column else None
        if families is not None and families.notna().all():
            return table.assign(family=families)
    return table


def _seed(value: Any, place: str) -> int | None:
    if is_empty(value):
        return None
    try:
        return int(str(value))  # a float would round large seeds
    except ValueError:
        number = number_of(value)
    if number % 1 != 0:  # NaN is not a number either
        raise ScalingError(f"{place}: column seed must be a whole number, not {value_text(value)}")
    return int(number)
