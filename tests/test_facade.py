"""`import distractor`: names, paths and objects are accepted, and nothing heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import distractor
from distractor.errors import ModelError, TaskError
from distractor.text.task import Condition

MEMBERS = distractor.families()["ladder/negation_qa"].members
OF_ONE_SEED = [member for member in MEMBERS if member.seed == MEMBERS[0].seed]
SIZES = [f"ladder/{OF_ONE_SEED[place].name}" for place in (1, len(OF_ONE_SEED) // 2, -1)]


def test_importing_it_imports_no_library() -> None:
    code = "import sys; before = set(sys.modules); import distractor; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "torch", "pandas", "xarray", "scipy", "pyarrow", "matplotlib", "typer", "rich", "pydantic"}
    assert not heavy & set(done.stdout.split())


def test_names_give_the_same_as_the_objects_they_name(tmp_path: Path) -> None:
    by_name = distractor.ablate("negation_qa", SIZES, items=20, knockout=False, store=tmp_path, device="cpu")
    task = distractor.tasks()["negation_qa"].take(20)
    sources = [scores.source for scores in by_name.result.scores]
    again = distractor.ablate(task, sources, knockout=False, store=str(tmp_path), device="cpu")
    assert by_name.verdict is not None
    assert again.verdict is not None
    assert by_name.verdict.sentence == again.verdict.sentence


def test_a_run_shows_itself_in_words_and_tables_and_writes_its_page(tmp_path: Path) -> None:
    run = distractor.ablate("negation_qa", SIZES, items=20, store=tmp_path, device="cpu")
    assert run.verdict is not None
    words = repr(run)
    assert " ".join(run.verdict.sentence.split()[:6]) in " ".join(words.split())
    assert len(words.splitlines()) <= 15
    assert len(words) < 2000
    assert list(run.table.index) == [name.rpartition("/")[0].rpartition("/")[2] for name in SIZES]
    conflict = run.items.query("condition == 'conflict' and quantity == 'distractor_preference'")
    of_model = conflict.groupby("model", observed=True)["value"].mean()
    for name, mean in run.table["distractor_preference"].items():
        assert of_model[name] == pytest.approx(mean, abs=1e-9)
    effects = run.readings["ablation"]
    assert effects.dims == ("model", "component", "condition", "item")
    largest = run.summary["knockouts"][-1]
    component, means = next(iter(largest["effects"].items()))
    mean = effects.sel(model=largest["model"], component=component, condition="conflict").mean("item")
    assert float(mean) == pytest.approx(means["conflict"]["mean"], abs=1e-6)
    html = run._repr_html_()
    assert run.head.title in html
    assert "data:image/svg+xml" in html
    page = run.report(tmp_path / "page.html")
    assert run.head.title in page.read_text(encoding="utf-8")
    assert run.plot().axes[0].get_title() == "Preference for the distractor's answer"


def test_an_attribution_shows_its_answer_and_its_sites(tmp_path: Path) -> None:
    probes = ["ablation", "overcoming"]
    run = distractor.attribute("negation_qa", SIZES[2:], probes, items=24, store=tmp_path, device="cpu")
    assert len(repr(run)) < 2000
    (answer,) = run.answers
    assert " ".join(answer.sentence.split()[:5]) in " ".join(repr(run).split())
    assert list(run.table["site"]) == ["+".join(one.sites) for one in answer.sites]
    assert run.readings["ablation"].sizes["model"] == 1
    written = run.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert run.head.title in written
    assert "data:image/svg+xml" in run._repr_html_()


def test_prompts_are_the_tokens_that_the_model_gets() -> None:
    model = distractor.load(SIZES[1], task="negation_qa")
    prompts = distractor.prompts("negation_qa", model, ["conflict", "congruent"], items=6)
    reading = distractor.probe(model, "negation_qa", "logit_lens", items=6)
    gap = reading.sel(quantity="logit_gap").isel(stage=-1)
    logits = model.bridge(prompts.tokens[0])
    rows = list(range(len(prompts.items)))
    log_probs = logits[rows, prompts.lengths - 1].log_softmax(-1)
    true, distractor_answer = log_probs.gather(1, prompts.answers).unbind(-1)
    assert_close(true - distractor_answer, torch.tensor(gap.sel(condition="conflict").values, dtype=torch.float32))
    with pytest.raises(TaskError, match="conflict"):
        distractor.prompts("negation_qa", model, "conflit", items=6)


def test_a_probe_reads_a_model_in_one_line() -> None:
    reading = distractor.probe(SIZES[1], "negation_qa", "logit_lens", items=8)
    assert {"stage", "condition", "item"} <= set(reading.dims)


def test_attribute_and_compare_take_names(tmp_path: Path) -> None:
    read = distractor.attribute("negation_qa", SIZES[1:2], ["chance"], items=12, store=tmp_path, device="cpu")
    assert list(read.readings) == ["chance"]
    assert read.readings["chance"].dims[0] == "model"
    compared = distractor.compare(SIZES[1:], "negation_qa", ["chance"], items=12, store=tmp_path, device="cpu")
    assert len(compared.result.pairs) == 1
    assert len(repr(compared)) < 2000
    rows = compared.result.pairs[0].rows
    preference = compared.table.set_index("quantity").loc["distractor_preference in conflict"]
    assert preference["mean"] == rows["distractor_preference", Condition.CONFLICT].mean
    assert compared.head.title in compared.report(tmp_path / "compared.html").read_text(encoding="utf-8")
    assert list(compared.readings["chance"]["model"].values) == [source.name for source in compared.result.sources]


def test_a_curve_is_judged_from_a_file(tmp_path: Path) -> None:
    rows = ["size,mean,n", "1M,.5,100", "2M,.1,100", "4M,.9,100"]
    (tmp_path / "means.csv").write_text("\n".join(rows), encoding="utf-8")
    run = distractor.shape(tmp_path / "means.csv")
    assert run.shape.label_level_1 == "U-shaped"
    assert run.table["mean"].tolist() == pytest.approx([0.5, 0.1, 0.9])
    assert "U-shaped" in repr(run)
    assert len(repr(run).splitlines()) <= 15
    assert run.head.title in run._repr_html_()


def test_families_are_listed() -> None:
    assert {"ladder/negation_qa", "ladder/redefine_math", "pythia"} <= set(distractor.families())


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(TaskError, match="negation_qa"):
        distractor.ablate("negation")
    with pytest.raises(ModelError, match="5 models"):
        distractor.load(f"ladder/negation_qa/{MEMBERS[0].model}")
    with pytest.raises(ModelError, match=f"'{SIZES[0]}'.* ladder/negation_qa/"):
        distractor.load(SIZES[0])
