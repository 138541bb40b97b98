"""`distractor attribute`: what a run writes, and how it refuses mistakes."""

import json
import shutil
from pathlib import Path

import pytest

import small_ladder
from distractor.models import families
from distractor.models import load as load_module
from shown import files
from small_ladder import type_in

COMMAND = ("attribute", "--task", "negation_qa", "--items", str(small_ladder.ITEMS), "--device", "cpu")


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", ladder)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--models", "ladder", "--probe", "logit_lense"], ["'logit_lense'", "did you mean logit_lens?"]),
        (["--models", "ladder/8x3"], ["'ladder/8x3'"]),
        (["--models", "ladder", "--dtype", "bfloat16"], ["bfloat16", "--dtype float32"]),
        (["--models", "ladder", "--head", "H1"], ["'H1'", "L1H0"]),
        (
            ["--models", "ladder", "--head", "L7H9"],
            ["ladder/negation_qa/4x1/seed0 has no head L7H9; it has L0H0 to L0H1"],
        ),
        (["--models", "ladder", "--head", "L1H1"], ["ladder/negation_qa/4x1/seed0 has no head L1H1"]),
        (["--models", "ladder", "--item", "nothing"], ["'nothing'"]),
        (["--models", "ladder", "--items", "3"], ["3 items", "3 groups", "4", "more items"]),
        (["--models", "ladder", "--out", "full"], ["full", "--out"]),
    ],
)
def test_a_mistake_gives_one_message_and_no_files(
    more: list[str],
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    before = files(tmp_path)
    assert type_in([*COMMAND, *more]) == 2
    shown = capsys.readouterr()
    message = " ".join(shown.err.split())
    assert shown.out == ""
    assert message.count("Error: ") == 1
    assert all(word in message for word in words), message
    assert files(tmp_path) == before


@pytest.mark.usefixtures("_here", "undrawn")
def test_a_run_writes_readings_figures_and_summary_and_repeats_from_the_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*COMMAND, "--models", "ladder/8x2", "--probe", "logit_lens", "--probe", "attention", "--out", "out"]
    assert type_in([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "out/summary.json").read_text())
    assert set(summary["readings"]) == {"logit_lens", "attention"}
    names = files(tmp_path / "out")
    assert "readings/attention-ladder-negation_qa-8x2-seed0.parquet" in names
    assert "figures/logit_lens-ladder-negation_qa-8x2-seed0.svg" in names
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    assert type_in(command) == 0
    shown = capsys.readouterr()
    assert "Readings, figures and summary: out" in shown.out
    assert "logit_lens in ladder/negation_qa/8x2/seed0" in shown.out
    for name in ("manifest.json", "report.html"):  # hold the command as typed
        before.pop(name)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    assert type_in([*command, "--figures", "none"]) == 0
    assert not [name for name in files(tmp_path / "out") if name.startswith("figures/")]
