"""The wrapped model equals the plain one, and TransformerLens is imported only for hooks."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from conftest import Hooked, Loaded
from distractor.errors import ModelError
from distractor.models.load import load

EVERY = [*tiny.ARCHITECTURES, *tiny.FURTHER]


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-6), ("float32", 1e-4)])
@pytest.mark.parametrize("architecture", EVERY)
def test_scores_of_the_plain_model_are_those_of_the_bridge(
    loaded: Loaded, hooked: Hooked, architecture: str, dtype: str, error: float
) -> None:
    plain, wrapped = (get(architecture, "bytes", dtype) for get in (loaded, hooked))
    assert plain.network is not wrapped.network
    tokens = torch.randint(4, plain.vocab, (5, 14), generator=torch.Generator().manual_seed(0))
    keep = torch.tensor([6, 13])
    with torch.inference_mode():
        expected = wrapped.log_probs(tokens, keep)
        torch.testing.assert_close(plain.log_probs(tokens, keep), expected, atol=error, rtol=0)
        logits = wrapped.bridge(tokens)[:, keep]
    torch.testing.assert_close(torch.log_softmax(logits, -1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", EVERY)
def test_the_wrapped_network_has_the_parameters_and_sizes_of_the_plain_one(
    loaded: Loaded, hooked: Hooked, architecture: str
) -> None:
    plain, wrapped = (get(architecture, "bytes") for get in (loaded, hooked))
    assert wrapped.hooked is wrapped
    assert wrapped.bridge.n_params_total == plain.n_params
    assert (wrapped.d_model, wrapped.vocab) == (wrapped.bridge.cfg.d_model, wrapped.bridge.cfg.d_vocab)


def test_wrapping_is_done_once_and_only_for_hooks(tiny_folder: Callable[[str, str], Path], tmp_path: Path) -> None:
    folder = tiny_folder("llama", "bytes")
    script = f"""
import sys, torch
from pathlib import Path
from distractor.models.load import load
model = load(Path({str(folder)!r}), device="cpu", self_check=True)
model.log_probs(torch.arange(6)[None], torch.tensor([5]))
assert "transformer_lens" not in sys.modules
assert model.hooked is model.hooked and model.bridge is model.hooked.bridge
assert "transformer_lens" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_architecture_that_transformer_lens_lacks_can_be_scored_but_not_probed(
    tiny_folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("Unsupported architecture")

    monkeypatch.setattr(TransformerBridge, "boot_transformers", refuse)
    model = load(tiny_folder("llama", "bytes"), device="cpu", name="mine", self_check=True)
    with pytest.raises(ModelError, match=r"mine: TransformerLens cannot wrap .*Unsupported.* scored but not probed"):
        _ = model.hooked
