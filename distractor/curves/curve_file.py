"""Anyone's results as a curve to be judged: tables of items or of means, and per-item logs of lm-evaluation-harness.

Nothing is guessed and nothing averaged away: what is missing, doubled, mixed or not a number is refused with its name,
but items that some model lacks are left out and counted, since only complete items can be compared.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.scaling import SHARES, Means, Size, Values

AXES = {
    "parameters": ("n_params", "parameters", "params", "size"),
    "tokens": ("tokens", "n_tokens", "size"),
    "flops": ("flops", "compute", "size"),
    "step": ("step", "steps", "size"),
}
"""What a curve can run against, and the columns that may hold it."""

ITEM = ("item", "item_id", "doc_id")
MEAN = ("mean", "value")
COUNT = ("n", "n_items")
ERROR = ("se", "stderr")
CONTEXT = ("task", "format", "shots", "bos", "prompt", "filter", "condition")
"""Columns in which one curve has one value; where there are several, the user must say which."""

CONSTANT = 0.95
"""A model that gives one answer on more than this share of items, where the right ones are mixed, is flagged."""

SIZE = re.compile(r"(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?P<unit>[kKmMbBtT]?)(?:/seed(?P<seed>\d+))?")
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity over sizes and seeds: group means of complete items, or means with their standard errors.

    `values` [seed size group] is None where only `means` and `errors` [seed size] are known. `left_out` items were not
    posed to every model. `notes` are what a reader must know (constant responders).
    """

    quantity: str
    axis: str
    sizes: tuple[Size, ...]
    seeds: tuple[int, ...]
    means: Means
    errors: Means | None = None
    values: Values | None = None
    groups: tuple[str, ...] = ()
    n_items: int | None = None
    left_out: int = 0
    families: tuple[str, ...] = ()
    task: str | None = None
    notes: tuple[str, ...] = field(default=())


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


def read_curve(files: Sequence[str], wanted: Wanted) -> Curve:
    """Read one table, or one log a model (`SIZE=FILE` or `SIZE/seedK=FILE`; without SIZE, from results_*.json beside it).

    Raises:
        ScalingError: a file is not there, no table or log, or no curve can be made of it without guessing.

    """
    named = [_named(text) for text in files]
    if len(named) == 1 and named[0][1] is None and not _is_log(named[0][0]):
        rows = _table(named[0][0], wanted)
    else:
        rows = [row for path, size, seed in named for row in _log(path, size, seed, wanted)]
    return curve_of(rows, wanted)


