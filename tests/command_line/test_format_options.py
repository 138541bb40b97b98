"""Prompt formats in `ablate`: several in one run, each with its own quantity; invalid ones give one message."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import small_ladder
from distractor.models import families
from distractor.models import load as load_module
from page_outline import Outline
from small_ladder import COMMAND, ITEMS, SIZES, type_in

pytestmark = pytest.mark.usefixtures("undrawn")

FEW = (*COMMAND, "--no-knockout", "--limit", "3")


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture(autouse=True)
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", ladder)
    monkeypatch.chdir(tmp_path)


def test_several_formats_are_compared_and_computed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (*FEW, "--format", "rank,generate:0,cot:0", "--out", "here")
    assert type_in(command) == 0
    shown = capsys.readouterr().out
    assert "Formats side by side" in shown
    assert max(map(len, shown.splitlines())) <= 100
    here = tmp_path / "here"
    for name in ("formats.png", "formats.svg", "parts.png"):
        assert (here / "figures" / name).exists()
    for page in (
        here / "report.html",
        *(here / form / "report.html" for form in ("rank", "generate-limit-3", "cot-limit-3")),
    ):
        outline = Outline(page.read_text(encoding="utf-8"))
        assert "--format rank,generate:0,cot:0" in outline.text
        links = [str(link["href"]) for link in outline.all("a")]
        assert all((page.parent / link).is_file() for link in links if not link.startswith("#"))
    assert (here / "rank" / "results.parquet").exists()
    assert not (here / "rank" / "prompts.parquet").exists()  # the bare prompt is the task's own
    for form in ("generate", "cot"):
        texts = pq.read_table(here / f"{form}-limit-3" / "texts.parquet").to_pylist()
        assert {row["format"] for row in texts} == {form}
        assert len({row["item"] for row in texts}) == ITEMS
        assert all(row["prompt"] and (row["answer"] is None) == (row["why"] is not None) for row in texts)
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    assert type_in((*command, "--json")) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [part["quantity"] for part in summary["formats"]] == [
        "distractor_preference", "distractor_share", "distractor_share",
    ]  # fmt: skip
    assert all(len(part["models"]) == len(SIZES) for part in summary["formats"])
    assert json.loads((here / "summary.json").read_text()) == summary


def test_prompts_in_another_format_are_saved_as_sent(tmp_path: Path) -> None:
    assert type_in((*COMMAND, "--no-knockout", "--hint", "Answer A.", "--out", "hinted")) == 0
    sent = pq.read_table(tmp_path / "hinted" / "prompts.parquet").to_pylist()
    values = pq.read_table(tmp_path / "hinted" / "results.parquet").to_pylist()
    assert {(row["model"], row["condition"], row["item"]) for row in sent} == {
        (row["model"], row["condition"], row["item"]) for row in values if row["condition"]
    }
    # The decoded tokens with BOS: this tokenizer puts spaces between words.
    assert all(row["prompt"].startswith("<bos> Answer A .") for row in sent)


def test_generated_answers_allow_no_knockout(tmp_path: Path) -> None:
    command = (*COMMAND, "--limit", "3", "--format", "generate:0", "--out", "written")
    assert type_in(command) == 0
    assert json.loads((tmp_path / "written" / "manifest.json").read_text())["probe"] is None
    assert type_in((*command, "--no-knockout")) == 0  # the same run


def test_a_plan_lists_each_format_and_leaves_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in((*FEW, "--format", "rank,generate:0,cot:0", "--plan")) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if ":" not in line] == ["rank", "generate, limit 3", "cot, limit 3"]
    assert shown.count("of distractor preference") == 1
    assert shown.count("of distractor share") == 2
    assert len(re.findall(r"^time: +at most .* on this machine", shown, re.MULTILINE)) == 1  # all formats together
    assert not [*tmp_path.iterdir()]


def test_rank_without_shots_is_the_plain_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = (*COMMAND, "--no-knockout", "--json")
    assert type_in((*small, "--out", "one")) == 0
    plain = json.loads(capsys.readouterr().out)
    assert type_in((*small, "--format", "rank:0", "--shot-seed", "3", "--out", "one")) == 0  # the same run
    assert json.loads(capsys.readouterr().out) == plain
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert (manifest["format"], manifest["shots"]) == ("rank", 0)
    assert not {"kind", "seed", "hint", "chat", "limit"} & set(manifest)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (["--format", "chain"], "format 'chain'"),
        (["--format", "cot:2"], "at most 1"),
        (["--format", "rank:3"], "at most 2"),
        (["--format", "rank,generate:0", "--chat"], "chat template"),
        (["--hint", "Zebras swim."], "'Zebras'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_impossible_format_gives_one_message(options: list[str], fact: str, capsys: Any) -> None:
    assert type_in((*COMMAND, "--no-knockout", *options)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("Error: ") == 1
    assert fact in " ".join(captured.err.split())
