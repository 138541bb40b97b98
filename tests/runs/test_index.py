"""The index of many runs: its lines, the colours of verdicts, and the table by task and models."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from distractor.ablation.index_rows import rows as of_ablation
from distractor.attribution.index_rows import rows as of_attribution
from distractor.comparison.index_rows import rows as of_comparison
from distractor.curves.index_rows import rows as of_shape
from distractor.runs.index.found import FoundRun
from distractor.runs.index.page import index_page
from distractor.runs.index.row import IndexRow, Rows, models_text, peak_of
from distractor.runs.page.blocks import AnswerCell, LinkCell, Page, SizeCell, Table
from distractor.runs.page.render import render_page


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


@pytest.mark.parametrize(("models", "is_control"), [("ladder", True), ("ladder/a/4x1/seed0", True), ("opt", False)])
def test_embedded_models_are_called_a_control(models: str, is_control: bool, tmp_path: Path) -> None:
    assert ("positive control" in index(tmp_path, row("a", models, "supported")).evidence) == is_control


def damaged(content: Any, wrong: Any) -> Iterator[Any]:
    """The content with one value at a time replaced by a wrong one; of a list, only its first values."""
    yield wrong
    for key in list(content) if isinstance(content, dict) else range(min(1, len(content))) if content else ():
        if isinstance(content[key], dict | list) and content[key]:
            for inner in damaged(content[key], wrong):
                yield {**content, key: inner} if isinstance(content, dict) else [inner, *content[1:]]
        else:
            yield {**content, key: wrong} if isinstance(content, dict) else [wrong, *content[1:]]


SUMMARIES: dict[str, tuple[Rows, dict[str, Any]]] = {
    "ablate": (
        of_ablation,
        {
            "task": "t",
            "format": {"format": "rank", "shots": 0},
            "models": [{"family": "f"}, {"family": "f"}],
            "sizes": [
                {"model": "s", "n_params": 10, "distractor_preference": {"mean": 0.5}},
                {"model": "l", "n_params": 20, "distractor_preference": {"mean": 0.7}},
            ],
            "verdict": {"label": "supported"},
        },
    ),
    "attribute": (
        of_attribution,
        {
            "task": "t",
            "label": "override",
            "models": [{"model": "m", "family": "f", "n_params": 10, "distractor_preference": {"mean": 0.5}}],
        },
    ),
    "compare": (
        of_comparison,
        {"label": "changed", "tasks": {"t": {"format": {"format": "rank", "shots": 0}, "sides": [{"name": "a"}]}}},
    ),
    "shape": (
        of_shape,
        {
            "task": "t",
            "quantity": "distractor_preference",
            "against": "parameters",
            "families": ["f"],
            "sizes": [{"size": 10, "mean": 0.5}, {"size": 20, "mean": 0.7}],
            "shape": {"label": "U-shaped"},
        },
    ),
}
OF_RUN = {"models": [{"name": "f/s"}, {"name": "f/l"}], "files": [{"name": "x.csv"}], "format": "rank", "shots": 0}


@pytest.mark.parametrize("command", SUMMARIES)
def test_a_summary_with_a_wrong_value_never_ends_the_index(command: str, tmp_path: Path) -> None:
    rows_of, summary = SUMMARIES[command]
    manifest = {"command": ["distractor", command], "date": "2026-12-01", **OF_RUN}
    runs = [FoundRun(tmp_path, manifest, summary)]
    for wrong in (None, "<x>", [], {}, -1, float("nan"), [[1]]):
        runs += [FoundRun(tmp_path, manifest, one) for one in damaged(summary, wrong) if isinstance(one, dict)]
        runs += [FoundRun(tmp_path, one, summary) for one in damaged(manifest, wrong) if isinstance(one, dict)]
    page = index_page(runs, tmp_path, {command: rows_of})
    assert render_page(page)
    rows = tables(page)[0].rows
    assert not str(rows[0][1]).startswith("AnswerCell(text='damaged")
    assert any(str(row[1]).startswith("AnswerCell(text='damaged") for row in rows)
