"""The table that `distractor ablate` prints for one task in several prompt formats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from distractor.ablation.formats.curve import FormatCurve
from distractor.ablation.tables import ALL_IN, mean_alone
from distractor.runs.tables import FittedTable
from distractor.text.task import Condition

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

FORMATS_IN_A_ROW = 3


@dataclass(frozen=True)
class FormatsTable:
    """One row for each size, two columns for each format (its quantity and accuracy in `conflict`), and the shapes.

    At most three formats are next to each other, fewer in a narrow terminal; further ones follow in tables below.
    """

    curves: Sequence[FormatCurve]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        yield Text("Formats side by side, in conflict (preference and share are different quantities)", style="bold")
        for in_a_row in range(FORMATS_IN_A_ROW, 0, -1):
            starts = range(0, len(self.curves), in_a_row)
            tables = [_table(self.curves[start : start + in_a_row]) for start in starts]
            if all(table.is_complete(options.max_width) for table in tables):
                break
        yield from tables


def _table(curves: Sequence[FormatCurve]) -> FittedTable:
    headings = ["size"]
    for curve in curves:
        quantity = "preference" if curve.quantity == "distractor_preference" else "share"
        headings += ["\n".join([*curve.form.label.split(", "), quantity]), "accuracy"]
    table = FittedTable(headings, drop=["accuracy"], all_in=f"{ALL_IN} have them")
    for index, name in enumerate(curves[0].names):
        rows = (means for curve in curves for means in (curve.means, curve.accuracy))
        table.add_row(name, *(mean_alone(means[Condition.CONFLICT][index]) for means in rows))
    table.add_row("shape", *(cell for curve in curves for cell in (curve.label, "")))
    return table
