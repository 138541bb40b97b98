"""The figure of written answers over size."""

import matplotlib as mpl
from matplotlib.figure import Figure

from distractor.ablation.figures import draw_curve
from distractor.ablation.written.answers import WrittenResult
from distractor.runs import colours
from distractor.runs.style import MARKERS, STYLE, legend_below, log_axis, reference_line, share_axis

EFFECTS = {"question": ("question", colours.SERIES[1], "v"), "reasoning": ("reasoning", colours.SERIES[2], "o")}


def curves(result: WrittenResult) -> Figure:
    """Distractor share, accuracy and share of texts with an answer; for chains of thought also what the answer follows."""
    with mpl.rc_context(STYLE):
        is_reasoned = result.task.format.scoring == "cot"
        figure = Figure(figsize=(13 if is_reasoned else 10, 4.1), layout="constrained")
        share, accuracy, parsed, *effects = figure.subplots(1, 4 if is_reasoned else 3)
        for axes, quantity in ((share, "distractor_share"), (accuracy, "accuracy"), (parsed, "parsed")):
            for c in result.task.conditions:
                means = [result.mean(models, quantity, c) for models in result.sizes]
                draw_curve(axes, result.n_params, means, c.value, colours.CONDITIONS[c], MARKERS[c])
            share_axis(axes)
        share.set(
            title=f"Distractor share: {result.judged.label}", ylabel="distractor share\n(of texts with an answer)"
        )
        accuracy.set(title="Accuracy", ylabel="accuracy\n(of texts with an answer)")
        parsed.set(title="Texts with an answer", ylabel="share of texts")
        for axes in effects:
            follows = [result.follows(models) for models in result.sizes]
            for name, (label, colour, marker) in EFFECTS.items():
                draw_curve(axes, result.n_params, [each[name] for each in follows], label, colour, marker)
            reference_line(axes, 0)
            axes.set(title="What the answer follows", ylabel="change of the logit gap (nats)")
            if axes.lines[1:]:
                axes.legend(loc="upper left")
        for axes in figure.axes:
            log_axis(axes, result.n_params, "parameters")
        legend_below(figure, [parsed])
        title = f"{result.task.name} over model size, {result.task.format.label} (bands: {result.interval_name})"
        figure.suptitle(title, fontsize=10)
        return figure
