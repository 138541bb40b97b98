"""A study's file: what is wrong names the file and the key."""

from pathlib import Path

import pytest

from distractor.errors import TaskError
from distractor.study.study_file import read_study, runs_of

SMALL = 'tasks = ["negation_qa"]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the key 'tasks' is missing"),
        ("tasks = []", "tasks: list should have at least 1 item"),
        ('tasks = "negation_qa"', "tasks: input should be a valid list; it is 'negation_qa'"),
        (SMALL + 'taks = ["x"]', "there is no key 'taks': .*tasks"),
        (
            SMALL + 'commands = ["ablat"]',
            "commands.0: input should be 'ablate', 'attribute' or 'compare'; it is 'ablat'",
        ),
        (SMALL + "items = 1", "items: input should be greater than or equal to 2; it is 1"),
        (SMALL + 'items = "many"', "items: input should be a valid integer; it is 'many'"),
        (SMALL + "[ablate]\nknockout = {}", "ablate.knockout: it is {}; write true, false, a number"),
        ("tasks = [", "cannot be read as TOML"),
    ],
)
def test_a_wrong_file_is_one_message(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TaskError, match=message) as caught:
        read_study(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="No such file"):
        read_study(tmp_path / "none.toml")


def test_each_combination_is_a_run_with_a_folder_of_its_own(tmp_path: Path) -> None:
    text = """
    tasks = ["negation_qa", "own/negation_qa.jsonl"]
    models = ["pythia/70m", "pythia/160m"]
    commands = ["ablate", "compare"]
    formats = ["rank", {format = "rank", shots = 2, chat = true}]
    seeds = [0, 1]
    items = 40
    options = {dtype = "float64"}
    compare = {probe = ["ablation", "head_patching"]}
    ablate = {knockout = false}
    """
    runs = runs_of(read_study(write(tmp_path, text)))
    assert [run.name for run in runs] == [
        "ablate-negation_qa-rank",
        "ablate-negation_qa-rank-2-chat-seed0",
        "ablate-negation_qa-rank-2-chat-seed1",
        "ablate-negation_qa-rank-2",
        "ablate-negation_qa-rank-2-chat-seed0-2",
        "ablate-negation_qa-rank-2-chat-seed1-2",
        "compare-negation_qa",
        "compare-negation_qa-2",
    ]
    models = ["--models", "pythia/70m", "--models", "pythia/160m", "--items", "40", "--dtype", "float64"]
    assert [*runs[0].words] == [
        "ablate", "--task", "negation_qa", *models, "--no-knockout", "--format", "rank", "--shot-seed", "0",
    ]  # fmt: skip
    assert [*runs[2].words][-7:] == ["--format", "rank", "--shots", "2", "--chat", "--shot-seed", "1"]
    assert [*runs[6].words] == [
        "compare", "pythia/70m", "pythia/160m", "--task", "negation_qa", "--items", "40", "--dtype", "float64",
        "--probe", "ablation", "--probe", "head_patching",
    ]  # fmt: skip
