"""Rows of a data file are checked one by one: every mistake is named with its file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from distractor.errors import DistractorError, TaskError
from tasks.rows import read_rows

pytestmark = pytest.mark.quick


def row(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Not yes. Say:", "classes": "[' no', ' yes']", "answer_index": 0} | changes


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(text if isinstance(text, str) else json.dumps(text) + "\n" for text in rows))
    return path


def test_a_row_has_two_classes_and_all_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row(answer_index=1, part=2), row(prompt="other"))
    first, second = read_rows(path)
    assert (first.true, first.distractor, first.more) == (" yes", " no", {"part": 2})
    assert (second.index, second.line, second.true) == (1, 2, " no")
    path.with_suffix(".csv").write_text("prompt,classes,answer_index\nx,\"[' A', ' B']\",1\n")
    assert [row.true for row in read_rows(path.with_suffix(".csv"))] == [" B"]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"prompt": None}, "prompt is nothing"),
        ({"prompt": "  "}, "prompt is '  '"),
        ({"prompt": "a\0b"}, "prompt holds a NUL"),
        ({"classes": "' A'"}, "classes is .*list"),
        ({"classes": "'AB'"}, "classes is .*list"),
        ({"classes": "{' A': 1, ' B': 2}"}, "classes is .*list"),
        ({"classes": "[1, 2]"}, "classes is .*list"),
        ({"classes": [" A", " B"]}, "classes is .*list"),
        ({"classes": "[' A', "}, "classes is .*list"),
        ({"classes": "[str(1), ' B']"}, "classes is .*list"),
        ({"classes": "[' A'" + ", ' B'" * 10_000 + "]"}, "classes is .{,80}; .*list"),
        ({"classes": "[]"}, "at least two"),
        ({"classes": "[' A']"}, "at least two"),
        ({"classes": "[' A', ' A']"}, "each only once"),
        ({"classes": "[' A', ' B', ' A']"}, "each only once"),
        ({"classes": "[' A', ' B', ' C']"}, "3 classes.*column distractor_index"),
        ({"classes": "[' A', ' B', ' C']", "distractor_index": 0}, "distractor_index is 0.*answer_index"),
        ({"classes": "[' A', ' B', ' C']", "distractor_index": 3}, "distractor_index is 3; .*0 to 2"),
        ({"classes": "[' A', ' B', ' C']", "distractor_index": "B"}, "distractor_index is 'B'; .*0 to 2"),
        ({"classes": "[' A', ' B', ' C']", "distractor_index": 1.0}, "distractor_index is 1.0; .*0 to 2"),
        ({"distractor_index": 0}, "distractor_index is 0.*answer_index"),
        ({"classes": "[' A', ' B', ' C']", "answer_index": 3}, "answer_index is 3; .*0 to 2"),
        ({"answer_index": 2}, "answer_index is 2; .*0 or 1"),
        ({"answer_index": -1}, "answer_index is -1; .*0 or 1"),
        ({"answer_index": "A"}, "answer_index is 'A'; .*0 or 1"),
        ({"answer_index": True}, "answer_index is True; .*0 or 1"),
        ({"answer_index": 1.0}, "answer_index is 1.0; .*0 or 1"),
        ({}, "same as in line 1"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_with_its_line(changes: dict[str, Any], facts: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row(), row(**({"prompt": "x"} | changes if changes else {})))
    with pytest.raises(TaskError, match=f"rows.jsonl, line 2: .*{facts}") as refused:
        read_rows(path)
    assert len(str(refused.value)) < 400


def test_a_row_with_more_than_two_classes_names_its_distractor(tmp_path: Path) -> None:
    more = row(classes="[' a', ' b', ' c']", answer_index=1, distractor_index=2)
    (first, second) = read_rows(write(tmp_path / "rows.jsonl", more, row(prompt="x", distractor_index=1)))
    assert (first.true, first.distractor, first.more) == (" b", " c", {})
    assert (second.true, second.distractor) == (" no", " yes")
    (tmp_path / "a.csv").write_text(
        "prompt,classes,answer_index,distractor_index\nx,\"[' A', ' B', ' C']\",1,2\ny,\"[' A', ' B']\",1,\n"
    )
    assert [(row.true, row.distractor) for row in read_rows(tmp_path / "a.csv")] == [(" B", " C"), (" B", " A")]


@pytest.mark.parametrize(
    ("name", "text", "facts"),
    [
        ("a.jsonl", '{"prompt": "x", "classes": "[]"}', "a.jsonl, line 1: missing: answer_index"),
        ("a.jsonl", '{"prompt": ', "a.jsonl, line 1: not JSON"),
        ("a.jsonl", '{"prompt": "a\\ud83d"}', "a.jsonl, line 1: half a character"),
        ("a.csv", "prompt,classes\nx,y\n", "a.csv, line 2: missing: answer_index"),
        ("a.csv", "prompt,classes,answer_index\n", "a.csv is empty"),
        ("a.csv", "prompt,classes,answer_index\nx,[' A',' B'],0\n", "a.csv, line 2: 4 cells, but the header has 3"),
        ("a.jsonl", "", "a.jsonl is empty"),
    ],
)
def test_a_file_without_valid_rows_is_refused(name: str, text: str, facts: str, tmp_path: Path) -> None:
    with pytest.raises(DistractorError, match=facts):
        read_rows(write(tmp_path / name, text))
