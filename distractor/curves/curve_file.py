"""Makes a curve from results in a table of items or means, or in logs of lm-evaluation-harness.

Nothing is guessed. Missing, repeated, mixed or non-numeric values are refused with their row. Only items that every model
has can be compared, so other items are left out and counted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.curves.harness_log import is_log, read_log
from distractor.curves.model_size import LARGEST, parse_size
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve, Size
from distractor.statistics.intervals import group_means
from distractor.statistics.shape_test import NATS, SHARES
from distractor.text.rows import names_text, read_parquet, read_rows, value_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series

AXES = {
    "parameters": ("n_params", "parameters", "params", "size"),
    "tokens": ("tokens", "n_tokens"),
    "flops": ("flops", "compute"),
    "step": ("step", "steps"),
}
"""The axes of a curve, and the columns that may hold each; `size` means parameters."""

ITEM = ("item", "item_id", "doc_id")
MEAN = ("mean", "value")
COUNT = ("n", "n_items")
ERROR = ("se", "stderr")

CONTEXT = ("task", "format", "shots", "bos", "prompt", "filter", "condition")
"""Columns with one value in a curve; if a table has several, the user must choose."""

KINDS = (".csv", ".tsv", ".parquet", ".json", ".jsonl")

CONSTANT = 0.95
"""A model that gives one answer to more than this share of items gets a note, if the right answers differ."""


@dataclass(frozen=True)
class CurveRequest:
    """What to read: quantity (None: the only one), axis, row filters (column, value), and the column that groups items."""

    quantity: str | None = None
    axis: str = "parameters"
    where: tuple[tuple[str, str], ...] = ()
    group: str | None = None
    mixed_families: bool = False

    @classmethod
    def parse(
        cls, quantity: str | None, axis: str, where: Sequence[str], group: str | None, *, mixed_families: bool
    ) -> "CurveRequest":
        """Parse the options of the command line; `where` holds `column=value`."""
        filters = [text.partition("=") for text in where]
        for text, (column, equals, _) in zip(where, filters, strict=True):
            if not equals or not column:
                raise ScalingError(f"--where takes column=value, not {text!r}")
        if axis not in AXES:
            raise ScalingError(f"--against takes {', '.join(AXES)}, not {axis!r}")
        return cls(quantity, axis, tuple((column, value) for column, _, value in filters), group, mixed_families)


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
        kept = _texts(table[column]) == value
        if not kept.any():
            raise ScalingError(
                f"no row has {column} = {value}; the values are {names_text(_texts(table[column]).unique())}"
            )
        table = table[kept]
    table, quantity, value_column = _select_quantity(table, request.quantity)
    if "condition" in table and (is_conflict := _texts(table["condition"]) == "conflict").any():
        table = table[is_conflict]  # `ablate` writes all conditions
    _refuse_mixtures(table, mixed_families=request.mixed_families)
    size_column = _first(table, AXES[request.axis])
    if size_column is None:
        names = " or ".join(AXES[request.axis])
        raise ScalingError(
            f"a curve against {request.axis} needs a column {names}; the columns are {names_text(table)}"
        )
    models = _models(table, size_column, request.axis)
    fixed: dict[str, Any] = {
        "quantity": quantity,
        "axis": request.axis,
        "families": tuple(sorted(_values(table, "family"))),
        "task": _only_value(table, "task"),
        "condition": _only_value(table, "condition"),
        "sizes": tuple(sorted(set(models["size"]))),
        "seeds": tuple(sorted(set(models["seed"]))),
    }
    item_column = _first(table, ITEM)
    if item_column is None:
        return _curve_of_means(table, models, value_column, fixed)
    return _curve_of_items(table, models, item_column, value_column, request.group, fixed)


def _curve_of_items(
    table: "DataFrame",
    models: "DataFrame",
    item_column: str,
    value_column: str,
    group: str | None,
    fixed: dict[str, Any],
) -> Curve:
    group_column = group or ("group" if "group" in table else item_column)
    if group_column not in table:
        raise ScalingError(
            f"there is no column {group_column!r} to group items by; the columns are {names_text(table)}"
        )
    items = models.assign(
        item=_names(table, item_column),
        value=_quantity_values(table, value_column, fixed["quantity"], are_items=True),
        group=_names(table, group_column),
        doc_hash=_texts(table["doc_hash"]) if "doc_hash" in table else "",
    )
    for place, item in _rows(items, items.duplicated(["seed", "size", "item"])):
        raise ScalingError(
            f"{place}: item {item['item']} appears twice at size {item['size']:g}, seed {item['seed']}; keep the rows of "
            "one curve with --where column=value, or use another axis with --against"
        )
    first = items.groupby("item", sort=False)[["group", "doc_hash"]].transform("first")
    for place, item in _rows(items.assign(earlier=first["group"]), items["group"] != first["group"]):
        raise ScalingError(
            f"{place}: item {item['item']} has the group {item['group']}, but {item['earlier']} in an earlier "
            "row; an item has one group"
        )
    for place, item in _rows(items, items["doc_hash"] != first["doc_hash"]):
        raise ScalingError(
            f"{place}: item {item['item']} is another question than in the other models' logs (doc_hash differs); "
            "compare logs of one version of one task"
        )
    grid = _grid(items, "value", fixed, columns="item")
    complete = grid.loc[:, grid.notna().all()]
    if complete.empty:
        raise ScalingError("no item was shown to every model; check that items have the same names for all models")
    group_of = items.drop_duplicates("item").set_index("item")["group"]
    groups = list(group_of[complete.columns])
    per_item = complete.to_numpy(float).reshape(len(fixed["seeds"]), len(fixed["sizes"]), -1)
    values = group_means(per_item, groups)
    left_out = grid.shape[1] - complete.shape[1]
    notes = [f"{left_out} of {grid.shape[1]} items were not shown to every model and are left out"] * bool(left_out)
    return Curve(
        means=values.mean(-1),
        values=values,
        groups=tuple(sorted(set(groups))),
        n_items=complete.shape[1],
        left_out=left_out,
        notes=(*notes, *_constant_answers(table, models)),
        **fixed,
    )


def _curve_of_means(table: "DataFrame", models: "DataFrame", mean_column: str, fixed: dict[str, Any]) -> Curve:
    error_column, count_column = _first(table, ERROR), _first(table, COUNT)
    is_share = fixed["quantity"] in SHARES
    if error_column is None and (count_column is None or not is_share):
        needed = "n (number of items) or se (standard error)" if is_share else "se (standard error)"
        raise ScalingError(
            f"a table of means needs a column {needed}; a table of items needs a column item; the columns are "
            f"{names_text(table)}"
        )
    means = models.assign(mean=_quantity_values(table, mean_column, fixed["quantity"], are_items=False))
    for place, mean in _rows(means, means.duplicated(["seed", "size"])):
        raise ScalingError(
            f"{place}: size {mean['size']:g}, seed {mean['seed']} appears twice; keep the rows of one curve with --where "
            "column=value, or add a column seed or item"
        )
    if error_column is not None:
        means["error"] = _numbers(table, error_column)
        for place, mean in _rows(means, means["error"] < 0):
            raise ScalingError(f"{place}: {error_column} is a standard error, 0 or more, not {mean['error']:g}")
    else:
        count = _numbers(table, str(count_column))
        for place, mean in _rows(means.assign(n=count), (count < 1) | (count % 1 != 0)):
            raise ScalingError(f"{place}: n is a number of items, 1 or more, not {mean['n']:g}")
        # One right and one wrong item are added (Agresti and Caffo 2000), so that a share of 0 or 1 has an error too.
        eased = (means["mean"] * count + 1) / (count + 2)
        means["error"] = (eased * (1 - eased) / (count + 2)) ** 0.5
    shape = len(fixed["seeds"]), len(fixed["sizes"])
    grids = {name: _grid(means, name, fixed).to_numpy(float).reshape(shape) for name in ("mean", "error")}
    return Curve(means=grids["mean"], errors=grids["error"], **fixed)


def _select_quantity(table: "DataFrame", requested: str | None) -> "tuple[DataFrame, str, str]":
    """The rows of the quantity, its name, and the column of its values: `value` for items, `mean` for means."""
    candidates = MEAN if _first(table, ITEM) is None else MEAN[::-1]
    if "quantity" in table:
        quantities = _texts(table["quantity"])
        known = quantities.unique()
        quantity = requested or (known[0] if len(known) == 1 else None)
        if quantity is None:
            raise ScalingError(f"the table has several quantities; choose one with --quantity: {names_text(known)}")
        if quantity not in known:
            raise ScalingError(f"the table has no {quantity}; its quantities are {names_text(known)}")
        column = _first(table, (*candidates, quantity))
        table = table[quantities == quantity]
    else:
        quantity = requested or "accuracy"
        column = _first(table, (quantity, *candidates))
    if column is None:
        raise ScalingError(f"there is no column value, mean or {quantity}; the columns are {names_text(table)}")
    return table, quantity, column


def _refuse_mixtures(table: "DataFrame", *, mixed_families: bool) -> None:
    for name in CONTEXT:
        values = list(_texts(table[name]).unique()) if name in table else []
        if len(values) > 1:
            raise ScalingError(
                f"a curve has one {name}, but the rows have {names_text(values)}; choose with --where {name}={values[0]}"
            )
    families = list(_texts(table["family"]).unique()) if "family" in table else []
    if len(families) > 1 and not mixed_families:
        raise ScalingError(
            f"the rows mix the families {names_text(families)}, which differ in more than size; choose with --where "
            f"family={families[0]}, or allow a common curve with --mixed-families"
        )


def _grid(rows: "DataFrame", value: str, fixed: Mapping[str, Any], columns: str | None = None) -> "DataFrame":
    """Arrange values by (seed, size), with `columns` side by side; every seed must have every size."""
    import pandas as pd

    cells = pd.MultiIndex.from_product([fixed["seeds"], fixed["sizes"]], names=["seed", "size"])
    grid = rows.assign(all="")[["seed", "size", columns or "all", value]].pivot(
        index=["seed", "size"], columns=columns or "all", values=value
    )
    missing = [f"seed {seed} lacks size {size:g}" for seed, size in cells.difference(grid.index, sort=False)]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ScalingError(f"{'; '.join(missing[:3])}{more}: every seed needs every size. Leave rows out with --where")
    return grid.reindex(cells)


def _constant_answers(table: "DataFrame", models: "DataFrame") -> Iterator[str]:
    """Yield a note for each model that nearly always gives the same answer, if the table has answers and targets."""
    if not {"answer", "target"} <= set(table):
        return
    answers = models.assign(answer=table["answer"], target=table["target"]).dropna(subset=["answer", "target"])
    if _texts(answers["target"]).nunique() > 1:
        for (size, seed), given in answers.groupby(["size", "seed"], sort=False)["answer"]:
            shares = _texts(given).value_counts(normalize=True)
            if shares.iloc[0] > CONSTANT:
                yield (
                    f"the answer is the same ({str(shares.index[0]).strip()}) on more than {CONSTANT:.0%} of the items at "
                    f"{size:g}, seed {seed}, so its accuracy means nothing"
                )


def _models(table: "DataFrame", size_column: str, axis: str) -> "DataFrame":
    """Size and seed of each row's model; the seed is in the column `seed`, or next to the size (70M/seed1)."""
    import pandas as pd

    sizes, seeds = [], []
    given_seeds = table["seed"] if "seed" in table else [None] * len(table)
    for place, text, given in zip(table.index, _texts(table[size_column]), given_seeds, strict=True):
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
    if _is_empty(value):
        return None
    try:
        return int(str(value))  # a float would round large seeds
    except ValueError:
        number = _number(value)
    if number % 1 != 0:  # NaN is not a number either
        raise ScalingError(f"{place}: column seed must be a whole number, not {value_text(value)}")
    return int(number)


