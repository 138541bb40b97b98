"""A run of `distractor shape` as Python shows it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distractor.curves import page
from distractor.curves.judge_curve import JudgedCurve
from distractor.runs.finished_run import FinishedRun
from distractor.runs.page.blocks import Page
from distractor.statistics.shape_test import Shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class CurveRun(FinishedRun):
    """A curve from files, and its shape."""

    result: JudgedCurve

    @property
    def shape(self) -> Shape:
        """The shape at both levels, with its tests."""
        return self.result.shape

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return self.result.as_dict()

    @property
    def table(self) -> "DataFrame":
        """One row for each size: the mean over seeds with the bounds of both levels."""
        import pandas as pd

        rows = [{name: value for name, value in size.items() if name != "seeds"} for size in self.summary["sizes"]]
        return pd.DataFrame(rows).set_index("size")

    @property
    def head(self) -> Page:
        """The shape in words."""
        return replace(self.page, sections=())

    @property
    def page(self) -> Page:
        """The page of the run, without the command that a run folder records."""
        return page.page(self.result, (), {})

    def plot(self) -> "Figure":
        """The curve with its intervals."""
        from distractor.curves import figures

        return figures.shape(self.result)
