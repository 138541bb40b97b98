"""Answers are read from free text; a text without an answer gives a reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distractor.scoring.reply import read_answer
from distractor.text.task import Answer

pytestmark = pytest.mark.quick

LETTERS = (" B", " A")
WORDS = (" birds", " words")
YES_NO = (" Yes", " No")
DIGITS = (" 8", " 3")
ODDS = (" N", " Y")

TRUE, DISTRACTOR = Answer.TRUE, Answer.DISTRACTOR
OTHER = None

ANSWERED = [
    # at the start
    (" B", LETTERS, TRUE),
    ("A", LETTERS, DISTRACTOR),
    (" B.", LETTERS, TRUE),
    ("(B)", LETTERS, TRUE),
    ("**B**", LETTERS, TRUE),
    ("B) Rome", LETTERS, TRUE),
    ("B. Rome", LETTERS, TRUE),
    ("B: Rome", LETTERS, TRUE),
    ("B, because Paris is the capital", LETTERS, TRUE),
    ("B because Paris is the capital", LETTERS, TRUE),
    ("\n\nB", LETTERS, TRUE),
    ("B\nQuestion: The capital of Italy is", LETTERS, TRUE),
    ("Yes, it is.", YES_NO, TRUE),
    ("yes", YES_NO, TRUE),
    (" birds.", WORDS, TRUE),
    (" words.\nThe last word is words", WORDS, DISTRACTOR),
    ("8", DIGITS, TRUE),
    ("b.", LETTERS, TRUE),
    # in a sentence
    ("The answer is B.", LETTERS, TRUE),
    ("the answer is B", LETTERS, TRUE),
    (" The capital of France is Paris. The answer is not A. The answer is B.", LETTERS, TRUE),
    (" The capital of France is Paris . The answer is not A . The answer is B .", LETTERS, TRUE),
    ("The answer is (A).", LETTERS, DISTRACTOR),
    ("The answer is: B", LETTERS, TRUE),
    ("The answer is:\n\nB", LETTERS, TRUE),
    ("The correct answer is B. Rome.", LETTERS, TRUE),
    ("So the final answer is B) Rome", LETTERS, TRUE),
    ("The answer is option B.", LETTERS, TRUE),
    ("The answer is probably B.", LETTERS, TRUE),
    ("The answer would be A, not B.", LETTERS, DISTRACTOR),
    ("The answer's B.", LETTERS, TRUE),
    ("Answer: B", LETTERS, TRUE),
    ("The answer is B. I say it again: the answer is B.", LETTERS, TRUE),
    ("I think the answer is B, since Paris is the capital of France and A is ruled out.", LETTERS, TRUE),
    ("The answer is B\n\nQuestion: another", LETTERS, TRUE),
    ("\nThe last word is birds. The answer is birds.", WORDS, TRUE),
    ("The answer is Birds.", WORDS, TRUE),
    ('The answer is "birds".', WORDS, TRUE),
    ("The answer is the word birds.", WORDS, TRUE),
    (" π is 5.19212. 5 + 3 is 8. The answer is No.", YES_NO, DISTRACTOR),
    ("The answer is 8.", DIGITS, TRUE),
    ("The answer is $8$.", DIGITS, TRUE),
    (r"The answer is \boxed{8}.", DIGITS, TRUE),
    (" 20 times 200 is less than 80 times 90. The answer is N.", ODDS, TRUE),
    ("The answer isn't A. The answer is B.", LETTERS, TRUE),
    # Unicode
    ("The answer is Ｂ.", LETTERS, TRUE),
    ("The answer is “B”.", LETTERS, TRUE),
    ("The answer\u00a0is\u00a0B.", LETTERS, TRUE),
    ("The answer is \u200bB\u200b.", LETTERS, TRUE),
    ("„birds“", WORDS, TRUE),
    # neither of the two answers
    ("The answer is C.", LETTERS, OTHER),
    ("C", LETTERS, OTHER),
    ("The answer is 4.1.", (" 4", " 3"), OTHER),
    ("83", DIGITS, OTHER),
    ("The answer is 8 + 3.", DIGITS, OTHER),
    ("The answer is 38.", DIGITS, OTHER),
    ("The answer is birdsong.", WORDS, OTHER),
    ("réponse", LETTERS, OTHER),
]  # fmt: skip

UNANSWERED = [
    ("", LETTERS, "empty"),
    ("  \n\t ", LETTERS, "empty"),
    ("\u200b\ufeff", LETTERS, "empty"),
    ("The answer is not A.", LETTERS, "only what it is not"),
    ("The answer isn't A.", LETTERS, "only what it is not"),
    ("The answer is probably not A.", LETTERS, "only what it is not"),
    ("Not A.", LETTERS, "only what it is not"),
    ("The answer is A. The answer is B.", LETTERS, "two answers"),
    ("The answer is not A. The answer is A.", LETTERS, "two answers"),
    ("The answer is A. Wait, the answer is B.", LETTERS, "two answers"),
    ("The answer is A. No, the answer is C.", LETTERS, "two answers"),
    ("The answer is A or B.", LETTERS, "hedged"),
    ("The answer is either A or B.", LETTERS, "hedged"),
    ("The answer is unclear.", LETTERS, "hedged"),
    ("The answer is a bit unclear to me.", LETTERS, "hedged"),
    ("The answer is A and B.", LETTERS, "hedged"),
    ("A or B", LETTERS, "hedged"),
    ("The answer could be B.", LETTERS, "no answer"),
    ("A good question, and a hard one.", LETTERS, "no answer"),
    ("I would choose B.", LETTERS, "no answer"),
    ("words are cheap", WORDS, "no answer"),
    ("The capital of France is Paris. The capital of Italy is Rome.", LETTERS, "no answer"),
    ("The capital of France is Paris. The answer is", LETTERS, "cut off"),
    ("The answer is that the capital of France is indeed Paris.", LETTERS, "too long"),
    ("我不知道 什么", LETTERS, "no answer"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answers", "expected"), ANSWERED, ids=lambda value: repr(value)[:50])
def test_a_stated_answer_is_read(text: str, answers: tuple[str, str], expected: Answer | None) -> None:
    reply = read_answer(text, answers)
    assert reply.why is None
    assert reply.answer
    assert reply.given == expected


@pytest.mark.parametrize(("text", "answers", "why"), UNANSWERED, ids=lambda value: repr(value)[:50])
def test_a_text_without_an_answer_gives_the_reason(text: str, answers: tuple[str, str], why: str) -> None:
    reply = read_answer(text, answers)
    assert (reply.answer, reply.given, reply.why) == (None, None, why)


@pytest.mark.parametrize(("text", "answers", "expected"), ANSWERED, ids=lambda value: repr(value)[:50])
def test_exchanging_the_two_answers_exchanges_the_result(
    text: str, answers: tuple[str, str], expected: Answer | None
) -> None:
    reply = read_answer(text, answers[::-1])
    assert reply.given == (None if expected is None else Answer(1 - expected))


def test_the_slot_follows_the_statement_that_gives_the_answer() -> None:
    text = " The capital of France is Paris. The answer is not A. The answer is B. And so on."
    reply = read_answer(text, LETTERS)
    assert text[: reply.slot] == " The capital of France is Paris. The answer is not A. The answer is"
    assert read_answer(" B", LETTERS).slot is None


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.sampled_from([LETTERS, WORDS, YES_NO, DIGITS]))
def test_any_text_gives_either_an_answer_or_a_reason(text: str, answers: tuple[str, str]) -> None:
    for written in (text, f"The answer is {text}", f"{text} The answer is B."):
        reply = read_answer(written, answers)
        assert (reply.answer is None) == (reply.why is not None)
        assert reply.given is None or reply.answer == answers[reply.given].strip()


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(LETTERS), st.sampled_from([".", "!", ")", ".\n", " because so", ", I think"]))
def test_text_after_an_answer_changes_nothing(answer: str, rest: str) -> None:
    assert read_answer(f"The answer is{answer}{rest}", LETTERS).given == LETTERS.index(answer)
