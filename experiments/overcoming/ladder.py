"""How do the largest embedded models overcome the distractor? `python -m experiments.overcoming.ladder`.

Reads `overcoming` in all embedded models of each task, and the other default probes in those of the largest size. Writes
ladder.md and its three figures. Results are stored in `--store`, so that a stopped run goes on.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator

import distractor
from distractor.attribution.answer import answers
from distractor.attribution.overcome_over_size import AtSize, over_size
from distractor.attribution.overcoming_figure import draw_alone, draw_pulls, draw_shares
from distractor.files import write_text
from distractor.numbers import number, p_value, with_interval
from distractor.probing.overcome import ModelOvercome, how_overcome
from distractor.probing.probe_results import ProbeResults
from distractor.probing.strengths import Strength
from distractor.runs import colours, style
from distractor.runs.style import short_site
from distractor.statistics.curve import peak
from distractor.statistics.intervals import Mean
from distractor.text.task import Condition
from experiments.markdown import markdown_table

TASKS = ("negation_qa", "hindsight_neglect", "quote_repetition", "redefine_math")
ITEMS = 200
NAMED = 3  # sites of a model that the table names
HERE = Path(__file__).parent

SHARES = {
    "carried": colours.DISTRACTOR,
    "in between": colours.SERIES[6],
    "silent": colours.PALE,
    "inverted": colours.TRUE,
    "rest": colours.NEUTRAL,
    "shared": colours.INK,
}
"""The colour of each share of the effect in `distractor_only`."""

PAGE = """# How do the largest embedded models overcome the distractor?

Written by `python -m experiments.overcoming.ladder`, with five seeds of each size and {items} items a task in {groups} item
groups. Sites are chosen on half of the groups and measured on the other half. [docs/probes.md](../../docs/probes.md) defines
the labels and numbers.

**Answer.** {answer}

## At the largest size

Level 1: the label of each model, with intervals over item groups. Level 2: models like these, over seeds and groups. ω: the
share of the effect in `distractor_only` that the sites of the distractor's task alone still write in conflict; κ: the share
that still counts; ρ: the share that sites of both tasks still write, not identifiable where the true cue is built on the
distractor's. β: D as a share of the same effect, from behaviour alone.

{labels}

## From the peak of preference to the largest size

{change}

![T, D and the gap in distractor_only over size](pulls.png)

![ω, κ and ρ over size](ratios.png)

