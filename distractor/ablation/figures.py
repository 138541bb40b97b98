"""From what was found to figures; nothing is shown or saved here. The same thing has the same colour in all of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.ablation.ablate import AblationResult, SizeCurves, composed_of
from distractor.errors import ScalingError
from distractor.runs.head_map import MAP_STYLE, HeadGrid, colour_limit, draw_heat_map, head_grid
from distractor.runs.item_parts import parts_of
from distractor.runs.parts_figure import parts
from distractor.runs.style import COLOURS, MARKERS, PULL_STYLES, STYLE, headline, log_axis
from distractor.statistics.curve import Curve
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(found: AblationResult) -> Figure:
    """Distractor preference, accuracy and the two pulls against size, with 95 % intervals over item groups."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.1), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        sizes = [found.scores[models[0]].source.n_params or 1 for models in found.sizes]
        seeds = len(found.sizes[0])
        for condition in found.task.conditions:
            _curve(left, found, sizes, "distractor_preference", condition)
            _curve(middle, found, sizes, "accuracy", condition)
        for pull, (label, colour, marker) in PULL_STYLES.items():
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
    """The change of the logit gap when each head or MLP is ablated: a column for each model, a row for each condition."""
    conditions = list(next(iter(knockouts[0]["effects"].values())))
    grids = [[_grid(knockout["effects"], condition) for knockout in knockouts] for condition in conditions]
    n_columns = max(len(grid.columns) for grid in grids[0])
    n_layers = max(len(grid.values) for grid in grids[0])
    size = (max(6.5, 1.6 + len(knockouts) * 0.55 * n_columns), 1.4 + len(conditions) * (0.9 + 0.38 * n_layers))
    with mpl.rc_context(MAP_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(conditions), len(knockouts), squeeze=False)
        limit = colour_limit([grid.values for row in grids for grid in row])
        for row, condition in enumerate(conditions):
            for axes, grid, knockout in zip(panels[row], grids[row], knockouts, strict=True):
                image = draw_heat_map(axes, grid.values, None, limit)
                axes.set(title=f"{knockout['model']}, {condition}", ylabel="layer", yticks=range(len(grid.values)))
                axes.set_xticks(range(len(grid.columns)), grid.columns)
        figure.colorbar(image, ax=panels, label="change of the logit gap (nats)", shrink=0.8)
        figure.suptitle(
            "Effect of ablating each head and MLP (activation replaced by its mean)\n"
            "below 0: the component supports the true answer; above 0: the distractor's",
            fontsize=10,
        )
        return figure


def by_difficulty(found: AblationResult) -> Figure | None:
    """Distractor preference in `conflict` by difficulty of the items (Wu and Lo 2025); None where there are too few."""
    try:
        tables = SizeCurves.over(found.task, found.scores, found.complete)
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


def distractor_alone(found: AblationResult) -> Figure | None:
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


def pulls(found: AblationResult) -> Figure | None:
    """True and distractor pull over size: the evidence that it is the distractor. None where they are not defined."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.0), layout="constrained")
        axes = figure.subplots()
        sizes = [found.scores[models[0]].source.n_params or 1 for models in found.sizes]
        for pull, (label, colour, marker) in PULL_STYLES.items():
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


def _curve(axes: "Axes", found: AblationResult, sizes: Sequence[int], quantity: str, condition: Condition) -> None:
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


def _grid(effects: Mapping[str, Any], condition: str) -> HeadGrid:
    return head_grid(list(effects), np.array([effect[condition]["mean"] for effect in effects.values()]))
