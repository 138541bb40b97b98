r"""Reads the answer from a generated text: what follows "the answer is", or an answer at the start of the text.

Answers must match exactly, as in the paper. A text that a reader would have to interpret has no answer. `Reply.why` then
gives the reason, and the text is counted separately, never as wrong.

>>> from distractor.text.task import Answer
>>> read_answer("The capital is Paris. The answer is not A. The answer is B.", (" B", " A")).given
<Answer.TRUE: 0>
>>> read_answer("It may be either of them.", (" B", " A")).why
'no answer'
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from distractor.text.task import Answer

Why = Literal["empty", "no answer", "only what it is not", "two answers", "hedged", "too long", "cut off"]
"""Why a text has no answer."""

MAX_WORDS = 3  # the most words in an answer that is neither of the two offered

STATEMENT = re.compile(
    r"\b(?:(?:the|my|our)\s+(?:(?:right|correct|final|true|best|only|new)\s+)*answer\s*"
    r"(?:(?P<verb>\bis|'s|\bwas|\b(?:would|should|must|will)\s+be)(?P<not>n['’]t\b|\s+not\b)?|(?P<isnt>\bisn['’]t))"
    r"(?![\w'])|answer\s*:)",
    re.IGNORECASE,
)
"""The words before an answer."""

OPENING = re.compile(r"(?:[\s:\"'*_(\[{<«„`$]|\\boxed|\\text)+")

FILLING = re.compile(
    r"(?:(?:probably|(?:most\s+)?likely|clearly|definitely|certainly|surely|simply|thus|therefore|indeed|then|still|now|"
    r"option|choice|letter|number|digit|the\s+(?:word|letter|digit|number|option|choice))\b[\s:*\"'(]+)+",
    re.IGNORECASE,
)

HEDGE = re.compile(
    r"\b(?:either|neither|both|unclear|unknown|uncertain|unsure|sure|hard|impossible|ambiguous|difficult|undefined|"
    r"depends?|none|cannot|can't|could\s+be|may\s+be|might\s+be)\b",
    re.IGNORECASE,
)

ENDING = re.compile(r"\n|[.!?;](?=[\s\"'*_)\]}»“”`$]|$)")

CLOSING = " \t\"'*_)]}>»“”`$.,:;!?"

CONTINUATION = re.compile(
    r"\s+(?:because|since|as|for|so|and|but|or|when|if|while|not|rather|instead|which|that|by|given|due|with|according|"
    r"then|in|here|–|—|-)(?!\w)",
    re.IGNORECASE,
)
"""Words that may follow an answer in its sentence. Before any other word, the match is part of a longer phrase."""

INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
QUOTES = str.maketrans("“”‘’‚", "\"\"'''")


@dataclass(frozen=True)
class Reply:
    """The answer read from a text: `answer` as written, and which of the two it is (`given`, None for any other).

    If there is no answer, `why` gives the reason. `slot` is the index of the character after "the answer is", None if
    the text does not say that. `is_negated` marks a statement that rules its answer out.
    """

    answer: str | None = None
    given: Answer | None = None
    why: Why | None = None
    is_negated: bool = False
    slot: int | None = None


def read_answer(text: str, answers: tuple[str, str]) -> Reply:
    """Read the answer in `text`, where all statements must agree; a text without one may start with the answer."""
    answers = _normalize(answers[0]).strip(), _normalize(answers[1]).strip()
    if not _normalize(text).strip():
        return Reply(why="empty")
    statements = list(_statements(text, answers)) or [_first_line(text, answers)]
    stated = [each for each in statements if each.answer is not None and not each.is_negated]
    denied = {each.given for each in statements if each.is_negated and each.given is not None}
    if not stated:
        return Reply(why=next((each.why for each in statements if each.why), None) or "only what it is not")
    first = stated[0]
    if len({each.given if each.given is not None else each.answer for each in stated}) > 1 or first.given in denied:
        return Reply(why="two answers")
    return first


def _statements(text: str, answers: tuple[str, str]) -> Iterator[Reply]:
    """Every statement of the form "the answer is …"."""
    for match in STATEMENT.finditer(text):
        rest = _normalize(text[match.end() :])
        is_negated = bool(match["not"] or match["isnt"])
        if is_negated and any(_after_answer(f"not{rest}", answer) is not None for answer in answers):
            is_negated, rest = False, f"not{rest}"  # the answer itself begins with "not"
        statement = _statement(rest, answers)
        why = None if is_negated else statement.why
        yield replace(statement, why=why, is_negated=is_negated, slot=match.end())


def _statement(rest: str, answers: tuple[str, str]) -> Reply:
    """Read what follows "the answer is"."""
    if offered := _offered_answer(rest, answers):
        return offered
    sentence = FILLING.sub("", _without_opening(rest), count=1)
    end = ENDING.search(sentence)
    sentence = sentence[: end.start() if end else None].strip(CLOSING + "\n")
    if not sentence:
        return Reply(why="cut off")
    if re.match(r"not\b", sentence, re.IGNORECASE):
        return Reply(is_negated=True)
    if HEDGE.search(sentence):
        return Reply(why="hedged")
    return Reply(sentence) if len(sentence.split()) <= MAX_WORDS else Reply(why="too long")


def _first_line(text: str, answers: tuple[str, str]) -> Reply:
    """Read an answer at the start of the text. A first line of one other word is another answer."""
    line = _without_opening(_normalize(text)).split("\n")[0]
    if offered := _offered_answer(line, answers):
        return offered
    word = line.strip(CLOSING)
    if re.match(r"not\b", word, re.IGNORECASE) and any(_after_answer(word[3:].strip(), a) is not None for a in answers):
        return Reply(why="only what it is not")
    return Reply(word) if word and len(word.split()) == 1 else Reply(why="no answer")


def _offered_answer(text: str, answers: tuple[str, str]) -> Reply | None:
    """The offered answer at the start of the text, or "hedged" if the other one follows; None if there is none."""
    for start in (_without_opening(text), FILLING.sub("", _without_opening(text), count=1)):
        for answer in sorted(answers, key=len, reverse=True):
            rest = _after_answer(start, answer)
            if rest is None:
                continue
            index = answers.index(answer)
            joined = re.match(r"[\s\"'*)]*(?:,\s*)?(?:/|or\b|and\b|and/or\b)\s*", rest, re.IGNORECASE)
            if joined and _after_answer(_without_opening(rest[joined.end() :]), answers[1 - index]) is not None:
                return Reply(why="hedged")
            return Reply(answer, Answer(index))
    return None


def _after_answer(text: str, answer: str) -> str | None:
    """The text after `answer` at the start of `text`; None if the answer is missing or part of a longer phrase. Single
    letters need the same
    case.
    """
    head, rest = text[: len(answer)], text[len(answer) :]
    if head != answer and (len(answer) == 1 or head.casefold() != answer.casefold()):
        is_alone = head.casefold() == answer.casefold() and not rest.strip(CLOSING + "\n")
        return rest if head and is_alone else None
    is_part = re.match(r"\w|[.,]\d|['’-]\w|%|/\d|\s*[+*/÷×^=]\s*\d", rest)
    is_followed = re.match(r"[^\S\n]+\w", rest) and not CONTINUATION.match(rest)
    return None if is_part or is_followed else rest


def _without_opening(text: str) -> str:
    """The text without quotation marks, brackets and spaces at its start."""
    match = OPENING.match(text)
    return text[match.end() :] if match else text


def _normalize(text: str) -> str:
    """Normalize Unicode (NFKC), quotation marks and spaces; remove invisible characters and spaces before punctuation."""
    visible = INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(QUOTES)
    spaced = re.sub(r"[^\S\n]+", " ", visible)
    return re.sub(r" +(?=[.,:;!?)])", "", spaced)