def _quantity_values(table: "DataFrame", column: str, quantity: str, *, are_items: bool) -> "Series[float]":
    # Accuracy may be written as true or false; a gap in nats may not.
    values = _numbers(table, column, float if are_items and quantity not in NATS else _number)
    if quantity in SHARES:
        for place, value in values[(values < 0) | (values > 1)].items():
            hint = "; divide percentages by 100" if 1 < value <= 100 else ""
            raise ScalingError(f"{place}: {quantity} must be between 0 and 1, not {value:g}{hint}")
    return values


def _numbers(table: "DataFrame", column: str, of_truth: "Callable[[Any], float]" = lambda _: np.nan) -> "Series[float]":
    values = table[column].map(lambda value: of_truth(value) if isinstance(value, bool) else _number(value))
    for place, value in table[column][~(values.abs() < LARGEST)].items():
        bound = f" below {LARGEST:g}" if np.isfinite(_number(value)) else ""
        raise ScalingError(
            f"{place}: column {column} must be a number{bound}, not {value_text(None if _is_empty(value) else value)}; "
            "leave out items or models without a measurement"
        )
    return values.astype(float)


def _number(value: Any) -> float:
    try:
        return np.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _names(table: "DataFrame", column: str) -> "Series[str]":
    """The names of items or groups."""
    for place, value in table[column].items():
        if _is_empty(value):
            raise ScalingError(f"{place}: column {column} must be a name, not empty; fill it in, or drop the column")
    return _texts(table[column])


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value != value


def _texts(column: "Series[Any]") -> "Series[str]":
    return column.map(lambda value: "nothing" if _is_empty(value) else str(value))


def _values(table: "DataFrame", column: str) -> set[str]:
    return set(_texts(table[column].dropna())) if column in table else set()


def _only_value(table: "DataFrame", column: str) -> str | None:
    values = _values(table, column)
    return values.pop() if len(values) == 1 else None


def _rows(table: "DataFrame", mask: "Series[bool]") -> Iterable[tuple[Any, Mapping[str, Any]]]:
    """The rows where `mask` is true, with their places."""
    return table[mask].iterrows()  # type: ignore[return-value]


def _first(table: "DataFrame", names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table), None)
