"""Log-probabilities equal those of lm-evaluation-harness, for one model and every task."""

import importlib
import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoTokenizer, GPTNeoXConfig

import tiny
from distractor.command_line.export import rows
from distractor.models.load import load
from distractor.models.model import Model
from distractor.scoring.encode import encode
from distractor.scoring.score import score
from distractor.text.task import Condition, Task
from tasks import TASKS
from tasks.find import find_task

ITEMS = 4
CUES = " not indeed surely also really" * 9
Pair = tuple[str, str]


@pytest.fixture(scope="module", params=[False, True], ids=["without BOS", "with BOS"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random model whose tokenizer has the cue words as single tokens."""
    config = partial(
        GPTNeoXConfig,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
    )
    return tiny.save(
        tmp_path_factory.mktemp("saved"), config, tiny.byte_level(tiny.OTHER_TEXT + CUES, bos=request.param)
    )


@pytest.fixture(scope="module")
def model(saved: Path) -> Model:
    return load(saved, device="cpu")


@pytest.fixture(params=[*TASKS, "neqa"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Task:
    """Each task, and Negation QA in the format of its official file."""
    if request.param != "neqa":
        return TASKS[request.param]().take(ITEMS)
    file = tmp_path / "neqa.jsonl"
    file.write_text(
        "".join(json.dumps(row) + "\n" for row in rows(TASKS["negation_qa"]().take(ITEMS))), encoding="utf-8"
    )
    return find_task(str(file))


def by_its_rule(saved: Path, pairs: list[Pair]) -> list[float]:
    """The harness's rule for plain transformers.

    Spaces at the end of the context move to the continuation. Both are tokenized together. The continuation's tokens are
    those after the context's own tokens.
    """
    tokenizer, network = AutoTokenizer.from_pretrained(saved), tiny.plain(str(saved), torch.float32)
    scores = []
    for context, continuation in pairs:
        kept = context.rstrip()
        whole = tokenizer.encode(kept + context[len(kept) :] + continuation)
        before = len(tokenizer.encode(kept))
        with torch.no_grad():
            log_probs = torch.log_softmax(network(torch.tensor([whole[:-1]])).logits[0], -1)
        scores.append(sum(log_probs[k - 1, whole[k]].item() for k in range(before, len(whole))))
    return scores


def by_harness(saved: Path, pairs: list[Pair]) -> list[float]:
    """The numbers of the harness."""
    huggingface: Any = importlib.import_module("lm_eval.models.huggingface")
    instance: Any = importlib.import_module("lm_eval.api.instance").Instance
    harness = huggingface.HFLM(pretrained=str(saved), device="cpu", dtype="float32", batch_size=3)
    requests = [
        instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index) for index, pair in enumerate(pairs)
    ]
    return [value for value, _ in harness.loglikelihood(requests, disable_tqdm=True)]


without = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm-evaluation-harness is not installed: pip install -e '.[harness]'",
)


@pytest.mark.parametrize(
    "ask",
    [
        by_its_rule,
        pytest.param(by_harness, marks=[without, pytest.mark.filterwarnings("ignore")]),
    ],
)
def test_each_choice_has_the_log_probability_that_the_harness_gives(
    saved: Path, model: Model, task: Task, ask: Callable[[Path, list[Pair]], list[float]]
) -> None:
    encoding = encode(task, model)
    items, encoded = zip(
        *((i, r) for i, r in zip(encoding.items, encoding.rows[Condition.CONFLICT], strict=True) if r), strict=True
    )
    scores = score(model, items, encoded)
    pairs = [(item.prompts[Condition.CONFLICT], answer) for item in items for answer in item.answers]
    expected = np.reshape(ask(saved, pairs), (-1, 2))
    assert len(expected) >= 2
    assert_allclose(scores, expected, atol=1e-4, rtol=0)
    assert np.ptp(expected) > 0.1, "all choices are equally probable"
