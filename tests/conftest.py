"""Set-up of all tests: shape contracts are checked, the network is blocked, tiny models are made when needed."""

import os
import socket
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

import contracts

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
# Several test processes share few cores, so each uses one thread.
os.environ["OMP_NUM_THREADS"] = "1"

# This must run before any of our modules is imported, so that annotations are checked.
contracts.install()

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from distractor.models.hooked_model import HookedModel
    from distractor.models.model import Model
    from planted_runs import Read

Loaded = Callable[..., "Model"]
Hooked = Callable[..., "HookedModel"]
"""loaded("llama", tokenizer="words", dtype="float64")"""


LONG = {
    "test_attribute.py", "test_cli.py", "test_compare.py", "test_docs.py", "test_edited_models.py", "test_format_options.py",
    "test_fuzz.py", "test_main_job.py", "test_overcoming.py", "test_overcoming_calibration.py", "test_resume.py",
}  # fmt: skip
"""The files that take longest. They come first, so that no worker is left with one while the others have finished."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Any:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test tries to connect to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Any]:
    """The folder of a tiny model of an architecture with random weights.

    The tokenizers `words` and `bytes` know `tiny.task()`; `words_bos` and `bytes_bos` add a BOS token.
    """
    import tiny

    @cache
    def tokenizer(name: str) -> Any:
        kind, _, bos = name.partition("_")
        make = {
            "words": lambda **o: tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())), **o),
            "bytes": tiny.byte_level,
        }
        return make[kind](bos=bool(bos))

    @cache
    def folder(architecture: str, name: str) -> Any:
        path = tmp_path_factory.mktemp(f"{architecture}-{name}")
        return tiny.save(path, {**tiny.ARCHITECTURES, **tiny.FURTHER}[architecture], tokenizer(name))

    return folder


@pytest.fixture(scope="session")
def loaded(tiny_folder: Callable[[str, str], Any]) -> Loaded:
    """Load a tiny model, shared by tests, which must not change it."""
    from distractor.models.load import load

    @cache
    def get(architecture: str, tokenizer: str = "words_bos", dtype: str = "float64") -> "Model":
        return load(tiny_folder(architecture, tokenizer), device="cpu", dtype=dtype)

    return get


@pytest.fixture(scope="session")
def hooked(tiny_folder: Callable[[str, str], Any]) -> Hooked:
    """Load a tiny model with hooks, shared by tests, which must not change it."""
    from distractor.models.load import load

    @cache
    def get(architecture: str, tokenizer: str = "words_bos", dtype: str = "float64") -> "HookedModel":
        return load(tiny_folder(architecture, tokenizer), device="cpu", dtype=dtype).hooked

    return get


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> "Read":
    """The default probes in a planted model of `planted_runs.KINDS`, read once for all tests."""
    from planted_runs import probed

    return cache(lambda name: probed(name, tmp_path_factory.mktemp("planted")))


@pytest.fixture
def double() -> Iterator[None]:
    """Compute in double precision, so that only a real difference is larger than rounding."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `shown.leave_undrawn`."""
    import shown

    shown.leave_undrawn(monkeypatch)


@pytest.fixture(scope="session")
def tokenizers() -> "dict[str, PreTrainedTokenizerFast]":
    """The tokenizer of each task's ladder."""
    from experiments.ladder.corpus import tokenizer_of
    from tasks import TASKS

    return {task: tokenizer_of(task) for task in TASKS}
