"""`distractor tasks`: the list, items under all conditions, and rows in the official columns."""

import ast
import io
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import tiny
from distractor.command_line import shown_items
from distractor.command_line.export import export, rows
from distractor.command_line.shown_items import item_table
from distractor.text.task import Condition
from small_ladder import type_in
from tasks import TASKS
from tasks.find import find_task
from tasks.rows import read_rows

C = Condition
SCRIPT = Path(sys.executable).parent / "distractor"
SHOW = ("tasks", "show", "negation_qa")
EXPORT = ("tasks", "export", "negation_qa", "--out")
ESCAPE = "\x1b["


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert type_in(command) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Check for one message on stderr, exit status 2; return it."""
    assert type_in(command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    return " ".join(shown.err.split())


# The list


def test_every_task_is_listed_with_question_size_and_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "tasks")
    assert max(map(len, shown.splitlines())) <= 100
    for name, make in TASKS.items():
        task = make()
        groups = len({item.group for item in task.items})
        entry = shown.partition(f"{name}\n")[2]
        assert entry.startswith(
            f"  {task.question}\n  {len(task.items):,} items in {groups:,} groups, from {task.source}"
        )
        assert f"  conditions: {', '.join(task.conditions)}\n" in entry
    assert "memo_trap.word_in_opening" in shown.partition("official files")[2]
    assert "modified_arithmetic.subtraction" in shown.partition("BIG-bench")[2]


# Items under all conditions


@pytest.mark.parametrize("name", TASKS)
def test_items_are_shown_under_every_condition_with_the_right_answer(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(capsys, "tasks", "show", name, "--items", "2")
    assert max(map(len, shown.splitlines())) <= 100
    assert ESCAPE not in shown
    task = TASKS[name]()
    assert task.question in shown
    assert [item.id for item in task.items if f"{item.id}: the true answer" in shown] == [i.id for i in task.items[:2]]
    for item in task.items[:2]:
        table = shown.partition(f"{item.id}: ")[2]
        for condition in task.conditions:
            right = task.right[condition]
            answer = "none" if right is None else rf"{item.answers[right].strip()} \((?:true|distractor's)\)"
            row = re.search(rf"^{condition} +{answer} +(.*?)(?=^\w|\Z)", table, flags=re.DOTALL | re.MULTILINE)
            assert row, condition
            # Lines may be wrapped; the words are all there, in their order.
            assert row[1].split() == item.prompts[condition].split()


def test_the_requested_number_of_items_is_shown_at_most_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    export(tiny.task().take(3), tmp_path / "three.jsonl")
    assert printed(capsys, *SHOW).count("the true answer is") == 3
    assert printed(capsys, *SHOW, "--items", "5").count("the true answer is") == 5
    assert printed(capsys, "tasks", "show", "three.jsonl", "--items", "4").count("the true answer is") == 3


def test_another_seed_shows_other_items(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (printed(capsys, *SHOW, "--seed", seed) for seed in ("0", "1"))
    assert first == printed(capsys, *SHOW) != second
    assert TASKS["negation_qa"](seed=1).items[0].id in second


def marks_by_style(prompt: Any) -> dict[str, list[str]]:
    """The marked words of a text, by style."""
    found: dict[str, list[str]] = {}
    for span in prompt.spans:
        found.setdefault(str(span.style), []).append(prompt.plain[span.start : span.end])
    return found


def test_words_that_differ_are_marked_by_the_cue_they_belong_to() -> None:
    item = next(i for i in TASKS["negation_qa"]().items if i.group == "capital/France")
    assert marks_by_style(shown_items.marked(item, C.CONFLICT)) == {
        shown_items.TRUE_CUE: ["not"],
        shown_items.DISTRACTOR_CUE: ["France"],
    }
    assert marks_by_style(shown_items.marked(item, C.CONGRUENT)) == {shown_items.TRUE_CUE: ["indeed"]}
    assert list(marks_by_style(shown_items.marked(item, C.DISTRACTOR_SWAPPED))) == [shown_items.DISTRACTOR_CUE]
    assert marks_by_style(shown_items.marked(item, C.DISTRACTOR_ONLY)) == {}
    assert marks_by_style(shown_items.marked(item, C.NEUTRAL)) == {shown_items.OTHER_DIFFERENCE: ["Choose", "one"]}
    assert all(shown_items.marked(item, c).plain == item.prompts[c] for c in Condition)


def test_differences_are_found_word_by_word() -> None:
    for text, other, marks in [
        ("a b c", "a b c", []),
        ("3 + 4 = 7", "3 + 5 = 7", ["4"]),
        ("one two. three", "one. three", ["two"]),
        ("one\ntwo", "three", ["one\ntwo"]),
        ("all of it", "", ["all of it"]),
        ("", "all of it", []),
    ]:
        assert [text[a:b] for a, b in shown_items.differing(text, other)] == marks


def test_only_terminals_get_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    plain = printed(capsys, *SHOW)
    assert ESCAPE not in plain
    assert "In colour" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    coloured = printed(capsys, *SHOW)
    assert f"{ESCAPE}1;36mnot{ESCAPE}0m" in coloured
    assert "In colour: " in coloured
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line for line in bare.splitlines() if "In colour" not in line] == plain.splitlines()
    assert max(map(len, bare.splitlines())) <= 100


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("name", list(TASKS))
def test_items_are_whole_at_every_width(name: str, width: int) -> None:
    task = TASKS[name]()
    item = task.items[0]
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(item_table(task, item))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = set(text.split())
    assert all(word in words for prompt in item.prompts.values() for word in prompt.split())


def test_text_of_a_file_cannot_control_the_terminal() -> None:
    task = tiny.task()
    prompts = {C.CONFLICT: "Not \x1b[2J[red]Paris[/red]. Say:", C.NEUTRAL: "long " * 60 + "\a\r."}
    item = replace(task.items[0], prompts=prompts, rewordings={})
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        console.print(shown_items.item_table(task, item))
    shown = console.export_text()
    assert not {"\x1b", "\a", "\r"} & set(shown)
    assert "Not �[2J[red]Paris[/red]. Say:" in shown
    assert max(map(len, shown.splitlines())) <= 100


# Rows in the official columns


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", TASKS)
def test_rows_are_in_the_official_columns(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = printed(capsys, "tasks", "export", name, "--out", "made/rows.jsonl")
    items = TASKS[name]().items
    assert shown == f"made/rows.jsonl: {len(items):,} rows of {name}, one for each conflict prompt\n"
    exported = read(tmp_path / "made/rows.jsonl")
    assert {tuple(row) for row in exported} == {("prompt", "classes", "answer_index", "round", "part")}
    assert [row["prompt"] for row in exported] == [item.prompts[C.CONFLICT] for item in items]
    for row, item in zip(exported, items, strict=True):
        classes = ast.literal_eval(row["classes"])
        assert classes == sorted(item.answers)
        assert classes[row["answer_index"]] == item.true
    assert (tmp_path / "made/rows.jsonl").read_bytes().endswith(b"}\n")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("name", TASKS)
def test_an_export_read_back_is_the_same_task(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "tasks", "export", name, "--out", "rows.jsonl", "--seed", "3")
    items = TASKS[name](seed=3).items
    expected = [(item.prompts[C.CONFLICT], item.true, item.distractor) for item in items]
    assert [(row.prompt, row.true, row.distractor) for row in read_rows(tmp_path / "rows.jsonl")] == expected
    back = find_task("rows.jsonl").items
    assert [(item.prompts[C.CONFLICT], item.true, item.distractor) for item in back] == expected


def test_unusual_text_survives_export_and_import(tmp_path: Path) -> None:
    task = tiny.task()
    odd = replace(task.items[0], true=" l'été\u2028\"", prompts={C.CONFLICT: "né\u2028 'x'\n\"y\"\\"})
    export(replace(task, items=(odd,)), tmp_path / "odd.jsonl")
    (line,) = (tmp_path / "odd.jsonl").read_bytes().splitlines()
    row = json.loads(line)
    assert row["prompt"] == odd.prompts[C.CONFLICT]
    assert ast.literal_eval(row["classes"])[row["answer_index"]] == odd.true


def test_the_order_of_answers_does_not_reveal_the_right_one() -> None:
    places = [row["answer_index"] for row in rows(TASKS["negation_qa"]())]
    assert sum(places) * 2 == len(places)


def test_the_same_export_can_be_repeated_and_another_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(capsys, *EXPORT, "rows.jsonl")
    first = (tmp_path / "rows.jsonl").read_bytes()
    printed(capsys, *EXPORT, "rows.jsonl")
    message = refused(capsys, *EXPORT, "rows.jsonl", "--seed", "1")
    assert all(word in message for word in ("rows.jsonl", "--out", "--force"))
    assert (tmp_path / "rows.jsonl").read_bytes() == first
    printed(capsys, *EXPORT, "rows.jsonl", "--seed", "1", "--force")
    assert (tmp_path / "rows.jsonl").read_bytes() != first
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_seed_for_a_data_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(tiny.task(), tmp_path / "mine.jsonl")
    message = refused(capsys, "tasks", "show", "mine.jsonl", "--seed", "1")
    assert "'mine.jsonl'" in message
    assert "--seed" in message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("tasks", "show", "negatoin_qa"), "negation_qa?"),
        (("tasks", "export", "negation", "--out", "rows.jsonl"), "negation_qa?"),
        ((*EXPORT, "folder"), "folder exists"),
        ((*EXPORT, "folder", "--force"), "folder cannot be written"),
        ((*EXPORT, "a.file/below.jsonl"), "a.file/below.jsonl cannot be written"),
        (("tasks", "export", "negation_qa"), "Missing option '--out'"),
        (("tasks", "show"), "Missing argument"),
        (("tasks", "shwo", "negation_qa"), "No such command 'shwo'"),
        ((*SHOW, "--items", "0"), "--items"),
        ((*SHOW, "--seed", "-1"), "--seed"),
    ],
    ids=lambda given: " ".join(given[1:]) if isinstance(given, tuple) else "",
)
def test_a_user_error_gives_one_message_and_leaves_no_files(
    command: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.file").write_text("mine")
    assert words in refused(capsys, *command)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.file", "folder"]
