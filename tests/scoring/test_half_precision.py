"""Half precision is named with the difference it makes, in what is printed, in the summary and in figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from distractor.ablation import report
from distractor.ablation.ablate import AblationResult, ablate
from distractor.ablation.tables import notes
from distractor.models import memory
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.runs import style
from distractor.runs.folder import RunFolder
from distractor.scoring.half_precision import HALF, PROMPTS
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.text.task import Condition


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tiny.save(tmp_path_factory.mktemp("m") / "llama", tiny.ARCHITECTURES["llama"], tiny.byte_level())
    return find_models([str(folder)])[0]


def run(source: Source, folder: Path, dtype: str) -> AblationResult:
    settings = Settings(device="cpu", dtype=dtype, self_check=False)
    return ablate(tiny.task(), [source], store=Store(folder / "cells"), settings=settings)


@pytest.mark.parametrize("dtype", HALF)
def test_the_difference_from_float32_is_measured_on_ten_prompts(source: Source, tmp_path: Path, dtype: str) -> None:
    result = run(source, tmp_path, dtype)
    gaps = []
    for each in (dtype, "float32"):
        (scores,) = sweep(tiny.task(), [source], Store(tmp_path / each), Settings("cpu", each, self_check=False))
        log_probs = scores.log_probs[tiny.task().conditions.index(Condition.CONFLICT), :PROMPTS]
        gaps.append(log_probs[:, 0] - log_probs[:, 1])
    difference = np.abs(gaps[0] - gaps[1])
    (record,) = result.half_precision.values()
    assert record is not None
    assert (record["dtype"], record["prompts"]) == (dtype, PROMPTS)
    np.testing.assert_allclose(record["largest_difference"], difference.max(), rtol=0.2)
    assert record["largest_difference"] > 0
    (sentence,) = [note for note in notes(result) if "Half precision" in note]
    assert sentence.startswith(f"Half precision ({dtype}): logit gaps of 10 prompts differ from float32 by up to ")


@pytest.mark.usefixtures("undrawn")
def test_it_is_recorded_and_drawn(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    right = style.headline
    monkeypatch.setattr(style, "headline", lambda figure, text: (drawn.append(text), right(figure, text)))
    report.write(RunFolder(tmp_path / "out"), run(source, tmp_path, "bfloat16"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dtype"] == "bfloat16"
    assert summary["models"][0]["treatment"]["half_precision"]["largest_difference"] > 0
    assert sum(summary["half_precision"] in text for text in drawn) == len(summary["figures"]["names"])


def test_full_precision_needs_no_note(source: Source, tmp_path: Path) -> None:
    result = run(source, tmp_path, "float32")
    assert not any("precision" in note for note in notes(result))
    assert "half_precision" not in result.scores[0].treatment
    assert report.summary(result)["half_precision"] is None


def test_without_memory_for_a_copy_it_is_not_measured(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10)
    (sentence,) = [note for note in notes(run(source, tmp_path, "bfloat16")) if "Half precision" in note]
    assert "the difference from float32 is not measured (a float32 copy needs" in sentence


@pytest.mark.quick
def test_free_memory_is_known() -> None:
    import torch

    assert memory.free_bytes(torch.device("cpu")) > 0


@pytest.mark.quick
def test_results_of_an_earlier_version_are_not_measured(source: Source, tmp_path: Path, monkeypatch: Any) -> None:
    from distractor.scoring.lazy_model import LazyModel

    monkeypatch.setattr(LazyModel, "half_precision", None)
    (sentence,) = [note for note in notes(run(source, tmp_path, "bfloat16")) if "Half precision" in note]
    assert "not measured" in sentence
