"""The official files: the user's copy read to the letter, conditions by rule, and every kind of damage named."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distractor.errors import TaskError
from distractor.task import Condition, Task
from tasks import prize

# Written for this test: no text of the prize's files may stand in this repository.
HEAD = "Choose the better answer.\n\nQuestion: "


def row(question: str, answer: int = 1, **more: Any) -> dict[str, Any]:
    prompt = f"{HEAD}{question}\nA. a warm lamp\nB. not a cold stone\nAnswer:"
    return {"prompt": prompt, "classes": "[' A', ' B']", "answer_index": answer} | more


ROWS = [row("A kite is not a kind of"), row("A boat isn't a kind of", 0), row("Two owls weren't seen near", part=1)]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(*lines: Any, ending: str = "\n") -> Path:
        path = tmp_path / "rows.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
        path.write_bytes("".join(text + ending for text in texts).encode())
        return path

    return to


def made(*rows: dict[str, Any], write: Write) -> Task:
    return prize.negated(prize.read_rows(write(*rows)), "here")


def test_the_row_is_the_conflict_prompt_to_the_letter(write: Write) -> None:
    items = made(*ROWS, write=write).items
    assert [item.prompts[Condition.CONFLICT] for item in items] == [each["prompt"] for each in ROWS]
    assert [item.answers for item in items] == [(" B", " A"), (" A", " B"), (" B", " A")]
    assert [item.id for item in items] == ["neqa/0", "neqa/1", "neqa/2"]


@pytest.mark.parametrize(
    ("asked", "affirmed", "without"),
    [
        ("A kite is not a kind of", "A kite is indeed a kind of", "A kite is a kind of"),
        ("A boat isn't a kind of", "A boat is indeed a kind of", "A boat is a kind of"),
        ("Two owls weren't seen near", "Two owls were indeed seen near", "Two owls were seen near"),
        ("What nothing can do is not", "What nothing can do is indeed", "What nothing can do is"),
    ],
)
def test_the_negation_alone_is_changed(asked: str, affirmed: str, without: str, write: Write) -> None:
    (item,) = made(row(asked), write=write).items
    assert item.prompts[Condition.CONGRUENT] == row(affirmed)["prompt"]
    assert item.prompts[Condition.DISTRACTOR_ONLY] == row(without)["prompt"]
    cues = [text.partition(HEAD)[2].split(" indeed")[0] for text in item.wordings(Condition.CONGRUENT)]
    assert len(set(item.wordings(Condition.CONGRUENT))) == len(cues) == 4


@pytest.mark.parametrize("asked", ["A kite is a kind of", "A boat isn't not a kind of", "A nothing is a knot of"])
def test_what_has_not_one_negation_is_left_out_and_named(asked: str, write: Write) -> None:
    task = made(ROWS[0], row(asked), write=write)
    assert [item.id for item in task.items] == ["neqa/0"]
    assert list(task.left_out.values()) == [("row 1",)]


def test_the_roles_of_a_prompt_name_its_parts(write: Write) -> None:
    task = made(*ROWS, write=write)
    for item in task.items:
        cues = {
            c: [text[a:b] for a, b in [task.roles(text)["cue"]]]
            for c, text in item.prompts.items()
            if c != Condition.DISTRACTOR_ONLY
        }
        assert cues[Condition.CONFLICT][0] in {" not", "n't"}
        assert cues[Condition.CONGRUENT] == [" indeed"]
        assert "cue" not in task.roles(item.prompts[Condition.DISTRACTOR_ONLY])


def test_an_affirming_word_of_the_questions_own_is_not_taken_for_the_cue(write: Write) -> None:
    task = made(row("A kite that also sails is not a kind of"), write=write)
    text = task.items[0].prompts[Condition.CONFLICT]
    first, last = task.roles(text)["cue"]
    assert text[first:last] == " not"


def test_a_line_ends_where_json_lines_end_and_nowhere_else(write: Write) -> None:
    odd = row("A kite\u2028is not\x85a kind of")
    assert prize.read_rows(write(odd, ROWS[1]))[0].prompt == odd["prompt"]
    assert len(prize.read_rows(write(*ROWS, ending="\r\n"))) == len(ROWS)
    assert len(prize.read_rows(write(json.dumps(ROWS[0]), json.dumps(ROWS[1]), ending="\n"))) == 2


DAMAGED = {
    "bad JSON": ("{", r"line 2: no JSON"),
    "cut off": (json.dumps(ROWS[0])[:50], r"line 2: no JSON"),
    "blank line": ("", r"line 2: no JSON"),
    "a number too long": ("1" * 5000, r"line 2: no JSON"),
    "nested without end": ("[" * 100_000, r"line 2: no JSON"),
    "no object": ("[1, 2]", r"line 2: missing: prompt, classes, answer_index"),
    "a column missing": ({"prompt": "x", "classes": "[' A', ' B']"}, r"line 2: missing: answer_index"),
    "prompt no text": (row("x", prompt=None), r"line 2: prompt is None"),
    "classes no list": (row("x", classes="' A'"), r"line 2: classes is"),
    "classes two letters": (row("x", classes="'AB'"), r"line 2: classes is"),
    "classes a dictionary": (row("x", classes="{' A': 1, ' B': 2}"), r"line 2: classes is"),
    "classes numbers": (row("x", classes="[1, 2]"), r"line 2: classes is"),
    "classes not in a string": (row("x", classes=[" A", " B"]), r"line 2: classes is"),
    "classes no Python": (row("x", classes="[' A', "), r"line 2: classes is"),
    "classes a call": (row("x", classes="[str(1), ' B']"), r"line 2: classes is"),
    "one class": (row("x", classes="[' A']"), r"line 2: .* two different"),
    "one class twice": (row("x", classes="[' A', ' A']"), r"line 2: .* two different"),
    "three classes": (row("x", classes="[' A', ' B', ' C']"), r"line 2: .* two different"),
    "answer out of range": (row("x", 2), r"line 2: answer_index is 2; 0 or 1"),
    "answer negative": (row("x", -1), r"line 2: answer_index is -1; 0 or 1"),
    "answer a letter": (row("x", answer_index="A"), r"line 2: answer_index is 'A'; 0 or 1"),
    "answer a truth value": (row("x", answer_index=True), r"line 2: answer_index is True; 0 or 1"),
    "answer a fraction": (row("x", answer_index=1.0), r"line 2: answer_index is 1.0; 0 or 1"),
}


@pytest.mark.parametrize(("line", "told"), DAMAGED.values(), ids=DAMAGED)
def test_a_broken_line_is_named_with_its_number(line: Any, told: str, write: Write) -> None:
    path = write(ROWS[0], line, ROWS[1])
    with pytest.raises(TaskError, match=told) as refused:
        prize.read("negation_qa", path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (json.dumps(ROWS[0]).encode("utf-16"), "cannot be read as UTF-8"),
        (json.dumps(ROWS[0]).encode("utf-16-le"), "line 1: no JSON"),
        (b"\x00" * 64, "line 1: no JSON"),
        (b"\xef\xbb\xbf" + json.dumps(ROWS[0]).encode(), "line 1: no JSON .*BOM"),
        (b"PK\x03\x04\xff\xfe", "cannot be read as UTF-8"),
    ],
    ids=["empty", "UTF-16", "UTF-16 without a mark", "NUL", "BOM", "zip"],
)
def test_a_file_that_is_no_text_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(TaskError, match=told):
        prize.read("negation_qa", path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(TaskError, match=f"there is no file {path}"):
            prize.read("negation_qa", path)


def test_a_sound_file_that_is_not_the_official_one_is_refused(write: Write) -> None:
    path = write(*ROWS)
    came = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    with pytest.raises(TaskError, match=rf"not the official .* SHA-256 {came}…, wanted 84,046 bytes with 50ca9dca517d"):
        prize.read("negation_qa", path)


def test_a_task_without_an_official_file_is_told_which_have_one(write: Write) -> None:
    with pytest.raises(TaskError, match="negation_qa"):
        prize.read("negation", write(*ROWS))


@pytest.fixture(scope="module")
def official() -> Path:
    if "DISTRACTOR_DATA" not in os.environ:
        pytest.skip(
            "DISTRACTOR_DATA is not set: it names the folder with neqa_classification.jsonl, which is not shipped"
        )
    return Path(os.environ["DISTRACTOR_DATA"]) / "neqa_classification.jsonl"


@pytest.fixture(scope="module")
def neqa(official: Path) -> Task:
    return prize.read("negation_qa", official)


def test_all_official_rows_but_the_two_faulty_ones_are_used(neqa: Task) -> None:
    assert len(neqa.items) == 298
    assert [*neqa.left_out.values()] == [("row 53", "row 276")]


def test_official_rows_are_conflict_prompts_to_the_letter(neqa: Task, official: Path) -> None:
    rows = [json.loads(line) for line in official.read_text().splitlines()]
    for item in neqa.items:
        told = rows[int(item.id.removeprefix("neqa/"))]
        assert item.prompts[Condition.CONFLICT] == told["prompt"]
        assert item.true == [" A", " B"][told["answer_index"]]
        assert {*item.answers} == {" A", " B"}


def test_official_answers_are_as_frequent_as_told(official: Path) -> None:
    assert Counter(each.answer for each in prize.read_rows(official)) == {0: 137, 1: 163}


def test_no_official_question_keeps_its_negation_without_the_cue(neqa: Task) -> None:
    for item in neqa.items:
        question = {c: text.partition("Question: ")[2].partition("\nA. ")[0] for c, text in item.prompts.items()}
        assert re.search(r"\bnot\b|n't", question[Condition.CONFLICT])
        assert not re.search(r"\bnot\b|n't", question[Condition.DISTRACTOR_ONLY])
        assert not re.search(r"\bnot\b|n't", question[Condition.CONGRUENT])
        rest = {text.partition("\nA. ")[2] for text in item.prompts.values()}
        assert len(rest) == 1


def test_the_cue_of_every_official_question_is_its_negation(neqa: Task) -> None:
    for item in neqa.items:
        text = item.prompts[Condition.CONFLICT]
        first, last = neqa.roles(text)["cue"]
        assert text[first:last] in {" not", "n't"}


def test_a_changed_official_file_is_refused(official: Path, tmp_path: Path) -> None:
    content = official.read_bytes()
    path = tmp_path / official.name
    path.write_bytes(content.replace(b'"round":1', b'"round":2', 1))
    assert path.read_bytes() != content
    with pytest.raises(TaskError, match="not the official"):
        prize.read("negation_qa", path)
