"""A run of `distractor attribute` as Python shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.attribution import page, report
from distractor.attribution.answer import ModelAnswer, answers
from distractor.probing.overcome import ModelOvercome, how_overcome
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import over_models
from distractor.runs.finished_run import FinishedRun
from distractor.runs.page.blocks import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from xarray import DataArray


@dataclass(frozen=True, eq=False, repr=False)
class AttributionRun(FinishedRun):
    """What probes read in one or more models, how they overcome the distractor, and the sites behind it."""

    result: ProbeResults

    @property
    def overcoming(self) -> list[ModelOvercome]:
        """How each model overcomes the distractor, the smallest first; empty without the probe `overcoming`."""
        return how_overcome(self.result)

    @property
    def answers(self) -> list[ModelAnswer]:
        """The answer for each model in a sentence, with its ranked sites."""
        return answers(self.result, self.overcoming)

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return report.summary(self.result)

    @property
    def table(self) -> "DataFrame":
        """The ranked sites of all models: what each does, its effect in nats with a 95 % interval, and p."""
        import pandas as pd

        rows = [
            {"model": answer.model, "site": "+".join(one.sites), "does": one.does, **one.effect._asdict(), "p": one.p}
            for answer in self.answers
            for one in answer.sites
        ]
        return pd.DataFrame(rows, columns=["model", "site", "does", "mean", "low", "high", "p"])

    @property
    def readings(self) -> "Mapping[str, DataArray]":
        """What each probe read, with the dim `model` first."""
        return {name: over_models(readings) for name, readings in self.result.readings.items()}

    @property
    def head(self) -> Page:
        """Title, answer and what it is evidence for."""
        return page.head(self.result)

    @property
    def page(self) -> Page:
        """The page of the run, without the command that a run folder records."""
        return page.page(self.result, {"figures": {"names": []}} | self.summary, {})

    def plot(self) -> "Figure":
        """The first of the figures that the command draws.

        Raises:
            ProbeError: no probe of the run has a figure.
        """
        from distractor.errors import ProbeError

        plans = report.plan_figures(self.result)
        if not plans:
            raise ProbeError(f"{', '.join(self.result.readings)} of this run have no figure; read further probes")
        return next(iter(plans.values())).draw()
