"""`distractor cache` shows what is stored and deletes only what was asked for."""

import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from distractor.command_line.options import CELLS
from distractor.scoring.store import DAY, Cell, Key, Store
from small_ladder import type_in

pytestmark = pytest.mark.quick

STORE = Store(CELLS)
HELD = {
    "a": ("t", "ladder/t/2x1/seed0", 40),
    "b": ("t", "ladder/t/2x1/seed0", 1),
    "c": ("[red]", "mine", 40),
    "d": (None, None, 9),
    "e": ("u", "ladder/t/2x1/seed0@7", 10),
}
"""Cells: their name, and their task, model and age in days; version 0.2.0 stored neither task nor model."""


def key(name: str) -> Key:
    return {"name": name}


@pytest.fixture(autouse=True)
def _cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, (task, model, days) in HELD.items():
        facts = {} if task is None else {"task": task, "model": model}
        STORE.save(key(name), Cell(pa.table({"value": [0.5]}), facts))
        os.utime(STORE.path(key(name)), (time.time() - days * DAY - 60,) * 2)


def left() -> str:
    return "".join(name for name in HELD if STORE.has(key(name)))


def test_results_are_listed_by_task_and_model_with_their_age(capsys: pytest.CaptureFixture[str]) -> None:
    STORE.path(key("c")).write_bytes(b"damaged")
    (CELLS / "half.part").write_bytes(b"PAR1")
    assert type_in(["cache"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    by_start = {" ".join(line[:2]): line for line in lines}
    assert by_start["t ladder/t/2x1/seed0"][2] == "2"
    assert by_start["t ladder/t/2x1/seed0"][-4:] == ["40", "d", "1", "d"]
    assert {"not named", "damaged 1", "unfinished 1"} <= set(by_start)
    assert lines[-1][:2] == ["6", "results"]


def test_an_empty_cache_has_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    assert type_in(["cache"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"0 results (0 bytes) in {CELLS}"]
    assert not CELLS.exists()


@pytest.mark.parametrize(
    ("options", "rest"),
    [
        (["--older-than", "30d"], "bde"),
        (["--older-than", "36h"], "b"),
        (["--older-than", "60w"], "abcde"),
        (["--task", "t"], "cde"),
        (["--task", "[red]"], "abde"),
        (["--model", "ladder"], "cd"),
        (["--model", "ladder/t"], "cd"),
        (["--model", "ladder/t/2x1/seed0"], "cd"),
        (["--model", "ladder/2x1"], "cde"),
        (["--model", "ladder/2x1", "--task", "u"], "abcde"),
        (["--model", "ladder/2"], "abcde"),
        (["--task", "t", "--older-than", "30d"], "bcde"),
        (["--all"], ""),
    ],
    ids=" ".join,
)
def test_only_the_named_results_are_deleted(options: Any, rest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(["cache", "prune", *options, "--dry-run"]) == 0
    assert "would be deleted" in capsys.readouterr().out
    assert left() == "abcde"
    assert type_in(["cache", "prune", *options, "--yes"]) == 0
    count = len(HELD) - len(rest)
    assert capsys.readouterr().out.startswith(f"{count} result")
    assert left() == rest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--older-than, --task or --model, or --all"),
        (["--all", "--task", "t"], "--all alone"),
        (["--older-than", "3"], "'3'"),
        (["--older-than", "-3d"], "'-3d'"),
        (["--older-than", "9999999d"], "such as 12h"),
        (["--all"], "--yes"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_an_unclear_request_deletes_nothing(options: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(["cache", "prune", *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in " ".join(shown.err.split())
    assert left() == "abcde"


def test_a_deleted_result_is_computed_again() -> None:
    assert type_in(["cache", "prune", "--all", "--yes"]) == 0
    cell = STORE.get_or_compute(key("a"), lambda: None, lambda: Cell(pa.table({"value": [0.5]}), {}))
    assert cell.table["value"].to_pylist() == [0.5]
    assert left() == "a"
