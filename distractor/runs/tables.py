"""Console width and plain tables for the terminal."""

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100  # the width of the console in characters


def plain_table(*columns: str) -> Table:
    """A table without lines; the first column is aligned left, the others right."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    return table


def console() -> "Console":
    """A console on stdout that is `WIDTH` wide and does not highlight numbers."""
    from rich.console import Console

    return Console(width=WIDTH, highlight=False)
