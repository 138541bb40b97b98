"""`distractor compare MODEL@all --reference`: accuracy along training with published curves over steps."""

import json
from pathlib import Path

import pytest

from distractor.comparison.compare import check_references
from distractor.errors import ScalingError
from distractor.models.families import find_models
from small_ladder import type_in

COMMAND = ["--task", "negation_qa", "--items", "6", "--no-mechanism", "--reference", "pythia"]


@pytest.mark.quick
def test_two_models_have_no_curve_along_training() -> None:
    with pytest.raises(ScalingError, match="a model at 3 steps or more, and none was named"):
        check_references(find_models(["ladder/2x1", "ladder/24x2"], task="negation_qa"))
    check_references(find_models(["ladder/24x2@all"], task="negation_qa"))


def test_published_curves_over_steps_are_in_the_figures_the_page_and_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert type_in(["compare", "ladder/2x1", "ladder/24x2", *COMMAND]) == 2
    assert "ladder/24x2@all" in " ".join(capsys.readouterr().err.split())
    assert type_in(["compare", "ladder/24x2@all", *COMMAND, "--figures", "none", "--out", "out"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Apart from your curve: your items are not the prize's." in shown
    assert "Pythia 70M; Pythia 160M; Pythia 2.8B: 7 of 8 accuracies are within one item of 137 of 300" in shown
    assert "Pythia 70M to Pythia 12B: one seed of each size." in shown
    content = json.loads((tmp_path / "out/summary.json").read_text())
    assert json.loads((tmp_path / "out/manifest.json").read_text())["references"] == ["pythia"]
    task = content["tasks"]["negation_qa"]
    assert {each["size"] for each in task["references"]} == {"step"}
    assert len(task["references"]) == 8
    (training,) = task["training"]
    assert len(training["curves"]["accuracy"]["mean"]) == len(training["steps"])
    assert any(name.startswith("negation_qa-published-") for name in content["figures"]["left_out"])
    html = (tmp_path / "out/report.html").read_text()
    assert "michaelov2023emergent" in html
    assert "Pythia 12B" in html
