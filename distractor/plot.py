"""From what was found to figures; nothing is shown or saved here. The same thing has the same colour in all of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.ablate import Ablation
from distractor.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which readers of all kinds of sight can tell apart.
COLOURS = {
    Condition.CONFLICT: "#D55E00",
    Condition.CONGRUENT: "#009E73",
    Condition.DISTRACTOR_SWAPPED: "#CC79A7",
    Condition.DISTRACTOR_ONLY: "#E69F00",
    Condition.TRUE_ONLY: "#0072B2",
    Condition.NEUTRAL: "#7F7F7F",
}
MARKERS = dict(zip(Condition, "osD^vx", strict=True))
PULLS = {"true_pull": ("true pull T", "#0072B2", "v"), "distractor_pull": ("distractor pull D", "#D55E00", "o")}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.hashsalt": "distractor",
    "svg.fonttype": "none",
}


def curves(found: Ablation) -> Figure:
    """Distractor preference, accuracy and the two pulls against size, with 95 % intervals over item groups."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        sizes = [found.scores[models[0]].source.n_params or 1 for models in found.sizes]
        seeds = len(found.sizes[0])
        for condition in found.task.conditions:
            _curve(left, found, sizes, "distractor_preference", condition)
            _curve(middle, found, sizes, "accuracy", condition)
        for pull, (label, colour, marker) in PULLS.items():
            _line(right, sizes, [found.mean(models, pull) for models in found.sizes], label, colour, marker)
        left.set(title="Preference for the distractor's answer", ylabel="distractor preference", ylim=(-0.03, 1.03))
        middle.set(title="Right answers", ylabel="accuracy", ylim=(-0.03, 1.03))
        right.set(title="What pulls", ylabel="pull on the logit gap (nats)")
        for axes in (left, middle):
            axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        right.axhline(0, color="black", lw=0.8, ls=":", zorder=0)
        for axes in (left, middle, right):
            axes.set_xscale("log")
            axes.set_xlabel("parameters")
        right.legend(loc="upper left")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        bands = "bands: 95 % over item groups" + (f"; mean of {seeds} seeds, dots each seed" if seeds > 1 else "")
        figure.suptitle(f"{found.task.name} over model size ({bands})", fontsize=10)
        return figure


def components(knockouts: Sequence[Mapping[str, Any]]) -> Figure:
    """The change of the logit gap when each head and MLP is knocked out, by layer; a column a model, a row a condition."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        conditions = list(next(iter(knockouts[0]["effects"].values())))
        grids = [[_grid(one["effects"], condition) for one in knockouts] for condition in conditions]
        widest = max(len(grid[1]) for grid in grids[0])
        deepest = max(grid[0].shape[0] for grid in grids[0])
        size = (max(6.5, 1.6 + len(knockouts) * 0.55 * widest), 1.4 + len(conditions) * (0.9 + 0.38 * deepest))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(conditions), len(knockouts), squeeze=False)
        reach = max(np.nanmax(np.abs(values)) for row in grids for values, _ in row) or 1.0
        for row, condition in enumerate(conditions):
            for column, one in enumerate(knockouts):
                values, names = grids[row][column]
                here = axes[row, column]
                image = here.imshow(values, cmap="PuOr_r", vmin=-reach, vmax=reach, aspect="auto")
                here.set(title=f"{one['model']}, {condition}", xticks=range(len(names)), xticklabels=names)
                here.set(yticks=range(len(values)), ylabel="layer")
                if values.size <= 120:
                    for (layer, place), value in np.ndenumerate(values):
                        if not np.isnan(value):
                            colour = "white" if abs(value) > 0.6 * reach else "black"
                            here.text(
                                place,
                                layer,
                                f"{value:.1f}".replace("-0.0", "0.0"),
                                ha="center",
                                va="center",
                                color=colour,
                                fontsize=7,
                            )
        figure.colorbar(image, ax=axes, label="change of the logit gap (nats)", shrink=0.8)
        figure.suptitle(
            "Each head and MLP replaced by its mean: below 0, it worked for the true answer;\n"
            "above 0, for the distractor's",
            fontsize=10,
        )
        return figure


def _curve(axes: "Axes", found: Ablation, sizes: Sequence[int], quantity: str, condition: Condition) -> None:
    means = [found.mean(models, quantity, condition) for models in found.sizes]
    if any(mean is None for mean in means):
        return
    _line(axes, sizes, means, condition.value, COLOURS[condition], MARKERS[condition])
    if condition is Condition.CONFLICT and len(found.sizes[0]) > 1:
        for size, models in zip(sizes, found.sizes, strict=True):
            each = [found.mean([model], quantity, condition) for model in models]
            axes.plot([size] * len(each), [one.mean for one in each if one], ".", ms=3, color="black", zorder=3)


def _line(axes: "Axes", sizes: Sequence[int], means: Sequence[Any], label: str, colour: str, marker: str) -> None:
    if any(mean is None for mean in means):
        return
    axes.plot(sizes, [m.mean for m in means], color=colour, marker=marker, ms=4, lw=1.4, label=label)
    axes.fill_between(sizes, [m.low for m in means], [m.high for m in means], color=colour, alpha=0.18, lw=0)


def _grid(effects: Mapping[str, Any], condition: str) -> tuple[np.ndarray, list[str]]:
    """Effects [layer place], heads first and the MLP last; NaN where a layer has no such component."""
    split = [(name.split(".")[0][1:].partition("H"), name.split(".")[1], name) for name in effects]
    layers = 1 + max(int(layer) for (layer, _, _), _, _ in split)
    heads = 1 + max((int(head) for (_, _, head), _, _ in split if head), default=-1)
    values = np.full((layers, heads + 1), np.nan)
    for (layer, _, head), _, name in split:
        values[int(layer), int(head) if head else heads] = effects[name][condition]["mean"]
    return values, [*(f"H{head}" for head in range(heads)), "MLP"]
