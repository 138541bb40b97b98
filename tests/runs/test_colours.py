"""Each meaning has one colour, and only `colours.py` names colours."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import get_named_colors_mapping, to_hex, to_rgb
from matplotlib.figure import Figure
from rich.errors import StyleSyntaxError
from rich.style import Style
from xarray import DataArray

from distractor.probing.cells import supported
from distractor.runs import colours
from distractor.runs.head_map import draw_heat_map
from distractor.runs.style import PULL_STYLES
from distractor.text.task import Condition

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
HOME = ROOT / "distractor/runs/colours.py"
CODE = sorted(
    file for folder in ("distractor", "probes", "tasks", "experiments") for file in (ROOT / folder).rglob("*.py")
)
DRAWING = re.compile(r"^\s*(?:import|from) (?:matplotlib|rich|distractor\.runs)\b", re.MULTILINE)
ARGUMENTS = {"c", "color", "colour", "ec", "edgecolor", "ecolor", "fc", "facecolor", "mfc", "mec", "cmap", "colors"}
NAMED = {name for name in get_named_colors_mapping() if len(name) > 1} | set(colormaps)


def is_colour(text: str) -> bool:
    """Whether a text is a colour or a colour map of matplotlib, or a style of rich with a colour."""
    if re.fullmatch(r"#[0-9A-Fa-f]{3,8}", text) or text in NAMED:
        return True
    try:
        colour = Style.parse(text).color
    except StyleSyntaxError:
        return False
    return colour is not None and not colour.is_default


def colours_in(code: str) -> list[str]:
    """The literal colours in a module that draws or prints."""
    tree = ast.parse(code)
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    given = {
        call.value.value
        for call in ast.walk(tree)
        if isinstance(call, ast.keyword) and call.arg in ARGUMENTS and isinstance(call.value, ast.Constant)
    }
    return sorted({text for text in texts if is_colour(text)} | {str(value) for value in given if value is not None})


def drawing_modules() -> Iterator[Path]:
    for file in CODE:
        if file != HOME and DRAWING.search(file.read_text("utf-8")):
            yield file


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('axes.plot(x, color="#D55E00")', ["#D55E00"]),
        ('BARS = "tab:orange", "gold"', ["gold", "tab:orange"]),
        ('axes.imshow(x, cmap="PuOr_r")', ["PuOr_r"]),
        ('axes.plot(x, c="k", label="k")', ["k"]),
        ('CUE = "bold cyan"', ["bold cyan"]),
        ('axes.plot(x, color=colours.TRUE, label="a black line", ls="-")', []),
    ],
)
def test_literal_colours_are_found(code: str, found: list[str]) -> None:
    assert colours_in(code) == found


def test_no_other_module_names_a_colour() -> None:
    modules = list(drawing_modules())
    assert len(modules) > 8
    assert {str(f.relative_to(ROOT)): found for f in modules if (found := colours_in(f.read_text("utf-8")))} == {}


def test_orange_is_the_distractor_and_blue_the_true_task_and_nothing_else_is() -> None:
    tasks = {colours.TRUE, colours.DISTRACTOR}
    assert colours.CONDITIONS[Condition.TRUE_ONLY] == PULL_STYLES["true_pull"][1] == colours.TRUE
    assert colours.CONDITIONS[Condition.DISTRACTOR_ONLY] == PULL_STYLES["distractor_pull"][1] == colours.DISTRACTOR
    assert colours.of_quantity("distractor_preference") == colours.DISTRACTOR
    assert colours.of_quantity("true_pull") == colours.TRUE
    others = [
        colour for c, colour in colours.CONDITIONS.items() if c not in (Condition.TRUE_ONLY, Condition.DISTRACTOR_ONLY)
    ]
    others += [*colours.SERIES, *colours.DIFFICULTY, colours.MARKED, colours.ATTENTION, colours.NEUTRAL]
    assert not tasks & set(others)
    for colour in {*others}:
        red, green, blue = to_rgb(colour)
        assert not red > 0.8 > 0.55 > green > 2 * blue, f"{colour} looks orange"
        assert not blue > 1.2 * max(red, green), f"{colour} looks blue"


@pytest.mark.parametrize(
    ("quantity", "direction", "value", "answer"),
    [
        ("contribution to the logit gap", None, 1.0, "true"),
        ("contribution to the logit gap", None, -1.0, "distractor"),
        ("change of the logit gap", None, -1.0, "true"),  # ablation: without the site, the gap is smaller
        ("change of the logit gap", None, 1.0, "distractor"),
        ("change of the logit gap", "noising", -1.0, "true"),
        ("change of the logit gap", "denoising", 1.0, "true"),
        ("change of the logit gap", "denoising", -1.0, "distractor"),
    ],
)
def test_a_cell_has_the_colour_of_the_answer_that_its_site_supports(
    quantity: str, direction: str | None, value: float, answer: str
) -> None:
    sign = supported(DataArray(0.0, attrs={"quantity": quantity}), {"direction": direction} if direction else {})
    axes: Axes = Figure().subplots()
    image = draw_heat_map(axes, np.array([[value, 0.0]]), None, 1.0, supports=sign)
    expected = {"true": colours.TRUE, "distractor": colours.DISTRACTOR}[answer]
    drawn = image.cmap(image.norm(image.get_array()))
    assert [to_hex(colour).upper() for colour in drawn[0]] == [expected.upper(), colours.PAPER.upper()]
    assert float(axes.texts[0].get_text()) == value


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours as WCAG 2.2 defines it, from 1 to 21."""
    light = []
    for colour in (first, second):
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
        light.append(float(np.dot((0.2126, 0.7152, 0.0722), linear)))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_every_colour_of_a_curve_shows_on_a_dark_page() -> None:
    drawn = {*colours.CONDITIONS.values(), *colours.SERIES, *colours.DIFFICULTY, *colours.QUANTITIES.values()}
    drawn |= {colours.MARKED, colours.ATTENTION, colours.INK, colours.SOFT_INK}
    assert drawn <= set(colours.ON_DARK)
    paper = colours.ON_DARK[colours.PAPER]
    assert {colour for colour in drawn if contrast(colours.ON_DARK[colour], paper) < 4.5} == set()
    assert len({colours.ON_DARK[colour] for colour in colours.SERIES}) == len(colours.SERIES)


@pytest.mark.parametrize("mode", [0, 1])
def test_text_on_a_page_can_be_read(mode: int) -> None:
    palette = colours.page_palettes()[mode]
    for name in set(colours.TEXT_ON_PAGE) - {"surface"} | {"ink", "soft-ink"}:
        for ground in ("paper", "surface"):
            assert contrast(palette[name], palette[ground]) >= 4.5, (name, ground)