![Shares of the distractor's effect at both sizes](shares.png)

## The sites of the largest models

The {named} sites with the largest effects in each model, in nats on the half of the groups that did not choose them; then
what T and D lose when the chosen sites of each task are replaced by their mean. p compares with random sets of as many heads
and MLPs (–: too few other sites for 19 sets).

{sites}

## What this says, and what it does not

{limits}
"""


ANSWER = """Undetermined in all four tasks, and for the same reason: in 18 of the 20 largest models, sites that write for
both tasks carry more than half of the distractor's effect, most of it through MLPs. Unlearning is excluded: without the true
cue, the distractor's answer leads by 7.7 to 13.5 nats. Override through shared sites would keep ρ near 1. In the three tasks
where ρ is identifiable, these sites write only 9 to 24 % of the distractor's effect in conflict, and behaviour shows about as
much (β 5 to 17 %). At the peak of preference, this is different: in 13 of 20 models, the sites of the distractor's task alone
carry most of the effect."""

LIMITS = """- ρ is weaker evidence than ω and κ. An MLP that saturates would also lower it, so it gives no label.
- One model of `redefine_math` (suppression downstream) has a label of its own; one model says nothing about its size.
- ω and κ are missing over seeds, because some seeds have no sites of the distractor's task alone.
- Almost no model has enough other heads and MLPs for a null of 19 random sets, so p is missing.
- `negation_qa` is the joint ladder with two layers; its true cue is built on the distractor's, so ρ is not identifiable.
- The models are positive controls, trained so that a U can arise. They are no evidence about pretrained models."""


@dataclass(frozen=True)
class Ladder:
    """The readings of one task: `overcoming` in all models, and the default probes in the largest ones."""

    task: str
    of_all: ProbeResults
    of_largest: ProbeResults

    @cached_property
    def models(self) -> list[ModelOvercome]:
        """How each model overcomes the distractor, the smallest first."""
        return how_overcome(self.of_all)

    @cached_property
    def sizes(self) -> list[AtSize]:
        """The answer for each size over seeds, the smallest first."""
        return over_size(self.of_all, self.models)

    @cached_property
    def preferences(self) -> list[float]:
        """Preference for the distractor's answer in conflict, mean over the seeds of each size."""
        return [
            float(np.mean([mean.mean for model in models if (mean := self._preference(model))]))
            for models in self.of_all.sizes
        ]

    @property
    def shown(self) -> tuple[int, int]:
        """The places of the size at the peak of preference, and of the largest."""
        return peak(np.array(self.preferences)), len(self.sizes) - 1

    def of_size(self, place: int) -> list[ModelOvercome]:
        """The models of one size."""
        names = {self.of_all.sources[model].name for model in self.of_all.sizes[place]}
        return [model for model in self.models if model.source.name in names]

    def _preference(self, model: int) -> Mean | None:
        return self.of_all.behaviour(model, "distractor_preference", Condition.CONFLICT)


def read(task: str, store: Path) -> Ladder:
    """Read all embedded models of a task."""
    of_all = distractor.attribute(task, "ladder", ["overcoming"], items=ITEMS, store=store).result
    largest = [of_all.sources[model] for model in of_all.sizes[-1]]
    return Ladder(task, of_all, distractor.attribute(task, largest, items=ITEMS, store=store).result)


def interval(mean: Mean | None) -> str:
    """A mean with its interval, or a dash."""
    return "–" if mean is None else with_interval(*mean)


def labels(ladders: Sequence[Ladder]) -> str:
    """The answers at the largest size, one row for each task."""
    rows = []
    for ladder in ladders:
        last, single = ladder.sizes[-1], [model.found.label for model in ladder.of_size(-1)]
        counts = "; ".join(f"{single.count(label)} {label}" for label in dict.fromkeys(single))
        found = last.found
        shares = (interval(share) for share in (found.omega, found.kappa, found.rho, found.beta))
        rows.append([f"`{ladder.task}`", last.name, counts, f"**{found.label}**", *shares])
    return markdown_table(["task", "size", "level 1", "level 2", "ω", "κ", "ρ", "β"], rows)


def change(ladders: Sequence[Ladder]) -> str:
    """Behaviour and ρ at the peak and at the largest size, two rows for each task."""
    rows = []
    for ladder in ladders:
        for place in ladder.shown:
            size = ladder.sizes[place]
            numbers = (size.true_pull, size.distractor_pull, size.gap_alone, size.found.rho, size.found.beta)
            preference = number(ladder.preferences[place])
            rows.append([f"`{ladder.task}`", size.name, preference, *map(interval, numbers)])
    return markdown_table(["task", "size", "preference", "T", "D", "gap in distractor_only", "ρ", "β"], rows)


def sites(ladders: Sequence[Ladder]) -> str:
    """The sites with the largest effects and the strength of each task's sites, one row for each of the largest models."""
    rows = []
    for ladder in ladders:
        results = ladder.of_largest
        strengths: Mapping[str, Strength] = {one.source.name: one for one in results.strengths}
        for answer in answers(results, how_overcome(results)):
            strength = strengths[answer.model]
            named = "; ".join(
                f"{', '.join(map(short_site, one.sites))} {one.does} ({number(one.effect.mean)})"
                for one in answer.sites[:NAMED]
            )
            lost = (f"{number(strength.mean(task).mean)} ({_p(strength, task)})" for task in strength.chosen._fields)
            rows.append([f"`{ladder.task}`", f"{strength.source.seed}", named or "–", *lost])
    return markdown_table(["task", "seed", "sites", "T lost (p)", "D lost (p)"], rows)


def _p(strength: Strength, task: str) -> str:
    p = strength.p(task)
    return "–" if p is None else p_value(p)


def draw_over_size(ladders: Sequence[Ladder], *, of_shares: bool) -> Figure:
    """T, D and the gap in `distractor_only` over size, or ω, κ and ρ: one column of panels for each task."""
    draws = [draw_shares] if of_shares else [draw_pulls, draw_alone]
    names = ["share of the effect\nin distractor_only"] if of_shares else ["pull (nats)", "gap (nats)"]
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(11, 2.9 if of_shares else 4.9), layout="constrained")
        panels = figure.subplots(len(draws), len(ladders), sharey="row", sharex="col", squeeze=False)
        for row, draw, name in zip(panels, draws, names, strict=True):
            row[0].set_ylabel(name)
            for axes, ladder in zip(row, ladders, strict=True):
                draw(axes, ladder.sizes)
        for axes, ladder in zip(panels[0], ladders, strict=True):
            axes.set_title(ladder.task, fontsize=9)
        for axes, ladder in zip(panels[-1], ladders, strict=True):
            n_params = [size.n_params for size in ladder.sizes]
            style.log_axis(axes, n_params, "parameters")
            axes.xaxis.set_major_locator(LogLocator())
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.set_xlim(n_params[0] / 1.4, n_params[-1] * 1.4)
        style.legend_below(figure, panels.ravel().tolist())
        what = "what is still written and still counts" if of_shares else "the pulls, and the distractor's task alone"
        figure.suptitle(f"Over size: {what} (whiskers: 95 % over seeds and item groups; dots: seeds)", fontsize=9)
        return figure


