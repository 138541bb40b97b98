"""One figure of how the distractor is overcome over model size."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from distractor.attribution.overcome_over_size import AtSize
from distractor.numbers import shortened
from distractor.runs import colours, style
from distractor.statistics.overcoming import NEAR_0, NEGATIVE, POSITIVE
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LIMITS = (-2.0, 2.0)  # the axis of ω, κ and ρ; longer intervals end in a triangle
LINES = 0.25  # height of the lines to names that are moved, as the panels' heights
LEAST_MOVE = 0.005  # of the axis; names that are moved less need no line
LINE = 0.17  # inches from one name of a size to the next
LETTER = 0.056  # inches, of a letter in the name of a size
WIDTHS = (7.2, 14.0)  # inches, of the whole figure
HEIGHT = 7.6  # inches, without the names of the sizes
BESIDE = 1.9  # inches left and right of the panels
NAME = 24  # characters of a model's name
STEP = 0.012  # from one series to the next, as a share of the axis

BOUNDS = {"positive": POSITIVE, "near 0": NEAR_0, "negative": (LIMITS[0], NEGATIVE)}
SHARES = {
    "omega": ("ω: still written", colours.INK, "o"),
    "kappa": ("κ: still counts", colours.SERIES[1], "s"),
    "rho": ("ρ: still written by sites of both tasks", colours.SERIES[2], "D"),
}


def overcoming_over_size(title: str, points: Sequence[AtSize]) -> Figure:
    """T and D, the gap in `distractor_only`, and ω, κ and ρ over size; the answer for each size stands below in words.

    `title` names the task and the models. What is not defined is left out.
    """
    sizes, answers = [point.n_params for point in points], [_answer(point) for point in points]
    width = float(np.clip(BESIDE + LINE * len(points), *WIDTHS))
    height = HEIGHT + LETTER * max(map(len, answers))
    limits = _limits(sizes)
    named, places = _named(sizes, limits, width - BESIDE)
    lines = LINES if np.abs(places[0] - places[1]).max() > LEAST_MOVE else 0.02
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        pulls, alone, shares, names = figure.subplots(4, 1, sharex=True, height_ratios=(1.3, 1.0, 1.7, lines))
        pulls.set(xscale="log", xlim=limits)
        draw_pulls(pulls, points)
        draw_alone(alone, points)
        draw_shares(shares, points)
        for axes in (pulls, alone, shares):
            axes.grid(visible=False, axis="x")
            for size in set(sizes):
                axes.axvline(size, color=colours.PALE, lw=0.6, zorder=0)
        pulls.set(ylabel="pull (nats)")
        alone.set(ylabel="gap (nats)")
        shares.set(ylabel="share of the effect\nin distractor_only")
        style.log_axis(shares, sizes, "parameters")
        shares.tick_params(labelbottom=True)
        style.widen_to(pulls)
        style.widen_to(alone)
        for axes in (pulls, alone, shares):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0)
        _name_sizes(names, [answers[k] for k in named], *places, has_lines=lines == LINES)
        style.headline(figure, f"{title}: how the distractor is overcome over size ({_key(points)})")
        style.footnote(
            figure,
            [
                "Below 0 in distractor_only: the distractor's answer wins. ω: what sites of the distractor's task alone "
                "write in conflict, as a share of what they write in distractor_only. κ: the same of what counts. Grey: the "
                "whole interval must be inside one of these bounds. What is not defined is left out."
                + " Not yet: the distractor's answer still wins in conflict."
                * any(not point.is_overcome for point in points)
            ],
        )
        return figure


def forces_panel(axes: "Axes", points: Sequence[AtSize]) -> None:
    """T, D and the gap in `distractor_only` over size, in nats, as one panel of a page."""
    _one_panel(axes, points, draw_pulls, draw_alone)
    style.widen_to(axes)
    axes.set_ylabel("nats")


def shares_panel(axes: "Axes", points: Sequence[AtSize]) -> None:
    """ω, κ and ρ over size, as one panel of a page."""
    _one_panel(axes, points, draw_shares)
    axes.set_ylabel("share of the effect in distractor_only")


def _one_panel(axes: "Axes", points: Sequence[AtSize], *draws: "Callable[[Axes, Sequence[AtSize]], None]") -> None:
    sizes = [point.n_params for point in points]
    axes.set(xscale="log", xlim=_limits(sizes))
    for draw in draws:
        draw(axes, points)
    style.log_axis(axes, sizes, "parameters")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)


def _limits(sizes: Sequence[int]) -> tuple[float, float]:
    """The ends of the axis of sizes."""
    edge = (max(sizes) / min(sizes)) ** 0.05
    return min(sizes) / edge, max(sizes) * edge


def draw_pulls(axes: "Axes", points: Sequence[AtSize]) -> None:
    """T and D in nats."""
    style.reference_line(axes, 0)
    for i, (pull, (label, colour, marker)) in enumerate(style.PULL_STYLES.items()):
        _series(axes, points, pull, label, colour, marker, i - 0.5)


def draw_alone(axes: "Axes", points: Sequence[AtSize]) -> None:
    """The logit gap in `distractor_only`, in nats."""
    style.reference_line(axes, 0)
    only = Condition.DISTRACTOR_ONLY
    colour, marker = colours.CONDITIONS[only], style.MARKERS[only]
    _series(axes, points, "gap_alone", "logit gap in distractor_only", colour, marker, 0)


def draw_shares(axes: "Axes", points: Sequence[AtSize]) -> None:
    """ω, κ and ρ, and the bounds that a whole interval must be inside of."""
    style.reference_line(axes, 0)
    axes.set_ylim(LIMITS)
    for bound, (bottom, top) in BOUNDS.items():
        axes.axhspan(bottom, top, color=colours.NEUTRAL, alpha=0.13, lw=0, zorder=0)
        axes.text(
            1.01, (bottom + top) / 2, bound, transform=axes.get_yaxis_transform(), fontsize=7, va="center",
            color=colours.SOFT_INK,
        )  # fmt: skip
    for i, (share, (label, colour, marker)) in enumerate(SHARES.items()):
        _series(axes, points, share, label, colour, marker, i - 1, LIMITS)


def _key(points: Sequence[AtSize]) -> str:
    """What whiskers, dots and triangles are."""
    over = {"seeds and item groups" if point.seeds else "item groups" for point in points}
    key = [f"whiskers: 95 % over {', or '.join(sorted(over, reverse=True))}"]
    if any(point.seeds for point in points):
        key.append("dots: single seeds")
    if goes_on(points):
        key.append("triangles: the interval goes on")
    return "; ".join(key)


def goes_on(points: Sequence[AtSize]) -> bool:
    """Whether a triangle is drawn: an interval of a share, or a seed's mean, is beyond the axis."""
    means = [mean for point in points for share in SHARES if (mean := point.of(share))]
    seeds = [mean for point in points for seed in point.seeds for share in SHARES if (mean := seed.of(share))]
    ends = [end for mean in means for end in (mean.low, mean.high)] + [mean.mean for mean in seeds]
    return any(not LIMITS[0] <= end <= LIMITS[1] for end in ends)


