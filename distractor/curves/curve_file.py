"""Anyone's results as a curve to be judged: a table of items or of means, or logs of lm-evaluation-harness.

Nothing is guessed and nothing averaged away: what is missing, doubled, mixed or not a number is refused with its name,
but items that some model lacks are left out and counted, since only complete items can be compared.
"""

import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.curves.harness_log import is_log, read_log
from distractor.curves.rows_file import LARGEST, Row, listed, parse_size, read_table
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve, Size
from distractor.statistics.groups import group_means
from distractor.statistics.shape_test import NATS, SHARES

AXES = {
    "parameters": ("n_params", "parameters", "params", "size"),
    "tokens": ("tokens", "n_tokens"),
    "flops": ("flops", "compute"),
    "step": ("step", "steps"),
}
"""What a curve can run against, and the columns that may hold it; a bare `size` is one of parameters."""


ITEM = ("item", "item_id", "doc_id")


MEAN = ("mean", "value")


COUNT = ("n", "n_items")


ERROR = ("se", "stderr")


CONTEXT = ("task", "format", "shots", "bos", "prompt", "filter", "condition")
"""Columns in which one curve has one value; where there are several, the user must say which."""


CONSTANT = 0.95
"""A model that gives one answer on more than this share of items, where the right ones are mixed, is flagged."""


@dataclass(frozen=True)
class Wanted:
    """What is to be read: the quantity (None: the only one), the axis, the rows, and what makes a group of items."""

    quantity: str | None = None
    axis: str = "parameters"
    where: tuple[tuple[str, str], ...] = ()
    group: str | None = None
    mixed_families: bool = False

    @classmethod
    def of(
        cls, quantity: str | None, axis: str, where: Sequence[str], group: str | None, *, mixed_families: bool
    ) -> "Wanted":
        """From the words of the command line; `where` as column=value."""
        pairs = []
        for text in where:
            column, equals, value = text.partition("=")
            if not equals or not column:
                raise ScalingError(f"--where is column=value; {text!r} came")
            pairs.append((column, value))
        if axis not in AXES:
            raise ScalingError(f"a curve runs against {', '.join(AXES)}; {axis!r} came")
        return cls(quantity, axis, tuple(pairs), group, mixed_families)


def paths_of(files: Sequence[str]) -> list[Path]:
    """The paths in `SIZE=FILE`."""
    return [path for path, _, _ in map(_named, files)]


def _named(text: str) -> tuple[Path, Size | None, int]:
    """`SIZE=FILE` taken apart; a path may itself hold an equals sign."""
    before, equals, after = text.partition("=")
    found = parse_size(before) if equals else None
    return (Path(after), found[0], found[1] or 0) if found else (Path(text), None, 0)


def read_curve(files: Sequence[str], wanted: Wanted) -> Curve:
    """Read one table, or one log a model (`SIZE=FILE` or `SIZE/seedK=FILE`; without SIZE, from results_*.json beside it).

    Raises:
        ScalingError: a file is not there, no table or log, or no curve can be made of it without guessing.

    """
    named = [_named(text) for text in files]
    if len(named) == 1 and named[0][1] is None and not is_log(named[0][0]):
        return _curve(read_table(named[0][0], wanted.quantity), wanted)
    quantity = wanted.quantity or "accuracy"
    rows = []
    for path, size, seed in named:
        logged = read_log(path, size, seed, quantity, wanted.group)
        # A size that the user gives is one of the axis asked for; one that stands beside a log, of parameters.
        column = "size" if size is None else AXES[wanted.axis][0]
        rows += [
            Row(row.place, {column if name == "size" else name: v for name, v in row.cells.items()}) for row in logged
        ]
    return _curve(rows, replace(wanted, group=None))  # a log's group stands in a column of that name


def curve_of(rows: Sequence[Mapping[str, Any]], wanted: Wanted) -> Curve:
    """Make a curve of rows that have a size, and either item and value, or mean and n (or its standard error)."""
    return _curve([Row(f"row {number}", row) for number, row in enumerate(rows, 1)], wanted)


