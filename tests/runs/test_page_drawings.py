"""No text in the drawings of a page overlaps or is cut, for any number of points."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from distractor.ablation.formats.curve import format_curve
from distractor.ablation.formats.page import page as formats_page
from distractor.ablation.written.page import page as written_page
from distractor.curves.judge_curve import judge_curve
from distractor.curves.page import page as curve_page
from distractor.runs import folder
from distractor.statistics.curve import Curve
from distractor.text.format import Format
from shown import COUNTS, check_texts
from simulated_replies import many_items, over_sizes
from simulated_runs import hand_made, html_of

SMALL = [count for count in COUNTS if count < 100]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The drawings of a page, each of which is checked."""
    drawings: list[Figure] = []

    def render(figure: Figure, **_: Any) -> dict[str, bytes]:
        check_texts(figure)
        drawings.append(figure)
        return {"svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>'}

    monkeypatch.setattr(folder, "render", render)
    return drawings


@pytest.mark.parametrize("count", COUNTS)
def test_drawings_of_ablate(count: int, checked: list[Figure]) -> None:
    sizes = np.geomspace(70e6, 12e9, count).round().astype(int).tolist()
    html_of(hand_made([[-1.0, 0.5] * 3] * count, sizes, 3 if count < 100 else 1))
    assert len(checked) == 2


@pytest.mark.parametrize("count", SMALL)
@pytest.mark.parametrize("form", ["generate", "cot"])
def test_drawings_of_written_answers_and_formats(count: int, form: str, checked: list[Figure]) -> None:
    result = over_sizes(many_items(12, Format(form)), [0.5] * count, [0.95] * count)
    written_page(result, [], {})
    assert len(checked) >= 3
    formats_page([result] * 3, [format_curve(result)] * 3, [], [], {})
    assert len(checked) >= 7


@pytest.mark.parametrize("count", [count for count in COUNTS if count >= 3])
@pytest.mark.parametrize("references", [[], ["opt", "gpt3"]])
def test_drawings_of_shape(count: int, references: list[str], checked: list[Figure]) -> None:
    sizes = tuple(np.geomspace(70e6, 12e9, count).round().tolist())
    values = np.random.default_rng(0).uniform(0, 1, (3, count, 8))
    curve = Curve("accuracy", "parameters", sizes, (0, 1, 2), values.mean(-1), values=values, task="negation_qa")
    curve_page(judge_curve(curve, references=references), [], {})
    assert len(checked) == 1 + bool(references)
