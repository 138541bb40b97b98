"""Arranges the values of a table by seed and size."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distractor.errors import ScalingError

if TYPE_CHECKING:
    from pandas import DataFrame


def grid_of(rows: "DataFrame", value: str, fixed: Mapping[str, Any], columns: str | None = None) -> "DataFrame":
    """Arrange values by (seed, size), with `columns` side by side; every seed must have every size."""
    import pandas as pd

    cells = pd.MultiIndex.from_product([fixed["seeds"], fixed["sizes"]], names=["seed", "size"])
    grid = rows.assign(all="")[["seed", "size", columns or "all", value]].pivot(
        index=["seed", "size"], columns=columns or "all", values=value
    )
    missing = [f"seed {seed} lacks size {size:,.15g}" for seed, size in cells.difference(grid.index, sort=False)]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ScalingError(f"{'; '.join(missing[:3])}{more}: every seed needs every size. Leave rows out with --where")
    return grid.reindex(cells)
