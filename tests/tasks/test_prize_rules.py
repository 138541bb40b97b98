"""The rules of seven official files, on rows of our own in their documented formats; rows that do not fit are listed."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prize_rows import BROKEN, ROWS, line, made, register, rows_of, save_model

from distractor.errors import EncodeError
from distractor.models.load import load
from distractor.scoring.encode import encode
from distractor.text.task import Condition, Item, Task
from tasks import prize
from tasks.prize import algebra, patterns, quotes, redefine, rounding, tollens, unknown

pytestmark = pytest.mark.quick

RULES = {
    "pattern_matching": "pattern-matching-suppression",
    "resisting_correction": "resisting-correction",
    "redefine_math": "redefine",
    "into_the_unknown": "into-the-unknown",
    "modus_tollens": "modus-tollens",
    "repetitive_algebra": "repetitive-algebra",
    "sig_figs": "sig-figs",
}
ODD = made("What is this?", [" a", " b"], 0, index=99)


def derived(task: str) -> Task:
    return prize.derive(task, rows_of(RULES[task]), "here")


@pytest.mark.parametrize("task", RULES)
def test_every_row_of_the_documented_format_is_used_and_any_other_is_listed(task: str) -> None:
    rows = rows_of(RULES[task])
    found = prize.derive(task, [*rows, ODD], "here", ["row 100"])
    assert [item.prompts[Condition.CONFLICT] for item in found.items] == [row.prompt for row in rows]
    assert [item.answers for item in found.items] == [(row.true, row.distractor) for row in rows]
    assert [*found.left_out.values()] == [("row 99",), ("row 100",)]
    assert len(found.conditions) > 1


@pytest.mark.parametrize("task", RULES)
def test_rows_with_the_same_prompt_are_one_group_of_a_rule(task: str) -> None:
    (first, *_) = rows_of(RULES[task])
    again = made(first.prompt, list(first.classes), first.answer, index=7)
    assert len({item.group for item in prize.derive(task, [first, again], "here").items}) == 1


def only(task: Task) -> list[str]:
    return [item.prompts[Condition.DISTRACTOR_ONLY] for item in task.items]


# Pattern Matching Suppression


def test_a_sequence_without_its_instruction_is_distractor_only() -> None:
    task = derived("pattern_matching")
    assert only(task)[:2] == ["sun, moon, sun, moon, sun,"] * 2
    assert only(task)[2:4] == ["7, 4, 7, 4, 7, 4, 7,"] * 2
    assert len({item.group for item in task.items}) == 3


@pytest.mark.parametrize(
    ("prompt", "sequence"),
    [
        ("Break it (A B).\nA B A B A", "A B A B A"),
        ("Break it (A B).\nA, B, A, B, A, ", "A, B, A, B, A, "),
        ("Break it.\nB, A, B, A,", "B, A, B, A,"),
        ("Break it: ABABA", "ABABA"),
        ("Break it.\nA\nB\nA\n", "A\nB\nA\n"),
        ("Break it. A -> B -> A ->", "A -> B -> A ->"),
        ("A, B, A,", None),  # no instruction
        ("Break it.\nA, B,", None),  # the pattern goes on with the true answer
        ("Break it.\nA, A, A,", None),
        ("Break it.\nB, A,", None),  # too short to be a pattern
        ("Break it.\nA, B, A, or so", None),
        ("Break it.\nCA, B, A,", None),  # begins within a word
    ],
)
def test_the_answers_by_turns_say_where_a_sequence_begins(prompt: str, sequence: str | None) -> None:
    assert patterns.sequence_of(prompt, "A", "B") == sequence


# Resisting Correction


def test_the_started_sentence_alone_is_distractor_only() -> None:
    task = derived("resisting_correction")
    assert only(task) == [
        "A stitch in time saves", "The early bird catches the", "She did not", "We have two",
        "Don't count your chickens before they",
    ]  # fmt: skip
    assert not task.starts_at_chance


def test_quote_repetition_uses_the_rows_whose_sentence_ends_in_the_altered_word() -> None:
    task = prize.derive("quote_repetition", rows_of("resisting-correction"), "here")
    assert [item.id[-1] for item in task.items] == ["0", "1", "4"]
    assert task.left_out == {"the altered word does not end its sentence": ("row 2", "row 3")}


@pytest.mark.parametrize(
    ("prompt", "ending", "sentence"),
    [
        ("Again: A cat sat\nYour turn: A cat", " sat", "A cat"),
        ("Again.\n> A cat sat\n> A cat", " sat", "A cat"),
        ("Repeat: It rains. A cat sat. It rains. A cat", " sat", "It rains. A cat"),
        ("Repeat: A cat sat. A cat", " sat", "A cat"),
        ("Input: A cat sat down\nOutput: A cat ", " sat", "A cat "),  # a space at the end
        ("Input: A cat sat down\nOutput: A cat ", "sat", "A cat "),
        ("Input: A cat recieved it\nOutput: A cat", " rec", "A cat"),  # the class is a part of the word
        ("Input: A cat sat\nOutput: A dog", " sat", None),
        ("Input: A cat sat\nOutput: A cat", " stood", None),
        ("Input: A cat sat\nOutput:", " A", None),  # no sentence is started
    ],
)
def test_where_a_started_sentence_begins(prompt: str, ending: str, sentence: str | None) -> None:
    found = quotes.start_of(prompt, ending)
    assert (prompt[found[0] :] if found else None) == sentence


# Redefine


def test_the_question_alone_is_distractor_only() -> None:
    assert only(derived("redefine_math")) == [
        "Q: What is the first digit of π? A:",
        "Q: What is the second digit of 3+8? A:",
        "Question: What is the first digit of e?\nAnswer:",
        "Is a tower tall?",
    ]


@pytest.mark.parametrize(
    ("prompt", "question"),
    [
        ("Redefine π as 3.2 today. Is π more than 3.1?\nAnswer:", "Is π more than 3.1?\nAnswer:"),
        ("Is π more than 3.1?", None),
        ("Swap yes and no. Is ice cold? Is fire hot?", None),
        ("Redefine π as 5.", None),
    ],
)
def test_a_question_without_a_label_begins_at_its_sentence(prompt: str, question: str | None) -> None:
    assert redefine.question_of(prompt) == question


# Into the Unknown


def test_facts_and_options_without_the_question_are_distractor_only() -> None:
    task = derived("into_the_unknown")
    assert only(task)[0] == (
        "We know: The shop has two floors. Shoes are on the upper floor.\n"
        "A. Shoes are on the upper floor.\nB. It sold 300 pairs in May.\nAnswer:"
    )
    assert [item.distractor for item in task.items] == [" A", " B", " A"]
    assert len({item.group for item in task.items}) == 3


@pytest.mark.parametrize(
    "change",
    [
        (". Shoes are", ". Boots are"),  # the option is no fact
        ("\nB. It sold 300 pairs in May", "\nB. The shop has two floors"),  # both are facts
        ("\nB. ", "\nC. "),
        ("Answer:", "Which one?"),  # the question comes after the options
        ("We know: The shop has two floors. Shoes are on the upper floor.\n\n", ""),
    ],
)
def test_other_rows_about_information_are_left_out(change: tuple[str, str]) -> None:
    row = rows_of("into-the-unknown")[0]
    other = made(row.prompt.replace(*change, 1), list(row.classes), row.answer)
    assert other.prompt != row.prompt
    assert unknown.without_question(other) is None


def test_a_question_in_a_paragraph_of_its_own_needs_no_now() -> None:
    row = rows_of("into-the-unknown")[0]
    other = made(row.prompt.replace("Now, we want to infer", "We ask"), list(row.classes), row.answer)
    assert unknown.without_question(other) == unknown.without_question(row)


# Modus Tollens


def test_a_conclusion_without_its_statements_is_neutral() -> None:
    task = derived("modus_tollens")
    item = task.items[0]
    assert item.prompts[Condition.NEUTRAL] == (
        "Conclusion: Therefore, Ada doesn't have a boat.\n\nQuestion: Is the conclusion correct?\n\nAnswer:"
    )
    assert task.right[Condition.NEUTRAL] is None
    assert "distractor_only" not in task.conditions


@pytest.mark.parametrize("prompt", ["Conclusion: So it is.\nAnswer:", "If.\nConclusion: So.\nConclusion: So.\nAnswer:"])
def test_rows_without_one_conclusion_after_statements_are_left_out(prompt: str) -> None:
    task = tollens.inferred([*rows_of("modus-tollens"), made(prompt, [" Yes", " No"], 0, index=5)], "here")
    assert [*task.left_out.values()] == [("row 5",)]


# Repetitive Algebra


def value_of(prompt: str) -> int:
    """The value of the last sum, computed from the text."""
    (_, _, last) = prompt.rpartition("Suppose ")
    return sum(map(int, re.findall(r"-?\d+", last.partition("=")[0])))


def test_the_sum_alone_is_true_only_and_has_the_copied_value_in_congruent() -> None:
    for item in derived("repetitive_algebra").items:
        conflict, alone = item.prompts[Condition.CONFLICT], item.prompts[Condition.TRUE_ONLY]
        assert alone == conflict.splitlines()[-1]
        assert value_of(conflict) == value_of(alone) == int(item.true)
        wordings = item.wordings(Condition.CONGRUENT)
        assert len(set(wordings)) == algebra.WORDINGS
        assert {value_of(text) for text in wordings} == {int(item.distractor)}
        assert {text.splitlines()[:-1] == conflict.splitlines()[:-1] for text in wordings} == {True}


@pytest.mark.parametrize(
    "change",
    [
        ("A: 64\n", "A: 63\n"),  # no example has the distractor's answer
        ("Suppose 2 + 69", "Suppose 2 + 68"),  # the true answer is not the sum's
        ("Suppose 2 + 69", "Suppose 2 * 69"),
        ("Suppose 2 + 69 = d", "Suppose 2 + 69 + 0 = d"),
        ("\nQ: Suppose 2", "\nSuppose 2"),
    ],
)
def test_other_sums_are_left_out(change: tuple[str, str]) -> None:
    row = rows_of("repetitive-algebra")[0]
    other = made(row.prompt.replace(*change), list(row.classes), row.answer, index=5)
    assert other.prompt != row.prompt
    task = algebra.copied([*rows_of("repetitive-algebra"), other], "here")
    assert [*task.left_out.values()] == [("row 5",)]


def test_a_difference_is_a_sum_too() -> None:
    row = rows_of("repetitive-algebra")[0]
    other = made(row.prompt.replace("2 + 69", "80 - 9"), list(row.classes), row.answer)
    (item,) = algebra.copied([other], "here").items
    assert item.prompts[Condition.CONGRUENT].endswith("Suppose 80 - 16 = d. What is the value of d? A:")


# Sig Figs


def test_decimal_places_are_asked_for_in_congruent() -> None:
    task = derived("sig_figs")
    assert task.items[0].prompts[Condition.CONGRUENT] == (
        "Please round 4.7261 to 2 decimal places.\nA. 4.7\nB. 4.73\nAnswer:"
    )
    for item in task.items:
        text = item.prompts[Condition.CONFLICT]
        number, shown = re.search(r"round (\S+)", text), re.search(rf"{item.distractor.strip()}\. (\S+)", text)
        assert number
        assert shown
        places = len(shown[1].partition(".")[2])
        assert round(Decimal(number[1]), places) == Decimal(shown[1])
        assert all(text.endswith("\nAnswer:") for text in item.wordings(Condition.CONGRUENT))


@pytest.mark.parametrize(
    "change",
    [
        ("B. 4.73", "B. 4.72"),  # rounded wrongly
        ("B. 4.73", "B. 4.726"),  # other places
        ("2 significant figures", "2 digits"),
        ("4.7261", "4.7261 and 3.1"),
        ("B. 4.73", "C. 4.73"),
        ("Please", "To 2 significant figures. Please"),
    ],
)
def test_other_roundings_are_left_out(change: tuple[str, str]) -> None:
    row = rows_of("sig-figs")[0]
    other = made(row.prompt.replace(*change, 1), list(row.classes), row.answer, index=5)
    assert other.prompt != row.prompt
    task = rounding.rounded([*rows_of("sig-figs"), other], "here")
    assert [*task.left_out.values()] == [("row 5",)]


def test_worked_examples_before_the_rounding_stay() -> None:
    first, second, _ = rows_of("sig-figs")
    both = made(f"{first.prompt} A\n\n{second.prompt}", list(second.classes), second.answer)
    (item,) = rounding.rounded([both], "here").items
    (alone,) = rounding.rounded([second], "here").items
    assert item.prompts[Condition.CONGRUENT] == f"{first.prompt} A\n\n{alone.prompts[Condition.CONGRUENT]}"
    unanswered = made(f"{first.prompt}\n\n{second.prompt}", list(second.classes), second.answer, index=5)
    assert rounding.rounded([second, unanswered], "here").left_out


def test_a_tie_that_makes_both_options_right_is_left_out() -> None:
    row = made("Please round 4.125 to 2 significant figures.\nA. 4.13\nB. 4.12\nAnswer:", [" A", " B"], 0, index=5)
    assert [*rounding.rounded([*rows_of("sig-figs"), row], "here").left_out.values()] == [("row 5",)]


# Rows and answers of every official file


QUOTED = line("A rose by any other", """[" name's", ' "word"']""", 0)


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_no_task_can_use_are_counted_and_the_others_are_used(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(ROWS[name])
    path = register(name, tmp_path, monkeypatch, (*BROKEN, QUOTED))
    plain = prize.read(name, path)
    assert len(plain.items) == count + 1
    assert plain.items[-1].answers == (" name's", ' "word"')
    assert plain.left_out == {prize.NO_ROW: tuple(f"row {count + k}" for k in range(len(BROKEN)))}
    assert plain.cautions == ("No conditions: scored as published; no pulls.",)
    is_official, shown = prize.describe(path)
    assert is_official
    assert shown[-1] == (
        f"  --task {name}: {count + 1} items (conflict {count + 1}); no conditions: scored as published; no pulls; "
        f"6 left out: {prize.NO_ROW}"
    )
    for task in (task for task in prize.DERIVED if prize.DERIVED[task][0] == name):
        assert prize.read(task, path).left_out[prize.NO_ROW] == plain.left_out[prize.NO_ROW]


def test_items_whose_answers_a_tokenizer_cannot_tell_apart_are_dropped_and_counted(tmp_path: Path) -> None:
    model = load(save_model(tmp_path, "digits"), device="cpu")  # a byte is a token, so 7 begins 71
    rows = [made("Again: 7\n", [" 7", " 71"], 0, index=0), made("Again: 8\n", [" 8", " 71"], 0, index=1)]
    encoding = encode(prize.derive("sig-figs", rows, "here"), model)
    assert [item.id for item in encoding.items] == ["sig-figs/1"]
    assert encoding.dropped == {Condition.CONFLICT: 1}
    with pytest.raises(EncodeError, match="one begins with the other"):
        encode(prize.derive("sig-figs", rows[:1], "here"), model)
    own = Task(name="own", question="?", source="here", items=tuple(item(row) for row in rows))
    with pytest.raises(EncodeError, match="one begins with the other"):
        encode(own, model)


def item(row: Any) -> Item:
    return Item(str(row.index), str(row.index), row.true, row.distractor, {Condition.CONFLICT: row.prompt})
