"""The index of many runs: its lines, the colours of verdicts, and the table by task and models."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from distractor.runs.index.found import FoundRun
from distractor.runs.index.page import index_page
from distractor.runs.index.row import IndexRow, models_text, peak_of
from distractor.runs.page.blocks import AnswerCell, LinkCell, Page, SizeCell, Table


def index(home: Path, *rows: IndexRow) -> Page:
    """The index of one run for each row, in the folders 0, 1, …; each but the last has a page."""

    def rows_of(manifest: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[IndexRow]:
        yield rows[summary["row"]]

    runs = []
    for k in range(len(rows)):
        (home / str(k)).mkdir()
        if k < len(rows) - 1:
            (home / str(k) / "report.html").touch()
        runs.append(FoundRun(home / str(k), {"command": ["distractor", "ablate"]}, {"row": k}))
    return index_page(runs, home, {"ablate": rows_of})


def row(task: str, models: str, label: str, peak: tuple[str, int] | None = None) -> IndexRow:
    return IndexRow(task, models, "rank", label, peak, is_verdict=True)


def tables(page: Page) -> list[Table]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Table)]


def test_a_line_has_a_link_a_coloured_verdict_and_the_peak(tmp_path: Path) -> None:
    page = index(tmp_path, row("a", "pythia", "supported", ("70m", 70_000)), row("a", "pythia", "contradicted"))
    first, second = tables(page)[0].rows
    assert first[0] == LinkCell("0", "0/report.html")
    assert second[0] == "1"
    assert [first[1], second[1]] == [AnswerCell("supported", "yes"), AnswerCell("contradicted", "no")]
    assert [first[6], second[6]] == [SizeCell("70m (70,000)", 70_000), SizeCell("–", 0)]
    assert page.label == "1 supported, 1 contradicted"
    assert page.sentences == ("1 finished run has no page.",)


def test_verdicts_are_set_side_by_side_if_there_are_several_tasks_or_families(tmp_path: Path) -> None:
    rows = [row("a", "opt", "supported"), row("b", "gpt2", "contradicted"), row("a", "opt", "undetermined")]
    _, grid = tables(index(tmp_path, *rows))
    assert list(grid.headings) == ["task", "opt", "gpt2"]
    assert list(map(list, grid.rows)) == [
        ["a", AnswerCell("1 supported, 1 undetermined", "unclear"), "–"],
        ["b", "–", AnswerCell("contradicted", "no")],
    ]


def test_one_task_in_one_family_needs_no_such_table(tmp_path: Path) -> None:
    assert len(tables(index(tmp_path, row("a", "opt", "supported"), row("a", "opt", "supported")))) == 1


def test_other_labels_than_verdicts_have_no_colour_and_are_not_counted(tmp_path: Path) -> None:
    page = index(tmp_path, IndexRow("a", "opt", "rank", "supported"), IndexRow("b", "opt", "rank", "U-shaped"))
    assert [cells[1] for cells in tables(page)[0].rows] == [
        AnswerCell("supported", "unclear"),
        AnswerCell("U-shaped", "unclear"),
    ]
    assert page.label == "2 runs"
    assert len(tables(page)) == 1


@pytest.mark.parametrize(
    ("families", "names", "text"),
    [
        (["ladder/a", "ladder/a"], ["ladder/a/4x1", "ladder/a/8x1"], "ladder"),
        (["models", "models"], ["one", "two"], "one, two"),
        (["models"] * 4, ["1", "2", "3", "4"], "4 models"),
        (["opt", "gpt2"], ["opt/125m", "gpt2/small"], "opt/125m, gpt2/small"),
    ],
)
def test_models_are_named_in_few_words(families: list[str], names: list[str], text: str) -> None:
    assert models_text(families, names) == text


def test_the_peak_is_the_first_highest_of_several_sizes() -> None:
    assert peak_of([("s", 1, 0.5), ("m", 2, 0.9), ("l", 3, 0.9), ("x", 4, None)]) == ("m", 2)
    assert peak_of([("s", 1, 0.5), ("m", 2, None)]) is None
