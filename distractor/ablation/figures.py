"""Figures of `distractor ablate`. A condition or pull has the same colour in all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.ablation.ablate import AblationResult, SizeCurves, composed_of
from distractor.errors import ScalingError
from distractor.numbers import shortened
from distractor.runs import colours, style
from distractor.runs.coverage import coverage_shares
from distractor.runs.head_map import MAP_STYLE, colour_bar, colour_limit, draw_head_map, head_grid, layer_height
from distractor.runs.item_parts import parts_of
from distractor.runs.parts_figure import parts
from distractor.statistics.curve import Curve
from distractor.statistics.intervals import Mean
from distractor.statistics.shape_test import Shape
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BESIDE = 0.012  # the step from one condition to the next, as a share of the axis


def curves(result: AblationResult) -> Figure:
    """The headline: preference in `conflict` over size, and beside it the second of its `panels`."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        for axes, draw in zip(figure.subplots(1, 2), panels(result.task), strict=True):
            draw(axes, result)
        judged = f"{result.verdict.sentence}\n" if result.verdict else ""
        shares = coverage_shares(result)
        low = f"\nlow coverage in conflict: {shares}" if shares else ""
        seeds = f"; dots: {style.SEEDS}" * (len(result.sizes[0]) > 1)
        is_one = len(result.sizes) == 1
        whiskers, size = ("whiskers", f": {result.size_names[0]}") if is_one else ("bands", "")
        style.headline(figure, f"{result.title}{size}\n{judged}{whiskers}: {result.interval_name}{seeds}{low}")
        return figure


def preference_panel(axes: "Axes", result: AblationResult) -> None:
    """Preference for the distractor's answer in `conflict` over size, with the range of the turning point.

    A single size has no curve; then preference under each condition is drawn.
    """
    if len(result.sizes) == 1:
        quantity = "distractor_preference"
        rows = {c.value: (quantity, c, colours.CONDITIONS[c]) for c in result.task.conditions}
        _points(axes, result, rows)
        axes.set(xlim=(-0.03, 1.03), xlabel="preference for the distractor's answer")
        style.reference_line(axes, 0.5, vertical=True)
        return
    seeds = len(result.sizes[0])
    label = f"conflict, mean of {seeds} seeds" if seeds > 1 else "conflict"
    means = [result.mean(models, "distractor_preference", Condition.CONFLICT) for models in result.sizes]
    draw_curve(axes, result.n_params, means, label, colours.INK, style.MARKERS[Condition.CONFLICT])
    _seed_dots(axes, result, "distractor_preference", Condition.CONFLICT, colours.INK, style.SEEDS)
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
        named = {label: (pull, None, colour) for pull, (label, colour, _) in style.PULL_STYLES.items()}
        _points(axes, result, {**named, gap: ("logit_gap", only, colours.CONDITIONS[only])})
        axes.set_xlabel("nats")
        style.widen_to(axes, horizontal=True)
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
    style.widen_to(axes)
    style.reference_line(axes, 0)
    style.legend_inside(axes)


def accuracy_panel(axes: "Axes", result: AblationResult) -> None:
    """Accuracy in `conflict` over size; for a single size, as a point."""
    conflict = Condition.CONFLICT
    if len(result.sizes) == 1:
        _points(axes, result, {conflict.value: ("accuracy", conflict, colours.CONDITIONS[conflict])})
        axes.set(xlim=(-0.03, 1.03), xlabel="accuracy")
        style.reference_line(axes, 0.5, vertical=True)
        return
    _condition_curve(axes, result, "accuracy", conflict)
    style.log_axis(axes, result.n_params, "parameters")
    style.share_axis(axes)
    axes.set(title="Accuracy", ylabel="accuracy")
    style.legend_inside(axes)


def has_forces(task: Task) -> bool:
    """Whether a task has a condition that shows a pull, or the distractor task alone."""
    return Condition.CONGRUENT in task.conditions or Condition.DISTRACTOR_ONLY in task.conditions


def panels(task: Task) -> tuple[Callable[..., None], ...]:
    """The panels of the headline: preference, and the pulls with the gap in `distractor_only`, or accuracy without these."""
    return preference_panel, pulls_panel if has_forces(task) else accuracy_panel


def conditions(result: AblationResult) -> Figure | None:
    """Distractor preference and accuracy over size under every condition; None for a single size."""
    if len(result.sizes) == 1:
        return None
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, quantity in ((left, "distractor_preference"), (right, "accuracy")):
            for place, condition in enumerate(result.task.conditions):
                beside = place - (len(result.task.conditions) - 1) / 2 if len(result.sizes) <= style.FEW_SIZES else None
                _condition_curve(axes, result, quantity, condition, beside)
            style.log_axis(axes, result.n_params, "parameters")
            style.share_axis(axes)
        left.set(title="Distractor preference", ylabel="distractor preference")
        right.set(title="Accuracy", ylabel="accuracy")
        style.legend_below(figure, [left])
        bands = "whiskers" if len(result.sizes) <= style.FEW_SIZES else "bands"
        style.headline(
            figure,
            f"{result.title}: every condition over size\nIf a distractor task is overcome, conflict turns and "
            f"distractor_only goes on to the distractor's answer.\n{bands}: {result.interval_name}",
        )
        return figure


