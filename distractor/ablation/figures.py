"""From what was found to figures; nothing is shown or saved here. The same thing has the same colour in all of them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from distractor.ablation.ablate import Ablation, Curves, composed_of
from distractor.curves.curve_file import Curve
from distractor.curves.judge_curve import Judged, Parts, parts_of
from distractor.curves.published import Published
from distractor.errors import ScalingError
from distractor.numbers import number
from distractor.text.task import Condition

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


LETTERS_AN_INCH = 13
"""How many letters of a figure's title fit into an inch."""


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
            log_axis(axes, sizes, "parameters")
        if right.lines[1:]:  # a task without congruent prompts has no pulls
            right.legend(loc="upper left")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        bands = "bands: 95 % over item groups" + (
            f"; mean of {seeds} seeds, dots: each seed in conflict" if seeds > 1 else ""
        )
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
                                in_cell(value, reach),
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


TITLES = {
    "accuracy": "accuracy",
    "distractor_preference": "distractor preference",
    "logit_gap": "logit gap (nats)",
    "true_pull": "true pull T (nats)",
    "distractor_pull": "distractor pull D (nats)",
    "coverage": "coverage",
}


AXES = {"parameters": "parameters", "tokens": "training tokens", "flops": "training FLOPs", "step": "training step"}


SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")


PART_COLOURS = ("#D55E00", "#7F7F7F", "#0072B2")  # hard, middle, easy


def shape(judged: Judged) -> Figure:
    """A curve with both levels of interval, the sizes at which it may turn, and published curves underneath."""
    with mpl.rc_context(STYLE):
        rows = [[one for one in judged.references if one.sizes_known is known] for known in (True, False)]
        rows = [row for row in rows if row]
        heights = [3.6, *(max(2.0, 0.7 + 0.24 * len(row)) for row in rows)]
        figure = Figure(figsize=(7.2, 0.6 + sum(heights)), layout="constrained")
        axes = figure.subplots(1 + len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        _judged(axes[0], judged)
        for below, row in zip(axes[1:], rows, strict=True):
            _references(below, row)
        models = judged.shape.models.label if judged.shape.models else "not identified"
        figure.suptitle(
            f"{_title(judged.curve)} over {AXES[judged.curve.axis]}\n"
            f"these weights (level 1): {judged.shape.label_level_1}; models like these (level 2): {models}",
            fontsize=10,
        )
        return figure


def _title(curve: Curve) -> str:
    return TITLES.get(curve.quantity) or _as_is(curve.quantity)


def _as_is(name: str) -> str:
    """A user's name, in which a dollar is no beginning of mathematics."""
    return name.replace("$", r"\$")


def _judged(axes: "Axes", judged: Judged) -> None:
    curve = judged.curve
    x, colour = list(curve.sizes), COLOURS[Condition.CONFLICT]
    axes.plot(x, judged.mean, "-o", color=colour, ms=4, lw=1.4, zorder=3, label="mean")
    axes.fill_between(x, judged.low, judged.high, color=colour, alpha=0.22, lw=0, label="these weights (level 1)")
    if judged.models_low is not None and judged.models_high is not None:
        errors = [judged.mean - judged.models_low, judged.models_high - judged.mean]
        axes.errorbar(x, judged.mean, errors, fmt="none", ecolor="black", elinewidth=0.9, capsize=3, zorder=2,
                      label="models like these (level 2)")  # fmt: skip
    if len(curve.seeds) > 1:
        for row in curve.means:
            axes.plot(x, row, ".", ms=3, color="black", alpha=0.6, zorder=4)
    if curve.quantity in ("accuracy", "distractor_preference", "coverage"):
        axes.set_ylim(-0.03, 1.03)
        axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
    else:
        axes.axhline(0, color="black", lw=0.8, ls=":", zorder=0)
    level = judged.shape.models or judged.shape.weights[0]
    alone = judged.shape.models is not None or len(judged.shape.weights) == 1
    if alone and level.label in ("U-shaped", "inverted-U", "undetermined") and level.turn.turning_set:
        for place, size in enumerate(level.turn.turning_set):
            axes.axvspan(*_around(x, size), color="#56B4E9", alpha=0.22, lw=0, zorder=0,
                         label=f"may turn here (level {level.level})" if place == 0 else None)  # fmt: skip
    log_axis(axes, x, AXES[curve.axis])
    axes.set_ylabel(_title(curve))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)


