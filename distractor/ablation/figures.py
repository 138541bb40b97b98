"""Figures of `distractor ablate`. A condition or pull has the same colour in all of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.ablation.ablate import AblationResult, SizeCurves, composed_of
from distractor.errors import ScalingError
from distractor.runs import colours, style
from distractor.runs.coverage import coverage_shares
from distractor.runs.head_map import MAP_STYLE, colour_bar, colour_limit, draw_head_map, head_grid, layer_height
from distractor.runs.item_parts import parts_of
from distractor.runs.parts_figure import parts
from distractor.statistics.curve import Curve
from distractor.statistics.intervals import Mean
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(result: AblationResult) -> Figure:
    """Distractor preference, accuracy and the two pulls over size, with the printed table's intervals, and the verdict."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for axes, quantity in ((left, "distractor_preference"), (middle, "accuracy")):
            for condition in result.task.conditions:
                _condition_curve(axes, result, quantity, condition)
            style.share_axis(axes)
        for pull, (label, colour, marker) in style.PULL_STYLES.items():
            means = [result.mean(models, pull) for models in result.sizes]
            draw_curve(right, result.n_params, means, label, colour, marker)
            _seed_dots(right, result, pull, None, colour)
        left.set(title="Distractor preference", ylabel="distractor preference")
        middle.set(title="Accuracy", ylabel="accuracy")
        right.set(title="Pulls", ylabel="pull on the logit gap (nats)")
        style.reference_line(right, 0)
        for axes in (left, middle, right):
            style.log_axis(axes, result.n_params, "parameters")
        if right.get_legend_handles_labels()[0]:  # a task without congruent prompts has no pulls
            right.legend(loc="upper left")
        style.legend_below(figure, [left])
        seeds = len(result.sizes[0])
        dots = f"; mean of {seeds} seeds, dots: single seeds (left panels: in conflict)" if seeds > 1 else ""
        judged = f"{result.verdict.sentence}\n" if result.verdict else ""
        shares = coverage_shares(result)
        low = f"\nlow coverage in conflict: {shares}" if shares else ""
        style.headline(figure, f"{result.task.name} over model size\n{judged}bands: {result.interval_name}{dots}{low}")
        return figure


def components(knockouts: Sequence[Mapping[str, Any]]) -> Figure:
    """The change of the logit gap when each head or MLP is ablated: a column for each model, a row for each condition."""
    conditions = list(next(iter(knockouts[0]["effects"].values())))
    effects = [knockout["effects"] for knockout in knockouts]
    grids = [
        [head_grid(list(of), np.array([cell[condition]["mean"] for cell in of.values()])) for of in effects]
        for condition in conditions
    ]
    n_columns = max(len(grid.columns) for grid in grids[0])
    n_layers = max(len(grid.values) for grid in grids[0])
    height = layer_height(n_layers, 0.38)
    size = (max(6.5, 1.6 + len(knockouts) * 0.55 * n_columns), 1.4 + len(conditions) * (0.9 + height * n_layers))
    with mpl.rc_context(MAP_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(conditions), len(knockouts), squeeze=False)
        limit = colour_limit([grid.values for row in grids for grid in row])
        for row, condition in enumerate(conditions):
            for axes, grid, knockout in zip(panels[row], grids[row], knockouts, strict=True):
                title = f"{knockout['model']}, {condition}"
                image = draw_head_map(axes, grid, limit, title, height, supports=-1)
        colour_bar(figure, image, panels, "change of the logit gap (nats)")
        figure.suptitle(
            "Effect of ablating each head and MLP (activation replaced by its mean)\n"
            "below 0 (blue): the component supports the true answer; above 0 (orange): the distractor's",
            fontsize=10,
        )
        return figure


def by_difficulty(result: AblationResult) -> Figure | None:
    """Distractor preference in `conflict` by item difficulty (Wu and Lo 2025); None if there are too few items."""
    try:
        tables = SizeCurves.over(result.task, result.scores, result.complete)
        values = tables.of("distractor_preference")
        seeds = tuple(range(len(values)))
        curve = Curve(
            "distractor_preference",
            "parameters",
            tables.sizes,
            seeds,
            values.mean(-1),
            values=values,
            counts=tables.counts,
        )
        return parts(curve, parts_of(curve, "difficulty"))
    except ScalingError:
        return None


def distractor_alone(result: AblationResult) -> Figure | None:
    """Accuracy over size in `conflict` and in `distractor_only`, after figure 5 of Wei, Tay and Le (2022).

    If `true_only` is a negation curve, the composed prediction of Zhang et al. is drawn as well. None if the task has no
    `distractor_only`.
    """
    if Condition.DISTRACTOR_ONLY not in result.task.conditions:
        return None
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        for condition in (Condition.CONFLICT, Condition.DISTRACTOR_ONLY):
            _condition_curve(axes, result, "accuracy", condition)
        if composed := composed_of(result):
            axes.plot(composed.sizes, composed.predicted, color=colours.INK, ls="--", lw=1.2,
                      label="composed from t (distractor_only) and s (true_only): t·s + (1−t)(1−s)")  # fmt: skip
        style.log_axis(axes, result.n_params, "parameters")
        axes.set_ylabel("accuracy")
        style.share_axis(axes)
        dots = "; dots: single seeds in conflict" * (len(result.sizes[0]) > 1)
        style.headline(
            figure,
            f"{result.task.name}: accuracy in conflict and on the distractor task alone\n(bands: {result.interval_name}"
            f"{dots}; the two tasks may interact, so this is not a pure ablation)",
        )
        style.legend_below(figure, [axes], 2)
        return figure


def draw_curve(
    axes: "Axes", sizes: Sequence[int], means: Sequence[Mean | None], label: str, colour: str, marker: str
) -> None:
    """Draw means with their intervals as a band; sizes without a mean are skipped."""
    defined = {size: mean for size, mean in zip(sizes, means, strict=True) if mean is not None}
    if defined:
        style.line_with_band(axes, list(defined), list(zip(*defined.values(), strict=True)), label, colour, marker)


def _condition_curve(axes: "Axes", result: AblationResult, quantity: str, condition: Condition) -> None:
    """Draw a quantity under one condition over size; in `conflict` with a dot for each seed."""
    means = [result.mean(models, quantity, condition) for models in result.sizes]
    draw_curve(axes, result.n_params, means, condition.value, colours.CONDITIONS[condition], style.MARKERS[condition])
    if condition is Condition.CONFLICT:
        _seed_dots(axes, result, quantity, condition, colours.INK)


def _seed_dots(axes: "Axes", result: AblationResult, quantity: str, condition: Condition | None, colour: str) -> None:
    if len(result.sizes[0]) > 1:
        for size, models in zip(result.n_params, result.sizes, strict=True):
            means = [mean.mean for model in models if (mean := result.mean([model], quantity, condition))]
            axes.plot([size] * len(means), means, ".", ms=3, color=colour, zorder=3)
