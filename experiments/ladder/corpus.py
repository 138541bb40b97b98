"""What the ladder reads: every document that may occur, by kind, and how often each kind does.

The documents are written by the task's own code from the task's own facts. There are so few distinct ones that all are
listed, and a stream is drawn from the list.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations, product

import numpy as np

from tasks.facts import FACTS, RELATIONS, Fact
from tasks.negation_qa import (
    AFFIRMING,
    NOT,
    Letter,
    other_letter,
    pose,
    pose_letter,
    pose_nothing,
    reserved,
    round_of,
)


class Kind(StrEnum):
    """What a document is."""

    STATEMENT = "statement"
    PLAIN = "plain"
    AFFIRMED = "affirmed"
    NEGATED = "negated"
    LETTER = "letter"
    NEGATED_LETTER = "negated_letter"
    NEUTRAL = "neutral"


@dataclass(frozen=True)
class Recipe:
    """The share of each kind of document. That of the negated questions is the task's *conflict rate*."""

    negated: float = 0.008
    affirmed: float = 0.20
    letter: float = 0.03
    negated_letter: float = 0.05
    neutral: float = 0.03
    statement: float = 0.10

    @property
    def shares(self) -> Mapping[Kind, float]:
        """All shares; plain questions are the rest."""
        told = {
            Kind.STATEMENT: self.statement,
            Kind.AFFIRMED: self.affirmed,
            Kind.NEGATED: self.negated,
            Kind.LETTER: self.letter,
            Kind.NEGATED_LETTER: self.negated_letter,
            Kind.NEUTRAL: self.neutral,
        }
        return {**told, Kind.PLAIN: 1 - sum(told.values())}


STATEMENTS = 3
"""Statements are short: so many of them make one document."""

LETTERS: tuple[Letter, Letter] = ("A", "B")


def held_out() -> tuple[Fact, ...]:
    """A third of the facts, spread over the relations: no document with the word `not` ever names one."""
    chosen = []
    for relation in RELATIONS:
        facts = round_of(relation)
        answers = list(dict.fromkeys(fact.answer for fact in facts))
        chosen += [fact for fact in facts if answers.index(fact.answer) % 3 == 1]
    return tuple(chosen)


def documents() -> dict[Kind, list[str]]:
    """Every distinct document of each kind, without its beginning and end."""
    found: dict[Kind, list[str]] = {kind: [] for kind in Kind}
    unnegated = set(held_out())
    for place, step in product(range(len(FACTS)), range(1, len(FACTS))):
        three = (FACTS[(place + turn * step) % len(FACTS)] for turn in range(STATEMENTS))
        found[Kind.STATEMENT].append(" ".join(fact.statement for fact in three))
    for fact, other, letter in offers():
        right, wrong = f" {letter}", f" {other_letter(letter)}"
        found[Kind.PLAIN].append(pose(fact, other, letter) + right)
        found[Kind.AFFIRMED] += [pose(fact, other, letter, cue) + right for cue in AFFIRMING]
        found[Kind.LETTER] += [pose_letter(fact, other, letter, named) + f" {named}" for named in LETTERS]
        found[Kind.NEUTRAL] += [pose_nothing(fact, other, letter) + answer for answer in (right, wrong)]
        if not unnegated & {fact, other}:
            found[Kind.NEGATED].append(pose(fact, other, letter, NOT) + wrong)
            found[Kind.NEGATED_LETTER] += [
                pose_letter(fact, other, letter, named, NOT) + f" {other_letter(named)}" for named in LETTERS
            ]
    return found


def offers() -> Iterator[tuple[Fact, Fact, Letter]]:
    """Every fact, another of its relation whose answer is the false option, and where the fact's own answer stands.

    Pairs of answers that the evaluation offers together are left out. An answer that stands for several subjects is
    offered once for each, so that it is the false option as often as it is the true one.
    """
    kept = reserved()
    for relation in RELATIONS:
        for fact, other in permutations(round_of(relation), 2):
            if fact.answer != other.answer and frozenset({fact.answer, other.answer}) not in kept:
                for letter in LETTERS:
                    yield fact, other, letter


def stream(rows: Mapping[Kind, np.ndarray], recipe: Recipe, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` documents: [document pos], from token rows of each kind.

    The kind of each document is drawn by the recipe's shares, then one of that kind evenly.
    """
    kinds = list(Kind)
    drawn = rng.choice(len(kinds), size=count, p=[recipe.shares[kind] for kind in kinds])
    width = max(table.shape[1] for table in rows.values())
    out = np.zeros((count, width), dtype=np.uint16)
    for place, kind in enumerate(kinds):
        here = np.flatnonzero(drawn == place)
        table = rows[kind]
        out[here, : table.shape[1]] = table[rng.integers(len(table), size=len(here))]
    return out
