"""What every test stands on: shape contracts are checked, the network is out of reach, models are made on the spot."""

import os
import socket
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from jaxtyping import install_import_hook

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
# Tests run side by side: threads of several commands on few cores would spend their time waiting for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# Before any of our modules is imported: annotations become contracts.
install_import_hook(["distractor", "probes"], "contracts.check")

if TYPE_CHECKING:
    from distractor.models.model import Model

Loaded = Callable[..., "Model"]
"""loaded("llama", tokenizer="words", dtype="float64")"""


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Any:
    connect = socket.socket.connect

    def stay_home(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test wants to connect to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", stay_home)
        yield


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A tiny model of an architecture with random weights and a tokenizer that knows `tiny.task()`; not to be changed.

    Tokenizers: `words` and `bytes`, the same with a BOS as `words_bos` and `bytes_bos`.
    """
    import tiny
    from distractor.models.load import load

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
        made = tmp_path_factory.mktemp(f"{architecture}-{name}")
        return tiny.save(made, {**tiny.ARCHITECTURES, **tiny.FURTHER}[architecture], tokenizer(name))

    @cache
    def get(architecture: str, tokenizer: str = "words_bos", dtype: str = "float64") -> "Model":
        return load(folder(architecture, tokenizer), device="cpu", dtype=dtype)

    return get