def _curve(rows: Sequence[Row], wanted: Wanted) -> Curve:
    if not rows:
        raise ScalingError("the file holds no rows")
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    rows = _select(rows, columns, wanted)
    quantity, column = _quantity(rows, columns, wanted)
    if "quantity" in columns:
        rows = [row for row in rows if str(row.cells.get("quantity")) == quantity]
    rows = _one_condition(rows, columns)
    _refuse_mixtures(rows, columns, wanted)
    size_column = _first(columns, AXES[wanted.axis])
    if size_column is None:
        raise ScalingError(
            f"a curve against {wanted.axis} needs a column {' or '.join(AXES[wanted.axis])}; there are: {listed(columns)}"
        )
    table = [(*_model(row, size_column, wanted.axis), row) for row in rows]
    task, condition = _there(rows, "task"), _there(rows, "condition")
    fixed: dict[str, Any] = {
        "quantity": quantity,
        "axis": wanted.axis,
        "families": tuple(sorted(_there(rows, "family"))),
        "task": task.pop() if len(task) == 1 else None,
        "condition": condition.pop() if len(condition) == 1 else None,
    }
    item = _first(columns, ITEM)
    if item is None:
        return _of_means(table, columns, column, fixed)
    return _of_items(table, columns, item, column, wanted, fixed)


def _of_items(
    table: Sequence[tuple[Size, int, Row]],
    columns: list[str],
    item_column: str,
    value_column: str,
    wanted: Wanted,
    fixed: dict[str, Any],
) -> Curve:
    group_column = wanted.group or ("group" if "group" in columns else item_column)
    if group_column not in columns:
        raise ScalingError(f"there is no column {group_column!r} to group items by; there are: {listed(columns)}")
    sizes, seeds = sorted({size for size, _, _ in table}), sorted({seed for _, seed, _ in table})
    at: dict[tuple[int, Size], dict[str, float]] = {(seed, size): {} for seed in seeds for size in sizes}
    group_of: dict[str, str] = {}
    hashes: dict[str, Any] = {}
    for size, seed, row in table:
        name = _name(row, item_column)
        value = _value(row, value_column, fixed["quantity"], of_item=True)
        cell = at[seed, size]
        if name in cell:
            raise ScalingError(
                f"{row.place}: item {name} stands twice at size {size:g}, seed {seed}; "
                "keep the rows of one curve with --where column=value, or run against another axis with --against"
            )
        cell[name] = value
        group = _name(row, group_column)
        if group_of.setdefault(name, group) != group:
            raise ScalingError(
                f"{row.place}: item {name} is in group {group}, before in {group_of[name]}; an item has one group"
            )
        if hashes.setdefault(name, row.cells.get("doc_hash")) != row.cells.get("doc_hash"):
            raise ScalingError(
                f"{row.place}: item {name} is not the same question as in the other models' logs (doc_hash "
                "differs); compare logs of one version of one task"
            )
    _whole_grid(at, sizes, seeds)
    complete = sorted(set.intersection(*(set(cell) for cell in at.values())))
    if not complete:
        raise ScalingError(
            "no item was posed to every model, so nothing can be compared; do the items have the same names?"
        )
    per_item = np.array([[[at[seed, size][name] for name in complete] for size in sizes] for seed in seeds])
    groups = [group_of[name] for name in complete]
    values = group_means(per_item, groups)
    left_out = len(group_of) - len(complete)
    notes = [f"{left_out} of {len(group_of)} items were not posed to every model and are left out"] if left_out else []
    return Curve(
        sizes=tuple(sizes),
        seeds=tuple(seeds),
        means=values.mean(-1),
        values=values,
        groups=tuple(str(name) for name in np.unique(groups)),
        n_items=len(complete),
        left_out=left_out,
        notes=(*notes, *_constant(table)),
        **fixed,
    )


