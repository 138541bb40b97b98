"""Heat maps of components: one row a layer, one column a head, and the MLP in the last column."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from numpy import ndarray

from distractor.models.site import SITE_NAME
from distractor.runs import colours
from distractor.runs.style import LEAST_EFFECT, STYLE, in_cell

MAP_STYLE: dict[Any, Any] = {**STYLE, "axes.grid": False, "font.size": 8}
ANSWERS = LinearSegmentedColormap.from_list("answers", colours.ANSWERS, N=257).with_extremes(bad=colours.MISSING)
"""The middle is white."""
MAP_HEIGHT = 4.5  # inches
LABEL_HEIGHT = 0.14  # inches
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
    supports: int,
    numbers: bool = True,
) -> Any:
    """Draw values up to a size of `limit`: blue where they support the true answer, orange where the distractor's.

    `supports` is 1 if positive values support the true answer, and -1 if they support the distractor's (`supported`).
    Missing cells are grey. Returns the image, for `colour_bar`.
    """
    image = axes.imshow(supports * values, cmap=ANSWERS, vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if numbers and values.size <= MAX_NUMBERS and not np.isnan(value):
            ink = readable_on(tuple(image.to_rgba(supports * value)))
            axes.text(column, row, in_cell(value, limit), ha="center", va="center", fontsize=6.5, color=ink)
        if framed is not None and framed[row, column]:
            axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, ec=colours.INK, lw=1.1))
    return image


def readable_on(background: Sequence[float]) -> str:
    """The colour of text on a background (red, green, blue, from 0 to 1) with the larger contrast: dark or light.

    >>> readable_on((1, 1, 1)) == colours.INK, readable_on((0, 0, 0.4)) == colours.PAPER
    (True, True)
    """
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in background[:3])
    return colours.INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else colours.PAPER


def shared_width(grids: Sequence[HeadGrid]) -> list[float]:
    """The width of each map in its own columns, so that heads and MLPs of maps below each other are in line.

    A map without MLPs gets an empty column if another map has them; a column of query heads that share keys and values is
    as wide as these.
    """
    n_heads = [len(grid.columns) - (grid.columns[-1] == "MLP") for grid in grids]
    has_mlp = any(grid.columns[-1] == "MLP" for grid in grids)
    most = max(n_heads)
    return [count * (1 + has_mlp / most) if count else 1.0 for count in n_heads]


def draw_head_map(
    axes: Axes, grid: HeadGrid, limit: float, title: str, height: float, *, supports: int, width: float | None = None
) -> Any:
    """Draw a grid of heads and MLPs, with its layers and columns named; rows have this height in inches.

    `width` is in columns, if the map has to be in line with others (`shared_width`). Returns the image, for `colour_bar`.
    """
    image = draw_heat_map(axes, grid.values, grid.framed, limit, supports=supports)
    axes.set(title=title, ylabel="layer")
    name_layers(axes, len(grid.values), height)
    axes.set_xticks(range(len(grid.columns)), grid.columns)
    axes.set_xlim(-0.5, (width or len(grid.columns)) - 0.5)
    return image


def colour_bar(figure: Figure, image: Any, panels: Any, label: str, aspect: float = 20) -> None:
    """Draw the colour scale of maps: sizes without sign, and the answer that each end supports."""
    size = FuncFormatter(lambda value, _: f"{abs(value):g}")
    bar = figure.colorbar(image, ax=panels, shrink=0.8, aspect=aspect, format=size)
    bar.set_label(fill(label, 14))  # short lines, so that it does not reach the words above and below a short bar
    bar.ax.set_xlabel("supports the\ndistractor's", fontsize=7, color=colours.DISTRACTOR, loc="left")
    bar.ax.set_title("supports the\ntrue answer", fontsize=7, color=colours.TRUE, loc="left")


def layer_height(n_layers: int, most: float, *, share: float = 1.0) -> float:
    """The height of a row in inches: `most` in shallow models, less in deep ones, so that maps fit a page.

    `share` is the map's share of a page.
    """
    return min(most, max(0.06, MAP_HEIGHT * share / n_layers))


def name_layers(axes: Axes, n_layers: int, height: float) -> None:
    """Number the rows of a map, as many as rows of this height (inches) have space for."""
    axes.set_yticks(range(0, n_layers, -int(-LABEL_HEIGHT // height)))


def colour_limit(tables: Sequence[Float[ndarray, "..."]], unit: str = "nats") -> float:
    """The largest absolute value in all tables, so that several maps share one colour scale; 1 if there is none.

    At least `LEAST_EFFECT` in nats, so that noise is pale.
    """
    largest = max((float(np.nanmax(np.abs(table))) for table in tables if not np.isnan(table).all()), default=1.0)
    return max(largest, LEAST_EFFECT) if unit == "nats" else largest or 1.0
