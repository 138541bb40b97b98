"""Pipes, devices, endless nesting, huge numbers and names that are no names: one message, exit status 2, no traceback."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distractor.command_line.options import CELLS
from small_ladder import type_in

PLAN = ("ablate", "--task", "negation_qa", "--models", "ladder", "--items", "8", "--plan")
DEEP = "[" * 200_000
LONG = "9" * 5_000

OWN = """
from distractor.text.task import Condition, Item, Task

def item(k, **more):
    fixed = dict(id=f"i{k}", group=f"g{k}", true=" yes", distractor=" no", prompts={Condition.CONFLICT: f"Say {k}:"})
    return Item(**(fixed | more))

def task(**more):
    return Task(**(dict(name="t", question="q?", items=(item(0), item(1)), source="s") | more))

def nested():
    return nested()
"""
WRONG = {
    "task(name=3)": "name is 3",
    "task(name=None)": "name is nothing",
    "task(name=chr(27) + '[31m')": "control characters",
    "task(question=None)": "question is nothing",
    "task(items=[1, 2])": "items that are no",
    "task(items=(item(0, id=5), item(1)))": "id is 5",
    "task(items=(item(0, group=1.5), item(1)))": "group is 1.5",
    "task(items=(item(0, prompts={Condition.CONFLICT: 7}), item(1)))": "prompt for conflict is 7",
    "task(items=(item(0, prompts={'conflict': 'x'}), item(1)))": "is no condition",
    "task(items=(item(0, true='a' + chr(0)), item(1)))": "true holds a NUL",
    "task(items=(item(0, distractor=chr(0xd800)), item(1)))": "distractor holds half a character",
    "nested()": "RecursionError",
}
"""Values of a user's task, and what the message says."""

PRINT_MESSAGES = """
import sys
from distractor.errors import TaskError
from tasks.own import from_python
for number in range(int(sys.argv[1])):
    try:
        from_python(f"own.py:T{number}")
        print("no message")
    except TaskError as error:
        print(error)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pipe.jsonl", "pipe.csv", "pipe.parquet", "pipe.py", "pipe.toml"):
        os.mkfifo(name)
    Path("deep.jsonl").write_text(f'{{"prompt": {DEEP}', encoding="utf-8")
    Path("deep.json").write_text(DEEP, encoding="utf-8")
    Path("deep.toml").write_text(f"a = {DEEP}", encoding="utf-8")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["tasks", "show", "pipe.jsonl"], "pipe.jsonl is no regular file"),
        (["tasks", "show", "pipe.py:TASK"], "pipe.py"),
        (["tasks", "show", "deep.jsonl"], "deep.jsonl, line 1: not JSON"),
        (["tasks", "show", "deep.json"], "deep.json: not JSON"),
        (["tasks", "show", "/dev/zero"], "/dev/zero"),
        (["tasks", "export", "negation_qa", "--out", "x" * 300], "File name too long"),
        (["tasks", "export", "negation_qa", "--out", "pipe.jsonl"], "pipe.jsonl"),
        (["shape", "pipe.csv"], "pipe.csv is no regular file"),
        (["shape", "pipe.parquet"], "pipe.parquet is no regular file"),
        (["shape", "deep.json"], "deep.json: not JSON"),
        (["shape", "/dev/zero"], "/dev/zero"),
        (["models", "show", "pipe.toml"], "pipe.toml"),
        (["models", "show", "deep.toml"], "deep.toml cannot be read"),
        (["data", "verify", "pipe.jsonl"], "pipe.jsonl"),
        ([*PLAN, "--threads", "1000000"], "1000000 threads"),
        ([*PLAN, "--threads", LONG[:30]], "threads"),
        ([*PLAN, "--format", f"cot:{LONG}"], "number of shots"),
        ([*PLAN, "--shots", LONG[:20]], "shots"),
        ([*PLAN[:4], f"ladder@{LONG[:200]}", "--plan"], "step number"),
        ([*PLAN[:4], f"./{'x' * 300}", "--plan"], "File name too long"),
    ],
    ids=lambda given: " ".join(given)[-30:] if isinstance(given, list) else "",
)
def test_odd_input_is_refused_with_one_message(command: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("Error: ") == 1
    assert "Traceback" not in shown.err
    assert words in " ".join(shown.err.split())
    assert not Path("runs").exists()


def test_values_that_are_no_text_in_a_python_task_are_refused(tmp_path: Path) -> None:
    functions = "".join(f"\ndef T{number}():\n    return {wrong}\n" for number, wrong in enumerate(WRONG))
    (tmp_path / "own.py").write_text(OWN + functions, encoding="utf-8")
    command = [sys.executable, "-c", PRINT_MESSAGES, str(len(WRONG))]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words, message in zip(WRONG.values(), done.stdout.splitlines(), strict=True):
        assert words in message


@pytest.mark.quick
def test_a_pipe_in_the_place_of_a_cell_never_blocks(tmp_path: Path) -> None:
    import pyarrow as pa

    from distractor.scoring.store import Cell, Store

    store = Store(tmp_path / CELLS)
    store.path({}).parent.mkdir(parents=True)
    os.mkfifo(store.path({}))
    cell = store.get_or_compute({}, lambda: None, lambda: Cell(pa.table({"value": [0.5]}), {}))
    assert cell.table["value"].to_pylist() == [0.5]
