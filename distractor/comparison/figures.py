"""Figures of a comparison: behaviour and its differences, effects of sites, strength of the two paths, training."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.comparison.map_changes import MapChange
from distractor.comparison.result import ComparisonResult, Pair, QuantityKey
from distractor.comparison.steps import TrainingCurves
from distractor.numbers import shortened
from distractor.runs import colours, style
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {
    "distractor_preference": "distractor preference",
    "accuracy": "accuracy",
    "logit_gap": "logit gap (nats)",
    "true_pull": "true pull T",
    "distractor_pull": "distractor pull D",
}

PANELS = ("distractor_preference", "accuracy", "logit_gap")

CHANGED, UNCHANGED = colours.MARKED, colours.NEUTRAL

NAMED = 6  # the number of sites that are named in a scatter of two models
BARS = 12  # the number of sites with a bar, those that changed most
LEAST_CHANGE = 0.25  # of preference and accuracy; axes reach at least as far on both sides
LEAST_ROWS = 8  # the height of a map's panels, in bars
LETTER, LINE = 0.065, 0.11  # inches, of a site's name


def behaviour(result: ComparisonResult) -> Figure:
    """The upper panels show each side under each condition, the lower ones the differences (filled if beyond item
    noise).

    The grey bars contain 95 % of the differences under random sign flips of groups. They are wider for noisier items
    and for
    larger differences.
    """
    with mpl.rc_context(style.STYLE):
        panels = [name for name in PANELS if any(row[0] == name for row in result.rows)]
        pulls = [row for row in result.rows if not row[1]]
        conditions = list(dict.fromkeys(_row_name(row) for row in result.rows if row[1]))
        names = [*conditions, *map(_row_name, pulls)]
        heights = [
            1.0 + len(conditions) * (0.14 + 0.07 * len(result.sides)),
            0.9 + len(names) * (0.16 + 0.1 * len(result.pairs)),
        ]
        figure = Figure(figsize=(10, 1.3 + sum(heights)), layout="constrained")
        grid = figure.subplots(2, len(panels), squeeze=False, height_ratios=heights, sharey="row")
        for above, below, quantity in zip(*grid, panels, strict=True):
            rows = [row for row in result.rows if row[0] == quantity]
            _levels(above, result, rows, conditions)
            _differences(below, result, rows + pulls * (quantity == "logit_gap"), names)
        style.legend_below(figure, list(grid[:, 0]), 3)
        style.headline(
            figure,
            f"{result.title}, {int(result.complete.sum())} items in {result.n_groups} groups: behaviour and its changes "
            "(95 % over item groups; filled: beyond item noise, 5 % over all differences of a pair; grey: 19 of 20 random "
            "sign flips)",
        )
        return figure


def panel_size(result: ComparisonResult) -> tuple[float, float]:
    """The size of one panel of a page in inches, with its legend."""
    rows = sum(row[0] == PANELS[0] for row in result.rows)
    legends = [names for names in (_side_names(result), _pair_names(result)) if names]
    lines = max((-(-len(names) // _legend_columns(names)) for names in legends), default=0)
    return 5.0, 1.2 + rows * (0.25 + 0.1 * max(len(result.sides), len(result.pairs))) + 0.19 * lines


def levels_panel(axes: "Axes", result: ComparisonResult, rows: Sequence[QuantityKey]) -> None:
    """Each side's mean of one quantity under each condition, as one panel of a page."""
    _levels(axes, result, rows, list(map(_row_name, rows)))
    _legend_above(axes)


def changes_panel(axes: "Axes", result: ComparisonResult, rows: Sequence[QuantityKey]) -> None:
    """Each pair's difference of one quantity under each condition, as one panel of a page."""
    _differences(axes, result, rows, list(map(_row_name, rows)))
    _legend_above(axes)


def _legend_above(axes: "Axes") -> None:
    names = axes.get_legend_handles_labels()[1]
    title = axes.get_title()
    axes.set(title="", xlabel=axes.get_xlabel() or title)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=_legend_columns(names),
        borderaxespad=0,
        fontsize=8,
        labelspacing=0.3,
    )


def _legend_columns(names: Sequence[str]) -> int:
    """Two columns if they fit above a panel of a page, and are needed."""
    fits = 0.5 + LETTER * max(map(len, names), default=0) < 1.8
    return 2 if fits and len(names) > 3 else 1


def _side_names(result: ComparisonResult) -> list[str]:
    return [shortened(result.short(side.name), 30) for side in result.sides]


