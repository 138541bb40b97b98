"""A user's own task is a data file, path.py:NAME or an official file; every mistake gives one message."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from transformers import GPTNeoXConfig

import tiny
from distractor.errors import TaskError
from distractor.text.task import Condition, Task
from small_ladder import type_in
from tasks import TASKS, own, prize
from tasks.find import find_task
from tasks.prize import release

SCRIPT = Path(sys.executable).parent / "distractor"
COLUMNS = {c: c.value for c in Condition if c is not Condition.CONFLICT}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, with an empty folder for data and an empty cache."""
    monkeypatch.setenv("DISTRACTOR_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(release, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)


def rows_of(task: Task) -> list[dict[str, Any]]:
    """A task in the columns of a data file; the right class alternates."""
    rows = []
    for index, item in enumerate(task.items):
        classes = [*item.answers][:: -1 if index % 2 else 1]
        conditions = {name: item.prompts[c] for c, name in COLUMNS.items() if c in item.prompts}
        rows.append(
            {"prompt": item.prompts[Condition.CONFLICT], "classes": str(classes), "answer_index": index % 2}
            | conditions
            | {"group": item.group}
        )
    return rows


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_csv(path: Path, rows: list[dict[str, Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def plain(**more: Any) -> dict[str, Any]:
    return {"prompt": "Not yes. Say:", "classes": "[' no', ' yes']", "answer_index": 0} | more


@pytest.mark.parametrize(
    "write",
    [
        lambda rows: as_jsonl(Path("mine.jsonl"), rows),
        lambda rows: as_csv(Path("mine.csv"), rows),
        lambda rows: as_csv(Path("mine.CSV"), rows, "utf-8-sig"),
    ],
    ids=["JSON lines", "CSV", "CSV of a spreadsheet"],
)
def test_a_data_file_gives_the_same_task(write: Callable[[list[dict[str, Any]]], Path]) -> None:
    expected = tiny.task()
    task = find_task(str(write(rows_of(expected))))
    assert task.name == "mine"
    assert task.conditions == expected.conditions
    for read, item in zip(task.items, expected.items, strict=True):
        assert (read.prompts, read.answers, read.group) == (dict(item.prompts), item.answers, item.group)


def test_without_a_group_column_each_row_is_its_own_group() -> None:
    task = find_task(str(as_jsonl(Path("mine.jsonl"), [plain(), plain(prompt="Not no. Say:", answer_index=1)])))
    assert [item.group for item in task.items] == ["mine/0", "mine/1"]
    assert task.conditions == (Condition.CONFLICT,)


def test_a_number_of_items_of_a_file_is_a_random_sample_of_its_rows() -> None:
    path = str(as_jsonl(Path("mine.jsonl"), rows_of(tiny.task())))
    every = find_task(path, default=2).items
    assert len(every) == len(tiny.task().items)
    chosen = find_task(path, items=6).items
    assert chosen == find_task(path, items=6).items
    assert chosen == tuple(item for item in every if item in chosen)
    assert len(chosen) == 6
    assert chosen != every[:6]
    assert find_task(path, items=1000).items == every
    assert [len(find_task("negation_qa", items=n, default=3).items) for n in (2, None)] == [2, 3]


def test_a_file_with_the_name_of_a_task_is_another_task() -> None:
    path = as_jsonl(Path("negation_qa.jsonl"), rows_of(tiny.task()))
    assert find_task(str(path)).name == "negation_qa.own"
    Path("negation_qa").mkdir()
    assert find_task("negation_qa").fingerprint() == TASKS["negation_qa"]().fingerprint()


def test_distractor_swapped_may_have_gaps() -> None:
    rows = [plain(distractor_swapped="Not no. Say:"), plain(prompt="another", distractor_swapped=None)]
    first, second = find_task(str(as_jsonl(Path("mine.jsonl"), rows))).items
    assert Condition.DISTRACTOR_SWAPPED in first.prompts
    assert Condition.DISTRACTOR_SWAPPED not in second.prompts


def test_of_more_than_two_classes_a_column_names_the_distractors() -> None:
    rows = [plain(classes="[' no', ' maybe', ' yes']", distractor_index=2), plain(prompt="another")]
    task = find_task(str(as_jsonl(Path("mine.jsonl"), rows)))
    assert [item.answers for item in task.items] == [(" no", " yes"), (" no", " yes")]
    assert [item.more_answers for item in task.items] == [1, 0]
    assert "1 of 2 items have more than two answers (up to 3)" in task.cautions[0]


# Mistakes: one message with file and line, exit status 2, nothing written

MISTAKES = {
    "a missing column": ('{"prompt": "x", "answer_index": 0}', "mine.jsonl, line 2: missing: classes"),
    "a misspelt condition": (plain(prompt="x", congruant="y"), "line 2: .*'congruant'; did you mean congruent"),
    "a misspelt group": (plain(prompt="x", groups="y"), "line 2: .*'groups'; did you mean group"),
    "a misspelt distractor_index": (plain(prompt="x", distractr_index=1), "did you mean distractor_index"),
    "no distractor": (plain(prompt="x", classes="[' a', ' b', ' c']"), "line 2: 3 classes.*column distractor_index"),
    "a gap": (plain(prompt="x", neutral="y"), "mine.jsonl, line 1: neutral .*line 2"),
    "no text": (plain(prompt="x", neutral=[1]), r"mine.jsonl, line 2: neutral is \[1\]; .*text"),
    "a list for a group": (plain(prompt="x", group=[1]), "mine.jsonl, line 1: group is empty|group is"),
}  # fmt: skip


def refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The only message of a command that fails and writes nothing."""
    before = sorted(Path().rglob("*"))
    assert type_in(command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sorted(Path().rglob("*")) == before
    message = " ".join(shown.err.split())
    assert len(re.findall(r"(?<!\w)Error: ", message)) == 1
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(("line", "facts"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_row_is_one_message(line: Any, facts: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    Path("mine.jsonl").write_text(f"{json.dumps(plain())}\n{text}\n")
    assert re.search(facts, refused(["ablate", "--task", "mine.jsonl"], capsys))


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv"])
def test_a_file_of_200_megabytes_is_refused_in_little_memory_and_time(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(name).open("wb") as file:
        file.truncate(200_000_000)
    tracemalloc.start()
    begun = time.process_time()
    message = refused(["ablate", "--task", name], capsys)
    taken, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"{name} has 200,000,000 bytes" in message
    assert peak < 8 * 2**20
    assert taken < 3


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("none.jsonl", "there is no file none.jsonl"),
        ("none.py:mine", "there is no file none.py"),
        ("folder.jsonl", "folder.jsonl is a folder; name a file in it"),
        ("own.py", "own.py is a Python file; write path.py:NAME"),
        ("own.py:mian", "own.py has no 'mian': did you mean main?"),
        ("own.py:number", "own.py:number is a int"),
        ("own.py:gives_none", "own.py:gives_none returns a NoneType"),
        ("own.py:wants_more", "own.py: TypeError: wants_more() missing 1 required positional argument"),
        ("own.py:fails", "own.py, line 6: ZeroDivisionError: division by zero"),
        ("own.py:leaves", "own.py, line 7: SystemExit: 3"),
        ("own.py:refuses", "item x has no prompt for conflict"),
        ("broken.py:mine", "broken.py, line 2: SyntaxError"),
        ("absent.py:mine", "absent.py, line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("notes.txt", "neither a data file"),
        ("negation", "task 'negation': did you mean negation_qa?"),
        ("negation_qa.swapped", "did you mean negation_qa.options_swapped"),
        ("memo_tarp", "did you mean memo_trap?"),
        ("memo-trap", "there is no file memo-trap_classification.jsonl here"),
        ("neqa", "https://github.com/inverse-scaling/prize"),
    ],
)
def test_a_name_without_a_task_is_one_message(name: str, facts: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder.jsonl").mkdir()
    Path("notes.txt").write_text("mine")
    Path("own.py").write_text(
        "from distractor.text.task import Condition, Item\n"
        "number = 1\n"
        "def main(): pass\n"
        "def gives_none(): pass\n"
        "def wants_more(x): pass\n"
        "def fails(): return 1 / 0\n"
        "def leaves(): raise SystemExit(3)\n"
        "def refuses(): return Item('x', 'g', ' A', ' B', {Condition.NEUTRAL: '?'})\n"
    )
    Path("broken.py").write_text("x = 1\ndef\n")
    Path("absent.py").write_text("import no_such_module\n")
    assert facts in refused(["ablate", "--task", name], capsys)


OWN = """
from dataclasses import dataclass
import neighbour
from distractor.text.task import Condition, Item, Task

@dataclass
class Settings:
    count: "int" = 4

def mine():
    items = tuple(
        Item(f"i{n}", f"g{n}", " no", " yes", {Condition.CONFLICT: f"{neighbour.NOT} {n}. Say:"})
        for n in range(Settings().count)
    )
    return Task("mine", "Is yes said?", items, "here")

MADE = mine()
"""


@pytest.mark.parametrize("name", ["mine", "MADE"])
@pytest.mark.parametrize("file", ["own.py", "tasks.py", "sub/distractor.py"])
def test_a_python_file_may_have_any_name(file: str, name: str) -> None:
    Path("sub").mkdir()
    Path(file).write_text(OWN)
    (Path(file).parent / "neighbour.py").write_text("NOT = 'Not'\n")
    before = [*sys.path]
    task = find_task(f"{file}:{name}", items=3)
    assert [item.prompts[Condition.CONFLICT] for item in task.items] == ["Not 0. Say:", "Not 1. Say:", "Not 2. Say:"]
    assert sys.path == before
    assert Path(sys.modules["tasks"].__file__ or "").parent.name == "tasks"
    del sys.modules["neighbour"]


def test_a_changed_file_runs_again() -> None:
    Path("own.py").write_text(OWN.replace("import neighbour", "").replace("{neighbour.NOT}", "Not"))
    before = own.from_python("own.py:mine").fingerprint()
    Path("own.py").write_text(OWN.replace("import neighbour", "").replace("{neighbour.NOT}", "Never"))
    assert own.from_python("own.py:mine").fingerprint() != before


def test_a_users_tasks_file_does_not_hide_the_built_in_tasks(tmp_path: Path) -> None:
    Path("tasks.py").write_text("raise RuntimeError('mine')\n")
    as_jsonl(Path("mine.jsonl"), rows_of(tiny.task()))
    folder = model(tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()))))
    command = [SCRIPT, "ablate", "--task", "mine.jsonl", "--plan", "--models", folder]
    shown = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert shown.returncode == 0, shown.stderr
    assert f"items:     {len(tiny.task().items)}" in shown.stdout
    # With `python -c` the folder comes first on the path; the command reports the user's file and does not run it.
    code = "from distractor.command_line.main import main; import sys; sys.argv[1:] = ['tasks']; main()"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 2
    assert "tasks.py hides this toolkit's package 'tasks'" in " ".join(shown.stderr.split())
    assert "mine" not in shown.stderr.replace(str(tmp_path), "")


# Official files


def fake(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], folder: str) -> Path:
    """Write a file and register it as the official NeQA file."""
    Path(folder).mkdir(parents=True)
    path = as_jsonl(Path(folder, "neqa_classification.jsonl"), rows)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    official = release.ReleaseFile("neqa", path.name, path.stat().st_size, digest, 1, len(rows))
    monkeypatch.setitem(release.BY_NAME, "neqa", official)  # type: ignore[arg-type]
    monkeypatch.setitem(release.BY_HASH, digest, official)  # type: ignore[arg-type]
    return path


def question(text: str, answer: int) -> dict[str, Any]:
    return {
        "prompt": f"Choose.\n\nQuestion: {text}\nA. warm\nB. cold\nAnswer:",
        "classes": "[' A', ' B']",
        "answer_index": answer,
    }


NEGATED = [question("Ice is not", 0), question("Fire isn't", 1), question("Snow is not", 0), question("Rain is wet", 0)]


@pytest.mark.parametrize("folder", ["data", "cache", "other"])
def test_an_official_file_is_found_in_every_folder(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake(monkeypatch, NEGATED, folder)
    given = path if folder == "other" else Path(path.name)
    assert len(find_task("negation_qa", given, default=1).items) == 3
    assert len(find_task("negation_qa", given, items=2).items) == 2
    if folder != "other":
        assert len(find_task("negation_qa.both_orders").items) == 6
        assert len(find_task("neqa").items) == 4
    assert len(find_task("negation_qa", items=5).items) == 5  # the built-in task, without --data


def test_an_official_file_given_as_a_task_is_refused_with_the_right_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fake(monkeypatch, NEGATED, "data")
    assert "--task negation_qa or negation_qa.options_swapped" in refused(["ablate", "--task", str(path)], capsys)
    mine = as_jsonl(Path("mine.jsonl"), NEGATED[:2])
    assert "--data" in refused(["ablate", "--task", str(mine), "--data", str(path)], capsys)
    assert "not the official" in refused(["ablate", "--task", "negation_qa", "--data", str(mine)], capsys)


def model(tokenizer: Any, context: int = 96) -> str:
    """Save a tiny random model in a folder."""
    config = partial(
        GPTNeoXConfig, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=context,
    )  # fmt: skip
    tiny.save(Path("model"), config, tokenizer)
    return "./model"


@pytest.mark.usefixtures("undrawn")
def test_rows_and_python_give_the_same_numbers_end_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    as_jsonl(Path("lines.jsonl"), rows_of(tiny.task()))
    Path("own.py").write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parents[1])!r})\nfrom tiny import task\n"
    )
    folder = model(tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()))))
    values = []
    for name in ("lines.jsonl", "own.py:task"):
        command = ["ablate", "--task", name, "--models", folder, "--device", "cpu", "--out", f"out-{name[:3]}"]
        assert type_in([*command, *([] if "py" in name else ["--no-knockout"])]) == 0
        table = pq.read_table(f"out-{name[:3]}/results.parquet").to_pandas()
        values.append(table[table.quantity == "log_prob_true"].value.tolist())
    assert values[0] == values[1]
    assert len(values[0]) == sum(len(item.prompts) for item in tiny.task().items)
    assert "L0.mlp_out" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_a_task_without_congruent_prompts_is_scored_without_ablation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(monkeypatch, NEGATED, "data")
    folder = model(
        tiny.word_level(tiny.words_of(*(row["prompt"] + " A B indeed surely also really" for row in NEGATED)))
    )
    command = ["--models", folder, "--device", "cpu", "--out"]
    assert type_in(["ablate", "--task", "neqa", *command, "plain"]) == 0
    shown = capsys.readouterr()
    assert "neqa has no congruent prompts" in " ".join(shown.err.split())
    assert "neqa: 4 items" in shown.out
    assert type_in(["ablate", "--task", "negation_qa.both_orders", *command, "pair"]) == 0
    summary = json.loads(Path("pair/summary.json").read_text())
    assert summary["task"] == "negation_qa.both_orders"
    assert summary["knockouts"]
    assert summary["left_out"] == {"not exactly one negation in the question": ["row 3"]}


def test_a_refused_run_leaves_no_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_jsonl(Path("lines.jsonl"), rows_of(tiny.task()))
    folder = model(tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()))))
    command = ["ablate", "--task", "lines.jsonl", "--models", folder, "--device", "cpu"]
    assert type_in([*command, "--device-map", "foo"]) == 2
    for file in Path(folder).glob("*token*"):
        file.unlink()
    assert type_in(command) == 2
    assert "it has no tokenizer" in " ".join(capsys.readouterr().err.split())
    assert not [*Path("runs").glob("ablate-*")]


@pytest.mark.usefixtures("undrawn")
def test_items_of_one_group_are_scored_without_ablation(capsys: pytest.CaptureFixture[str]) -> None:
    as_jsonl(Path("lines.jsonl"), [row | {"group": "one"} for row in rows_of(tiny.task())])
    folder = model(tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()))))
    assert type_in(["ablate", "--task", "lines.jsonl", "--models", folder, "--device", "cpu", "--out", "out"]) == 0
    assert "all items of lines are in one group" in " ".join(capsys.readouterr().err.split())
    assert json.loads(Path("out/summary.json").read_text())["knockouts"] == []


# The real files


def real(file: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.undo()
    try:
        return release.find(file)
    except TaskError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("task", [name for name in prize.DERIVED if name.startswith(("negation", "hindsight"))])
def test_official_files_run_on_a_local_folder(
    task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = real(prize.official_of(task).file, monkeypatch)
    monkeypatch.chdir(tmp_path)
    # Cues and answers are whole tokens, as in real tokenizers; otherwise prompts would not align.
    text = tiny.OTHER_TEXT + " It is not so, it is indeed so, losing or earning dollars: Y or N, A or B." * 50
    folder = model(tiny.byte_level(text, vocab=480), context=4096)
    assert type_in(["ablate", "--task", task, "--data", str(path), "--models", folder, "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    (summary,) = Path("runs").glob("ablate-*/summary.json")
    result = json.loads(summary.read_text())
    # Items of NeQA are dropped if no affirming word has as many tokens as "n't".
    count = len(prize.read(task, path).items)
    assert result["items"] == count if task.startswith("hindsight") else 0.4 * count < result["items"] <= count
    assert bool(result["knockouts"]) == (Condition.CONGRUENT in prize.read(task, path).conditions)
    assert ("expected value or odds" in " ".join(shown.split())) == ("expected value or odds" in result["caution"])
    assert ("expected value or odds" in result["caution"]) == task.startswith("hindsight")