def _of_means(
    table: Sequence[tuple[Size, int, Row]], columns: list[str], mean_column: str, fixed: dict[str, Any]
) -> Curve:
    error_column, count_column = _first(columns, ERROR), _first(columns, COUNT)
    if error_column is None and (count_column is None or fixed["quantity"] not in SHARES):
        wanted = "n (how many items) or se (its standard error)" if fixed["quantity"] in SHARES else "se"
        raise ScalingError(
            f"a table of means needs a column {wanted}, one of items a column item; there are: {listed(columns)}"
        )
    sizes, seeds = sorted({size for size, _, _ in table}), sorted({seed for _, seed, _ in table})
    at: dict[tuple[int, Size], dict[str, float]] = {(seed, size): {} for seed in seeds for size in sizes}
    for size, seed, row in table:
        cell = at[seed, size]
        if cell:
            raise ScalingError(
                f"{row.place}: size {size:g}, seed {seed} stands twice; keep the rows of one curve with "
                "--where column=value, or add a column seed or item"
            )
        cell["mean"] = _value(row, mean_column, fixed["quantity"], of_item=False)
        if error_column is not None:
            cell["error"] = _number(row, error_column)
            if cell["error"] < 0:
                raise ScalingError(
                    f"{row.place}: {error_column}, a standard error, is 0 or more; {cell['error']:g} came"
                )
        else:
            count = _number(row, str(count_column))
            if count < 1 or count != int(count):
                raise ScalingError(f"{row.place}: n is a count of items, 1 or more; {count:g} came")
            # As if one more item had been right and one wrong (Agresti and Caffo 2000): a share of 0 or 1 is not sure.
            eased = (cell["mean"] * count + 1) / (count + 2)
            cell["error"] = float(np.sqrt(eased * (1 - eased) / (count + 2)))
    _whole_grid(at, sizes, seeds)

    def grid(name: str) -> Float[ndarray, "seed size"]:
        return np.array([[at[seed, size][name] for size in sizes] for seed in seeds])

    return Curve(sizes=tuple(sizes), seeds=tuple(seeds), means=grid("mean"), errors=grid("error"), **fixed)


# Which rows.


def _select(rows: Sequence[Row], columns: list[str], wanted: Wanted) -> Sequence[Row]:
    for column, value in wanted.where:
        if column not in columns:
            raise ScalingError(f"--where names a column {column!r}; there are: {listed(columns)}")
        kept = [row for row in rows if str(row.cells.get(column)) == value]
        if not kept:
            there = dict.fromkeys(str(row.cells.get(column)) for row in rows)
            raise ScalingError(f"no row has {column} = {value}; there are: {listed(there)}")
        rows = kept
    return rows


def _quantity(rows: Sequence[Row], columns: list[str], wanted: Wanted) -> tuple[str, str]:
    """The quantity, and the column that holds it: of items as a rule `value`, of means `mean`."""
    usual = MEAN if _first(columns, ITEM) is None else MEAN[::-1]
    if "quantity" in columns:
        there = dict.fromkeys(str(row.cells.get("quantity")) for row in rows)
        quantity = wanted.quantity or (next(iter(there)) if len(there) == 1 else None)
        if quantity is None:
            raise ScalingError(f"the table holds several quantities; choose one with --quantity: {listed(there)}")
        if quantity not in there:
            raise ScalingError(f"the table holds no {quantity}; there are: {listed(there)}")
        column = _first(columns, (*usual, quantity))
    else:
        quantity = wanted.quantity or "accuracy"
        column = quantity if quantity in columns else _first(columns, usual)
    if column is None:
        raise ScalingError(f"there is no column value, mean or {quantity}; there are: {listed(columns)}")
    return quantity, column


def _one_condition(rows: Sequence[Row], columns: list[str]) -> Sequence[Row]:
    """Tables with several conditions, as `ablate` writes them, are read at `conflict`."""
    if "condition" not in columns or len({str(row.cells.get("condition")) for row in rows}) < 2:
        return rows
    return [row for row in rows if row.cells.get("condition") == "conflict"] or rows


def _refuse_mixtures(rows: Sequence[Row], columns: list[str], wanted: Wanted) -> None:
    for name in CONTEXT:
        there = dict.fromkeys(str(row.cells.get(name)) for row in rows) if name in columns else {}
        if len(there) > 1:
            raise ScalingError(
                f"one curve has one {name}; the rows have {listed(there)}: choose with --where {name}={next(iter(there))}"
            )
    families = dict.fromkeys(str(row.cells.get("family")) for row in rows) if "family" in columns else {}
    if len(families) > 1 and not wanted.mixed_families:
        raise ScalingError(
            f"the rows mix the families {listed(families)}, whose models differ in more than size; choose one with "
            f"--where family={next(iter(families))}, or say --mixed-families if one curve through all of them is meant"
        )