def _pair_names(result: ComparisonResult) -> list[str]:
    names = [shortened(result.short(side.name), 22) for side in result.sides]
    return [f"{names[pair.first]} → {names[pair.second]}" for pair in result.pairs]


def sites(result: ComparisonResult, pair: Pair, probe: str, maps: Sequence[MapChange]) -> Figure:
    """For each map of a probe: effects in one model against the other, and the sites that changed most."""
    with mpl.rc_context(style.STYLE):
        bars = min(BARS, max(len(one.sites) for one in maps))
        rows = max(bars, LEAST_ROWS)
        figure = Figure(figsize=(8.6, 0.6 + len(maps) * (1.5 + 0.17 * rows)), layout="constrained")
        grid = figure.subplots(len(maps), 2, squeeze=False, width_ratios=[1, 1.15])
        for right in grid[1:, 1]:
            right.sharex(grid[0, 1])
        first, second = (result.sides[side].name for side in (pair.first, pair.second))
        for (left, right), one in zip(grid, maps, strict=True):
            _scatter(left, one, result.short(first), result.short(second), (3.2, 0.6 + 0.17 * rows))
            _changes(right, one, bars)
        style.widen_to(grid[0, 1], style.LEAST_EFFECT, horizontal=True)
        style.headline(
            figure,
            f"{result.task.name}, {probe}: effects of sites in {first} and {second} (green: changed, 5 % false discoveries "
            "and at least 5 % of the gap; 95 % over item groups)",
        )
        return figure


def paths(result: ComparisonResult) -> Figure:
    """The strength of both tasks' sites on each side, and the loss when sites of one model are knocked out in the other."""
    with mpl.rc_context(style.STYLE):
        transfers = [transfer for pair in result.pairs for transfer in pair.transfers]
        height = 1.9 + max(0.36 * len(result.sides), 0.36 * len(transfers), 1.4)
        figure = Figure(figsize=(9, height), layout="constrained")
        left, *others = figure.subplots(1, 1 + bool(transfers), squeeze=False)[0]
        for (label, colour, marker), task, shift in zip(
            style.PULL_STYLES.values(), ("true", "distractor"), (-0.14, 0.14), strict=True
        ):
            for y, side in enumerate(result.sides):
                for i, model in enumerate(side.members):
                    if (strength := result.strengths[model]) is not None:
                        at = y + shift + 0.07 * (i - (len(side.members) - 1) / 2)
                        name = label.replace("pull", "path") if y == i == 0 else None
                        _interval(left, strength.mean(task), at, colour, marker, name)
        names = [shortened(result.short(side.name), 24) for side in result.sides]
        seeds = ", one point per seed" if any(len(side.members) > 1 for side in result.sides) else ""
        _finish_rows(left, names, title=f"Lost with its own sites{seeds}", xlabel="nats")
        for right in others:
            names = []
            for y, transfer in enumerate(transfers):
                is_true = transfer.path == "true_path"
                _, colour, marker = style.PULL_STYLES["true_pull" if is_true else "distractor_pull"]
                _interval(right, transfer.own, y + 0.14, UNCHANGED, marker, "own sites" if y == 0 else None)
                _interval(right, transfer.foreign, y - 0.14, colour, marker, None)
                found_in, other = (
                    shortened(result.short(name), 24) for name in (transfer.found_in, transfer.knocked_out_in)
                )
                names.append(f"{'T' if is_true else 'D'}: {found_in}\nin {other}")
            _finish_rows(right, names, title="Lost with sites of the other model", xlabel="nats")
        for axes in (left, *others):
            style.widen_to(axes, horizontal=True)
            axes.locator_params(axis="x", nbins=5)
            axes.set_title(textwrap.fill(axes.get_title(), 36 if not others else 24), fontsize=9)
        style.legend_below(figure, [left, *others])
        style.headline(
            figure,
            f"{result.title}: the true path (T) and the distractor's path (D); sites chosen on half of the item groups, "
            "measured on the other half; 95 % over item groups",
        )
        return figure


