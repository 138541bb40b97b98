"""A run of `distractor compare` as Python shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.comparison import page, report
from distractor.comparison.result import ComparisonResult
from distractor.probing.readings import Reading, over_models
from distractor.runs.finished_run import FinishedRun
from distractor.runs.page.blocks import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from xarray import DataArray


@dataclass(frozen=True, eq=False, repr=False)
class ComparisonRun(FinishedRun):
    """Sizes, steps or seeds compared on one task: behaviour, and the sites that changed."""

    result: ComparisonResult

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json for this task."""
        content: dict[str, Any] = report.summary([self.result])["tasks"][self.result.task.name]
        return content

    @property
    def table(self) -> "DataFrame":
        """One row for each pair of sides and each quantity: the change with its intervals and tests."""
        import pandas as pd

        rows = [
            {"first": pair["first"], "second": pair["second"], "quantity": quantity, **change}
            for pair in self.summary["pairs"]
            for quantity, change in pair["behaviour"].items()
        ]
        return pd.DataFrame(rows)

    @property
    def readings(self) -> "Mapping[str, DataArray]":
        """What each probe read, with the dim `model` first; models whose sites could not be read are left out."""
        read: dict[str, list[Reading]] = {}
        for results in self.result.probe_results:
            for name, readings in (results.readings if results else {}).items():
                read.setdefault(name, []).extend(readings)
        return {name: over_models(readings) for name, readings in read.items()}

    @property
    def head(self) -> Page:
        """What changed beyond items and seeds."""
        return page.head([self.result])

    @property
    def page(self) -> Page:
        """The page of the run, without the command that a run folder records."""
        return page.page([self.result], (), {})

    def plot(self) -> "Figure":
        """Behaviour of each side, and the differences."""
        from distractor.comparison import figures

        return figures.behaviour(self.result)
