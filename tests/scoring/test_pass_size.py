"""Passes fit into the free memory, and become smaller when memory is full after all; results do not change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from conftest import Loaded
from distractor.models import machine_memory, memory
from distractor.models.activations import activation_bytes
from distractor.models.families import find_models
from distractor.models.model import Model
from distractor.models.source import Source
from distractor.probing.readings import ReadingsRequest
from distractor.progress import count_run
from distractor.scoring import pass_size
from distractor.scoring.pass_size import (
    LOGITS_PER_PASS,
    TOKENS_PER_PASS,
    MemoryFull,
    PassLimits,
    in_parts,
    limits_of,
    rows_per_pass,
)
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.scoring.written_answers import TextRequest
from distractor.text.format import Format
from distractor.text.format_task import format_task
from probes import PROBES

ERRORS = {
    "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "CPU": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    "Python": MemoryError(),
}
Full = Callable[..., list[int]]
"""full(error, most=3) makes passes of more than `most` texts fail, and returns the sizes of those that do not."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tiny.save(tmp_path_factory.mktemp("m") / "llama", tiny.ARCHITECTURES["llama"], tiny.byte_level())
    return find_models([str(folder)])[0]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Full:
    right: Callable[..., Any] = Model._run

    def make(error: Exception, most: int = 3) -> list[int]:
        sizes: list[int] = []

        def run(self: Model, tokens: torch.Tensor, *args: Any, **more: Any) -> Any:
            if len(tokens) > most:
                raise error
            sizes.append(len(tokens))
            return right(self, tokens, *args, **more)

        monkeypatch.setattr(Model, "_run", run)
        return sizes

    return make


SETTINGS = Settings("cpu", "float64", self_check=False)


def scored(source: Source, folder: Path, settings: Settings = SETTINGS) -> np.ndarray:
    (scores,) = sweep(tiny.task(), [source], Store(folder), settings)
    return scores.log_probs


@pytest.mark.parametrize("kind", ERRORS)
def test_scores_go_on_in_smaller_passes_when_memory_is_full(
    source: Source, tmp_path: Path, full: Full, kind: str
) -> None:
    expected = scored(source, tmp_path / "expected")
    sizes = full(ERRORS[kind])
    with count_run() as counter:
        found = scored(source, tmp_path / "full")
    np.testing.assert_allclose(found, expected, atol=1e-12, rtol=0)
    assert max(sizes) == 3
    assert sum("memory was full" in sentence for sentence in counter.sentences) == 1
    names = [
        {path.name: path.parent.name for path in (tmp_path / each).rglob("*.parquet")} for each in ("expected", "full")
    ]
    assert names[0] == names[1], "the cells have other names"


def test_a_batch_size_that_is_too_large_becomes_smaller_too(source: Source, tmp_path: Path, full: Full) -> None:
    expected = scored(source, tmp_path / "expected")
    sizes = full(ERRORS["GPU"])
    settings = Settings("cpu", "float64", 8, self_check=False)
    np.testing.assert_allclose(scored(source, tmp_path / "full", settings), expected, atol=1e-12, rtol=0)
    assert max(sizes) <= 3


def test_texts_are_the_same_when_memory_was_full(source: Source, tmp_path: Path, full: Full) -> None:
    task = format_task(tiny.task(), Format("generate", limit=4))
    request = TextRequest(task, source, SETTINGS)
    expected = request.compute(Store(tmp_path / "expected"))
    sizes = full(ERRORS["CPU"])
    assert request.compute(Store(tmp_path / "full")).texts == expected.texts
    assert max(sizes) <= 3


@pytest.mark.parametrize("name", ["ablation", "attribution_patching", "activation_patching", "logit_lens"])
def test_probes_begin_again_with_smaller_passes(source: Source, tmp_path: Path, full: Full, name: str) -> None:
    request = ReadingsRequest(tiny.task(), source, SETTINGS, ((name, PROBES[name]),))
    (expected,) = request.compute(Store(tmp_path / "expected"))
    sizes = full(ERRORS["GPU"], 4)
    (found,) = request.compute(Store(tmp_path / "full"))
    np.testing.assert_allclose(found.values, expected.values, atol=1e-9, rtol=0)
    assert sizes
    assert max(sizes) <= 4


