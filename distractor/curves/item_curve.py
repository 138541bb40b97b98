"""Makes a curve of a table with one row for each item: group values, and notes on items and constant answers."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.curves.cells import names_of, rows_where, texts
from distractor.curves.choose import way_to_choose
from distractor.curves.columns import find_any
from distractor.curves.constant_means import same_items_note
from distractor.curves.grid import grid_of
from distractor.errors import ScalingError
from distractor.statistics.curve import FEW_GROUPS, Curve, Size
from distractor.statistics.group_values import count_items, group_values, least_shared
from distractor.text.rows import names_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series


MOST_NAMED = 3  # models in a note
CONSTANT = 0.95
"""A model that gives one answer to more than this share of items gets a note, if the right answers differ."""


def curve_of_items(
    table: "DataFrame",
    models: "DataFrame",
    item_column: str,
    given: "Series[float]",
    group: str | None,
    fixed: dict[str, Any],
) -> Curve:
    """The group values of the items that each seed has at one size or more; a model may lack some of them."""
    group_column = find_any(table, group) if group else "group" if "group" in table else item_column
    if group_column is None:
        raise ScalingError(f"there is no column {group!r} to group items by; the columns are {names_text(table)}")
    items = models.assign(
        item=names_of(table, item_column),
        value=given,
        group=names_of(table, group_column),
        doc_hash=texts(table["doc_hash"]) if "doc_hash" in table else "",
    )
    for place, item in rows_where(items, items.duplicated(["seed", "size", "item"])):
        alike = (items[["seed", "size", "item"]] == [item["seed"], item["size"], item["item"]]).all(axis=1)
        raise ScalingError(
            f"{place}: item {item['item']} appears twice at size {item['size']:g}, seed {item['seed']}; "
            f"{way_to_choose(table[alike])}, or add a column seed or task"
        )
    first = items.groupby("item", sort=False)[["group", "doc_hash"]].transform("first")
    for place, item in rows_where(items.assign(earlier=first["group"]), items["group"] != first["group"]):
        raise ScalingError(
            f"{place}: item {item['item']} has the group {item['group']}, but {item['earlier']} in an earlier "
            "row; an item has one group"
        )
    for place, item in rows_where(items, items["doc_hash"] != first["doc_hash"]):
        raise ScalingError(
            f"{place}: item {item['item']} is another question than in the other models' logs (doc_hash differs); "
            "compare logs of one version of one task"
        )
    grid = grid_of(items, "value", fixed, columns="item")
    group_of = items.drop_duplicates("item").set_index("item")["group"]
    every = grid.to_numpy(float).reshape(len(fixed["seeds"]), len(fixed["sizes"]), -1)
    is_used = (~np.isnan(every)).any(1).all(0)
    if not is_used.any():
        raise ScalingError("no item has a value for every seed; check that items have the same names for all models")
    per_item, groups = every[..., is_used], group_of[grid.columns[is_used]].to_numpy()
    values = group_values(per_item, groups)
    left_out = int((~is_used).sum())
    notes = [f"{left_out} of {grid.shape[1]} items are left out, since a seed lacks them at all sizes"] * bool(left_out)
    notes += missing_items(per_item, groups, fixed["sizes"], fixed["seeds"])
    if {"answer", "target"} <= set(table):
        constant = constant_answers(table, models)
    else:
        names = [f"{size:,.15g}" + f", seed {seed}" * (len(fixed["seeds"]) > 1) for seed, size in grid.index]
        complete = per_item[..., ~np.isnan(per_item).any((0, 1))]
        constant = same_items_note(complete.reshape(len(names), -1), names)
    return Curve(
        means=values.mean(-1),
        values=values,
        groups=tuple(np.unique(groups).tolist()),
        counts=count_items(groups),
        n_items=per_item.shape[-1],
        missing=int(np.isnan(per_item).sum()),
        left_out=left_out,
        notes=(*notes, *constant),
        **fixed,
    )


def missing_items(
    values: Float[ndarray, "seed size item"], groups: ndarray, sizes: Sequence[Size], seeds: Sequence[int]
) -> Iterator[str]:
    """Yield notes on the items that some models lack: how many, which models lack most, and what is compared."""
    missing = np.isnan(values).sum(-1)
    if not missing.any():
        return
    largest = np.argsort(-missing, axis=None, kind="stable")[:MOST_NAMED]
    cells = [np.unravel_index(cell, missing.shape) for cell in largest if missing.flat[cell]]
    most = "; ".join(
        f"{missing[seed, size]} at {sizes[size]:,.15g}" + f", seed {seeds[seed]}" * (len(seeds) > 1)
        for seed, size in cells
    )
    yield (
        f"{missing.sum():,} of {values.size:,} values are missing (most: {most}); sizes are compared within items, and each "
        "mean is that of all items, estimated where some are missing"
    )
    first, second, shared = least_shared(values, groups)
    if shared < min(FEW_GROUPS, len(set(groups.tolist()))):
        yield (
            f"sizes {sizes[first]:,.15g} and {sizes[second]:,.15g} share items of only {shared} groups: bounds from "
            f"fewer than {FEW_GROUPS} groups are too narrow"
        )


def constant_answers(table: "DataFrame", models: "DataFrame") -> Iterator[str]:
    """Yield a note for each model that nearly always gives the same answer; the table has answers and targets."""
    answers = models.assign(answer=table["answer"], target=table["target"]).dropna(subset=["answer", "target"])
    if texts(answers["target"]).nunique() > 1:
        for (size, seed), given in answers.groupby(["size", "seed"], sort=False)["answer"]:
            shares = texts(given).value_counts(normalize=True)
            if shares.iloc[0] > CONSTANT:
                yield (
                    f"the answer is the same ({str(shares.index[0]).strip()}) on more than {CONSTANT:.0%} of the items at "
                    f"{size:,.15g}, seed {seed}, so its accuracy means nothing"
                )
