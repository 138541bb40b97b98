"""Tables for the terminal that fit its width: columns are left out by importance, with a note, and never cut."""

import os
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from distractor.names import printable
from distractor.numbers import shortened

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

WIDTH = 100  # characters in a line where the output is no terminal and COLUMNS is not set
LEAST_WIDTH = 20  # a console that says it is narrower is taken as this wide
LEAST_NAME = 16  # names are shortened to this width before a column is left out
LEAST_TEXT = 12  # likewise for cells that wrap
GAP = 2  # characters between two columns


class FittedTable:
    """A table without lines that fits the width it is printed at.

    Numbers are never cut. First headings are wrapped, `names` are shortened in the middle, and cells of `wrapped`
    columns are wrapped. Then columns are left out in the order of `drop`, and a last line names them and says where they
    are (`all_in`). Columns are given by their headings. The first column is aligned left, the others right.
    """

    def __init__(
        self,
        headings: Sequence[str],
        *,
        drop: Sequence[str] | None = None,
        names: Collection[str] | None = None,
        wrapped: Collection[str] = (),
        left: Collection[str] = (),
        all_in: str = "a wider terminal shows them",
    ) -> None:
        self.headings = tuple(headings)
        self.rows: list[tuple[str, ...]] = []
        self.all_in = all_in
        self._is_text = [heading in wrapped for heading in headings]
        names = headings[:1] if names is None else names
        self._is_name = [heading in names and heading not in wrapped for heading in headings]
        self._is_left = [index == 0 or heading in left for index, heading in enumerate(headings)]
        if drop is None:
            self._order = list(range(len(headings) - 1, 1, -1))
        else:
            self._order = [index for name in drop for index, heading in enumerate(headings) if heading == name]

    @property
    def numbers(self) -> frozenset[int]:
        """The columns that are aligned right, by index."""
        return frozenset(index for index, is_left in enumerate(self._is_left) if not is_left)

    @property
    def texts(self) -> frozenset[int]:
        """The columns whose cells may be wrapped, by index."""
        return frozenset(index for index, is_text in enumerate(self._is_text) if is_text)

    def add_row(self, *cells: str) -> None:
        """Add a row; it has a cell for each heading."""
        if len(cells) != len(self.headings):
            raise ValueError(f"the table has {len(self.headings)} columns, the row {len(cells)} cells")
        self.rows.append(cells)

    def fit(self, width: int) -> dict[int, int]:
        """The width of each column that is shown at `width`, by its index."""
        natural = [self._natural(index) for index in range(len(self.headings))]
        shown = {index: self._least(index, natural[index]) for index in range(len(self.headings))}

        def spare() -> int:
            return width - sum(shown.values()) - GAP * (len(shown) - 1)

        for index in self._order:
            if spare() >= 0:
                break
            del shown[index]
        for index in sorted(shown, key=lambda index: -shown[index]):
            if spare() < 0:  # even the columns that stay are too wide
                shown[index] = max(4, shown[index] + spare())
        for index in sorted(shown, key=lambda index: not (self._is_name[index] or self._is_text[index])):
            shown[index] += min(max(spare(), 0), natural[index] - min(natural[index], shown[index]))
        return shown

    def is_complete(self, width: int) -> bool:
        """Whether no column is left out at `width`."""
        return len(self.fit(width)) == len(self.headings)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        from rich.table import Table
        from rich.text import Text

        shown = self.fit(options.max_width)
        headings = [_wrap(self.headings[index], width) for index, width in shown.items()]
        height = max(map(len, headings))
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0), collapse_padding=True)
        for lines, (index, width) in zip(headings, shown.items(), strict=True):
            title = Text("\n".join([*[""] * (height - len(lines)), *lines]))
            table.add_column(title, justify="left" if self._is_left[index] else "right", width=width, overflow="fold")
        starts = {index: _distinct_start(self._cells(index), width) for index, width in shown.items()}
        for row in self.rows:
            cells = [shortened(row[i], width, starts[i]) if self._is_name[i] else row[i] for i, width in shown.items()]
            table.add_row(*map(Text, cells))
        yield table
        left_out = [" ".join(heading.split()) for i, heading in enumerate(self.headings) if i not in shown]
        if left_out:
            note = (
                f"Left out, because the line has {options.max_width} characters: {', '.join(left_out)} ({self.all_in})."
            )
            yield Text(note, style="dim")

    def _cells(self, index: int) -> list[str]:
        return [line for row in self.rows for line in row[index].splitlines()]

    def _natural(self, index: int) -> int:
        from rich.cells import cell_len

        return max(map(cell_len, [*self.headings[index].splitlines(), *self._cells(index), ""]))

    def _least(self, index: int, natural: int) -> int:
        """The smallest width of a column: of its cells if they may not change, and of the longest word of its heading."""
        from rich.cells import cell_len

        word = max(map(cell_len, [*self.headings[index].split(), ""]))
        cells = max(map(cell_len, [*self._cells(index), ""]))
        if self._is_text[index]:
            cells = min(cells, LEAST_TEXT)
        if self._is_name[index]:
            widths = range(min(cells, LEAST_NAME), cells)
            cells = next((w for w in widths if _distinct_start(self._cells(index), w) is not None), cells)
        return min(natural, max(cells, word))


def plain_table(*headings: str, all_in: str = "a wider terminal shows them") -> FittedTable:
    """A table whose columns are left out from the last to the third."""
    return FittedTable(headings, all_in=all_in)


def console(*, stderr: bool = False) -> "Console":
    """A console as wide as the terminal, or `WIDTH` where stdout is none.

    It prints every text unchanged: names hold no styles, emojis or control characters, and numbers no colours.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PlainConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=printable(segment.text))

        def on_broken_pipe(self) -> None:
            raise

    made = PlainConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not stderr and not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        made.width = WIDTH
    made.width = max(made.width, LEAST_WIDTH)
    return made


def _distinct_start(names: Iterable[str], width: int) -> int | None:
    """How many first characters shortened names need to stay distinct, near a third of `width`; None if none do."""
    different = set(names)
    for start in sorted(range(width), key=lambda start: abs(start - (width - 1) // 3)):
        if len({shortened(name, width, start) for name in different}) == len(different):
            return start
    return None


def _wrap(heading: str, width: int) -> list[str]:
    return [part for line in heading.splitlines() for part in textwrap.wrap(line, width) or [""]]