def training(result: ComparisonResult, curves: TrainingCurves) -> Figure:
    """Preference and the two tasks alone, the two pulls, and the strengths of the two paths, against step."""
    conditions = {
        "distractor_preference": ("preference in conflict", Condition.CONFLICT),
        "distractor_only": ("accuracy, distractor_only", Condition.DISTRACTOR_ONLY),
        "true_only": ("accuracy, true_only", Condition.TRUE_ONLY),
    }
    with mpl.rc_context(style.STYLE):
        has_paths = "true_path" in curves.curves
        figure = Figure(figsize=(10.5 if has_paths else 7.4, 4.4), layout="constrained")
        behaviour, *others = figure.subplots(1, 3 if has_paths else 2)
        for quantity, (label, condition) in conditions.items():
            _curve(behaviour, curves, quantity, label, colours.CONDITIONS[condition], style.MARKERS[condition])
        style.share_axis(behaviour)
        behaviour.set(title="Behaviour", ylabel="preference, accuracy")
        for axes, kind in zip(others, ("pull", "path"), strict=False):
            for pull, (label, colour, marker) in style.PULL_STYLES.items():
                _curve(axes, curves, pull.replace("pull", kind), label.replace("pull", kind), colour, marker)
            style.reference_line(axes, 0)
            style.widen_to(axes)
            axes.set(title=f"The two {kind}s", ylabel="nats" if kind == "pull" else "nats lost without its sites")
        for axes in (behaviour, *others):
            style.log_axis(axes, curves.steps, "training step")
            if min(curves.steps) <= 0:
                axes.set_xlim(left=-0.15 * sorted(curves.steps)[1])
            style.legend_inside(axes, fontsize=8)
        n_seeds = len(curves.seeds)
        bands = f"bands: {curves.interval_name}" + (f"; mean of {n_seeds} seeds" if n_seeds > 1 else "")
        style.headline(figure, f"{result.task.name}: {curves.name} along training ({bands})")
        style.footnote(figure, curves.sentences())
        return figure


def _levels(axes: "Axes", result: ComparisonResult, rows: Sequence[QuantityKey], names: Sequence[str]) -> None:
    """Each side's mean of one quantity under each condition, in the rows of these names."""
    names_of_sides = _side_names(result)
    for side, shift in enumerate(_shifts(len(result.sides), 0.5)):
        colour, marker = (
            colours.SERIES[side % len(colours.SERIES)],
            style.SERIES_MARKERS[side % len(style.SERIES_MARKERS)],
        )
        for row in rows:
            label = names_of_sides[side] if row == rows[0] else None
            _interval(axes, result.level(side, row), names.index(_row_name(row)) + shift, colour, marker, label)
    is_gap = rows[0][0] == "logit_gap"
    _finish_rows(axes, names, reference=0 if is_gap else 0.5, title=TITLES[rows[0][0]])
    if is_gap:
        style.widen_to(axes, horizontal=True)
    else:
        axes.set_xlim(-0.03, 1.03)


def _differences(axes: "Axes", result: ComparisonResult, rows: Sequence[QuantityKey], names: Sequence[str]) -> None:
    """Each pair's difference under each condition, in the rows of these names, on grey bars for item noise."""
    axes.use_sticky_edges = False  # keeps the widest bar off the frame
    n_pairs, names_of_pairs = len(result.pairs), _pair_names(result)
    for i, (pair, shift) in enumerate(zip(result.pairs, _shifts(n_pairs, 0.7), strict=True)):
        colour = colours.SERIES[(len(result.sides) + i) % len(colours.SERIES)]  # a change has not the colour of a side
        for row in rows:
            change, y = pair.rows[row], names.index(_row_name(row))
            width = 2 * change.by_chance
            axes.barh(y + shift, width, left=-change.by_chance, height=0.5 / n_pairs, color=colours.PALE)
            mean = change.mean, change.low, change.high
            label = names_of_pairs[i] if row == rows[0] else None
            _interval(axes, mean, y + shift, colour, "o", label, filled=change.is_beyond_items)
    is_gap = rows[0][0] == "logit_gap"
    _finish_rows(axes, names, xlabel="change (nats)" if is_gap else f"change of {TITLES[rows[0][0]]}")
    style.widen_to(axes, 1.0 if is_gap else LEAST_CHANGE, horizontal=True)
    axes.locator_params(axis="x", nbins=5)


def _shifts(count: int, width: float) -> list[float]:
    """Vertical offsets that keep points of one row apart."""
    return [width * (i - (count - 1) / 2) / max(count, 2) for i in range(count)]


def _row_name(row: QuantityKey) -> str:
    quantity, condition = row
    return TITLES[quantity] if condition is None else condition.value


def _finish_rows(
    axes: "Axes", names: Sequence[str], *, title: str = "", xlabel: str = "", reference: float = 0, fontsize: float = 8
) -> None:
    """Names the rows, first on top, and draws the reference line."""
    axes.set_yticks(range(len(names)), names, fontsize=fontsize)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set(title=title, xlabel=xlabel)
    style.reference_line(axes, reference, vertical=True)


