"""`distractor ablate --reference`: published accuracies in the figure, the table, the page and summary.json."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import distractor
from distractor.ablation import report
from distractor.ablation.ablate import AblationResult
from distractor.ablation.page import page
from distractor.ablation.published_figure import published as figure_of
from distractor.ablation.references import references
from distractor.errors import ScalingError
from distractor.published.curves import find_published
from distractor.runs.folder import RunFolder
from distractor.runs.page.render import render_page
from distractor.text.format import Format
from page_outline import Outline
from shown import check_page, check_texts
from simulated_runs import simulated
from small_ladder import type_in

NAMES = ["pythia", "opt", "gpt3"]


def result(
    *, official: bool = True, name: str = "neqa", seeds: int = 3, sizes: int = 4, form: Format | None = None
) -> AblationResult:
    """A run with published curves, on rows of our own that count as those of the prize or not."""
    found = simulated([0.5, 0.7, 0.8, 0.3][:sizes], seeds=seeds) if sizes > 2 else one_size()
    task = replace(found.task, name=name, official="neqa" if official else "")
    task = replace(task, format=form or Format())
    return replace(found, task=task, published=find_published("neqa", NAMES))


def one_size() -> AblationResult:
    found = simulated([0.5, 0.7, 0.8], seeds=1)
    return replace(found, scores=found.scores[:1], shapes={}, verdict=None)


@pytest.mark.quick
def test_official_prompts_ranked_without_examples_share_the_axes() -> None:
    found = references(result())
    assert {curve.reference for curve in found.same} == {"pythia", "opt"}
    assert found.fewer == "Published accuracies are over 300 items, yours over 60."
    own = references(result(official=False))
    assert own.same == ()
    assert [panel.why.startswith("Apart from your curve: ") for panel in own.panels] == [True, True]
    changed = references(result(name="negation_qa.options_swapped"))
    shots = references(result(form=Format(shots=1)))
    for each, reason in (
        (own, "your items"),
        (changed, "a rule changed"),
        (shots, "your prompt format is rank, 1 shot"),
    ):
        assert each.same == ()
        assert reason in each.panels[0].why


@pytest.mark.parametrize("official", [True, False])
@pytest.mark.parametrize("sizes", [1, 4])
def test_the_figure_can_be_read_and_says_why_curves_are_apart(official: bool, sizes: int) -> None:
    figure = figure_of(result(official=official, sizes=sizes, seeds=3))
    check_texts(figure)
    check_page(figure, "published")
    titles = [" ".join(axes.get_title(loc="left").split()) for axes in figure.axes]
    assert titles == ["", *(panel.why for panel in references(result(official=official)).panels)]
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert named[0].startswith("yours")
    assert ("Pythia at step 143,000: constant\nanswers" in named) is official
    assert "Michaelov and Bergen 2023" in " ".join(figure.get_suptitle().split())


def test_the_page_and_the_summary_hold_numbers_labels_caveats_and_sources() -> None:
    found = result()
    content = report.summary(found)
    (pythia,) = (each for each in content["references"] if each["reference"] == "pythia")
    assert (pythia["label"], pythia["apart"]) == ("constant answers", None)
    assert [round(point["accuracy"], 2) for point in pythia["points"]] == [0.46] * 6 + [0.45, 0.47]
    html = render_page(page(found, content | {"figures": {"names": ["curves", "published"]}}, {}))
    outline = Outline(html)
    assert "published" in [attributes["id"] for attributes in outline.all("section")]
    for text in (
        "70.4M 0.46, 162M 0.46",
        "of 300, the share of one answer: constant answers, not a flat curve",
        "one seed of each size",
        "arXiv 2305.14681",
        "Apart from your curve: the sizes of these models are unpublished",
        "michaelov2023emergent",
    ):
        assert text in outline.text, text
    without = replace(found, published=())
    assert report.summary(without)["references"] == []
    assert "published" not in [
        attributes["id"]
        for attributes in Outline(render_page(page(without, content | {"figures": {"names": []}}, {}))).all("section")
    ]


@pytest.mark.usefixtures("undrawn")
def test_the_figure_is_one_of_the_main_set_only_if_it_was_asked_for(tmp_path: Path) -> None:
    for name, found in {"with": result(), "without": replace(result(), published=())}.items():
        (tmp_path / name).mkdir()
        report.write(RunFolder(tmp_path / name), found)
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert ("published" in summary["figures"]["names"]) is (name == "with")


def test_the_command_keeps_the_references_in_its_manifest_and_prints_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["ablate", "--task", "negation_qa", "--models", "ladder/2x1/seed780", "--items", "4", "--no-knockout"]
    assert type_in([*command, "--reference", "pythia,palm"]) == 2
    assert "palm for the task negation_qa" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists()
    assert type_in([*command, "--reference", "pythia", "--figures", "none"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Pythia at step 143,000: 6 of 8 accuracies are within one item of 137 of 300" in shown
    assert "Apart from your curve: your items are not the prize's." in shown
    (folder,) = (tmp_path / "runs").glob("ablate-*")
    assert json.loads((folder / "manifest.json").read_text())["references"] == ["pythia"]
    assert type_in([*command, "--figures", "none"]) == 0
    assert len(list((tmp_path / "runs").glob("ablate-*"))) == 2  # another run, not the same folder
    assert type_in(["report", str(folder)]) == 0
    assert "Published accuracies" in (folder / "report.html").read_text()


@pytest.mark.quick
def test_the_facade_refuses_an_unknown_reference_before_it_looks_for_models() -> None:
    with pytest.raises(ScalingError, match="did you mean pythia"):
        distractor.ablate("negation_qa", "no/such/model", reference="pithia")
    with pytest.raises(ScalingError, match="palm for the task negation_qa"):
        distractor.ablate("negation_qa", "no/such/model", reference=["pythia", "palm"])
