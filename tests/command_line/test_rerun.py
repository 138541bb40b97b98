"""`distractor rerun` finds equal numbers equal, and notices one changed weight."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distractor.models.families import find_models
from distractor.runs.same_results import compare_results
from small_ladder import type_in

WORDS = ("--task", "negation_qa", "--items", "12", "--no-knockout")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run on a copy of a small model."""
    monkeypatch.chdir(tmp_path)
    sources = find_models(["ladder/8x1"], task="negation_qa")
    shutil.copytree(sources[0].folder, tmp_path / "model")
    assert type_in(["ablate", *WORDS, "--models", "model", "--out", "run", "--json"]) == 0
    return tmp_path / "run"


def test_an_unchanged_run_has_the_same_bytes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "progress.log").write_text("08:00 half\n")  # of a slow run; no result
    assert type_in(["rerun", "run/manifest.json"]) == 0
    assert "same bytes" in capsys.readouterr().out
    assert (run.parent / "run-rerun" / "summary.json").read_bytes() == (run / "summary.json").read_bytes()


def test_the_folder_of_the_run_itself_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "summary.json").stat().st_mtime_ns
    assert type_in(["rerun", "run", "--out", "./run"]) == 2
    assert "the run itself" in " ".join(capsys.readouterr().err.split())
    assert (run / "summary.json").stat().st_mtime_ns == before


def test_one_changed_weight_is_noticed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next((run.parent / "model").glob("*.safetensors"))
    weights = load_file(path)
    name = next(name for name, weight in weights.items() if weight.dim() == 2 and "embed" not in name)
    weights[name] = weights[name].clone()
    weights[name][0, 0] += torch.tensor(1.0, dtype=weights[name].dtype)
    save_file(weights, path, metadata={"format": "pt"})
    capsys.readouterr()
    assert type_in(["rerun", "run"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "do not match" in said
    assert "Changed: the files of the model model" in said


def test_rounding_matches_and_a_larger_difference_does_not(run: Path) -> None:
    other = run.parent / "other"
    shutil.copytree(run, other)
    summary = json.loads((other / "summary.json").read_text())
    summary["models"][0]["accuracy"]["conflict"]["mean"] += 1e-7
    (other / "summary.json").write_text(json.dumps(summary))
    rounded = compare_results(run, other)
    assert rounded.match
    assert not rounded.same_bytes
    summary["models"][0]["accuracy"]["conflict"]["mean"] += 1e-3
    (other / "summary.json").write_text(json.dumps(summary))
    moved = compare_results(run, other)
    assert not moved.match
    assert moved.largest == pytest.approx(1e-3, rel=0.01)
    assert moved.where == "summary.json"
    summary["verdict"]["label"] = "supported"
    (other / "summary.json").write_text(json.dumps(summary))
    assert "verdict.label" in " ".join(compare_results(run, other).sentences)
    (other / "results.parquet").unlink()
    assert "same rows" in " ".join(compare_results(run, other).sentences)


@pytest.mark.parametrize("content", ["", "[1]", "{}", None])
def test_what_is_no_manifest_is_refused(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content)
    assert type_in(["rerun", str(path)]) == 2
    assert "is no manifest of a run" in " ".join(capsys.readouterr().err.split())
