"""Figures of a comparison: levels and differences of behaviour, sites beside each other, paths, and training."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.comparison.compare import ComparisonResult, Pair, QuantityKey
from distractor.comparison.counterparts import MapChange
from distractor.comparison.steps import Course
from distractor.numbers import shortened
from distractor.runs.style import COLOURS, MARKERS, PULL_STYLES, SERIES, STYLE, headline
from distractor.statistics.changes import Change
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PANELS = ("distractor_preference", "accuracy", "logit_gap")


TITLES = {
    "distractor_preference": "distractor preference",
    "accuracy": "accuracy",
    "logit_gap": "logit gap (nats)",
    "true_pull": "T",
    "distractor_pull": "D",
}


SHAPES = "osD^v<>P"


NAMED = 6
"""How many sites are named in a scatter of two models."""


BARS = 12


def behaviour(found: ComparisonResult) -> Figure:
    """Above, each side under each condition; below, what changed, filled where it is beyond the noise of items.

    The grey bars hold 19 of 20 of the differences that come of flipping groups' signs at random: they are as wide as item
    noise makes them, and the wider the larger the difference itself is.
    """
    with mpl.rc_context(STYLE):
        panels = [name for name in PANELS if any(row[0] == name for row in found.rows)]
        conditions = len({row[1] for row in found.rows if row[1]})
        n_pairs = len(found.pairs)
        below = 0.9 + (conditions + 2) * (0.16 + 0.1 * n_pairs)
        heights = [1.0 + conditions * (0.14 + 0.07 * len(found.sides)), below]
        figure = Figure(figsize=(10, 1.3 + sum(heights)), layout="constrained")
        grid = figure.subplots(2, len(panels), squeeze=False, height_ratios=heights)
        for column, quantity in enumerate(panels):
            rows = [row for row in found.rows if row[0] == quantity]
            _levels(grid[0, column], found, rows, TITLES[quantity])
            if quantity == "logit_gap":
                rows += [row for row in found.rows if row[1] is None]
            _differences(grid[1, column], found, rows, TITLES[quantity])
        told = [axes.get_legend_handles_labels() for axes in grid[:, 0]]
        handles, names = ([*above, *beneath] for above, beneath in zip(*told, strict=True))
        figure.legend(handles, names, loc="outside lower center", ncols=3 if len(names) > 2 else 4)
        groups = len({group for group, is_used in zip(found.groups, found.complete, strict=True) if is_used})
        headline(
            figure,
            f"{found.task.name}, {int(found.complete.sum())} items in {groups} groups: behaviour, and what changes (95 % "
            "over item groups; filled: beyond item noise, 5 % over all differences of a pair; grey: 19 of 20 flips of signs)",
        )
        return figure


def sites(found: ComparisonResult, pair: Pair, name: str, maps: Sequence[MapChange]) -> Figure:
    """For each map of a probe the effects in one model against those in the other, and the sites that changed most."""
    with mpl.rc_context(STYLE):
        bars = min(BARS, max(len(one.sites) for one in maps))
        figure = Figure(figsize=(8.6, 0.6 + len(maps) * (1.5 + 0.17 * bars)), layout="constrained")
        grid = figure.subplots(len(maps), 2, squeeze=False, width_ratios=[1, 1.15])
        first, second = (found.sides[side].name for side in (pair.first, pair.second))
        for (left, right), one in zip(grid, maps, strict=True):
            _scatter(left, one, first, second)
            _changed(right, one, bars)
        headline(
            figure,
            f"{found.task.name}, {name}: effects of the sites in {first} and in {second} (orange: changed, 5 % false and at "
            "least 5 % of the gap; 95 % over item groups)",
        )
        return figure


def paths(found: ComparisonResult) -> Figure:
    """The strength of either task's sites on each side, and what sites found in one model do in the other."""
    with mpl.rc_context(STYLE):
        transfers = [move for pair in found.pairs for move in pair.transfers]
        figure = Figure(
            figsize=(9, 1.6 + max(0.36 * len(found.sides), 0.36 * len(transfers), 1.4)), layout="constrained"
        )
        axes = figure.subplots(1, 1 + bool(transfers), squeeze=False)[0]
        both = zip(PULL_STYLES.values(), ("true", "distractor"), (-0.14, 0.14), strict=True)
        for (pull, colour, marker), which, shift in both:
            label = pull.replace("pull", "path")
            for y, side in enumerate(found.sides):
                for place, m in enumerate(side.members):
                    if (one := found.strengths[m]) is not None:
                        at = y + shift + 0.07 * (place - (len(side.members) - 1) / 2)
                        _error(axes[0], one.mean(which), at, colour, marker, label if y == place == 0 else None)
        axes[0].axvline(0, color="black", lw=0.8, ls=":", zorder=0)
        axes[0].set_yticks(range(len(found.sides)), [shortened(side.name, 24) for side in found.sides])
        axes[0].set(title="Lost with its own sites, one point a seed", xlabel="nats")
        axes[0].set_ylim(len(found.sides) - 0.4, -0.6)
        axes[0].legend(loc="best", fontsize=8)
        if transfers:
            for y, move in enumerate(transfers):
                _, colour, marker = PULL_STYLES["true_pull" if move.path == "true_path" else "distractor_pull"]
                _error(axes[1], move.own, y + 0.14, "#7F7F7F", marker, "own sites" if y == 0 else None)
                _error(axes[1], move.foreign, y - 0.14, colour, marker, None)
            axes[1].axvline(0, color="black", lw=0.8, ls=":", zorder=0)
            names = [
                f"{shortened(move.found_in, 16)} in {shortened(move.knocked_out_in, 16)}, "
                f"{'T' if move.path == 'true_path' else 'D'}"
                for move in transfers
            ]
            axes[1].set_yticks(range(len(transfers)), names, fontsize=8)
            axes[1].set_ylim(len(transfers) - 0.4, -0.6)
            axes[1].set(title="Sites found in one, knocked out in the other", xlabel="nats")
            axes[1].legend(loc="best", fontsize=8)
        headline(
            figure,
            f"{found.task.name}: the true path (T) and the distractor's (D), sites chosen on half of the item groups, "
            "weighed on the other; 95 % over item groups",
        )
        return figure


