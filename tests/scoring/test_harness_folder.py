"""An exported task folder gives the same accuracy in lm-evaluation-harness, item by item."""

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

import distractor
from distractor.command_line.export_harness import conditions, documents, export_harness, harness_files
from distractor.errors import StoreError
from distractor.models.families import find_models
from distractor.text.task import Answer, Condition
from small_ladder import type_in
from tasks import TASKS

MODEL = "ladder/16x2/seed780"


@pytest.mark.quick
@pytest.mark.parametrize("name", TASKS)
def test_a_document_has_the_prompt_and_the_right_answer(name: str) -> None:
    task = TASKS[name]().take(10)
    rows = list(documents(task))
    assert {row["condition"] for row in rows} == set(conditions(task))
    assert Condition.NEUTRAL not in conditions(task)
    items = {item.id: item for item in task.items}
    for row in rows:
        item, condition = items[row["item"]], Condition(row["condition"])
        assert row["prompt"] == item.prompts[condition]
        right = item.true if task.right[condition] is Answer.TRUE else item.distractor
        assert row["choices"][row["target"]] == right
        assert sorted(row["choices"]) == sorted(item.answers)
    assert len({tuple(row["choices"]) for row in rows if row["target"] == 0}) > 0


@pytest.mark.quick
def test_a_folder_with_other_content_is_kept(tmp_path: Path) -> None:
    task = TASKS["quote_repetition"]().take(4)
    export_harness(task, tmp_path / "out")
    export_harness(task, tmp_path / "out")
    (tmp_path / "out" / "reader.py").write_text("mine")
    with pytest.raises(StoreError, match=r"reader\.py exists and has other content"):
        export_harness(task, tmp_path / "out")
    assert (tmp_path / "out" / "reader.py").read_text() == "mine"
    export_harness(task, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "reader.py").read_text() == harness_files(task)["reader.py"]
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="exists"):
        export_harness(task, tmp_path / "file")


def test_the_command_writes_the_folder_and_says_how_to_run_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert type_in(["tasks", "export", "negation_qa", "--format", "lm-eval", "--out", str(tmp_path / "out")]) == 0
    assert "--include_path" in capsys.readouterr().out
    rows = [json.loads(row) for row in (tmp_path / "out" / "documents.jsonl").read_text().splitlines()]
    assert rows == list(documents(TASKS["negation_qa"]()))


@pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm-evaluation-harness is not installed: pip install -e '.[harness]'",
)
@pytest.mark.filterwarnings("ignore")
def test_the_harness_is_right_on_the_same_items(tmp_path: Path) -> None:
    evaluator: Any = importlib.import_module("lm_eval")
    task = TASKS["negation_qa"]().take(24)
    export_harness(task, tmp_path / "out")
    manager: Any = importlib.import_module("lm_eval.tasks").TaskManager(include_path=str(tmp_path / "out"))
    (source,) = find_models([MODEL], task="negation_qa")
    arguments = f"pretrained={source.folder},dtype=float32,add_bos_token=True"
    found = evaluator.simple_evaluate(
        model="hf", model_args=arguments, tasks=["distractor_negation_qa"], task_manager=manager, device="cpu",
        batch_size=4, log_samples=True, bootstrap_iters=0,
    )  # fmt: skip
    run = distractor.ablate(task, source, knockout=False, store=tmp_path / "cells", device="cpu")
    ours = run.items.query("quantity == 'accuracy'").set_index(["condition", "item"])["value"]
    for name, samples in found["samples"].items():
        condition = name.removeprefix("distractor_negation_qa_")
        for sample in samples:
            assert sample["acc"] == ours[condition, sample["doc"]["item"]], (condition, sample["doc"])
    assert len(found["samples"]) == len(conditions(task))
