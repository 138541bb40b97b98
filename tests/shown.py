"""What commands show: printed tables, figures, files."""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console, Group

from distractor.runs import folder


def printed(shown: Iterable[Any], width: int = 400) -> str:
    """The text of tables and sentences; checks that nothing is wider than `width`."""
    console = Console(width=width, file=io.StringIO(), highlight=False)
    for group in shown:
        for part in group.renderables if isinstance(group, Group) else [group]:
            console.print(part)
        console.print()
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    return text


WIDTHS = (40, 60, 80, 100, 200)
NUMBERS = re.compile(r"(?<![^\s\[])-?\d[\d,]*(?:\.\d+)?(?![^\s\],;%])")


def check_widths(pages: Callable[[], Iterable[Any]]) -> None:
    """Checks that pages fit every width, and that each number in a narrow page is whole: a wide page has it, too."""
    whole = set(NUMBERS.findall(printed(pages(), 1000)))
    for width in WIDTHS:
        text = printed(pages(), width)
        cut = set(NUMBERS.findall(text)) - whole - {str(width)}
        assert not cut, f"at width {width}: {cut}\n{text}"


def check_page(figure: Any, name: str) -> None:
    """Checks that a figure has a title and nothing beyond its edges."""
    assert figure.get_suptitle(), name
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) > -0.1, name
    assert box.x1 < width + 0.1, name
    assert box.y1 < height + 0.1, name
    assert height < 20, name


COUNTS = (1, 2, 3, 11, 154)
"""The numbers of points, sizes, steps or sites for which each figure is checked."""


def check_texts(figure: Figure, name: str = "") -> None:
    """Checks that no two texts (ticks, titles, labels, legends, notes) overlap, and that none is cut at the edges."""
    figure.draw_without_rendering()
    page, beyond = figure.bbox, _beyond_their_axes(figure)
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip() and id(text) not in beyond
    ]
    for words, box in boxes:
        assert min(box.x0, box.y0) > -2, f"{name}: {words!r} is cut"
        assert box.x1 < page.x1 + 2, f"{name}: {words!r} is cut"
        assert box.y1 < page.y1 + 2, f"{name}: {words!r} is cut"
    for (one, a), (other, b) in combinations(boxes, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 1 or high <= 1, f"{name}: {one!r} and {other!r} overlap"


def _beyond_their_axes(figure: Figure) -> set[int]:
    """Labels of ticks that matplotlib keeps but does not draw, by `id`: beyond the limits of their axis, or of no axis."""
    beyond = set()
    for axes in figure.axes:
        if not axes.axison:
            beyond |= {id(text) for axis in (axes.xaxis, axes.yaxis) for text in axis.findobj(Text)}
        for axis, low, high in ((axes.xaxis, *axes.bbox.intervalx), (axes.yaxis, *axes.bbox.intervaly)):
            for text in axis.get_ticklabels(which="both"):
                box = text.get_window_extent()
                middle = (box.x0 + box.x1) / 2 if axis is axes.xaxis else (box.y0 + box.y1) / 2
                if not low - 1 <= middle <= high + 1:
                    beyond.add(id(text))
    return beyond


def leave_undrawn(patch: pytest.MonkeyPatch) -> None:
    """Figures are made, but not drawn, for tests of other subjects: the file of a figure holds its title."""

    def title(figure: Any, kinds: Sequence[str] = folder.FIGURE_KINDS) -> dict[str, bytes]:
        return dict.fromkeys(kinds, f"<svg>{escape(figure.get_suptitle())}</svg>".encode())

    patch.setattr(folder, "render", title)


def files(below: Path) -> list[str]:
    """All files of a run, by their paths in its folder; slow runs also leave the log of their progress."""
    return sorted(
        str(path.relative_to(below)) for path in below.rglob("*") if path.is_file() and path.name != folder.LOG
    )
