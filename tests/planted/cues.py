"""The task of the planted models.

    fact red but two :        a fact names one letter (the distractor's cue), a word names the other (the true cue)
    fact red and one :        congruent: both name the same letter

Facts are colours: red ones stand for A, blue ones for B. The true cue is a number: odd ones stand for A, even ones for B.
Between them, `but` says that they differ and `and` that they agree.
"""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from circuits import Weights
from distractor.text.task import Condition, Item, Task

LETTERS = ("A", "B")
FACTS = {"A": ("red", "rose", "ruby", "rust"), "B": ("blue", "navy", "teal", "aqua")}
NUMBERS = {"A": ("one", "three", "five", "seven"), "B": ("two", "four", "six", "eight")}
NOTHING = "nothing"
WORDS = ["fact", "but", "and", NOTHING, *LETTERS, ":", *sum((*FACTS.values(), *NUMBERS.values()), ())]

ANY_FACT: Weights = {word: 1.0 for words in FACTS.values() for word in words}
ANY_NUMBER: Weights = {word: 1.0 for words in NUMBERS.values() for word in words}
FACT: Weights = {word: sign for letter, sign in (("A", 1.0), ("B", -1.0)) for word in FACTS[letter]}
NUMBER: Weights = {word: sign for letter, sign in (("A", 1.0), ("B", -1.0)) for word in NUMBERS[letter]}
"""A word's letter: 1 for A, −1 for B."""


class Cues(NamedTuple):
    """The cues of a prompt: the letters of fact and number, 1 for A and −1 for B, and the word between (0: not there)."""

    fact: int
    between: str
    number: int


def cues_of(prompt: str) -> Cues:
    """Read a prompt's cues from its words, in whatever order they are."""
    words = prompt.split()
    fact, number = (int(sum(codes.get(word, 0.0) for word in words)) for codes in (FACT, NUMBER))
    return Cues(fact, next((word for word in words if word in ("but", "and")), ""), number)


def task(groups: int = 8, *, short: bool = False, fact_last: bool = False) -> Task:
    """Both letters in every group; at most 16 groups differ in their words.

    If a cue is missing, `nothing` stands in its place, so that all prompts have the same length. With `short`, its place
    is left out. With `fact_last`, the fact is the last token, so that the answer slot itself holds the distractor's cue.
    """
    pairs = [*product(range(4), range(4))]
    pairs.sort(key=lambda pair: ((pair[0] - pair[1]) % 4, pair))  # the first four groups share no word
    made = [_item(group, *pairs[group % 16], letter, short, fact_last) for group in range(groups) for letter in LETTERS]
    words = {name: "|".join(codes) for name, codes in (("fact", ANY_FACT), ("number", ANY_NUMBER))}
    fact, number = (
        (rf" (?P<{name}>{one}|{NOTHING})", rf"(?: (?P<{name}>{one}))?")[short] for name, one in words.items()
    )
    between = (rf" (?P<between>but|and|{NOTHING})", r"(?: (?P<between>but|and))?")[short]
    layout = rf"fact{between}{number} (?P<slot>\w+)" if fact_last else rf"fact{fact}{between}{number} (?P<slot>:)"
    return Task(
        name="planted",
        question="Is the letter of the fact named, although that of the number is asked for?",
        items=tuple(made),
        source="tests/planted/cues.py",
        layout=layout,
    )


def _item(group: int, fact: int, number: int, letter: str, short: bool, fact_last: bool) -> Item:
    other = LETTERS[1 - LETTERS.index(letter)]

    def prompt(first: str | None, between: str | None, second: str | None) -> str:
        first = FACTS[first][fact] if first else None
        second = NUMBERS[second][number] if second else None
        if fact_last:
            return _joined("fact", *_filled([between, second], short), first or NOTHING)
        return _joined("fact", *_filled([first, between, second], short), ":")

    return Item(
        id=f"{group}{letter}",
        group=str(group),
        true=f" {other}",
        distractor=f" {letter}",
        prompts={
            Condition.CONFLICT: prompt(letter, "but", other),
            Condition.CONGRUENT: prompt(letter, "and", letter),
            Condition.DISTRACTOR_SWAPPED: prompt(other, "but", other),
            Condition.DISTRACTOR_ONLY: prompt(letter, None, None),
            Condition.TRUE_ONLY: prompt(None, None, other),
            Condition.NEUTRAL: prompt(None, None, None),
        },
    )


def _filled(words: Iterable[str | None], short: bool) -> list[str]:
    return [word or NOTHING for word in words if word or not short]


def _joined(*words: str) -> str:
    return " ".join(words)
