r"""The answer in what a model wrote: what follows "the answer is", or an answer that the text begins with.

Exact match, as in the paper: what a person would have to guess at is no answer. It is then said why there is none, so that
such replies are counted apart and never as wrong.

>>> from distractor.text.task import Answer
>>> read_answer("The capital is Paris. The answer is not A. The answer is B.", (" B", " A")).given
<Answer.TRUE: 0>
>>> read_answer("It may be either of them.", (" B", " A")).why
'no answer'
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from distractor.text.task import Answer

Why = Literal["empty", "no answer", "only what it is not", "two answers", "hedged", "too long", "cut off"]
"""Why a text holds no answer that can be read."""


LONGEST = 3
"""An answer that is neither of the two offered has at most so many words; what is longer is no answer."""


SAID = re.compile(
    r"\b(?:(?:the|my|our)\s+(?:(?:right|correct|final|true|best|only|new)\s+)*answer\s*"
    r"(?:(?P<verb>\bis|'s|\bwas|\b(?:would|should|must|will)\s+be)(?P<not>n['’]t\b|\s+not\b)?|(?P<isnt>\bisn['’]t))"
    r"(?![\w'])|answer\s*:)",
    re.IGNORECASE,
)
"""What an answer follows."""


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


GOES_ON = re.compile(
    r"\s+(?:because|since|as|for|so|and|but|or|when|if|while|not|rather|instead|which|that|by|given|due|with|according|"
    r"then|in|here|–|—|-)(?!\w)",
    re.IGNORECASE,
)
"""Words behind an answer by which a sentence goes on; behind any other, what looked like an answer was a part of more."""


INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")


QUOTES = str.maketrans("“”‘’‚", "\"\"'''")


@dataclass(frozen=True)
class Reply:
    """What was read: `answer` as it was written, and which of the two it is; `given` is None for any other.

    Where there is no answer, `why` says so. `slot` is the character behind "the answer is", where the model came to say it.
    """

    answer: str | None
    given: Answer | None = None
    why: Why | None = None
    slot: int | None = None


@dataclass(frozen=True)
class _Said:
    """One statement: an answer, or what is not the answer, or no decision."""

    answer: str | None = None
    given: Answer | None = None
    why: Why | None = None
    is_not: bool = False
    slot: int | None = None


def read_answer(text: str, answers: tuple[str, str]) -> Reply:
    """The answer in `text`; `answers` are the true one and the distractor's, as they continue a prompt.

    Of several statements all have to say the same. A text without one may begin with the answer itself.
    """
    wanted = tuple(_plain(answer).strip() for answer in answers)
    if not _plain(text).strip():
        return Reply(None, why="empty")
    said = list(_statements(text, wanted))
    if not said:
        said = [_bare(text, wanted)]
    stated = [one for one in said if one.answer is not None and not one.is_not]
    denied = {one.given for one in said if one.is_not and one.given is not None}
    if not stated:
        return Reply(None, why=next((one.why for one in said if one.why), None) or "only what it is not")
    first = stated[0]
    if len({one.given if one.given is not None else one.answer for one in stated}) > 1 or first.given in denied:
        return Reply(None, why="two answers")
    return Reply(first.answer, first.given, slot=first.slot)


def _statements(text: str, wanted: tuple[str, ...]) -> Iterator[_Said]:
    for match in SAID.finditer(text):
        behind = _plain(text[match.end() :])
        is_not = bool(match["not"] or match["isnt"])
        if is_not and any(
            _at_start(f"not{behind}", answer) is not None for answer in wanted
        ):  # "not" may begin an answer
            is_not, behind = False, f"not{behind}"
        one = _stated(behind, wanted)
        yield _Said(one.answer, one.given, None if is_not else one.why, is_not, match.end())


def _stated(behind: str, wanted: tuple[str, ...]) -> _Said:
    """What is stated right behind "the answer is"."""
    found = _begins_with(behind, wanted)
    if found is not None:
        return found
    opened = FILLING.sub("", _opened(behind), count=1)
    sentence = _sentence(opened)
    if not sentence:
        return _Said(why="cut off")
    if re.match(r"not\b", sentence, re.IGNORECASE):
        return _Said(is_not=True, why=None)
    if HEDGE.search(sentence):
        return _Said(why="hedged")
    return _Said(sentence) if len(sentence.split()) <= LONGEST else _Said(why="too long")


def _bare(text: str, wanted: tuple[str, ...]) -> _Said:
    """An answer that the text begins with; a line of one other word is another answer."""
    line = _opened(_plain(text)).split("\n")[0]
    found = _begins_with(line, wanted)
    if found is not None:
        return found
    word = line.strip(CLOSING)
    if re.match(r"not\b", word, re.IGNORECASE) and any(_at_start(word[3:].strip(), a) is not None for a in wanted):
        return _Said(why="only what it is not")
    return _Said(word) if word and len(word.split()) == 1 else _Said(why="no answer")


def _begins_with(behind: str, wanted: tuple[str, ...]) -> _Said | None:
    """Which of the answers the text begins with, if it decides for one."""
    for opened in (_opened(behind), FILLING.sub("", _opened(behind), count=1)):
        for answer in sorted(wanted, key=len, reverse=True):
            rest = _at_start(opened, answer)
            if rest is None:
                continue
            other = wanted[1 - wanted.index(answer)]
            joined = re.match(r"[\s\"'*)]*(?:,\s*)?(?:/|or\b|and\b|and/or\b)\s*", rest, re.IGNORECASE)
            if joined and _at_start(_opened(rest[joined.end() :]), other) is not None:
                return _Said(why="hedged")
            return _Said(answer, Answer(wanted.index(answer)))
    return None


def _at_start(text: str, answer: str) -> str | None:
    """What follows `answer` at the start of `text`; None where it does not stand there, or as a part of something longer.

    Upper and lower case are one but for single letters: "a" is a word.
    """
    head, rest = text[: len(answer)], text[len(answer) :]
    if head != answer and (len(answer) == 1 or head.casefold() != answer.casefold()):
        is_alone = head.casefold() == answer.casefold() and not rest.strip(CLOSING + "\n")
        return rest if head and is_alone else None
    is_part = re.match(r"\w|[.,]\d|['’-]\w|%|/\d|\s*[+*/÷×^=]\s*\d", rest)
    is_followed = re.match(r"[^\S\n]+\w", rest) and not GOES_ON.match(rest)
    return None if is_part or is_followed else rest


def _opened(text: str) -> str:
    match = OPENING.match(text)
    return text[match.end() :] if match else text


def _sentence(text: str) -> str:
    end = ENDING.search(text)
    return text[: end.start() if end else None].strip(CLOSING + "\n")


def _plain(text: str) -> str:
    """Letters of full width as usual ones, straight quotation marks, single spaces and none before a full stop."""
    same = INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(QUOTES)
    same = re.sub(r"[^\S\n]+", " ", same)
    return re.sub(r" +(?=[.,:;!?)])", "", same)
