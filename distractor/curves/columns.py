"""Finds columns by their headers: in any case, under usual names, with a unit such as "Model Size (B)"."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from distractor.curves.request import AXES
from distractor.errors import ScalingError

if TYPE_CHECKING:
    from pandas import DataFrame

ITEM = ("item", "item_id", "doc_id", "question_id", "example_id")
GENERIC = ("mean", "value", "score")
COUNT = ("n", "n_items", "n_samples", "n_examples", "num_items", "num_samples", "num_examples", "sample_len", "count")
ERROR = ("se", "stderr", "std_err", "std_error", "standard_error", "sem")
METRICS = ("accuracy", "acc", "acc_norm", "exact_match", "f1")
"""Columns of values with names of their own."""

NAMES_OF = {"accuracy": ("accuracy", "acc"), "acc": ("accuracy", "acc")}
"""Columns that may hold a quantity that has two names."""

USUAL = {
    "seed": ("seed", "random_seed"),
    "group": ("group", "group_id"),
    "family": ("family", "model_family"),
    "task": ("task", "tasks", "task_name", "dataset", "benchmark"),
    "quantity": ("quantity", "metric"),
    "shots": ("shots", "n_shot", "num_fewshot"),
    **{name: (name,) for name in ("format", "bos", "prompt", "filter", "condition", "step")},
    **{name: (name,) for name in ("doc_hash", "answer", "target")},
}
"""Columns beside the sizes and the values, and the headers that they may have."""

UNIT_WORD = r"(%|percent|bn?|billions?|m|millions?|k|thousands?|t|trillions?)"
UNIT = re.compile(
    rf"[\s_]*[(\[]\s*(?:in\s+)?{UNIT_WORD}(?:\s+(?:of\s+)?param\w*|\s+tokens?)?\s*[)\]]\s*$", re.IGNORECASE
)
WORD = re.compile(r"[\s_,]+(?:in[\s_]+)?(%|percent|billions?|millions?)\s*$", re.IGNORECASE)
LETTER = re.compile(
    r"(?:(?<=size)|(?<=params)|(?<=parameters)|(?<=tokens))[\s_,]+(?:in[\s_]+)?([bm])n?$", re.IGNORECASE
)


class Header(NamedTuple):
    """A header in lower case with underscores, and the unit that it ends with: k, m, b, t, % or none."""

    name: str
    unit: str


@lru_cache
def read_header(text: str) -> Header:
    """Divide a header into its name and its unit.

    >>> tuple(read_header("Model Size (B)")), tuple(read_header("Accuracy [%]")), tuple(read_header("N"))
    (('model_size', 'b'), ('accuracy', '%'), ('n', ''))
    """
    match = UNIT.search(text) or WORD.search(text) or LETTER.search(text)
    start = match.start() if match and match.start() > 0 else None
    unit = match[1].lower()[0] if match and start else ""
    name = re.sub(r"[^a-z0-9@%]+", "_", text[:start].strip().lower()).strip("_")
    return Header(name, "%" if unit == "p" else unit)


def find(table: "DataFrame", names: Sequence[str]) -> str | None:
    """The column whose header is the first of `names` that the table has. Raises ScalingError if two columns have it."""
    headers: dict[str, list[str]] = {}
    for column in table.columns:
        headers.setdefault(read_header(str(column)).name, []).append(column)
    for name in names:
        if len(same := headers.get(name, [])) > 1:
            raise ScalingError(f"the columns {' and '.join(map(repr, same))} both mean {name}; remove or rename one")
        if same or name in table:
            return same[0] if same else name
    return None


def find_any(table: "DataFrame", name: str) -> str | None:
    """The column that a user calls `name`: by its header, in any case, or by a usual name."""
    header = read_header(name).name
    usual = next((names for names in (*USUAL.values(), *AXES.values()) if header in names), ())
    return name if name in table else find(table, (header, *usual))


def unit_of(column: str) -> str:
    """The unit in a header, for messages and for sizes; `%` for percentages."""
    return read_header(column).unit


def with_usual_names(table: "DataFrame") -> "DataFrame":
    """The table with the usual name of each column in `USUAL`."""
    found = {find(table, names): role for role, names in USUAL.items() if role not in table}
    return table.rename(columns={column: role for column, role in found.items() if column is not None})


def own_error_column(table: "DataFrame", values: str) -> str | None:
    """The column whose header says that it holds the standard errors of `values`, such as acc_stderr."""
    name = read_header(values).name
    return find(table, [text for error in ERROR for text in (f"{name}_{error}", f"{error}_{name}")])


def error_column(table: "DataFrame", values: str) -> str | None:
    """The column with the standard errors of `values`: its own (acc_stderr), or the table's (se).

    Raises ScalingError if the table's only errors could belong to another column of values.
    """
    own, shared = own_error_column(table, values), find(table, ERROR)
    if own or not shared:
        return own
    metrics = [column for column in dict.fromkeys(find(table, (m,)) for m in METRICS) if column]
    if others := [column for column in metrics if column != values]:
        raise ScalingError(
            f"the column {shared} may belong to {values} or to {others[0]}; call it {values}_stderr if it is its error"
        )
    return shared
