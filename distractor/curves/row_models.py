"""The model of each row of a table: its size and its seed."""

from typing import TYPE_CHECKING, Any

from distractor.curves.cells import is_empty, number_of, texts
from distractor.curves.model_size import parse_size
from distractor.errors import ScalingError
from distractor.text.rows import value_text

if TYPE_CHECKING:
    from pandas import DataFrame


def models_of(table: "DataFrame", size_column: str, axis: str) -> "DataFrame":
    """Size and seed of each row's model; the seed is in the column `seed`, or next to the size (70M/seed1)."""
    import pandas as pd

    sizes, seeds = [], []
    given_seeds = table["seed"] if "seed" in table else [None] * len(table)
    for place, text, given in zip(table.index, texts(table[size_column]), given_seeds, strict=True):
        parsed = parse_size(text)
        if parsed is None or (axis == "parameters" and not parsed[0]):
            raise ScalingError(f"{place}: column {size_column} must be a size (70000000, 7e7 or 70M), not {text!r}")
        size, seed = parsed
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
