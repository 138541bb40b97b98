"""The manifest says where a run was made, in plain values."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from distractor.models.families import find_models
from distractor.runs import manifest
from distractor.runs.folder import run_hash
from distractor.runs.manifest import plain_settings, run_manifest
from distractor.scoring.settings import Settings
from probes import PROBES
from small_ladder import task

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", PROBES)
def test_settings_are_plain_values(name: str) -> None:
    settings = plain_settings(PROBES[name])
    assert json.loads(json.dumps(settings)) == settings
    assert settings["class"] == type(PROBES[name]).__name__
    assert "(" not in json.dumps(settings), "no Python repr"


def test_two_settings_differ_in_what_they_set() -> None:
    @dataclass(frozen=True)
    class Own:
        layers: tuple[int, ...] = (1, 2)

    assert plain_settings(Own()) == {"class": "Own", "layers": [1, 2]}
    assert plain_settings(Own((3,)))["layers"] == [3]


def test_date_machine_and_commit_are_kept_and_do_not_change_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = find_models(["ladder/2x1"], task="negation_qa")[:1]

    def now(device: str = "cpu") -> dict[str, object]:
        return run_manifest(task(), sources, Settings(device=device), PROBES["ablation"], ["distractor", "ablate"])

    first = now()
    assert {"python", "os", "processor"} <= set(first["machine"])  # type: ignore[arg-type]
    assert len(str(first["date"])) == len("2026-01-31")
    monkeypatch.setattr(manifest, "_processor", lambda: "another")
    monkeypatch.setattr(manifest, "_commit", lambda: "0" * 40)
    second = now()
    assert first != second
    assert run_hash(first) == run_hash(second)


def test_the_commit_is_that_of_the_checkout() -> None:
    folder = Path(manifest.__file__).parents[2]
    if not (folder / ".git").exists():
        pytest.skip("the tests do not run in a git checkout")
    head = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert str(manifest._commit()).removesuffix("-dirty") == head.stdout.strip()
