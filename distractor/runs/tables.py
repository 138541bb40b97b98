"""Console width and plain tables for the terminal."""

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console


def plain_table(*columns: str) -> Table:
    """Without lines: the first column to the left, numbers to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table


WIDTH = 100
"""Columns of a table at most."""


def console() -> "Console":
    """Stdout, as wide as the tables; nothing is coloured that was not meant to be."""
    from rich.console import Console

    return Console(width=WIDTH, highlight=False)
