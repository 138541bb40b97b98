"""Tasks of seven official files run from the file to the result, on rows of our own."""

import json
from pathlib import Path

import pytest
from prize_rows import BROKEN, ROWS, register, save_model

import tiny
from distractor.text.task import Condition
from small_ladder import type_in
from tasks import prize


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", [*(task for task, (file, _) in prize.DERIVED.items() if file in ROWS), "sig-figs"])
def test_each_task_runs_from_its_file_to_its_result(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = register(prize.official_of(name).name, tmp_path, monkeypatch, BROKEN)
    text = " significant figures decimal places A B Answer: Yes No" * 60 + tiny.OTHER_TEXT
    save_model(tmp_path / "model", text)
    command = ["ablate", "--task", name, "--data", str(path), "--models", "./model", "--device", "cpu"]
    assert type_in(command) == 0
    shown = " ".join(capsys.readouterr().out.split())
    (file,) = Path("runs").glob("ablate-*/summary.json")
    summary, task = json.loads(file.read_text(encoding="utf-8")), prize.read(name, path)
    dropped = summary["dropped"].get("conflict", 0)
    assert summary["items"] == len(task.items) - dropped
    assert dropped == int(name == "resisting_correction")  # cat begins cats
    assert ("1 item dropped: under this tokenizer, one answer begins with the other" in shown) == bool(dropped)
    assert summary["left_out"] == {reason: [*names] for reason, names in task.left_out.items()}
    assert f"6 omitted from the task ({prize.NO_ROW})" in shown
    assert ("no pulls" in shown.lower()) == (Condition.CONGRUENT not in task.conditions)
    assert ("scored as published" in shown) == (name == "sig-figs")
    assert (summary["models"][0]["true_pull"] is None) == (Condition.CONGRUENT not in task.conditions)
