"""Figures of what models wrote and of formats side by side; nothing is shown or saved here."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.ablation.formats import FormatCurve, Found, accuracy_of_part, parts, sizes_of
from distractor.ablation.free_form import FreeForm
from distractor.runs.style import COLOURS, MARKERS, SERIES, STYLE, log_axis
from distractor.statistics.groups import Mean
from distractor.text.task import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes


NAMES = {
    "distractor_preference": "distractor preference",
    "distractor_share": "distractor share\n(of texts with an answer)",
}


BEHIND = {"question": ("question", "#0072B2", "v"), "reasoning": ("reasoning", "#D55E00", "o")}


def free(found: FreeForm) -> Figure:
    """Distractor share, accuracy and the share of texts with an answer over size; of chains of thought what they go by."""
    with mpl.rc_context(STYLE):
        is_reasoned = found.task.format.scoring == "cot"
        figure = Figure(figsize=(13 if is_reasoned else 10, 4.1), layout="constrained")
        share, accuracy, parsed, *rest = figure.subplots(1, 4 if is_reasoned else 3)
        sizes = [found.replies[places[0]].source.n_params or 1 for places in found.sizes]
        for axes, quantity in ((share, "distractor_share"), (accuracy, "accuracy"), (parsed, "parsed")):
            for c in found.task.conditions:
                means = [found.mean(places, quantity, c) for places in found.sizes]
                _line(axes, sizes, means, c.value, COLOURS[c], MARKERS[c])
            axes.set(ylim=(-0.03, 1.03))
        share.set(title=f"The distractor's answer: {found.judged.label}", ylabel="distractor share")
        accuracy.set(title="Right answers", ylabel="accuracy\n(of texts with an answer)")
        parsed.set(title="Texts with an answer", ylabel="share of texts")
        for axes in (share, accuracy):
            axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        for axes in rest:
            for name, (label, colour, marker) in BEHIND.items():
                _line(axes, sizes, [found.follows(places)[name] for places in found.sizes], label, colour, marker)
            axes.axhline(0, color="black", lw=0.8, ls=":", zorder=0)
            axes.set(title="What the answer goes by", ylabel="change of the logit gap (nats)")
            if axes.lines[1:]:
                axes.legend(loc="upper left")
        for axes in (share, accuracy, parsed, *rest):
            log_axis(axes, sizes, axes.get_xlabel())
            axes.set_xlabel("parameters")
        handles, labels = parsed.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))
        figure.suptitle(
            f"{found.task.name} over model size, {found.task.format.label} (bands: 95 % over item groups)", fontsize=10
        )
        return figure


def formats(curves: Sequence[FormatCurve], task: str) -> Figure:
    """A column for each format, its own quantity above and accuracy below; its shape stands over it.

    So a preference and a share never share an axis.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(6.5, 3.2 * len(curves)), 5.6), layout="constrained")
        grid = figure.subplots(2, len(curves), squeeze=False, sharex=True)
        for column, one in enumerate(curves):
            above, below = grid[:, column]
            for c in (Condition.CONFLICT, Condition.DISTRACTOR_ONLY):
                if c not in one.means:
                    continue
                _line(above, one.sizes, one.means[c], c.value, COLOURS[c], MARKERS[c])
                _line(below, one.sizes, one.accuracy[c], c.value, COLOURS[c], MARKERS[c])
            if min(one.answered) < 1:
                below.plot(one.sizes, one.answered, color="#7F7F7F", ls="--", lw=1.0, label="texts with an answer")
            above.set(title=f"{one.form.label}:\n{one.label}", ylabel=NAMES[one.quantity])
            below.set(ylabel="accuracy", xlabel="parameters")
            for axes in (above, below):
                axes.set(ylim=(-0.03, 1.03))
                log_axis(axes, one.sizes, axes.get_xlabel())
                axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
            if one.why:
                below.set_xlabel(f"parameters\n{textwrap.fill(one.why, 44)}", fontsize=7.5)
        known: dict[str, Any] = {}
        for axes in grid[1]:
            known.update(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(list(known.values()), list(known), loc="outside lower center", ncols=max(1, len(known)))
        figure.suptitle(f"{task} by prompt format (bands: 95 % over item groups)", fontsize=10)
        return figure


def by_part(found: Sequence[Found]) -> Figure | None:
    """A small panel for each part of the task, a line for each format; None where the task has no parts."""
    masks = parts(found[0].task)
    if not masks:
        return None
    with mpl.rc_context(STYLE):
        across = min(4, len(masks))
        down = -(-len(masks) // across)
        figure = Figure(figsize=(2.7 * across, 0.9 + 2.2 * down), layout="constrained")
        grid = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
        for axes, name in zip(grid, masks, strict=False):
            for place, one in enumerate(found):
                means = accuracy_of_part(one, parts(one.task)[name])
                label, colour = one.task.format.label, SERIES[place % len(SERIES)]
                _bars(axes, sizes_of(one), means, label, colour, "osD^v<>P"[place % 8])
            axes.set_title(name.replace("_", " "), fontsize=8.5)
            axes.set(ylim=(-0.03, 1.03))
            log_axis(axes, sizes_of(found[0]), axes.get_xlabel())
            axes.axhline(0.5, color="black", lw=0.8, ls=":", zorder=0)
        for axes in grid[len(masks) :]:
            axes.set_axis_off()
        known: dict[str, Any] = {}
        for axes in figure.axes:
            known.update(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(list(known.values()), list(known), loc="outside lower center", ncols=max(1, min(4, len(known))))
        figure.supylabel("accuracy in conflict", fontsize=9)
        for axes in grid[max(0, len(masks) - across) : len(masks)]:
            axes.set_xlabel("parameters")
        figure.suptitle(
            f"{found[0].task.name} by part (bars: 95 % over item groups; where texts are written, of those with an answer)",
            fontsize=9,
        )
        return figure


def _line(
    axes: "Axes", sizes: Sequence[int], means: Sequence[Mean | None], label: str, colour: str, marker: str
) -> None:
    """A mean with its band; sizes at which it is not defined are passed over."""
    there = [(size, mean) for size, mean in zip(sizes, means, strict=True) if mean is not None]
    if not there:
        return
    x = [size for size, _ in there]
    axes.plot(x, [mean.mean for _, mean in there], color=colour, marker=marker, ms=4, lw=1.4, label=label)
    axes.fill_between(
        x, [mean.low for _, mean in there], [mean.high for _, mean in there], color=colour, alpha=0.18, lw=0
    )


def _bars(
    axes: "Axes", sizes: Sequence[int], means: Sequence[Mean | None], label: str, colour: str, marker: str
) -> None:
    """The same with bars in place of a band, where many lines share little room."""
    there = [(size, mean) for size, mean in zip(sizes, means, strict=True) if mean is not None]
    if not there:
        return
    errors = [[mean.mean - mean.low for _, mean in there], [mean.high - mean.mean for _, mean in there]]
    axes.errorbar([size for size, _ in there], [mean.mean for _, mean in there], errors, color=colour, marker=marker, ms=3.5,
                  lw=1.2, elinewidth=0.6, label=label)  # fmt: skip
