"""Writes a page as HTML. Every text is escaped, and the page may load nothing: its style and script are inside it."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.names import printable
from distractor.numbers import number
from distractor.runs import colours
from distractor.runs.page.blocks import Page

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def render_page(page: Page, made_from: str = "") -> str:
    """The page as one HTML document. The same page always gives the same text. `made_from` is the hash of its content."""
    css, script = (_read(name) for name in ("page.css", "page.js"))
    sha256 = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html")
        .render(page=page, made_from=made_from, css=_palette() + css, script=script, sha256=sha256)
    )


def render_head(page: Page, svg: bytes) -> str:
    """The head of a page with one figure (an SVG file), as a piece of HTML for a notebook."""
    return _environment().get_template("head.html").render(page=page, figure=base64.b64encode(svg).decode())


@cache
def templates_hash() -> str:
    """A hash of all templates, the style sheet and the script."""
    digest = hashlib.sha256()
    for path in sorted(TEMPLATES.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {"number": number, "probability": _probability, "breakable": _breakable}
    return environment


def _printable(value: Any) -> Any:
    """Text of users without control characters, but with its tabs; markup is ours."""
    return "\t".join(map(printable, value.split("\t"))) if type(value) is str else value


def _probability(value: float) -> str:
    """A probability with two digits, a small one with three or as a power of ten.

    >>> _probability(0.123), _probability(0.0021), _probability(0.0004)
    ('0.12', '0.002', '4e-04')
    """
    return number(value) if value >= 0.005 else number(value, 3) if value >= 0.0005 else f"{value:.0e}"


def _breakable(name: str) -> "Markup":
    """A name that may break after each underscore."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(printable(part)) for part in name.split("_"))


def _palette() -> str:
    """The colours of both modes as variables of the style sheet."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in palette.items()) for palette in colours.page_palettes()
    )
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
