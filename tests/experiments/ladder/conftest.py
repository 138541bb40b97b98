"""Fixtures of the tests of the ladder."""

from collections.abc import Iterator

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from experiments.ladder import corpus
from tasks import TASKS


@pytest.fixture
def double() -> Iterator[None]:
    """Compute in double precision, so that only a real difference is larger than rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    return {task: corpus.tokenizer_of(task) for task in TASKS}
