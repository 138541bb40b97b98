"""BIG-bench: the rules derive conditions from exact examples; the real archive gives the known numbers of items."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from transformers import GPTNeoXConfig

import tiny
import tiny_bigbench
from distractor.errors import TaskError
from distractor.text.task import Condition, Task
from small_ladder import type_in
from tasks import bigbench
from tasks.bigbench import archive, arithmetic, choices, knowledge
from tasks.bigbench.document import Document, parse
from tasks.find import find_task

C = Condition

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny task files in the cache folder, and an empty folder for other data."""
    tiny_bigbench.expect(monkeypatch, b"")
    cache = tmp_path / "cache"
    cache.mkdir()
    for file in tiny_bigbench.FILES:
        (cache / file.file).write_bytes(tiny_bigbench.CONTENTS[file.name])
    monkeypatch.setattr(archive, "cache_folder", lambda: cache)
    monkeypatch.setenv("DISTRACTOR_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def document(name: str) -> Document:
    return parse(tiny_bigbench.CONTENTS[name])


# Modified arithmetic


@pytest.mark.parametrize(
    ("task", "operation"),
    [
        ("modified_arithmetic", "addition"),
        ("modified_arithmetic.subtraction", "subtraction"),
        ("modified_arithmetic.multiplication", "multiplication"),
    ],
)
def test_each_query_that_adds_one_has_its_control(task: str, operation: str) -> None:
    found = find_task(task)
    assert found.conditions == (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_ONLY)
    assert len(found.items) == 12
    sums, controls = (tiny_bigbench.arithmetic(operation, more)["examples"] for more in (1, 0))
    for item, plus_one, control in zip(found.items, sums, controls, strict=True):
        assert item.prompts[C.CONFLICT] == plus_one["input"] + " "
        assert item.prompts[C.CONGRUENT] == item.prompts[C.DISTRACTOR_ONLY] == control["input"] + " "
        assert item.answers == (plus_one["target"], control["target"])
        assert int(item.true) == int(item.distractor) + 1


def test_the_results_are_the_roles_in_which_the_prompts_differ() -> None:
    task = find_task("modified_arithmetic.subtraction")
    for item in task.items:
        conflict, control = (item.prompts[c].rstrip(" ") for c in (C.CONFLICT, C.CONGRUENT))
        roles = task.roles(conflict)
        assert list(roles) == ["instruction", *(f"result{n}" for n in range(1, 6)), "query", "slot"]
        for n in range(1, 6):
            plus_one, plain = (int(text[slice(*task.roles(text)[f"result{n}"])]) for text in (conflict, control))
            assert plus_one == plain + 1


def test_a_query_whose_control_differs_otherwise_is_left_out_and_listed() -> None:
    plus_one = tiny_bigbench.arithmetic("addition", 1)
    plus_one["examples"][2]["target"] = "1"
    plus_one["examples"][3]["input"] = plus_one["examples"][3]["input"].replace("-> ", "-> 1")
    plus_one["examples"][5]["input"] = plus_one["examples"][5]["input"].replace("14 + 10", "15 + 10")
    control = document("three_digit_addition_control")
    task = arithmetic.add_one(control, parse(json.dumps(plus_one).encode()), "x", "here")
    assert len(task.items) == 9
    assert list(task.left_out.values()) == [("example 2", "example 3", "example 5")]


def test_the_same_query_is_one_group_in_either_order_of_a_sum() -> None:
    def group(query: str) -> str:
        return arithmetic._group(arithmetic.Example(0, f"{query} ->"))

    assert group("1 + 1 -> 2\n20 + 3") == group("3 + 20") != group("3 + 21")
    assert group("4 * 30") == group("30 * 4")
    assert group("4 - 3") != group("3 - 4")


# Knowledge


def test_the_question_alone_asks_memory() -> None:
    task = find_task(knowledge.NAME)
    first, second, third, _ = task.items
    assert first.prompts == {
        C.CONFLICT: "Answer by the context.\n\n\nQuestion: who mends clocks here?\nContext: Ann Lee mends clocks, and Ann "
        "Leeman does not. Ann Lee sings.\nAnswer: ",
        C.DISTRACTOR_ONLY: "Question: who mends clocks here?\nAnswer: ",
    }
    answers = [("Ann Lee", "Tom Fox"), ("Joe", "Eva Maria Stone"), ("Kim Ode", "Tom Fox"), ("Ida Poe", "Rex Ray")]
    assert [item.answers for item in task.items] == answers
    assert first.group == third.group != second.group
    assert task.left_out == {knowledge.ONE_ANSWER: ("example 2",), knowledge.ALIKE: ("example 3",)}
    assert not task.starts_at_chance


def test_a_restored_context_has_the_remembered_answer_wherever_the_other_one_is() -> None:
    task = find_task(knowledge.RESTORED)
    assert [item.id for item in task.items] == [f"{knowledge.NAME}/0", f"{knowledge.NAME}/4", f"{knowledge.NAME}/5"]
    first = task.items[0]
    assert first.prompts[C.CONGRUENT] == first.prompts[C.CONFLICT].replace("Ann Lee ", "Tom Fox ")
    assert "Ann Leeman" in first.prompts[C.CONGRUENT]
    assert task.left_out[knowledge.OTHER_LENGTH] == ("example 1",)


def test_the_parts_of_a_question_are_roles() -> None:
    task = find_task(knowledge.RESTORED)
    for item in task.items:
        for condition, prompt in item.prompts.items():
            text = prompt.rstrip(" ")
            roles = {role: text[a:b] for role, (a, b) in task.roles(text).items()}
            assert roles["question"] == item.group.removeprefix("Question: ")
            assert roles["slot"] == ":"
            assert ("context" in roles) == ("instruction" in roles) == (condition != C.DISTRACTOR_ONLY)


# Multiple choice


def test_the_first_false_answer_is_the_distractors() -> None:
    first, second = find_task("truthful_qa").items
    assert first.prompts == {C.CONFLICT: "Q: Is ice cold?\nA: Yes.\n\nQ: Do stones float?\nA: "}
    assert first.answers == ("No.", "They all do.")
    assert second.answers == ("They do not.", "Yes, in the dark.")
    assert [first.more_answers, second.more_answers] == [1, 0]
    assert "1 of 2 items have more than two answers" in find_task("truthful_qa").cautions[0]


def test_a_false_theorem_as_given_is_the_distractors_answer() -> None:
    task = find_task(choices.THEOREMS)
    assert [item.answers for item in task.items] == [
        ("1 < 2", "1 > 2"),
        ("3 < 4", "3 > 4"),
        ("5 < 6", "5 > 6"),
        ("1 < 2", "1 > 2"),
    ]
    assert [item.more_answers for item in task.items] == [2, 2, 1, 0]
    assert [item.group for item in task.items] == [f"{choices.THEOREMS}/{n}" for n in (0, 1, 2, 0)]
    copied = find_task(choices.FALSE_THEOREMS)
    assert [item.distractor for item in copied.items] == ["1 > 2", "1 > 2"]
    assert list(copied.left_out.values()) == [("example 1", "example 2")]


def test_choices_are_listed_in_the_order_of_the_source() -> None:
    prompt = find_task(choices.THEOREMS).items[0].prompts[C.CONFLICT]
    # numpy's RandomState(42).permutation of four sorted choices takes those at 1, 3, 0 and 2.
    listed = "\n  choice: 1 = 2\n  choice: 2 > 3\n  choice: 1 < 2\n  choice: 1 > 2"
    assert prompt == f"Correct it.\n\nTheorem: 1 > 2{listed}\n\nCorrected: "


# Reading


def test_a_missing_or_changed_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cache/truthful_qa.json"
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    with pytest.raises(
        TaskError, match=rf"{path} is not the task file .*{len(content) + 1:,} bytes, expected .*data add"
    ):
        find_task("truthful_qa")
    path.write_bytes(content.replace(b"float", b"drift"))
    with pytest.raises(TaskError, match=r"SHA-256 .*…, expected .*…; delete it"):
        find_task("truthful_qa")
    path.unlink()
    with pytest.raises(
        TaskError, match=r"there is no file truthful_qa.json in .*cache; get bigbench-1.0.0.tar.gz from https"
    ):
        find_task("truthful_qa")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/truthful_qa.json").write_bytes(content)
    assert len(find_task("truthful_qa").items) == 2


def test_names_near_to_a_task_are_suggested() -> None:
    with pytest.raises(TaskError, match="did you mean truthful_qa"):
        find_task("truthfull_qa")
    with pytest.raises(TaskError, match=r"did you mean modified_arithmetic\.subtraction"):
        find_task("modified_arithmetic.subtract")
    with pytest.raises(TaskError, match="no file of BIG-bench has a task"):
        bigbench.read("negation_qa")


def test_every_task_can_be_sampled() -> None:
    for name in bigbench.NAMES:
        every = find_task(name)
        chosen = find_task(name, items=2)
        assert len(chosen.items) == 2
        assert all(item in every.items for item in chosen.items)
        assert every.name == name


def test_a_path_of_a_task_is_refused_with_how_to_use_it(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="leave --data out"):
        find_task("truthful_qa", Path("truthful_qa.json"))
    with pytest.raises(
        TaskError, match=r"task file of BIG-bench; `distractor data add .*truthful_qa.json` .*--task truthful_qa"
    ):
        find_task(str(tmp_path / "cache/truthful_qa.json"))
    rows = [{"prompt": f"{n}. Say:", "classes": "[' no', ' yes']", "answer_index": n % 2} for n in range(4)]
    Path("truthful_qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert find_task("truthful_qa.jsonl").name == "truthful_qa.own"


# Runs


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", [bigbench.NAMES[0], knowledge.RESTORED, choices.TRUTHFUL])
def test_a_task_is_scored_with_pulls_only_where_it_has_a_pair(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    task = find_task(name)
    texts = [text for item in task.items for text in (*item.prompts.values(), *item.answers)]
    config = partial(
        GPTNeoXConfig, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=96,
    )  # fmt: skip
    tiny.save(Path("model"), config, tiny.word_level(tiny.words_of(*texts)))
    assert type_in(["ablate", "--task", name, "--models", "./model", "--device", "cpu", "--out", "out"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    result = json.loads(Path("out/summary.json").read_text())
    (model,) = result["models"]
    has_pair = C.CONGRUENT in task.conditions
    assert bool(result["knockouts"]) == has_pair
    assert (model["distractor_pull"] is not None) == has_pair
    assert 0 < model["distractor_preference"]["conflict"]["mean"] < 1
    assert result["caution"] == " ".join(task.cautions)
    assert all(caution in shown for caution in task.cautions)


# The real archive, if DISTRACTOR_BIGBENCH names it

REAL = os.environ.get("DISTRACTOR_BIGBENCH")
EXPECTED = {
    "modified_arithmetic": (1_000, 1_000, 0, 0),
    "modified_arithmetic.subtraction": (1_000, 1_000, 0, 0),
    "modified_arithmetic.multiplication": (1_000, 912, 0, 0),
    knowledge.NAME: (17_524, 17_522, 4, 0),
    knowledge.RESTORED: (12_337, 12_337, 5_191, 0),
    choices.THEOREMS: (54, 52, 0, 54),
    choices.FALSE_THEOREMS: (32, 31, 22, 32),
    choices.TRUTHFUL: (299, 299, 0, 276),
}
"""{task: items, groups, examples that gave no item, items with more than two answers}"""


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="DISTRACTOR_BIGBENCH does not name the archive of BIG-bench")
def test_the_real_archive_gives_the_known_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(archive, "cache_folder", lambda: tmp_path / "real")
    monkeypatch.delenv("DISTRACTOR_DATA", raising=False)
    assert archive.add(Path(str(REAL))) == (tmp_path / "real", True)
    assert [len(parse(archive.read(file.name)).examples) for file in archive.FILES] == [
        f.examples for f in archive.FILES
    ]
    for name, expected in EXPECTED.items():
        task = bigbench.read(name)
        groups = len({item.group for item in task.items})
        left_out = sum(map(len, task.left_out.values()))
        assert (len(task.items), groups, left_out, sum(i.more_answers > 0 for i in task.items)) == expected, name
        prompts = (prompt.rstrip(" ") for item in task.items for prompt in item.prompts.values())
        assert not task.layout or all("slot" in task.roles(prompt) for prompt in prompts)
    _check_rules(find_task)
    assert archive.add(Path(str(REAL))) == (tmp_path / "real", False)


def _check_rules(find: Callable[[str], Task]) -> None:
    """What the rules rest on holds in every example."""
    for item in find("modified_arithmetic.subtraction").items:
        assert int(item.true) == int(item.distractor) + 1
    for item in find(knowledge.NAME).items:
        assert item.true in item.prompts[C.CONFLICT].partition(knowledge.CONTEXT)[2]
        assert "\nContext:" not in item.prompts[C.DISTRACTOR_ONLY]
    for item in find(knowledge.RESTORED).items:
        assert item.distractor in item.prompts[C.CONGRUENT]
    for item in find(choices.FALSE_THEOREMS).items:
        assert item.prompts[C.CONFLICT].count(item.distractor) >= 2  # given, and listed
    # Every question is answered first by the right answer, then by the authors' first falsehood.
    assert all(
        example.scores[next(iter(example.scores))] == 1 for example in parse(archive.read("truthful_qa")).examples
    )
