"""The figure of written answers over size, and its panels."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.ablation.figures import draw_curve
from distractor.ablation.written.answers import WrittenResult
from distractor.runs import colours
from distractor.runs.style import (
    MANY_BANDS,
    MARKERS,
    STYLE,
    headline,
    legend_below,
    legend_inside,
    log_axis,
    reference_line,
    share_axis,
    widen_to,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EFFECTS = {"question": ("question", colours.SERIES[1], "v"), "reasoning": ("reasoning", colours.SERIES[2], "o")}
SHOWN = {
    "distractor_share": ("Distractor share", "distractor share\n(of texts with an answer)"),
    "accuracy": ("Accuracy", "accuracy\n(of texts with an answer)"),
    "parsed": ("Texts with an answer", "share of texts"),
}


def curves(result: WrittenResult) -> Figure:
    """Distractor share, accuracy and share of texts with an answer; for chains of thought also what the answer follows."""
    with mpl.rc_context(STYLE):
        drawn = panels(result)
        figure = Figure(figsize=(13 if len(drawn) > len(SHOWN) else 10, 4.1), layout="constrained")
        all_axes = list(figure.subplots(1, len(drawn), sharex=True))
        for axes, draw in zip(all_axes, drawn.values(), strict=True):
            draw(axes)
        legend_below(figure, [all_axes[list(drawn).index("parsed")]])
        headline(
            figure, f"{result.task.name} over model size, {result.task.format.label} (bands: {result.interval_name})"
        )
        return figure


def panels(result: WrittenResult) -> "dict[str, Callable[[Axes], None]]":
    """The panels by name, as functions that draw them."""
    drawn: dict[str, Callable[[Axes], None]] = {name: partial(_share, result=result, quantity=name) for name in SHOWN}
    if result.task.format.scoring == "cot":
        drawn["follows"] = partial(_follows, result=result)
    return drawn


def _share(axes: "Axes", result: WrittenResult, quantity: str) -> None:
    """A share under every condition over size."""
    for c in result.task.conditions:
        means = [result.mean(models, quantity, c) for models in result.sizes]
        draw_curve(axes, result.n_params, means, c.value, colours.CONDITIONS[c], MARKERS[c], alpha=MANY_BANDS)
    share_axis(axes)
    log_axis(axes, result.n_params, "parameters")
    title, label = SHOWN[quantity]
    shape = f": {result.judged.label}" if quantity == "distractor_share" else ""
    axes.set(title=f"{title}{shape}", ylabel=label)


def _follows(axes: "Axes", result: WrittenResult) -> None:
    """How much the answer follows the question and how much the reasoning, over size."""
    follows = [result.follows(models) for models in result.sizes]
    for name, (label, colour, marker) in EFFECTS.items():
        draw_curve(axes, result.n_params, [each[name] for each in follows], label, colour, marker)
    widen_to(axes)
    reference_line(axes, 0)
    log_axis(axes, result.n_params, "parameters")
    axes.set(title="What the answer follows", ylabel="change of the logit gap (nats)")
    legend_inside(axes, loc="upper left")