def test_a_text_that_does_not_fit_ends_the_result(source: Source, tmp_path: Path, full: Full) -> None:
    full(ERRORS["GPU"], 0)
    with pytest.raises(MemoryFull, match=r"CUDA out of memory.*a single text does not fit"):
        scored(source, tmp_path)


def test_another_error_is_not_an_error_of_memory(source: Source, tmp_path: Path, full: Full) -> None:
    full(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        scored(source, tmp_path)


@pytest.mark.quick
def test_parts_keep_their_order() -> None:
    def run(some: list[int]) -> list[int]:
        if len(some) > 2:
            raise MemoryError
        return [2 * number for number in some]

    assert in_parts(run, list(range(11))) == [2 * number for number in range(11)]  # type: ignore[arg-type]


@pytest.mark.quick
def test_passes_depend_on_memory_only_if_it_is_short(loaded: Loaded) -> None:
    model = loaded("llama", "bytes")
    assert limits_of(model, free=10**12) == PassLimits(TOKENS_PER_PASS, LOGITS_PER_PASS)
    assert limits_of(model) == limits_of(model, free=10**12), "this machine has too little memory for a tiny model"
    short = limits_of(model, free=6 * 10**6)
    assert short.tokens < TOKENS_PER_PASS
    assert short.tokens.bit_count() == 1
    assert short.logits < LOGITS_PER_PASS
    each, _ = activation_bytes(model.network.config.to_dict(), model.n_params, 8)
    assert short.tokens * each.token <= 10**6 < 2 * short.tokens * each.token


@pytest.mark.quick
def test_long_texts_with_eager_attention_take_smaller_passes() -> None:
    limits = PassLimits(4096, 2**25, pairs=2**20)
    assert [limits.rows(length, 1, 1000) for length in (64, 512, 1024, 2048)] == [64, 4, 1, 1]


@pytest.mark.quick
def test_a_halved_pass_halves_rows() -> None:
    limits = PassLimits(4096, 2**25)
    assert limits.halved().rows(64, 1, 1000) == limits.rows(64, 1, 1000) // 2
    assert [limits.halved().rows(64, 1, 1000, batch_size=each) for each in (8, 1)] == [4, 1]


@pytest.mark.quick
def test_without_a_model_the_usual_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_size, "TOKENS_PER_PASS", 100)
    assert rows_per_pass(10, 1, 1000) == 10


V2 = {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 500\ninactive_file 150\n"}
V1 = {
    "memory.limit_in_bytes": "1000",
    "memory.usage_in_bytes": "700",
    "memory.stat": "inactive_file 9\ntotal_inactive_file 50\n",
}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("0::/job/step\n", {"job": V2}, 450),
        ("0::/\n", {".": V2}, 450),
        ("4:cpu,cpuacct:/\n7:memory:/job\n", {"memory/job": V1}, 350),
        ("0::/job\n", {"job": {**V2, "memory.max": "max"}}, None),
        ("0::/job\n", {"job": {**V2, "memory.current": "2000"}}, 0),
    ],
)
def test_a_container_or_job_may_have_less_memory(
    groups: str, files: dict[str, dict[str, str]], free: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup").write_text(groups)
    for folder, contents in files.items():
        (tmp_path / "sys" / folder).mkdir(parents=True)
        for name, content in contents.items():
            (tmp_path / "sys" / folder / name).write_text(content)
    monkeypatch.setattr(machine_memory, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine_memory, "HIERARCHY", tmp_path / "sys")
    found = memory.free_bytes(torch.device("cpu"))
    assert (found > 10**6) if free is None else (found == free)
