"""The paper that tables are printed on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
"""Columns of a table at most."""


def console() -> "Console":
    """Stdout, as wide as the tables; nothing is coloured that was not meant to be."""
    from rich.console import Console

    return Console(width=WIDTH, highlight=False)
