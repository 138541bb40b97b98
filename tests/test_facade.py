"""`import distractor`: names, paths and objects are accepted, and nothing heavy is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

import distractor
from distractor.errors import ModelError, TaskError

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
    sources = [scores.source for scores in by_name.scores]
    again = distractor.ablate(task, sources, knockout=False, store=str(tmp_path), device="cpu")
    assert by_name.verdict is not None
    assert again.verdict is not None
    assert by_name.verdict.sentence == again.verdict.sentence


def test_a_probe_reads_a_model_in_one_line() -> None:
    reading = distractor.probe(SIZES[1], "negation_qa", "logit_lens", items=8)
    assert {"stage", "condition", "item"} <= set(reading.dims)


def test_attribute_and_compare_take_names(tmp_path: Path) -> None:
    read = distractor.attribute("negation_qa", SIZES[1:2], ["chance"], items=12, store=tmp_path, device="cpu")
    assert list(read.readings) == ["chance"]
    compared = distractor.compare(SIZES[1:], "negation_qa", ["chance"], items=12, store=tmp_path, device="cpu")
    assert len(compared.pairs) == 1


def test_a_curve_is_judged_from_a_file(tmp_path: Path) -> None:
    rows = ["size,mean,n", "1M,.5,100", "2M,.1,100", "4M,.9,100"]
    (tmp_path / "means.csv").write_text("\n".join(rows), encoding="utf-8")
    assert distractor.shape(tmp_path / "means.csv").shape.label_level_1 == "U-shaped"


def test_families_are_listed() -> None:
    assert {"ladder/negation_qa", "ladder/redefine_math", "pythia"} <= set(distractor.families())


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(TaskError, match="negation_qa"):
        distractor.ablate("negation")
    with pytest.raises(ModelError, match="5 models"):
        distractor.load(f"ladder/negation_qa/{MEMBERS[0].model}")
    with pytest.raises(ModelError, match=f"'{SIZES[0]}'.* ladder/negation_qa/"):
        distractor.load(SIZES[0])
