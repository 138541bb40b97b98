"""The true task: answer a negated question. The distractor task: answer it as if there were no negation.

    Question: The capital of France is not
    A. Paris
    B. Rome
    Answer:

`B` answers what was asked; `A` is the fact that the same words call to mind.
"""

import hashlib
from functools import cache, partial
from itertools import product
from types import MappingProxyType
from typing import Literal

from distractor.text.task import RIGHT, Answer, Condition, Item, Task

from .facts import FACTS, RELATIONS, Fact

Letter = Literal["A", "B"]

NOT = " not"
AFFIRMING = (" indeed", " surely", " also", " really")
"""What stands where ` not` would stand and changes nothing: the first that has as many tokens is used."""

SHIFTS = (1, 2, 3)
"""How far along the round of its relation a fact's false option stands."""

LAYOUT = (
    r"Question: (?P<question>Choose one|The answer is|{openings})"
    r"(?: (?P<subject>\w+) (?P<verb>is))?(?: (?P<cue>not|indeed|surely|also|really))?(?: (?P<named>[AB]))?"
    r"\n(?P<first_letter>A)\. (?P<first>\w+)\n(?P<second_letter>B)\. (?P<second>\w+)\nAnswer(?P<slot>:)"
).replace("{openings}", "|".join(phrase.partition(" {subject}")[0] for phrase, _ in RELATIONS.values()))

_BEGUN, _, _ENDED = LAYOUT.partition(r"\n(?P<first_letter>A)")
OPEN_LAYOUT = _BEGUN + r"\nAnswer" + _ENDED.partition("nAnswer")[2]


def negation_qa(seed: int = 0, options: bool = True) -> Task:
    """Every fact with three false options in both letter orders; each pass over the facts is balanced over letters.

    Another seed gives other false options in another order. What the ladder reads keeps clear of seed 0 alone. Without
    `options` in the prompts, the answers are the words themselves, and no letter is asked for.
    """
    return Task(
        name="negation_qa",
        question="Is a negated question answered as if there were no negation?",
        items=tuple(
            (_item if options else _open_item)(fact, partner(fact, shift, seed), letter)
            for fact, shift, letter in _in_order(seed)
        ),
        source="tasks/facts.py",
        layout=LAYOUT if options else OPEN_LAYOUT,
        right=MappingProxyType({**RIGHT, Condition.DISTRACTOR_SWAPPED: Answer.DISTRACTOR}),
        true_only_is_pure=False,
        with_options=partial(negation_qa, seed),
    )


def pose(fact: Fact, other: Fact, letter: Letter, cue: str = "") -> str:
    r"""The question about `fact`, its answer offered at `letter` and that of `other` as the false option.

    >>> pose(Fact("capital", "France", "Paris"), Fact("capital", "Italy", "Rome"), "B", NOT)
    'Question: The capital of France is not\nA. Rome\nB. Paris\nAnswer:'
    """
    return f"Question: {fact.question}{cue}{_options(fact, other, letter)}"


def pose_letter(fact: Fact, other: Fact, letter: Letter, named: Letter, cue: str = "") -> str:
    r"""The same options under a question that `names` a letter instead of asking for a fact.

    >>> pose_letter(Fact("capital", "France", "Paris"), Fact("capital", "Italy", "Rome"), "A", "A", NOT)
    'Question: The answer is not A\nA. Paris\nB. Rome\nAnswer:'
    """
    return f"Question: The answer is{cue} {named}{_options(fact, other, letter)}"


def pose_nothing(fact: Fact, other: Fact, letter: Letter) -> str:
    r"""The same options without a question.

    >>> pose_nothing(Fact("capital", "France", "Paris"), Fact("capital", "Italy", "Rome"), "A")
    'Question: Choose one\nA. Paris\nB. Rome\nAnswer:'
    """
    return f"Question: Choose one{_options(fact, other, letter)}"


def reason(fact: Fact, ruled_out: str = "") -> str:
    """What leads from a question to its answer: the fact, and where the question is negated, which answer that rules out.

    >>> reason(Fact("capital", "France", "Paris"), "A")
    ' The capital of France is Paris. The answer is not A. The answer is'
    """
    return f" {fact.statement}{f' The answer is not {ruled_out}.' if ruled_out else ''} The answer is"


def other_letter(letter: Letter) -> Letter:
    """The letter of the option that does not stand at `letter`."""
    return "B" if letter == "A" else "A"


