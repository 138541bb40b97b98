"""A study runs all its commands, goes on where one fails, and computes nothing twice."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import small_ladder
from distractor.models import families
from distractor.scoring.store import Store
from distractor.scratch import owning
from small_ladder import type_in

STUDY = """
tasks = ["negation_qa"]
commands = ["ablate", "attribute"]
formats = ["rank", "rank:9"]
items = 12
options = {device = "cpu", figures = "none"}
attribute = {probe = ["logit_lens"]}
"""
WORDS = ["study", "study.toml", "--workers", "1"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def test_a_study_gives_what_its_commands_give_and_names_what_failed(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type_in(WORDS) == 2
    printed = capsys.readouterr()
    assert "ablate-negation_qa-rank_9" in printed.out
    assert "its training documents have at most" in " ".join(printed.out.split())
    assert "2 of 3 runs: runs/study/index.html" in printed.out
    words = ["--task", "negation_qa", "--models", "ladder", "--items", "12", "--device", "cpu", "--figures", "none"]
    assert type_in(["ablate", *words, "--store", "other", "--out", "alone"]) == 0
    assert type_in(["attribute", *words, "--probe", "logit_lens", "--store", "other", "--out", "lens"]) == 0
    assert files(home / "runs/study/ablate-negation_qa-rank") == files(home / "alone") != {}
    assert files(home / "runs/study/attribute-negation_qa") == files(home / "lens") != {}
    assert files(home / "runs/.cells") == files(home / "other")
    manifest = json.loads((home / "runs/study/ablate-negation_qa-rank/manifest.json").read_text(encoding="utf-8"))
    assert manifest["command"][:4] == ["distractor", "ablate", "--task", "negation_qa"]
    monkeypatch.setattr("distractor.models.load.load", lambda *_, **__: pytest.fail("a model was loaded"))
    assert type_in(WORDS) == 2


def test_each_model_is_loaded_once_a_round(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distractor.models import load as load_module

    loaded: list[str] = []
    load = load_module.load

    def count(*args: Any, **kwargs: Any) -> Any:
        loaded.append(kwargs["name"])
        return load(*args, **kwargs)

    monkeypatch.setattr(load_module, "load", count)
    text = STUDY.replace('["rank", "rank:9"]', '["rank"]').replace('["negation_qa"]', '["negation_qa", "negation_qa"]')
    (home / "study.toml").write_text(text, encoding="utf-8")
    assert type_in(WORDS) == 0
    assert len(loaded) == 2 * len(small_ladder.SIZES)  # four runs: once to be scored, and once to be probed


def test_another_study_in_the_folder_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "runs/study/ablate-negation_qa").mkdir(parents=True)
    (home / "runs/study/study.json").write_text("{}", encoding="utf-8")
    assert type_in(WORDS) == 2
    assert "runs/study holds another study; choose another folder with --out" in capsys.readouterr().err
    (home / "runs/study/study.json").rename(home / "runs/study/notes.txt")
    assert type_in(WORDS) == 2
    assert "runs/study holds other files" in capsys.readouterr().err


def test_the_same_study_twice_at_once_is_refused_and_a_shard_is_not(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "study.toml").write_text(STUDY.replace(', "rank:9"', ""), encoding="utf-8")
    assert type_in(WORDS) == 0
    capsys.readouterr()
    with owning(home / "runs/study"):
        assert type_in(WORDS) == 2
        assert capsys.readouterr().err.startswith("Error: this study runs in runs/study already; wait until that")
        assert type_in([*WORDS, "--shard", "0/2"]) == 0
    assert type_in(WORDS) == 0


def test_a_study_that_did_nothing_may_be_corrected(home: Path) -> None:
    (home / "study.toml").write_text('tasks = ["negation_q"]', encoding="utf-8")
    assert type_in(WORDS) == 2
    (home / "study.toml").write_text(STUDY.replace(', "rank:9"', ""), encoding="utf-8")
    assert type_in(WORDS) == 0


def test_a_study_without_its_ray_head_writes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(["study", "study.toml", "--ray", "127.0.0.1:9"]) == 2
    assert capsys.readouterr().err.startswith("Error: no Ray head answers at 127.0.0.1:9")
    assert not (home / "runs").exists()


def test_a_study_killed_while_it_made_its_folder_runs_again(home: Path) -> None:
    (home / "study.toml").write_text(STUDY.replace(', "rank:9"', ""), encoding="utf-8")
    left = home / "runs/study/study.json.0123abcd.part"
    left.parent.mkdir(parents=True)
    left.write_text("{")
    os.utime(left, (0, 0))
    assert type_in(WORDS) == 0
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("[attribute]\nknockout = true", "attribute.knockout: attribute has no such option"),
        ('[ablate]\ndtyp = "float64"', "ablate.dtyp: ablate has no such option.*dtype"),
        ('[ablate]\ntask = "x"', "ablate.task: ablate has no such option"),
    ],
)
def test_an_unknown_option_names_the_key(
    change: str, message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "study.toml").write_text(f'tasks = ["negation_qa"]\ncommands = ["ablate", "attribute"]\n{change}\n')
    assert type_in(WORDS) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (home / "runs").exists()


def test_the_plan_writes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "study.toml").write_text(STUDY.replace(', "rank:9"', ""), encoding="utf-8")
    assert type_in([*WORDS, "--plan"]) == 0
    printed = capsys.readouterr().out
    assert "units:     3 models" in printed
    assert "with one process" in printed
    assert not (home / "runs" / "study").exists()
    assert not files(home)


def test_the_plan_counts_what_is_not_stored(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "study.toml").write_text(STUDY.replace(', "rank:9"', ""), encoding="utf-8")
    assert type_in(WORDS) == 0
    assert type_in([*WORDS, "--plan"]) == 0
    assert "runs:      2, of which 2 need no model" in capsys.readouterr().out


def test_the_plan_downloads_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distractor.models.hub.is_reachable", lambda *_, **__: pytest.fail("the network"))
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "cache"))
    (home / "study.toml").write_text(STUDY.replace(', "rank:9"', "") + 'models = ["pythia"]\n', encoding="utf-8")
    assert type_in([*WORDS, "--plan"]) == 0
    printed = capsys.readouterr().out
    assert "runs:      2, of which 0 need no model" in printed
    assert re.search(r"pythia/12b +\d+ .* [\d.]+ GB", printed)


def test_shards_of_a_study_write_no_page(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "study.toml").write_text(STUDY.replace(', "rank:9"', ""), encoding="utf-8")
    for _ in range(3):
        for index in range(2):
            assert type_in([*WORDS, "--shard", f"{index}/2"]) == 0
    assert "no result is missing" in capsys.readouterr().err
    assert not [*(home / "runs/study").rglob("report.html")]
    before = files(home / "runs/.cells")
    assert type_in(WORDS) == 0
    assert files(home / "runs/.cells") == before
    assert Store(home / "runs/.cells").cell_files()
