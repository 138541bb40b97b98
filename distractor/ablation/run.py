"""A run of `distractor ablate` as Python shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.ablation import page, report
from distractor.ablation.ablate import AblationResult
from distractor.probing.readings import over_models
from distractor.runs.finished_run import FinishedRun
from distractor.runs.page.blocks import Page
from distractor.statistics.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from xarray import DataArray


@dataclass(frozen=True, eq=False, repr=False)
class AblationRun(FinishedRun):
    """A task scored under all conditions on all models, with the verdict on the curves over size."""

    result: AblationResult

    @property
    def verdict(self) -> Verdict | None:
        """The verdict at both levels; None if there is none, such as for a single size."""
        return self.result.verdict

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return report.summary(self.result)

    @property
    def table(self) -> "DataFrame":
        """One row for each size: means, with the bounds of their 95 % intervals at the level of the column `level`."""
        import pandas as pd

        rows = []
        for size in self.summary["sizes"]:
            row: dict[str, Any] = {}
            for name, value in size.items():
                if name == "modes":
                    continue
                if isinstance(value, dict):
                    row |= {name: value["mean"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
                else:
                    row[name] = value
            rows.append(row)
        return pd.DataFrame(rows).set_index("model")

    @property
    def items(self) -> "DataFrame":
        """One row for each model, condition, item and quantity, as in results.parquet."""
        return report.results(self.result).to_pandas()

    @property
    def readings(self) -> "Mapping[str, DataArray]":
        """The knock-outs, [model component condition item] in nats, of the models at the peak and of the largest size."""
        knockouts = self.result.knockouts
        return {"ablation": over_models(knockouts)} if knockouts else {}

    @property
    def head(self) -> Page:
        """Title, verdict and what it is evidence for."""
        return page.head(self.result)

    @property
    def page(self) -> Page:
        """The page of the run, without the command that a run folder records."""
        return page.page(self.result, {"figures": {"names": []}} | self.summary, {})

    def plot(self) -> "Figure":
        """Preference for the distractor's answer over size; beside it T, D and the gap in `distractor_only`."""
        from distractor.ablation import figures

        return figures.curves(self.result)
