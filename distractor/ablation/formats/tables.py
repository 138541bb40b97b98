"""The table that `distractor ablate` prints for one task in several prompt formats."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from distractor.ablation.formats.curve import FormatCurve
from distractor.ablation.tables import mean_alone
from distractor.numbers import shortened
from distractor.runs.tables import plain_table
from distractor.text.task import Condition

FORMATS_IN_A_ROW = 3


def formats_table(curves: Sequence[FormatCurve]) -> Group:
    """One row for each size, two columns for each format (its quantity and accuracy in `conflict`), and the shapes.

    At most three formats fit next to each other; further ones follow in tables below.
    """
    title = "Formats side by side, in conflict (preference and share are different quantities)"
    starts = range(0, len(curves), FORMATS_IN_A_ROW)
    return Group(Text(title, style="bold"), *(_table(curves[start : start + FORMATS_IN_A_ROW]) for start in starts))


def _table(curves: Sequence[FormatCurve]) -> Table:
    labels = [curve.form.label.split(", ") for curve in curves]
    height = max(map(len, labels))
    table = plain_table("\n" * height + "size")
    for curve, label in zip(curves, labels, strict=True):
        quantity = "preference" if curve.quantity == "distractor_preference" else "share"
        table.add_column("\n".join([*[""] * (height - len(label)), *label, quantity]), justify="right")
        table.add_column("\n" * height + "accuracy", justify="right")
    for index, name in enumerate(curves[0].names):
        cells = [shortened(name, 20)]
        for curve in curves:
            cells += [mean_alone(means[Condition.CONFLICT][index]) for means in (curve.means, curve.accuracy)]
        table.add_row(*cells)
    table.add_row("shape", *(cell for curve in curves for cell in (curve.label, "")))
    return table
