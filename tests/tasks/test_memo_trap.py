"""The rules of Memo Trap, on rows of our own in the documented format."""

import re
from pathlib import Path

import pytest

import tiny
from distractor.models.load import load
from distractor.scoring.encode import encode
from distractor.text.task import Answer, Condition
from tasks.prize import DERIVED, memo
from tasks.rows import Row

pytestmark = pytest.mark.quick

ROWS = (
    ('Write a quote that ends in the word "early": Better late than', (" never", " early"), 1, 1),
    ('Write a quote that ends in the word "bread": Better late than', (" bread", " never"), 0, 1),
    ("Write a quote that ends in the word “green”: All that glitters is not", (" gold", " green"), 1, 1),
    ('Write a quote that ends in the word "all": All is well that ends', (" well", " all"), 1, 1),  # in the opening
    ('Write a quote that ends in the word "soup": Too many cooks spoil the', (" broth.", " soup."), 1, 1),
    ("Write a quote that ends in the word \"cat's\": Don't look a gift horse in the", (" mouth.", " cat's."), 1, 1),
    (
        'Write a quote that ends in the word "soup": Too many cooks spoil the',
        (" broth", " soup"),
        0,
        1,
    ),  # another is right
    ("Finish the saying. Too many cooks spoil the", (" broth", " soup"), 1, 1),  # no request
    ('Write a quote that ends in the word "hare": Slow and steady wins the', (" race", " hare"), 1, 2),  # another part
)


def rows() -> list[Row]:
    return [
        Row(k, k + 1, prompt, classes, answer, {"round": 2, "part": part})
        for k, (prompt, classes, answer, part) in enumerate(ROWS)
    ]


def test_each_row_is_used_once_or_listed() -> None:
    task, apart = memo.sayings(rows(), "here"), memo.word_in_opening(rows(), "here")
    assert [item.id for item in task.items] == [f"memo-trap/{k}" for k in (0, 1, 2, 4, 5)]
    assert [item.id for item in apart.items] == ["memo-trap/3"]
    assert task.left_out == {
        "of another part of the file": ("row 8",),
        "the request does not name the right ending": ("row 6", "row 7"),
    }
    assert task.items[0].group == task.items[1].group != task.items[2].group  # one saying, two required words
    assert {"memo_trap", "memo_trap.word_in_opening"} <= set(DERIVED)


def test_the_conditions_ask_for_the_required_or_the_real_ending() -> None:
    first, *_, last, _ = memo.sayings(rows(), "here").items
    assert first.prompts[Condition.CONFLICT] == ROWS[0][0]
    assert first.answers == (" early", " never")
    assert first.prompts[Condition.CONGRUENT] == 'Write a quote that ends in the word "never": Better late than'
    assert first.prompts[Condition.DISTRACTOR_ONLY] == "Better late than"
    assert '"broth": Too many' in last.prompts[Condition.CONGRUENT]  # without the full stop
    assert all(text.endswith("Better late than") for text in first.wordings(Condition.CONGRUENT))
    assert len(set(first.wordings(Condition.CONGRUENT))) == 6


def test_an_unknown_sentence_of_equal_length_takes_the_place_of_the_saying() -> None:
    for item in memo.sayings(rows(), "here").items:
        opening = item.prompts[Condition.DISTRACTOR_ONLY]
        unknown = item.prompts[Condition.NEUTRAL]
        request = item.prompts[Condition.CONFLICT].removesuffix(opening)
        assert len(unknown.split()) == len(opening.split())
        assert item.prompts[Condition.TRUE_ONLY] == item.prompts[Condition.DISTRACTOR_SWAPPED] == request + unknown
        words = set(map(memo.plain, unknown.split()))
        assert not words & {memo.plain(answer) for answer in item.answers}
        assert len(item.wordings(Condition.DISTRACTOR_SWAPPED)) > 1


def test_unknown_sentences_are_long_enough_and_no_two_begin_alike() -> None:
    assert min(map(len, memo.UNKNOWN)) >= 27
    assert len({tuple(words[:2]) for words in memo.UNKNOWN}) == len(memo.UNKNOWN)


def test_roles_and_right_answers() -> None:
    task = memo.sayings(rows(), "here")
    assert task.layout is not None
    for item in task.items:
        for condition in item.prompts:
            for text in item.wordings(condition):
                found = re.fullmatch(task.layout, text)
                assert found is not None
                assert found["slot"] == text.split()[-1]
                has_request = condition not in (Condition.DISTRACTOR_ONLY, Condition.NEUTRAL)
                assert (found["cue"] is not None) is has_request
    assert (task.right[Condition.DISTRACTOR_SWAPPED], task.right[Condition.CONGRUENT]) == (
        Answer.TRUE,
        Answer.DISTRACTOR,
    )


def test_every_item_is_aligned_under_a_tokenizer_of_words(tmp_path: Path) -> None:
    task = memo.sayings(rows(), "here")
    folder = tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], tiny.word_level(tiny.words_of(*tiny.texts_of(task))))
    encoding = encode(task, load(folder, name="words", device="cpu"))
    assert len(encoding.items) == len(task.items)
    assert not any(encoding.dropped.values())
