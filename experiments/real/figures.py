"""The three figures of the page on a real model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from distractor.probing.cells import groups_of_items, labels, means_over
from distractor.runs import colours, style
from distractor.text.task import Condition

if TYPE_CHECKING:
    from distractor.attribution.run import AttributionRun
    from experiments.real.real import Scored

MOST_SITES = 12


def preference(scored: "Sequence[Scored]") -> Figure:
    """Preference for the distractor's answer under every condition: a panel for each task, a row for each condition."""
    names = list(dict.fromkeys(one.task for one in scored))
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(10, 1.2 + 2.1 * -(-len(names) // 2)), layout="constrained")
        panels = list(figure.subplots(-(-len(names) // 2), 2, squeeze=False, sharex=True).flat)
        for axes in panels[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(panels, names, strict=False):
            of_task = [one for one in scored if one.task == name]
            conditions = [c for c in Condition if c in of_task[0].result.task.conditions]
            for beside, one in zip((-0.15, 0.15), of_task, strict=True):
                for row, condition in enumerate(conditions):
                    mean = one.mean("distractor_preference", condition)
                    if mean is not None:
                        axes.errorbar(
                            mean.mean, row + beside, xerr=[[max(mean.mean - mean.low, 0)], [max(mean.high - mean.mean, 0)]],
                            fmt="o" if one.form == "plain" else "s", ms=4, color=colours.CONDITIONS[condition],
                            mfc=colours.CONDITIONS[condition] if one.form == "plain" else "none",
                        )  # fmt: skip
            axes.set_yticks(range(len(conditions)), [c.value for c in conditions])
            axes.set_ylim(len(conditions) - 0.5, -0.5)
            axes.set(title=name, xlim=(-0.03, 1.03))
            style.reference_line(axes, 0.5, vertical=True)
        figure.supxlabel("preference for the distractor's answer", fontsize=9)
        style.headline(
            figure,
            "Preference under every condition\nfilled: plain prompts; open: chat template; 95 % over item groups",
        )
        return figure


def pulls(scored: "Sequence[Scored]") -> Figure:
    """T and D of each task that has them, in both formats."""
    shown = [one for one in scored if one.mean("true_pull") is not None]
    labels = [f"{one.task}, {one.form}" for one in shown]
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(8, 1.2 + 0.42 * len(shown)), layout="constrained")
        axes = figure.subplots()
        for beside, (pull, (label, colour, marker)) in zip((-0.15, 0.15), style.PULL_STYLES.items(), strict=True):
            means = np.array([one.mean(pull) for one in shown])
            errors = np.maximum([means[:, 0] - means[:, 1], means[:, 2] - means[:, 0]], 0)
            axes.errorbar(
                means[:, 0], np.arange(len(shown)) + beside, xerr=errors, fmt=marker, ms=4, color=colour, label=label
            )
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("nats")
        style.reference_line(axes, 0, vertical=True)
        axes.legend(loc="lower right")
        style.headline(figure, "Pull of the true cue and of the distractor (95 % over item groups)")
        return figure


def sites(run: "AttributionRun") -> Figure:
    """The heads and MLPs whose ablation changes the gap in `conflict` most, with their effect in `congruent`."""
    data = run.readings["ablation"].isel(model=0)
    data = data.isel(component=data.notnull().any(("condition", "item")))
    cells = means_over(groups_of_items(run.result.task, labels(data, "item")), data)
    conflict = cells["mean"].sel(condition=Condition.CONFLICT)
    names = [labels(data, "component")[k] for k in np.argsort(-np.abs(conflict.values))[:MOST_SITES]]
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.subplots()
        for beside, condition in zip((-0.2, 0.2), (Condition.CONFLICT, Condition.CONGRUENT), strict=True):
            shown = cells.sel(component=names, condition=condition)
            mean = shown["mean"].values
            errors = np.maximum([mean - shown["low"].values, shown["high"].values - mean], 0)
            colour = colours.CONDITIONS[condition]
            axes.errorbar(
                mean, np.arange(len(names)) + beside, xerr=errors, fmt="o", ms=4, color=colour, label=condition
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("change of the logit gap when the site is ablated (nats)")
        style.reference_line(axes, 0, vertical=True)
        axes.legend(loc="best")
        style.headline(figure, f"{run.result.task.name}: the sites with the largest effects\n95 % over item groups")
        return figure