def _series(
    axes: "Axes",
    points: Sequence[AtSize],
    quantity: str,
    label: str,
    colour: str,
    marker: str,
    place: float,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Means with whiskers, joined where there is one for each size, and a dot for each seed; undefined ones are left out.

    `place` moves the series to the side, in steps. Whiskers and means beyond `limits` end in a triangle.
    """
    sizes = np.array([point.n_params for point in points], dtype=float)
    beside = (sizes.max() / sizes.min()) ** (place * STEP)
    rows = np.array([point.of(quantity) or (np.nan,) * 3 for point in points], dtype=float)
    mean, low, high = rows.T
    if len(set(sizes)) == len(sizes):
        axes.plot(sizes * beside, mean, color=colour, lw=1, alpha=0.6)
    is_inside = (mean >= limits[0]) & (mean <= limits[1])
    is_known = bool(np.isfinite(mean).any())
    name = label if is_known else None
    axes.plot(sizes[is_inside] * beside, mean[is_inside], marker, color=colour, ms=5, label=name, zorder=3)
    bottom, top = (np.clip(end, *limits) for end in (low, high))
    axes.vlines(sizes * beside, bottom, top, color=colour, lw=1.2)
    seeds = [
        (x, one.mean) for x, point in zip(sizes, points, strict=True) for s in point.seeds if (one := s.of(quantity))
    ]
    x, values = np.array(seeds).reshape(-1, 2).T
    is_shown = (values >= limits[0]) & (values <= limits[1])
    if is_shown.any():
        of_seeds = None if is_known else label
        axes.plot(x[is_shown] * beside, values[is_shown], ".", ms=3, color=colour, label=of_seeds)
    for ends, sign in ((low, -1), (high, 1)):
        _triangles(axes, sizes * beside, ends, limits, sign, colour, 5)
        _triangles(axes, x * beside, values, limits, sign, colour, 3)


def _triangles(
    axes: "Axes", x: ndarray, values: ndarray, limits: tuple[float, float], sign: int, colour: str, size: float
) -> None:
    """A triangle at the upper limit (`sign` 1), or the lower one, for each value beyond it."""
    limit = limits[sign > 0]
    beyond = x[sign * values > sign * limit]
    if len(beyond):  # an empty line would count as drawn at the figure's corner
        marker = "^" if sign > 0 else "v"
        axes.plot(beyond, np.full(len(beyond), limit), marker, color=colour, ms=size, clip_on=False)


def _answer(point: AtSize) -> str:
    """The name of a size, and how its models overcome the distractor."""
    how = point.found.label if point.is_overcome else f"{point.found.label}; not yet"
    return f"{shortened(point.name, NAME)}: {how}"


def _named(
    sizes: Sequence[int], limits: tuple[float, float], inches: float
) -> tuple[range, tuple[Float[ndarray, " name"], Float[ndarray, " name"]]]:
    """Which sizes are named, their places on the axis between 0 and 1, and those of their names, which are moved apart."""
    named = range(0, len(sizes), int(-(-len(sizes) * LINE // inches)))
    first, last = np.log(limits)
    places = (np.log([sizes[k] for k in named]) - first) / ((last - first) or 1)
    return named, (places, apart(places, LINE / inches))


def _name_sizes(
    axes: "Axes",
    answers: Sequence[str],
    places: Float[ndarray, " name"],
    moved: Float[ndarray, " name"],
    *,
    has_lines: bool,
) -> None:
    """The answer for each size, upright below the axis, with a line from its size if names are moved apart."""
    axes.set_axis_off()
    axes.set_ylim(0, 1)
    for answer, place, name_place in zip(answers, places, moved, strict=True):
        if has_lines:
            axes.plot(
                [place, name_place], [1, 0], color=colours.SOFT_INK, lw=0.5, clip_on=False, transform=axes.transAxes
            )
        axes.text(
            name_place,
            -0.1 * has_lines,
            answer,
            rotation=90,
            ha="center",
            va="top",
            fontsize=7,
            transform=axes.transAxes,
        )


def apart(places: Float[ndarray, " name"], least: float) -> Float[ndarray, " name"]:
    """Ascending places between 0 and 1, moved so that neighbours are at least `least` apart, if there is room.

    >>> apart(np.array([0.1, 0.2, 0.99, 1.0]), 0.1).round(3).tolist()
    [0.1, 0.2, 0.9, 1.0]
    """
    steps = least * np.arange(len(places))
    right = np.maximum.accumulate(places - steps) + steps
    room = 1 - least * (len(places) - 1) + steps
    return np.minimum(right, room)