def _interval(
    axes: "Axes",
    mean: tuple[float, float, float],
    y: float,
    colour: str,
    marker: str,
    label: str | None,
    *,
    filled: bool = True,
) -> None:
    """A mean with its interval, in row `y`."""
    middle, low, high = mean
    axes.plot([low, high], [y, y], color=colour, lw=1.1)
    face = colour if filled else colours.PAPER
    axes.plot([middle], [y], marker=marker, ms=4.5, color=colour, markerfacecolor=face, ls="", label=label, zorder=3)


def _scatter(axes: "Axes", one: MapChange, first: str, second: str, size: tuple[float, float]) -> None:
    """Effects in one model against the other, in a panel of this size in inches."""
    known = ~np.isnan(one.first) & ~np.isnan(one.second)
    effects = np.array([one.first[known], one.second[known]])
    low, high = float(min(effects.min(), -style.LEAST_EFFECT)), float(max(effects.max(), style.LEAST_EFFECT))
    margin = 0.06 * (high - low)
    ends = low - margin, high + margin
    axes.plot(ends, ends, color=colours.INK, lw=0.8, ls=":", zorder=0)
    axes.set(xlim=ends, ylim=ends)
    for is_marked, colour in ((False, UNCHANGED), (True, CHANGED)):
        shown = known & (one.is_marked == is_marked)
        axes.plot(one.first[shown], one.second[shown], "o", ms=4, color=colour)
    named = [int(i) for i in one.order if one.is_marked[i]][:NAMED]
    points = [(float(one.first[i]), float(one.second[i])) for i in named]
    names = [style.short_site(one.sites[i]) for i in named]
    for name, point, side in zip(names, points, _sides(names, points, ends, size), strict=True):
        if side is not None:
            axes.annotate(
                name, point, (5 * side, 0), textcoords="offset points", fontsize=7, ha="left" if side > 0 else "right",
                va="center",
            )  # fmt: skip
    axes.set(xlabel=f"{shortened(first, 36)} (nats)", ylabel=f"{shortened(second, 24)}\n(nats)")
    correlation = "" if np.isnan(one.rank_correlation) else f": rank correlation {one.rank_correlation:.2f}"
    axes.set_title(f"{one.name}{correlation}", fontsize=9)


def _sides(
    names: Sequence[str], points: Sequence[tuple[float, float]], ends: tuple[float, float], size: tuple[float, float]
) -> list[int | None]:
    """On which side of its point each name is written, 1 (right) or -1 (left), in a square of this size in inches.

    None if the name would lie on another or beyond the panel; its bar has the name.
    """
    inches = np.array(size) / (ends[1] - ends[0])
    taken: list[tuple[float, float, float]] = []
    sides: list[int | None] = []
    for name, point in zip(names, points, strict=True):
        x, y = (np.array(point) - ends[0]) * inches
        found = None
        for side in (1, -1):
            left, right = sorted((x, x + side * (0.08 + LETTER * len(name))))
            is_inside = left >= 0 and right <= size[0]
            if is_inside and all(abs(y - b) > LINE or left > end or right < start for start, end, b in taken):
                taken.append((left, right, y))
                found = side
                break
        sides.append(found)
    return sides


def _changes(axes: "Axes", one: MapChange, bars: int) -> None:
    shown = one.order[:bars]
    for y, i in enumerate(shown):
        axes.barh(y, one.mean[i], color=CHANGED if one.is_marked[i] else UNCHANGED, height=0.7, alpha=0.75)
        axes.plot([one.low[i], one.high[i]], [y, y], color=colours.INK, lw=0.9)
    axes.axvline(0, color=colours.INK, lw=0.8)
    axes.set_yticks(range(len(shown)), [style.short_site(one.sites[i]) for i in shown], fontsize=7)
    axes.set_ylim(bars - 0.4, -0.6)
    axes.set_xlabel("change of the effect, second − first (nats)")


def _curve(axes: "Axes", curves: TrainingCurves, quantity: str, label: str, colour: str, marker: str) -> None:
    if quantity not in curves.curves:
        return
    style.line_with_band(axes, curves.steps, curves.means(quantity), label, colour, marker)
    if len(curves.seeds) > 1:
        for seed in curves.curves[quantity]:
            axes.plot(curves.steps, seed.mean(-1), ".", ms=2.5, color=colour, alpha=0.7, label=style.SEEDS)