def training(found: ComparisonResult, course: Course) -> Figure:
    """Preference and the two tasks alone, the two pulls, and the strengths of the two paths, against step."""
    conditions = {
        "distractor_preference": ("preference in conflict", Condition.CONFLICT),
        "distractor_only": ("accuracy, distractor_only", Condition.DISTRACTOR_ONLY),
        "true_only": ("accuracy, true_only", Condition.TRUE_ONLY),
    }
    with mpl.rc_context(STYLE):
        has_paths = "true_path" in course.curves
        figure = Figure(figsize=(10.5 if has_paths else 7.4, 4.4), layout="constrained")
        panels = figure.subplots(1, 3 if has_paths else 2)
        for name, (label, condition) in conditions.items():
            if name in course.curves:
                _curve(panels[0], course, name, label, COLOURS[condition], MARKERS[condition])
        panels[0].axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        panels[0].set(title="Behaviour", ylabel="preference, accuracy", ylim=(-0.03, 1.03))
        for axes, kind, title in zip(panels[1:], ("pull", "path"), ("The two pulls", "The two paths"), strict=False):
            for pull, (label, colour, marker) in PULL_STYLES.items():
                name = pull.replace("pull", kind)
                if name in course.curves:
                    _curve(axes, course, name, label.replace("pull", kind), colour, marker)
            axes.axhline(0, color="black", lw=0.8, ls=":", zorder=0)
            axes.set(title=title, ylabel="nats" if kind == "pull" else "nats lost without its sites")
        for axes in panels:
            _step_axis(axes, course.steps)
            handles, _ = axes.get_legend_handles_labels()
            if handles:
                axes.legend(loc="best", fontsize=8)
        n_seeds = len(course.seeds)
        bands = "bands: 95 % over item groups" + (f"; mean of {n_seeds} seeds, dots each seed" if n_seeds > 1 else "")
        headline(figure, f"{found.task.name}: {course.name} along training ({bands})")
        lines = [line for told in course.sentences() for line in textwrap.wrap(told, 165, subsequent_indent="    ")]
        if lines:
            figure.supxlabel("\n".join(lines), fontsize=6.5, color="#444444", x=0.01, ha="left")
        return figure


def _levels(axes: "Axes", found: ComparisonResult, rows: Sequence[QuantityKey], title: str) -> None:
    for place in range(len(found.sides)):
        shift = 0.5 * (place - (len(found.sides) - 1) / 2) / max(len(found.sides), 2)
        for y, row in enumerate(rows):
            mean = found.level(place, row)
            label = shortened(found.sides[place].name, 40) if y == 0 else None
            colour, marker = SERIES[place % len(SERIES)], SHAPES[place % len(SHAPES)]
            _error(axes, mean, y + shift, colour, marker, label)
    _conditions(axes, rows)
    axes.axvline(0 if rows[0][0] == "logit_gap" else 0.5, color="black", lw=0.8, ls=":", zorder=0)
    if rows[0][0] != "logit_gap":
        axes.set_xlim(-0.03, 1.03)
    axes.set_title(title)


