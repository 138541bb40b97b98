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
from distractor.statistics.shape_test import Shape
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(result: AblationResult) -> Figure:
    """The headline: preference in `conflict` over size, and beside it T, D and the gap in `distractor_only`."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        for axes, draw in zip(figure.subplots(1, 2), PANELS, strict=True):
            draw(axes, result)
        judged = f"{result.verdict.sentence}\n" if result.verdict else ""
        shares = coverage_shares(result)
        low = f"\nlow coverage in conflict: {shares}" if shares else ""
        seeds = "; dots: single seeds" * (len(result.sizes[0]) > 1)
        whiskers = "whiskers" if len(result.sizes) == 1 else "bands"
        style.headline(figure, f"{result.title}\n{judged}{whiskers}: {result.interval_name}{seeds}{low}")
        return figure


def preference_panel(axes: "Axes", result: AblationResult) -> None:
    """Preference for the distractor's answer in `conflict` over size, with the range of the turning point.

    A single size has no curve; then preference under each condition is drawn.
    """
    if len(result.sizes) == 1:
        points = {
            condition.value: (
                result.mean(result.sizes[0], "distractor_preference", condition),
                colours.CONDITIONS[condition],
            )
            for condition in result.task.conditions
        }
        _points(axes, points)
        axes.set(xlim=(-0.03, 1.03), xlabel="preference for the distractor's answer")
        style.reference_line(axes, 0.5, vertical=True)
        return
    seeds = len(result.sizes[0])
    label = f"conflict, mean of {seeds} seeds" if seeds > 1 else "conflict"
    means = [result.mean(models, "distractor_preference", Condition.CONFLICT) for models in result.sizes]
    draw_curve(axes, result.n_params, means, label, colours.INK, style.MARKERS[Condition.CONFLICT])
    _seed_dots(axes, result, "distractor_preference", Condition.CONFLICT, colours.INK, "single seeds")
    shape = result.shapes.get("distractor_preference")
    if shape and shape.label == "inverted-U":
        _turning_range(axes, shape, result.n_params)
    style.log_axis(axes, result.n_params, "parameters")
    style.share_axis(axes)
    axes.set(title="Preference for the distractor's answer", ylabel="p(distractor) / p(either answer)")
    style.legend_inside(axes)


def pulls_panel(axes: "Axes", result: AblationResult) -> None:
    """The pulls T and D and the logit gap in `distractor_only`, in nats, over size; for a single size, as points."""
    only = Condition.DISTRACTOR_ONLY
    gap = "gap in distractor_only"
    if len(result.sizes) == 1:
        (models,) = result.sizes
        named = {label: (result.mean(models, pull), colour) for pull, (label, colour, _) in style.PULL_STYLES.items()}
        _points(axes, {**named, gap: (result.mean(models, "logit_gap", only), colours.CONDITIONS[only])})
        axes.set_xlabel("nats")
        axes.set_xlim(*_at_least_one_nat(axes.get_xlim()))
        axes.locator_params(axis="x", nbins=5)
        style.reference_line(axes, 0, vertical=True)
        return
    pulls = [(label, colour, marker, "-", pull, None) for pull, (label, colour, marker) in style.PULL_STYLES.items()]
    alone = gap, colours.CONDITIONS[only], style.MARKERS[only], "--", "logit_gap", only
    for label, colour, marker, line, quantity, condition in (*pulls, alone):
        means = [result.mean(models, quantity, condition) for models in result.sizes]
        draw_curve(axes, result.n_params, means, label, colour, marker, line)
        _seed_dots(axes, result, quantity, condition, colour)
    style.log_axis(axes, result.n_params, "parameters")
    axes.set(title="Pulls, and the distractor task alone", ylabel="nats")
    axes.set_ylim(*_at_least_one_nat(axes.get_ylim()))
    style.reference_line(axes, 0)
    style.legend_inside(axes)


PANELS = (preference_panel, pulls_panel)


def conditions(result: AblationResult) -> Figure | None:
    """Distractor preference and accuracy over size under every condition; None for a single size."""
    if len(result.sizes) == 1:
        return None
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, quantity in ((left, "distractor_preference"), (right, "accuracy")):
            for condition in result.task.conditions:
                _condition_curve(axes, result, quantity, condition)
            style.log_axis(axes, result.n_params, "parameters")
            style.share_axis(axes)
        left.set(title="Distractor preference", ylabel="distractor preference")
        right.set(title="Accuracy", ylabel="accuracy")
        style.legend_below(figure, [left])
        dots = "; dots: single seeds in conflict" * (len(result.sizes[0]) > 1)
        style.headline(figure, f"{result.title}: every condition over size\nbands: {result.interval_name}{dots}")
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
    axes: "Axes",
    sizes: Sequence[int],
    means: Sequence[Mean | None],
    label: str,
    colour: str,
    marker: str,
    line: str = "-",
) -> None:
    """Draw means with their intervals as a band; sizes without a mean are skipped."""
    defined = {size: mean for size, mean in zip(sizes, means, strict=True) if mean is not None}
    if defined:
        style.line_with_band(
            axes, list(defined), list(zip(*defined.values(), strict=True)), label, colour, marker, line
        )


def _condition_curve(axes: "Axes", result: AblationResult, quantity: str, condition: Condition) -> None:
    """Draw a quantity under one condition over size; in `conflict` with a dot for each seed."""
    means = [result.mean(models, quantity, condition) for models in result.sizes]
    draw_curve(axes, result.n_params, means, condition.value, colours.CONDITIONS[condition], style.MARKERS[condition])
    if condition is Condition.CONFLICT:
        _seed_dots(axes, result, quantity, condition, colours.INK)


def _seed_dots(
    axes: "Axes", result: AblationResult, quantity: str, condition: Condition | None, colour: str, label: str = ""
) -> None:
    if len(result.sizes[0]) > 1:
        dots = [
            (size, mean.mean)
            for size, models in zip(result.n_params, result.sizes, strict=True)
            for model in models
            if (mean := result.mean([model], quantity, condition))
        ]
        axes.plot(*zip(*dots, strict=True), ".", ms=3, color=colour, zorder=3, label=label or None)


def _turning_range(axes: "Axes", shape: Shape, sizes: Sequence[int]) -> None:
    """Mark the sizes at which the curve may turn by a bar along the bottom, half a step wider on both sides."""
    record, middles = shape.as_dict(), np.sqrt(np.multiply(sizes[1:], sizes[:-1], dtype=float))
    first, last = (list(sizes).index(int(record[end])) for end in ("turning_low", "turning_high"))
    axes.axvspan(middles[first - 1], middles[last], 0, 0.025, color=colours.NEUTRAL, lw=0, label="turning range")


def _points(axes: "Axes", means: Mapping[str, tuple[Mean | None, str]]) -> None:
    """One row for each defined mean, with its interval as a whisker."""
    defined = {name: (mean, colour) for name, (mean, colour) in means.items() if mean is not None}
    for row, (mean, colour) in enumerate(defined.values()):
        axes.plot([mean.low, mean.high], [row, row], color=colour, lw=1.4)
        axes.plot(mean.mean, row, "o", color=colour, ms=6)
    axes.set_yticks(range(len(defined)), list(defined))
    axes.set_ylim(max(len(defined), 1) - 0.5, -0.5)


def _at_least_one_nat(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits of an axis in nats that reach at least from -1 to 1, so that noise looks like nothing."""
    return min(limits[0], -1.0), max(limits[1], 1.0)
