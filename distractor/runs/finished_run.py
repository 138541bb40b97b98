"""What Python and notebooks show of a finished run: its head in words, its table, its figure and its page."""

import textwrap
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from distractor.runs.page.blocks import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

LINES, WIDTH = 15, 100  # the largest size of a repr


class FinishedRun(ABC):
    """A run as an object: `print(run)` shows its head, and a notebook shows its head with the figure."""

    @property
    @abstractmethod
    def head(self) -> Page:
        """The page without its sections: title, label and sentences."""

    @property
    @abstractmethod
    def page(self) -> Page:
        """The whole page."""

    @property
    @abstractmethod
    def table(self) -> "DataFrame":
        """The main table."""

    @abstractmethod
    def plot(self) -> "Figure":
        """The headline figure."""

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the page and return its path. Raises StoreError if it cannot be written."""
        from distractor.files import write_text
        from distractor.runs.page.render import render_page

        file = Path(path)
        write_text(file, render_page(self.page))
        return file

    def __repr__(self) -> str:
        head = self.head
        paragraphs = [head.title, head.about, f"{head.label}: {' '.join(head.sentences)}", head.evidence]
        lines = [line for one in paragraphs if one for line in textwrap.wrap(one, WIDTH)]
        if len(lines) > LINES:
            lines = [*lines[: LINES - 1], "…"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from distractor.runs.folder import render
        from distractor.runs.page.render import render_head

        return render_head(self.head, render(self.plot(), kinds=("svg",))["svg"])