def _differences(axes: "Axes", found: ComparisonResult, rows: Sequence[QuantityKey], title: str) -> None:
    axes.use_sticky_edges = False  # else the widest bar would end at the frame
    for place, pair in enumerate(found.pairs):
        shift = 0.7 * (place - (len(found.pairs) - 1) / 2) / max(len(found.pairs), 2)
        names = [shortened(found.sides[side].name, 30) for side in (pair.first, pair.second)]
        for y, row in enumerate(rows):
            one: Change = pair.rows[row]
            axes.barh(y + shift, 2 * one.by_chance, left=-one.by_chance, height=0.5 / len(found.pairs), color="#DDDDDD")
            label = " → ".join(names) if y == 0 else None
            colour = "#000000" if len(found.pairs) == 1 else SERIES[place % len(SERIES)]
            _error(axes, (one.mean, one.low, one.high), y + shift, colour, "o", label, filled=one.is_beyond_items)
    _conditions(axes, rows)
    axes.axvline(0, color="black", lw=0.8, ls=":", zorder=0)
    axes.set_xlabel(f"change of {title}" if rows[0][0] != "logit_gap" else "change (nats)")


def _conditions(axes: "Axes", rows: Sequence[QuantityKey]) -> None:
    names = [TITLES[row[0]] if row[1] is None else row[1].value for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _error(
    axes: "Axes",
    ends: tuple[float, float, float],
    y: float,
    colour: str,
    marker: str,
    label: str | None,
    *,
    filled: bool = True,
) -> None:
    mean, low, high = ends
    axes.plot([low, high], [y, y], color=colour, lw=1.1)
    face = colour if filled else "white"
    axes.plot([mean], [y], marker=marker, ms=4.5, color=colour, markerfacecolor=face, ls="", label=label, zorder=3)


def _scatter(axes: "Axes", one: MapChange, first: str, second: str) -> None:
    known = ~np.isnan(one.first) & ~np.isnan(one.second)
    ends = np.array([one.first[known], one.second[known]])
    low, high = float(min(ends.min(), 0)), float(max(ends.max(), 0))
    room = 0.06 * ((high - low) or 1.0)
    axes.plot([low - room, high + room], [low - room, high + room], color="black", lw=0.8, ls=":", zorder=0)
    for is_marked, colour, label in ((False, "#7F7F7F", "not told apart"), (True, "#D55E00", "changed")):
        here = known & (one.is_marked == is_marked)
        axes.plot(one.first[here], one.second[here], "o", ms=4, color=colour, label=label)
    taken: list[tuple[str, float, float]] = []
    for place in [int(p) for p in one.order if one.is_marked[p]][:NAMED]:
        x, y = float(one.first[place]), float(one.second[place])
        is_near = {side for side, a, b in taken if abs(x - a) < 4 * room and abs(y - b) < room}
        side = next((side for side in ("left", "right") if side not in is_near), None)
        if side is None:
            continue  # it has its bar beside
        taken.append((side, x, y))
        offset = (5 if side == "left" else -5, 0)
        axes.annotate(
            _site(one.sites[place]), (x, y), offset, textcoords="offset points", fontsize=7, ha=side, va="center"
        )
    axes.set(xlabel=f"{shortened(first, 36)} (nats)", ylabel=f"{shortened(second, 26)} (nats)")
    alike = "" if np.isnan(one.rank_correlation) else f": rank correlation {one.rank_correlation:.2f}"
    axes.set_title(f"{one.name}{alike}", fontsize=9)


def _changed(axes: "Axes", one: MapChange, bars: int) -> None:
    shown = one.order[:bars]
    for y, place in enumerate(shown):
        colour = "#D55E00" if one.is_marked[place] else "#7F7F7F"
        axes.barh(y, one.mean[place], color=colour, height=0.7, alpha=0.75)
        axes.plot([one.low[place], one.high[place]], [y, y], color="black", lw=0.9)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(shown)), [_site(one.sites[place]) for place in shown], fontsize=7)
    axes.set_ylim(bars - 0.4, -0.6)
    axes.set_xlabel("change of the effect, second − first (nats)")


def _curve(axes: "Axes", course: Course, name: str, label: str, colour: str, marker: str) -> None:
    mean, low, high = course.means(name)
    axes.plot(course.steps, mean, color=colour, marker=marker, ms=4, lw=1.4, label=label)
    axes.fill_between(course.steps, low, high, color=colour, alpha=0.18, lw=0)
    if len(course.seeds) > 1:
        for row in course.curves[name]:
            weights = course.counts[name] / course.counts[name].sum()
            axes.plot(course.steps, row @ weights, ".", ms=2.5, color=colour, alpha=0.7)


def _step_axis(axes: "Axes", steps: Sequence[int]) -> None:
    """A log axis; where step 0 is on it, linear below the first step."""
    if min(steps) > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=sorted(steps)[1])
        axes.set_xlim(left=-0.15 * sorted(steps)[1])
    axes.set_xlabel("training step")


def _site(name: str) -> str:
    """`L0H1.z` as `L0H1`, `L0.mlp_out` as `L0 MLP`."""
    return name.removesuffix(".z").replace(".mlp_out", " MLP")