def draw_shares_of_effect(ladders: Sequence[Ladder]) -> Figure:
    """Shares of the effect in `distractor_only`, one bar for each seed at the peak of preference and at the largest size."""
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        panels = figure.subplots(1, len(ladders), sharex=True, squeeze=False)[0]
        for axes, ladder in zip(panels, ladders, strict=True):
            rows = [
                (f"{ladder.sizes[place].name}, seed {model.source.seed}", model.shares)
                for place in dict.fromkeys(ladder.shown)
                for model in ladder.of_size(place)
            ]
            _stack(axes, rows)
            axes.set_title(ladder.task, fontsize=9)
            axes.set_xlabel("share of the effect")
        style.legend_below(figure, figure.axes)
        figure.suptitle(
            "What the distractor's sites do in conflict, as shares of their effect in distractor_only\n(shared: sites that "
            "write for both tasks; below 0: sites that work against the others)",
            fontsize=9,
        )
        return figure


def _stack(axes: Axes, rows: Sequence[tuple[str, Mapping[str, float]]]) -> None:
    places = np.arange(len(rows))
    right, left = np.zeros(len(rows)), np.zeros(len(rows))
    for share, colour in SHARES.items():
        widths = np.array([shares.get(share, 0.0) for _, shares in rows])
        axes.barh(places, widths, 0.75, np.where(widths > 0, right, left), color=colour, label=share)
        right += np.maximum(widths, 0)
        left += np.minimum(widths, 0)
    axes.set_yticks(places, [name for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=colours.INK, lw=0.8)


def main() -> None:
    """Read the models, and write the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("runs/.cells"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    ladders = [read(task, arguments.store) for task in arguments.tasks]
    groups = sorted({ladder.of_all.n_groups for ladder in ladders})
    page = PAGE.format(
        items=ITEMS, groups=f"{groups[0]} to {groups[-1]}", named=NAMED, answer=ANSWER, limits=LIMITS,
        labels=labels(ladders), change=change(ladders), sites=sites(ladders),
    )  # fmt: skip
    write_text(arguments.out / "ladder.md", page)
    figures = {
        "pulls": draw_over_size(ladders, of_shares=False),
        "ratios": draw_over_size(ladders, of_shares=True),
        "shares": draw_shares_of_effect(ladders),
    }
    for name, figure in figures.items():
        figure.savefig(arguments.out / f"{name}.png", dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