def _whole_grid(
    at: Mapping[tuple[int, Size], Mapping[str, float]], sizes: Sequence[Size], seeds: Sequence[int]
) -> None:
    missing = [f"seed {seed} lacks size {size:g}" for (seed, size), cell in at.items() if not cell]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ScalingError(
            f"{'; '.join(missing[:3])}{more}: every seed must have every size. Leave rows out with --where"
        )


def _constant(table: Sequence[tuple[Size, int, Row]]) -> Iterator[str]:
    """Models that nearly always give the same answer, where the table tells answers and what would be right."""
    given: dict[tuple[Size, int], Counter[str]] = {}
    right = set()
    for size, seed, row in table:
        if row.cells.get("answer") is not None and row.cells.get("target") is not None:
            given.setdefault((size, seed), Counter())[str(row.cells.get("answer"))] += 1
            right.add(str(row.cells.get("target")))
    if len(right) > 1:
        for (size, seed), answers in given.items():
            (answer, count), *_ = answers.most_common(1)
            if count > CONSTANT * answers.total():
                yield (
                    f"the same answer ({answer.strip()}) on more than {CONSTANT:.0%} of the items at {size:g}, "
                    f"seed {seed}: its accuracy means nothing"
                )


# What a row holds.


def _value(row: Row, column: str, quantity: str, *, of_item: bool) -> float:
    found: Any = row.cells.get(column)
    # Whether one item came out right may be told as true or false; how many nats it has may not.
    told = of_item and quantity not in NATS and isinstance(found, bool)
    value = float(found) if told else _number(row, column)
    if quantity in SHARES and not 0 <= value <= 1:
        hint = "; percentages are to be divided by 100" if 1 < value <= 100 else ""
        raise ScalingError(f"{row.place}: {quantity} lies between 0 and 1; {value:g} came{hint}")
    return value


def _number(row: Row, column: str) -> float:
    value: Any = row.cells.get(column)
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) < LARGEST:
        wanted = f"a number below {LARGEST:g}" if np.isfinite(number) else "a number"
        raise ScalingError(
            f"{row.place}: column {column} should hold {wanted}, and holds {_shown(value)}; "
            "leave out items or models that were not measured"
        )
    return number


def _name(row: Row, column: str) -> str:
    """What an item or a group is called."""
    value = row.cells.get(column)
    if value is None or value == "" or value != value:
        raise ScalingError(
            f"{row.place}: column {column} should hold a name, and holds {_shown(value)}; what has none cannot be told "
            "apart. Fill it in, or leave the column out"
        )
    return str(value)


def _model(row: Row, column: str, axis: str) -> tuple[Size, int]:
    """The size and the seed of a row's model; the seed stands in a column of its own, or beside the size (70M/seed1)."""
    found = parse_size(str(row.cells.get(column)))
    if found is None or (axis == "parameters" and not found[0]):
        raise ScalingError(
            f"{row.place}: column {column} should hold a size as 70000000, 7e7 or 70M; {_shown(row.cells.get(column))} came"
        )
    size, beside = found
    seed = _seed(row)
    if seed is not None and beside is not None and seed != beside:
        raise ScalingError(
            f"{row.place}: the seed is {seed} by column seed, and {beside} by column {column}; correct one, or leave the "
            "column seed out"
        )
    return size, seed or beside or 0


def _seed(row: Row) -> int | None:
    seed = row.cells.get("seed")
    if seed is None or seed == "":
        return None
    try:
        return int(str(seed))  # a float would round the large ones
    except ValueError:
        number = _number(row, "seed")
    if number != int(number):
        raise ScalingError(f"{row.place}: a seed is a whole number; {seed!r} came")
    return int(number)


def _there(rows: Sequence[Row], column: str) -> set[str]:
    """All that stands in a column."""
    return {str(row.cells.get(column)) for row in rows if row.cells.get(column) is not None}


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == "" else reprlib.repr(value)


def _first(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)