def curve_of(rows: Sequence[Row], wanted: Wanted) -> Curve:
    """Make a curve of rows that have a size, and either item and value, or mean and n (or its standard error)."""
    if not rows:
        raise ScalingError("the file holds no rows")
    numbered = [{**row, "row": number} for number, row in enumerate(rows, 1)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    numbered = _select(numbered, columns, wanted)
    quantity, column = _quantity(numbered, columns, wanted)
    if "quantity" in columns:
        numbered = [row for row in numbered if row["quantity"] == quantity]
    numbered = _one_condition(numbered, columns)
    _refuse_mixtures(numbered, columns, wanted)
    size_column = _first(columns, AXES[wanted.axis])
    if size_column is None:
        raise ScalingError(
            f"a curve against {wanted.axis} needs a column {' or '.join(AXES[wanted.axis])}; there are: {_list(columns)}"
        )
    table = [(_size(row, size_column), _seed(row), row) for row in numbered]
    task = {str(row["task"]) for row in numbered if row.get("task") is not None}
    fixed: dict[str, Any] = {
        "quantity": quantity,
        "axis": wanted.axis,
        "families": tuple(sorted({str(row["family"]) for row in numbered if row.get("family") is not None})),
        "task": task.pop() if len(task) == 1 else None,
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
        raise ScalingError(f"there is no column {group_column!r} to group items by; there are: {_list(columns)}")
    sizes, seeds = sorted({size for size, _, _ in table}), sorted({seed for _, seed, _ in table})
    at: dict[tuple[int, Size], dict[str, float]] = {(seed, size): {} for seed in seeds for size in sizes}
    group_of: dict[str, str] = {}
    hashes: dict[str, Any] = {}
    for size, seed, row in table:
        name = str(row[item_column])
        value = _value(row, value_column, fixed["quantity"])
        cell = at[seed, size]
        if name in cell:
            raise ScalingError(
                f"row {row['row']}: item {name} stands twice at size {size:g}, seed {seed}; "
                "keep the rows of one curve with --where column=value, or run against another axis with --against"
            )
        cell[name] = value
        group = str(row.get(group_column))
        if group_of.setdefault(name, group) != group:
            raise ScalingError(
                f"row {row['row']}: item {name} is in group {group}, before in {group_of[name]}; an item has one group"
            )
        if hashes.setdefault(name, row.get("doc_hash")) != row.get("doc_hash"):
            raise ScalingError(
                f"row {row['row']}: item {name} is not the same question as in the other models' logs (doc_hash "
                "differs); compare logs of one version of one task"
            )
    _whole_grid(at, sizes, seeds)
    complete = sorted(set.intersection(*(set(cell) for cell in at.values())))
    if not complete:
        raise ScalingError(
            "no item was posed to every model, so nothing can be compared; do the items have the same names?"
        )
    per_item = np.array([[[at[seed, size][name] for name in complete] for size in sizes] for seed in seeds])
    names, place = np.unique([group_of[name] for name in complete], return_inverse=True)
    member = (place[:, None] == np.arange(len(names))).astype(float)
    values = per_item @ member / member.sum(0)  # sums first: a share of 1 is exactly 1
    left_out = len(group_of) - len(complete)
    notes = [f"{left_out} of {len(group_of)} items were not posed to every model and are left out"] if left_out else []
    return Curve(
        sizes=tuple(sizes),
        seeds=tuple(seeds),
        means=values.mean(-1),
        values=values,
        groups=tuple(str(name) for name in names),
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
            f"a table of means needs a column {wanted}, one of items a column item; there are: {_list(columns)}"
        )
    sizes, seeds = sorted({size for size, _, _ in table}), sorted({seed for _, seed, _ in table})
    at: dict[tuple[int, Size], dict[str, float]] = {(seed, size): {} for seed in seeds for size in sizes}
    for size, seed, row in table:
        cell = at[seed, size]
        if cell:
            raise ScalingError(
                f"row {row['row']}: size {size:g}, seed {seed} stands twice; keep the rows of one curve with "
                "--where column=value, or add a column seed or item"
            )
        cell["mean"] = _value(row, mean_column, fixed["quantity"])
        if error_column is not None:
            cell["error"] = _number(row, error_column)
        else:
            count = _number(row, str(count_column))
            if count < 1 or count != int(count):
                raise ScalingError(f"row {row['row']}: n is a count of items, 1 or more; {count:g} came")
            # As if one more item had been right and one wrong (Agresti and Caffo 2000): a share of 0 or 1 is not sure.
            eased = (cell["mean"] * count + 1) / (count + 2)
            cell["error"] = float(np.sqrt(eased * (1 - eased) / (count + 2)))
    _whole_grid(at, sizes, seeds)

    def grid(name: str) -> Float[ndarray, "seed size"]:
        return np.array([[at[seed, size][name] for size in sizes] for seed in seeds])

    return Curve(sizes=tuple(sizes), seeds=tuple(seeds), means=grid("mean"), errors=grid("error"), **fixed)


# Which rows.


def _select(rows: list[dict[str, Any]], columns: list[str], wanted: Wanted) -> list[dict[str, Any]]:
    for column, value in wanted.where:
        if column not in columns:
            raise ScalingError(f"--where names a column {column!r}; there are: {_list(columns)}")
        kept = [row for row in rows if _as_text(row.get(column)) == value]
        if not kept:
            there = dict.fromkeys(_as_text(row.get(column)) for row in rows)
            raise ScalingError(f"no row has {column} = {value}; there are: {_list(there)}")
        rows = kept
    return rows


def _quantity(rows: list[dict[str, Any]], columns: list[str], wanted: Wanted) -> tuple[str, str]:
    """The quantity, and the column that holds it."""
    if "quantity" in columns:
        there = dict.fromkeys(str(row["quantity"]) for row in rows)
        quantity = wanted.quantity or (next(iter(there)) if len(there) == 1 else None)
        if quantity is None:
            raise ScalingError(f"the table holds several quantities; choose one with --quantity: {_list(there)}")
        if quantity not in there:
            raise ScalingError(f"the table holds no {quantity}; there are: {_list(there)}")
        column = _first(columns, (*MEAN, quantity))
    else:
        quantity = wanted.quantity or "accuracy"
        column = quantity if quantity in columns else _first(columns, MEAN)
    if column is None:
        raise ScalingError(f"there is no column value, mean or {quantity}; there are: {_list(columns)}")
    return quantity, column


def _one_condition(rows: list[dict[str, Any]], columns: list[str]) -> list[dict[str, Any]]:
    """Tables with several conditions, as `ablate` writes them, are read at `conflict`."""
    if "condition" not in columns or len({row.get("condition") for row in rows}) < 2:
        return rows
    return [row for row in rows if row.get("condition") == "conflict"] or rows


def _refuse_mixtures(rows: list[dict[str, Any]], columns: list[str], wanted: Wanted) -> None:
    for name in CONTEXT:
        there = dict.fromkeys(_as_text(row.get(name)) for row in rows) if name in columns else {}
        if len(there) > 1:
            raise ScalingError(
                f"one curve has one {name}; the rows have {_list(there)}: choose with --where {name}={next(iter(there))}"
            )
    families = dict.fromkeys(_as_text(row.get("family")) for row in rows) if "family" in columns else {}
    if len(families) > 1 and not wanted.mixed_families:
        raise ScalingError(
            f"the rows mix the families {_list(families)}, whose models differ in more than size; choose one with "
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
        if row.get("answer") is not None and row.get("target") is not None:
            given.setdefault((size, seed), Counter())[str(row["answer"])] += 1
            right.add(str(row["target"]))
    if len(right) > 1:
        for (size, seed), answers in given.items():
            (answer, count), *_ = answers.most_common(1)
            if count > CONSTANT * answers.total():
                yield (
                    f"the same answer ({answer.strip()}) on more than {CONSTANT:.0%} of the items at {size:g}, "
                    f"seed {seed}: its accuracy means nothing"
                )


# What a row holds.


def _value(row: Row, column: str, quantity: str) -> float:
    value = _number(row, column)
    if quantity in SHARES and not 0 <= value <= 1:
        hint = "; percentages are to be divided by 100" if 1 < value <= 100 else ""
        raise ScalingError(f"row {row['row']}: {quantity} lies between 0 and 1; {value:g} came{hint}")
    return value


def _number(row: Row, column: str) -> float:
    value = row.get(column)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        shown = "nothing" if value is None or value == "" else repr(value)
        raise ScalingError(
            f"row {row['row']}: column {column} should hold a number, and holds {shown}; "
            "leave out items or models that were not measured"
        )
    return number


def _size(row: Row, column: str) -> Size:
    found = parse_size(str(row.get(column)))
    if found is None:
        raise ScalingError(
            f"row {row['row']}: column {column} should hold a size as 70000000, 7e7 or 70M; {row.get(column)!r} came"
        )
    return found[0]


def _seed(row: Row) -> int:
    seed = row.get("seed")
    if seed is None:
        return 0
    number = _number(row, "seed")
    if number != int(number):
        raise ScalingError(f"row {row['row']}: a seed is a whole number; {seed!r} came")
    return int(number)


def parse_size(text: str) -> tuple[Size, int] | None:
    """(size, seed) of "70000000", "7e7", "70M" or "70M/seed1"; None where it is no size.

    >>> parse_size("1.5B/seed2")
    (1500000000, 2)
    """
    match = SIZE.fullmatch(text.strip())
    if match is None:
        return None
    size = float(match["number"]) * UNITS[match["unit"].lower()]
    return (round(size) if size >= 1 and abs(size - round(size)) < 1e-6 else size), int(match["seed"] or 0)


def _as_text(value: Any) -> str:
    return str(value)


def _first(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _list(names: Any) -> str:
    shown = list(names)
    return ", ".join(map(str, shown[:12])) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


# Tables.


def _named(text: str) -> tuple[Path, Size | None, int]:
    """`SIZE=FILE` taken apart; a path may itself hold an equals sign."""
    before, equals, after = text.partition("=")
    found = parse_size(before) if equals else None
    return (Path(after), *found) if found else (Path(text), None, 0)


def _table(path: Path, wanted: Wanted) -> list[dict[str, Any]]:
    if not path.is_file():
        raise ScalingError(f"there is no file {path}")
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            import pyarrow.parquet as pq

            has_quantity = "quantity" in pq.read_schema(path).names
            only = [("quantity", "==", wanted.quantity)] if wanted.quantity and has_quantity else None
            found = pq.read_table(path, filters=only)
            if only and not len(found):
                found = pq.read_table(path)  # so that what there is can be told
            return list(found.to_pylist())
        if kind in (".csv", ".tsv"):
            import csv

            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",")
                rows = [{k: None if v == "" else v for k, v in row.items()} for row in reader]
            for number, row in enumerate(rows, 1):
                if None in row or len(row) != len(reader.fieldnames or ()):
                    raise ScalingError(f"{path}, row {number}: more values than the header has columns")
            return rows
        if kind == ".json":
            told = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
                raise ScalingError(f"{path} should hold a list of rows, each an object with column names")
            return told
        if kind == ".jsonl":
            return _lines(path)
    except ScalingError:
        raise
    except Exception as error:  # pyarrow's errors have no common ground
        raise ScalingError(f"{path} cannot be read as a table: {error}") from error
    raise ScalingError(f"{path} is no table that can be read: .csv, .tsv, .parquet, .json or .jsonl is wanted")


def _lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ScalingError(f"{path}, line {number}: no JSON ({error})") from error
        if not isinstance(row, dict):
            raise ScalingError(f"{path}, line {number}: each line should be an object with column names")
        rows.append(row)
    return rows


# Logs of lm-evaluation-harness (`--log_samples`): one line an item and filter.


def _is_log(path: Path) -> bool:
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return '"doc_id"' in first and '"filtered_resps"' in first


def _log(path: Path, size: Size | None, seed: int, wanted: Wanted) -> list[dict[str, Any]]:
    """One model's log as rows. Options are read as in multiple choice: log-probabilities in the order of the choices."""
    if not path.is_file():
        raise ScalingError(f"there is no file {path}")
    if not _is_log(path):
        raise ScalingError(
            f"{path} is no per-item log of lm-evaluation-harness (samples_*.jsonl of --log_samples); "
            "one table can be read, but several files must be logs, one for each model"
        )
    if size is None:
        size = _size_beside(path)
    quantity = wanted.quantity or "accuracy"
    rows = []
    for number, entry in enumerate(_lines(path), 1):
        row: dict[str, Any] = {"size": size, "seed": seed, "quantity": quantity}
        row |= {name: entry[name] for name in ("doc_id", "doc_hash", "filter") if name in entry}
        row["value"] = _logged(path, number, entry, quantity, row)
        if wanted.group:
            doc = entry.get("doc")
            if not isinstance(doc, dict) or wanted.group not in doc:
                there = list(doc) if isinstance(doc, dict) else []
                raise ScalingError(f"{path}, line {number}: its doc has no {wanted.group!r}; there are: {_list(there)}")
            row[wanted.group] = doc[wanted.group]
        rows.append(row)
    if not rows:
        raise ScalingError(f"{path} holds no items")
    return rows


def _logged(path: Path, number: int, entry: Row, quantity: str, row: dict[str, Any]) -> Any:
    """The value of one logged item; what it answered and what is right go into `row`."""
    log_probs, target = _options(entry), _target(entry)
    if log_probs is not None and target is not None and target < len(log_probs):
        row["answer"], row["target"] = int(np.argmax(log_probs)), target
    if quantity == "accuracy":
        if "acc" not in entry:
            metrics = entry.get("metrics", [])
            raise ScalingError(f"{path}, line {number}: no metric acc is logged; there are: {_list(metrics)}")
        return entry["acc"]
    if quantity not in ("logit_gap", "distractor_preference"):
        raise ScalingError(
            f"a log of one prompt gives accuracy, logit_gap or distractor_preference; {quantity} needs matched conditions"
        )
    if log_probs is None or target is None or len(log_probs) != 2 or target > 1:
        raise ScalingError(
            f"{path}, line {number}: {quantity} needs the log-probabilities of two answers and which is right"
        )
    gap = log_probs[target] - log_probs[1 - target]
    return gap if quantity == "logit_gap" else float(np.exp(-np.logaddexp(0, gap)))


def _options(entry: Row) -> list[float] | None:
    """Log-probabilities of the choices; logged as [["-1.2", "False"], …] or, in older versions, [[-1.2, false], …]."""
    found = []
    for response in entry["filtered_resps"]:
        one = response
        while isinstance(one, list) and one:
            one = one[0]
        try:
            found.append(float(one))
        except (TypeError, ValueError):
            return None
    return found


def _target(entry: Row) -> int | None:
    try:
        return int(entry.get("target"))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _size_beside(path: Path) -> Size:
    """The model's parameters, as the results file of the same run beside a log tells them."""
    date = re.search(r"_(\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl$", path.name)
    beside = path.with_name(f"results_{date[1]}.json") if date else None
    if beside is not None and beside.is_file():
        try:
            count = json.loads(beside.read_text(encoding="utf-8"))["config"]["model_num_parameters"]
        except (ValueError, KeyError, TypeError):
            count = None
        if isinstance(count, int) and count > 0:
            return count
    raise ScalingError(f"how large is the model of {path}? Write its size before it: 70M={path}, or 70M/seed1={path}")
