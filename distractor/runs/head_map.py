"""Heat maps of components: one row a layer, one column a head, and the MLP in the last column."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy import ndarray

from distractor.models.site import SITE_NAME
from distractor.runs.style import STYLE, in_cell

MAP_STYLE: dict[Any, Any] = {**STYLE, "axes.grid": False, "font.size": 8}
DIVERGING = "PuOr_r"  # purple below 0, orange above 0: a colour map that is safe for colour-blind readers
MAX_NUMBERS = 120  # a map with more cells than this shows colours only, without numbers


class HeadGrid(NamedTuple):
    """Values of components by layer and head, which of them are framed, and the names of the columns."""

    values: Float[ndarray, "layer column"]
    framed: Bool[ndarray, "layer column"] | None
    columns: list[str]


def head_grid(
    components: Sequence[str], values: Float[ndarray, " component"], framed: Bool[ndarray, " component"] | None = None
) -> HeadGrid:
    """Arrange the values of heads (`L0H1.z`, or `L0H2-3.v` if query heads share them) and MLPs (`L0.mlp_out`), and of
    nothing else, by layer and head; NaN without value.
    """
    cells: list[tuple[int, int, int]] = []
    heads: dict[int, str] = {}
    for index, name in enumerate(components):
        found = SITE_NAME.fullmatch(name)
        if found and found["first"]:
            first, last = int(found["first"]), int(found["last"] or found["first"])
            head = first // (last - first + 1)  # query heads that share keys and values have one column
            heads[head] = name.partition(".")[0].removeprefix(f"L{found['layer']}")
            cells.append((index, int(found["layer"]), head))
        elif found and found["part"] == "mlp_out":
            cells.append((index, int(found["layer"]), -1))  # the last column
    names = [heads.get(head, f"H{head}") for head in range(1 + max(heads, default=-1))]
    names += ["MLP"] * any(head < 0 for *_, head in cells)
    grid = np.full((1 + max(layer for _, layer, _ in cells), len(names)), np.nan)
    frames = None if framed is None else np.zeros(grid.shape, dtype=bool)
    indices, rows, columns = (np.array(each) for each in zip(*cells, strict=True))
    grid[rows, columns] = values[indices]
    if frames is not None and framed is not None:
        frames[rows, columns] = framed[indices]
    return HeadGrid(grid, frames, names)


def draw_heat_map(
    axes: Axes,
    values: Float[ndarray, "row column"],
    framed: Bool[ndarray, "row column"] | None,
    limit: float,
    *,
    numbers: bool = True,
) -> Any:
    """Draw values on a colour scale from -limit to limit. Missing cells are grey. Returns the image, for a colour bar."""
    axes.set_facecolor("#E8E8E8")
    image = axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if numbers and values.size <= MAX_NUMBERS and not np.isnan(value):
            colour = "white" if abs(value) > 0.6 * limit else "black"
            axes.text(column, row, in_cell(value, limit), ha="center", va="center", color=colour, fontsize=6.5)
        if framed is not None and framed[row, column]:
            axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, ec="black", lw=1.1))
    return image


def colour_limit(tables: Sequence[Float[ndarray, "..."]]) -> float:
    """The largest absolute value in all tables, so that several maps share one colour scale; 1 if there is none."""
    return max((float(np.nanmax(np.abs(table))) for table in tables if not np.isnan(table).all()), default=1.0) or 1.0
