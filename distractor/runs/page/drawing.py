"""Figures as inline SVG that follows the page's colours and shares no id with another figure on the page."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from distractor.runs import colours, folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
PANEL = (5.0, 3.5)  # inches; two panels beside each other fill the page, one fills the window of a phone
REFERENCE = re.compile(r"url\(#([^)]*)\)")
DROPPED = ("metadata", "style")  # the style is that of every drawing, so page.css has it once


@dataclass(frozen=True)
class Drawing:
    """An SVG element as text, and what it shows in words for readers who cannot see it."""

    svg: str
    shows: str


def drawing(name: str, shows: str, draw: "Callable[[Axes], object]", size: tuple[float, float] = PANEL) -> Drawing:
    """Draw one panel. `name` is unique on the page; `size` is in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from distractor.runs.style import STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
    return Drawing(inline(folder.render(figure, kinds=("svg",))["svg"], name), shows)


def inline(svg: bytes, name: str) -> str:
    """An SVG file of matplotlib as an element of a page.

    Every id begins with `name`. Colours of our palette become those of the page, which has a light and a dark set. Width
    and height go, so that the drawing fills its place.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(f"{{{SVG}}}") in DROPPED:
                parent.remove(child)
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == f"{{{XLINK}}}href":
                del element.attrib[key]
                element.set("href", f"#{name}-{value.removeprefix('#')}")
            else:
                value = REFERENCE.sub(rf"url(#{name}-\1)", value)
                element.set(key, colours.in_page(value) if key == "style" else value)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("style", f"fill: {colours.in_page(colours.INK)}")  # matplotlib writes no fill where it is black
    root.set("aria-hidden", "true")
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode")