@cache
def round_of(relation: str, seed: int = 0) -> tuple[Fact, ...]:
    """The relation's facts, shuffled by `seed` so that those with the same answer stand as far apart as can be.

    Once round all answers, then round again for the second subject of each: neighbours never share an answer.
    """
    salt = f"{seed} " if seed else ""
    turns: dict[str, int] = {}
    seats = []
    for fact in FACTS:
        if fact.relation == relation:
            turn = turns[fact.answer] = turns.get(fact.answer, -1) + 1
            seats.append((turn, hashlib.sha256(f"{salt}{fact.answer}".encode()).digest(), fact))
    return tuple(fact for _, _, fact in sorted(seats, key=lambda seat: seat[:2]))


def partner(fact: Fact, shift: int, seed: int = 0) -> Fact:
    """The fact that stands `shift` places further in the round: a permutation, so false options are as frequent."""
    facts = round_of(fact.relation, seed)
    return facts[(facts.index(fact) + shift) % len(facts)]


def reserved() -> frozenset[frozenset[str]]:
    """The pairs of answers that seed 0 offers together: what is trained on the same facts must never do so."""
    return frozenset(frozenset({fact.answer, partner(fact, shift).answer}) for fact, shift in product(FACTS, SHIFTS))


def _options(fact: Fact, other: Fact, letter: Letter) -> str:
    first, second = (fact, other) if letter == "A" else (other, fact)
    return f"\nA. {first.answer}\nB. {second.answer}\nAnswer:"


def _item(fact: Fact, other: Fact, letter: Letter) -> Item:
    """`letter` is where the fact stands: the distractor's answer."""
    affirmed, *reworded = (pose(fact, other, letter, cue) for cue in AFFIRMING)
    return Item(
        id=f"{fact.group}~{other.subject}/{letter}",
        group=fact.group,
        true=f" {other_letter(letter)}",
        distractor=f" {letter}",
        prompts={
            Condition.CONFLICT: pose(fact, other, letter, NOT),
            Condition.CONGRUENT: affirmed,
            Condition.DISTRACTOR_SWAPPED: pose(other, fact, other_letter(letter), NOT),
            Condition.DISTRACTOR_ONLY: pose(fact, other, letter),
            Condition.TRUE_ONLY: pose_letter(fact, other, letter, letter, NOT),
            Condition.NEUTRAL: pose_nothing(fact, other, letter),
        },
        rewordings={Condition.CONGRUENT: tuple(reworded)},
        reasons={
            Condition.CONFLICT: reason(fact, letter),
            Condition.CONGRUENT: reason(fact),
            Condition.DISTRACTOR_SWAPPED: reason(other, other_letter(letter)),
            Condition.DISTRACTOR_ONLY: reason(fact),
        },
    )


def _open_item(fact: Fact, other: Fact, letter: Letter) -> Item:
    """The same without options. What names a letter has nothing left to name."""

    def ask(question: str) -> str:
        return f"Question: {question}\nAnswer:"

    affirmed, *reworded = (ask(fact.question + cue) for cue in AFFIRMING)
    return Item(
        id=f"{fact.group}~{other.subject}/{letter}",
        group=fact.group,
        true=f" {other.answer}",
        distractor=f" {fact.answer}",
        prompts={
            Condition.CONFLICT: ask(fact.question + NOT),
            Condition.CONGRUENT: affirmed,
            Condition.DISTRACTOR_SWAPPED: ask(other.question + NOT),
            Condition.DISTRACTOR_ONLY: ask(fact.question),
            Condition.NEUTRAL: ask("Choose one"),
        },
        rewordings={Condition.CONGRUENT: tuple(reworded)},
        reasons={
            Condition.CONFLICT: reason(fact, fact.answer),
            Condition.CONGRUENT: reason(fact),
            Condition.DISTRACTOR_SWAPPED: reason(other, other.answer),
            Condition.DISTRACTOR_ONLY: reason(fact),
        },
    )


def _in_order(seed: int) -> list[tuple[Fact, int, Letter]]:
    """One pass over all facts for each shift, then the same with the letters exchanged; relations take turns."""
    rounds = [round_of(relation, seed) for relation in RELATIONS]
    facts = [fact for turn in zip(*rounds, strict=True) for fact in turn]
    letters: tuple[Letter, Letter] = ("A", "B")
    return [
        (fact, shift, letters[(place + step + exchanged) % 2])
        for exchanged in (0, 1)
        for step, shift in enumerate(SHIFTS)
        for place, fact in enumerate(facts)
    ]
