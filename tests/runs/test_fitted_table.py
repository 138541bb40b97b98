"""Tables fit every width: numbers are whole, names stay distinct, and what is left out is named."""

import io
import re

import pytest
from rich.console import Console

from distractor.numbers import shortened
from distractor.runs import tables
from distractor.runs.tables import FittedTable

pytestmark = pytest.mark.quick

PATHS = ("/data/checkpoints/run-0001/model/final", "/data/checkpoints/run-0002/model/final")
NUMBERS = ("134,515,008", "0.50 [0.25, 0.74]", "0.03", "-0.08")
HEADINGS = ("model", "parameters", "preference\nin conflict", "coverage", "T\nnats")


def shown(width: int, names: tuple[str, ...] = PATHS) -> str:
    table = FittedTable(HEADINGS, drop=("parameters", "T\nnats", "coverage"), all_in="--json has them")
    for name in names:
        table.add_row(name, *NUMBERS)
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_number_is_cut_and_every_column_is_shown_or_named(width: int) -> None:
    text = shown(width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    flat = " ".join(text.split())
    _, _, left_out = flat.partition("Left out")
    for heading, number in zip(HEADINGS[1:], NUMBERS, strict=True):
        is_shown = flat.count(number) == len(PATHS)
        assert is_shown != (" ".join(heading.split()) in left_out), heading
    assert ("Left out" in text) == (width < 80)
    assert ("--json has them" in flat) == ("Left out" in text)


def test_columns_are_left_out_in_their_order_and_the_name_and_the_main_number_stay() -> None:
    left_out = [re.findall(r"characters: (.*?) \(", " ".join(shown(width).split())) for width in (70, 60, 50, 40)]
    assert left_out == [[], ["parameters"], ["parameters, T nats"], ["parameters, coverage, T nats"]]


def test_shortened_names_keep_their_ends_and_stay_distinct() -> None:
    for width in (40, 60, 100):
        first, second = (line.split()[0] for line in shown(width).splitlines() if "0.50" in line)
        assert first != second
        assert first.endswith("/model/final")
    assert shortened("polypythias/160m/seed3@1000", 19) == "polypy…m/seed3@1000"
    assert all(len(shortened("a" * 30 + "b" * 30, width)) == width for width in range(4, 60))


def test_at_100_characters_long_names_leave_every_column() -> None:
    assert "Left out" not in shown(100, ("x" * 300,))


def test_words_of_a_text_column_wrap() -> None:
    table = FittedTable(("claim", "mean"), wrapped=("claim",))
    table.add_row("preference rises, then falls", "0.39 [0.19, 0.55]")
    console = Console(width=35, file=io.StringIO())
    console.print(table)
    assert "0.39 [0.19, 0.55]" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "preference" in console.file.getvalue()  # type: ignore[attr-defined]


def test_markup_in_a_name_is_printed_as_it_is() -> None:
    assert "[red]x[/red]" in shown(200, ("[red]x[/red]",))


@pytest.mark.parametrize(("columns", "width"), [(None, 100), ("60", 60), ("200", 200), ("1", 20), ("many", 100)])
def test_a_pipe_has_100_characters_unless_columns_says_otherwise(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert tables.console().width == width