def headline(figure: Figure, text: str) -> None:
    """A title over the whole figure, in lines that fit its width and are about as long as each other."""
    width = int(figure.get_figwidth() * LETTERS_AN_INCH)

    def even(line: str) -> list[str]:
        fewest = len(textwrap.wrap(line, width))
        tried = (textwrap.wrap(line, narrow) for narrow in range(len(line) // fewest, width + 1))
        return next(lines for lines in tried if len(lines) == fewest)

    whole = text.replace(" %", "\u00a0%").splitlines()
    figure.suptitle("\n".join(part for line in whole for part in even(line)), fontsize=9)


def _around(sizes: Sequence[float], size: float) -> tuple[float, float]:
    """Half-way to the neighbours on the axis."""
    at = list(sizes).index(size)
    return (sizes[at - 1] * size) ** 0.5 or sizes[at - 1], (size * sizes[at + 1]) ** 0.5


def log_axis(axes: "Axes", sizes: Sequence[float], label: str) -> None:
    """A log axis; where a step of 0 is on it, linear below the first step. Short ones get few, short numbers."""
    axes.set_xlabel(label)
    if min(sizes) <= 0:
        axes.set_xscale("symlog", linthresh=sorted(sizes)[1])
        return
    axes.set_xscale("log")
    decades = np.log10(max(sizes) / min(sizes))
    if decades < 2:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 0.7 else range(1, 10)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _references(axes: "Axes", references: Sequence[Published]) -> None:
    for place, one in enumerate(references):
        sizes, shares = [p.size for p in one.points], [p.accuracy for p in one.points]
        colour, marker = SERIES[place % len(SERIES)], "osD^v<>P"[place % 8]
        errors = [1.96 * (p.accuracy * (1 - p.accuracy) / p.n) ** 0.5 if p.n else 0 for p in one.points]
        axes.errorbar(sizes, shares, errors, color=colour, marker=marker, ms=4, lw=1.1, elinewidth=0.7,
                      label=textwrap.fill(one.title, 44))  # fmt: skip
    axes.set(ylim=(-0.03, 1.03), ylabel="accuracy")
    axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
    if references[0].sizes_known:
        log_axis(axes, [p.size for one in references for p in one.points], "parameters (published)")
    else:
        axes.set_xlabel("rank by size (parameters unpublished)")
        axes.set_xticks(range(max(len(one.points) for one in references)))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, title="published; 95 % where n is known",
                title_fontsize=7)  # fmt: skip


def parts(curve: Curve, found: Parts) -> Figure:
    """One line for each group of items, or third by difficulty, over size; what must be minded is written under it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        colours = PART_COLOURS if found.cut == "difficulty" else SERIES
        for place, (name, row) in enumerate(zip(found.names, found.means, strict=True)):
            axes.plot(curve.sizes, row, color=colours[place], marker="osD^v<>P"[place], ms=4, lw=1.4,
                      label=_as_is(name))  # fmt: skip
            if found.errors is not None:
                reach = 1.96 * found.errors[place]
                axes.fill_between(curve.sizes, row - reach, row + reach, color=colours[place], alpha=0.18, lw=0)
        axes.plot(curve.sizes, curve.means.mean(0), color="black", lw=1, ls="--", label="all")
        name = _title(curve)
        log_axis(axes, curve.sizes, AXES[curve.axis])
        axes.set_ylabel(name)
        if curve.quantity in ("accuracy", "distractor_preference"):
            axes.set_ylim(-0.03, 1.03)
            axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        bands = " (bands: 95 % over item groups)" if found.errors is not None else ""
        axes.set_title(f"{name} by {found.cut} of the items{bands}", fontsize=10)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        if found.caution:
            figure.supxlabel(textwrap.fill(f"Mind: {found.caution}.", 110), fontsize=7.5, ha="left", x=0.01)
        return figure


def by_difficulty(found: Ablation) -> Figure | None:
    """Distractor preference in `conflict` by difficulty of the items (Wu and Lo 2025); None where there are too few."""
    try:
        tables = Curves.over(found.task, found.scores, found.complete)
        values = tables.of("distractor_preference")
        curve = Curve(
            "distractor_preference",
            "parameters",
            tables.sizes,
            tuple(range(len(values))),
            values.mean(-1),
            values=values,
        )
        return parts(curve, parts_of(curve, "difficulty"))
    except ScalingError:
        return None


def distractor_alone(found: Ablation) -> Figure | None:
    """The idea of the paper's figure 5: accuracy in `conflict` beside the distractor task alone, over size.

    Where the task's `true_only` is a negation curve, Zhang et al.'s composed prediction lies beside them. None where
    the task has no `distractor_only`.
    """
    if Condition.DISTRACTOR_ONLY not in found.task.conditions:
        return None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        sizes = [found.scores[models[0]].source.n_params or 1 for models in found.sizes]
        for condition in (Condition.CONFLICT, Condition.DISTRACTOR_ONLY):
            _curve(axes, found, sizes, "accuracy", condition)
        if both := composed_of(found):
            axes.plot(both.sizes, both.predicted, color="black", ls="--", lw=1.2,
                      label="as composed of t, distractor_only, and s, true_only: t·s + (1−t)(1−s)")  # fmt: skip
        log_axis(axes, sizes, "parameters")
        axes.set(ylim=(-0.03, 1.03), ylabel="accuracy")
        axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        dots = "; dots: each seed in conflict" * (len(found.sizes[0]) > 1)
        headline(
            figure,
            f"{found.task.name}: the conflict, and the distractor task alone\n(bands: 95 % over item groups{dots}; the two "
            "tasks may compete, so this is no ablation)",
        )
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        return figure


def pulls(found: Ablation) -> Figure | None:
    """True and distractor pull over size: the evidence that it is the distractor. None where they are not defined."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        sizes = [found.scores[models[0]].source.n_params or 1 for models in found.sizes]
        for pull, (label, colour, marker) in PULLS.items():
            means = [found.mean(models, pull) for models in found.sizes]
            if any(mean is None for mean in means):
                return None
            _line(axes, sizes, means, label, colour, marker)
            if len(found.sizes[0]) > 1:
                for size, models in zip(sizes, found.sizes, strict=True):
                    each = [found.mean([model], pull) for model in models]
                    axes.plot([size] * len(each), [one.mean for one in each if one], ".", ms=3, color=colour, zorder=3)
        axes.axhline(0, color="black", lw=0.8, ls=":", zorder=0)
        log_axis(axes, sizes, "parameters")
        axes.set_ylabel("pull on the logit gap (nats)")
        axes.set_title(
            f"{found.task.name}: what the true cue moves (T), and what pulls to the distractor's answer (D)\n"
            "(bands: 95 % over item groups; where T crosses D, the true task wins)",
            fontsize=10,
        )
        axes.legend(loc="best")
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


def in_cell(value: float, reach: float) -> str:
    """A number as it is written into a cell of a map whose colours reach so far."""
    return number(value, 1 if reach >= 1 else 2)


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
