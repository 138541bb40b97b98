"""On a GPU: weights go straight there, scores equal the CPU's, and passes become smaller when its memory is full."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

import tiny
from distractor.models.load import load
from distractor.models.model import Model
from distractor.models.source import Source
from distractor.probing.readings import ReadingsRequest
from distractor.progress import count_run
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from probes import PROBES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a build of torch for it")

Folder = Callable[[str, str], Any]


def scored(folder: Path, store: Path, **settings: Any) -> np.ndarray:
    source = Source(family="models", model="tiny", folder=folder)
    (scores,) = sweep(tiny.task(), [source], Store(store), Settings(**settings))
    return scores.log_probs


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama_grouped_tied", "gemma3"])
def test_scores_equal_those_of_the_cpu(tiny_folder: Folder, tmp_path: Path, architecture: str) -> None:
    folder = tiny_folder(architecture, "bytes")
    expected = scored(folder, tmp_path / "cpu", device="cpu")
    for attention in ("eager", "sdpa"):
        found = scored(folder, tmp_path / attention, device="cuda", attention=attention)
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    half = scored(folder, tmp_path / "half", device="cuda", dtype="bfloat16")
    np.testing.assert_allclose(half, expected, atol=0.02 * np.nanmax(np.abs(expected)), rtol=0)


def test_a_patch_sweep_equals_that_of_the_cpu(tiny_folder: Folder, tmp_path: Path) -> None:
    source = Source(family="models", model="tiny", folder=tiny_folder("llama", "bytes"))
    found = []
    for device in ("cpu", "cuda"):
        request = ReadingsRequest(
            tiny.task(), source, Settings(device), (("activation_patching", PROBES["activation_patching"]),)
        )
        found.append(request.compute(Store(tmp_path / device))[0].values)
    np.testing.assert_allclose(found[1], found[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_never_fill_the_memory_of_the_machine(tmp_path: Path, dtype: str) -> None:
    wide = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 6, "num_attention_heads": 16}
    tiny.save(tmp_path, lambda **more: tiny.LlamaConfig(**wide, **more), tiny.byte_level())
    torch.zeros(1, device="cuda")
    before = psutil.Process().memory_info().rss
    model = load(tmp_path, device="cuda", dtype=dtype)
    weights = sum(each.nbytes for each in model.network.parameters())
    assert model.device.type == "cuda"
    assert psutil.Process().memory_info().rss - before < 0.5 * weights


def test_a_model_is_spread_over_all_gpus(tiny_folder: Folder, tmp_path: Path) -> None:
    folder = tiny_folder("gpt_neox", "bytes")
    found = scored(folder, tmp_path / "map", device_map="auto")
    np.testing.assert_allclose(found, scored(folder, tmp_path / "cpu", device="cpu"), atol=1e-4, rtol=0)


def test_a_full_gpu_gets_smaller_passes(tiny_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder("llama", "bytes")
    expected = scored(folder, tmp_path / "all", device="cuda")
    right: Callable[..., Any] = Model._run

    def run(self: Model, tokens: torch.Tensor, *args: Any, **more: Any) -> Any:
        if len(tokens) > 3:
            torch.empty(2 * torch.cuda.get_device_properties(0).total_memory, dtype=torch.uint8, device="cuda")
        return right(self, tokens, *args, **more)

    monkeypatch.setattr(Model, "_run", run)
    with count_run() as counter:
        found = scored(folder, tmp_path / "few", device="cuda")
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    assert any("memory was full" in sentence for sentence in counter.sentences)