def components(result: AblationResult, knockouts: Sequence[Mapping[str, Any]]) -> Figure:
    """The change of the logit gap when each head or MLP is ablated: a column for each model, a row for each condition."""
    conditions = list(next(iter(knockouts[0]["effects"].values())))
    effects = [knockout["effects"] for knockout in knockouts]
    grids = [
        [head_grid(list(of), np.array([cell[condition]["mean"] for cell in of.values()])) for of in effects]
        for condition in conditions
    ]
    n_layers = max(len(grid.values) for grid in grids[0])
    height = layer_height(n_layers, 0.38)
    columns = [max(4, len(grid.columns)) for grid in grids[0]]  # the name of a model needs some width
    width = 1.8 + 0.5 * len(columns) + 0.36 * sum(columns)
    size = (max(6.5, width), 1.4 + len(conditions) * (0.9 + height * n_layers))
    with mpl.rc_context(MAP_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(conditions), len(knockouts), squeeze=False, width_ratios=columns)
        limit = colour_limit([grid.values for row in grids for grid in row])
        names = [
            shortened(result.short(knockout["model"]), max(16, 6 * n))
            for knockout, n in zip(knockouts, columns, strict=True)
        ]
        for condition, row, of_condition in zip(conditions, panels, grids, strict=True):
            for axes, grid, name in zip(row, of_condition, names, strict=True):
                title = name if condition == conditions[0] else ""
                image = draw_head_map(axes, grid, limit, title, height, supports=-1)
                axes.set_ylabel("")
                axes.set_ylim(n_layers - 0.5, -0.5)  # layers of models of other depth are in line
            row[0].set_ylabel(f"{condition}\nlayer")
        colour_bar(figure, image, panels, "change of the logit gap (nats)")
        style.headline(
            figure,
            f"{result.title}: effect of ablating each head and MLP (activation replaced by its mean)\n"
            "below 0 (blue): the component supports the true answer; above 0 (orange): the distractor's",
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
            task=result.task.name,
        )
        return parts(curve, parts_of(curve, "difficulty"))
    except ScalingError:
        return None


def distractor_alone(result: AblationResult) -> Figure | None:
    """Accuracy over size in `conflict` and in `distractor_only`, after figure 5 of Wei, Tay and Le (2022).

    If `true_only` is a negation curve, the composed prediction of Zhang et al. is drawn as well. None if the task has no
    `distractor_only`, and for a single size.
    """
    if Condition.DISTRACTOR_ONLY not in result.task.conditions or len(result.sizes) == 1:
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
        style.headline(
            figure,
            f"{result.task.name}: accuracy in conflict and on the distractor task alone\nA distractor task is learned before "
            "it is overcome: distractor_only is right where conflict is wrong.\n"
            f"bands: {result.interval_name}; the two tasks may interact, so this is not a pure ablation",
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
    alpha: float = 0.18,
) -> None:
    """Draw means with their intervals as a band; sizes without a mean are skipped."""
    defined = {size: mean for size, mean in zip(sizes, means, strict=True) if mean is not None}
    if defined:
        style.line_with_band(
            axes, list(defined), list(zip(*defined.values(), strict=True)), label, colour, marker, line, alpha
        )


def _condition_curve(
    axes: "Axes", result: AblationResult, quantity: str, condition: Condition, beside: float | None = None
) -> None:
    """Draw a quantity under one condition over size; in `conflict` with a dot for each seed.

    With `beside`, the interval is a whisker, so many steps beside the size: the bands of few sizes would hide each other.
    """
    means = [result.mean(models, quantity, condition) for models in result.sizes]
    colour, marker = colours.CONDITIONS[condition], style.MARKERS[condition]
    if beside is not None:
        defined = [(size, *mean) for size, mean in zip(result.n_params, means, strict=True) if mean is not None]
        if defined:
            sizes, mean, low, high = np.transpose(defined)
            sizes = sizes * (max(result.n_params) / min(result.n_params)) ** (beside * BESIDE)
            errors = np.maximum([mean - low, high - mean], 0)  # rounding may put the mean outside
            axes.errorbar(sizes, mean, errors, color=colour, marker=marker, ms=4, lw=1.4, label=condition.value)
    else:
        draw_curve(axes, result.n_params, means, condition.value, colour, marker, alpha=style.MANY_BANDS)
    if condition is Condition.CONFLICT:
        _seed_dots(axes, result, quantity, condition, colours.INK, f"{style.SEEDS} in conflict", beside)


def _seed_dots(
    axes: "Axes",
    result: AblationResult,
    quantity: str,
    condition: Condition | None,
    colour: str,
    label: str = "",
    beside: float | None = None,
) -> None:
    if len(result.sizes[0]) > 1:
        moved = (max(result.n_params) / min(result.n_params)) ** ((beside or 0) * BESIDE)
        dots = [
            (size * moved, mean.mean)
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


def _points(axes: "Axes", result: AblationResult, rows: Mapping[str, tuple[str, Condition | None, str]]) -> None:
    """For a single size, one row for each quantity under a condition: its mean with a whisker, and a dot for each seed."""
    (models,) = result.sizes
    means = {name: result.mean(models, quantity, condition) for name, (quantity, condition, _) in rows.items()}
    defined = {name: mean for name, mean in means.items() if mean is not None}
    for row, (name, mean) in enumerate(defined.items()):
        quantity, condition, colour = rows[name]
        axes.plot([mean.low, mean.high], [row, row], color=colour, lw=1.4)
        axes.plot(mean.mean, row, "o", color=colour, ms=6)
        if len(models) > 1:
            seeds = [result.mean([model], quantity, condition) for model in models]
            values = [seed.mean for seed in seeds if seed is not None]
            axes.plot(values, [row + 0.2] * len(values), ".", ms=3, color=colour)
    axes.set_yticks(range(len(defined)), list(defined))
    axes.set_ylim(max(len(defined), 1) - 0.5, -0.5)
