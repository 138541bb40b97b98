"""The true task: answer a negated question. The distractor task: answer it as if there were no negation.

    Question: The capital of France is not
    A. Paris
    B. Rome
    Answer:

`B` is right; `A` is the fact that the same words suggest.
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
"""Affirming words that replace ` not`; the first with as many tokens is used."""

SHIFTS = (1, 2, 3)  # distances between a fact and its false option in the cycle of their relation

LAYOUT = (
    r"Question: (?P<question>Choose one|The answer is|{openings})"
    r"(?: (?P<subject>\w+) (?P<verb>is))?(?: (?P<cue>not|indeed|surely|also|really))?(?: (?P<named>[AB]))?"
    r"\n(?P<first_letter>A)\. (?P<first>\w+)\n(?P<second_letter>B)\. (?P<second>\w+)\nAnswer(?P<slot>:)"
).replace("{openings}", "|".join(question.partition(" {subject}")[0] for question, _ in RELATIONS.values()))

_START, _, _END = LAYOUT.partition(r"\n(?P<first_letter>A)")
OPEN_LAYOUT = _START + r"\nAnswer" + _END.partition("nAnswer")[2]


def negation_qa(seed: int = 0, options: bool = True) -> Task:
    """Every fact with three false options in both letter orders; each pass over the facts is balanced over letters.

    Another seed draws other false options in another order; the training documents of the ladder avoid the items of seed
    0 only. Without `options` the answers are the words themselves.
    """
    return Task(
        name="negation_qa",
        question="Is a negated question answered as if there were no negation?",
        items=tuple(
            _item(fact, partner(fact, shift, seed), letter, options=options) for fact, shift, letter in _in_order(seed)
        ),
        source="tasks/facts.py",
        layout=LAYOUT if options else OPEN_LAYOUT,
        right=MappingProxyType({**RIGHT, Condition.DISTRACTOR_SWAPPED: Answer.DISTRACTOR}),
        true_only_is_pure=False,
        with_options=partial(negation_qa, seed),
    )


def ask_fact(fact: Fact, other: Fact, letter: Letter, cue: str = "") -> str:
    r"""Ask about `fact`, with its answer at `letter` and the answer of `other` as the false option.

    >>> ask_fact(Fact("capital", "France", "Paris"), Fact("capital", "Italy", "Rome"), "B", NOT)
    'Question: The capital of France is not\nA. Rome\nB. Paris\nAnswer:'
    """
    return f"Question: {fact.question}{cue}{_options(fact, other, letter)}"


def ask_letter(fact: Fact, other: Fact, letter: Letter, named: str, cue: str = "") -> str:
    r"""Offer the same options, but name a letter instead of asking about a fact.

    >>> ask_letter(Fact("capital", "France", "Paris"), Fact("capital", "Italy", "Rome"), "A", "A", NOT)
    'Question: The answer is not A\nA. Paris\nB. Rome\nAnswer:'
    """
    return f"Question: The answer is{cue} {named}{_options(fact, other, letter)}"


def offer_options(fact: Fact, other: Fact, letter: Letter) -> str:
    r"""Offer the same options without a question.

    >>> offer_options(Fact("capital", "France", "Paris"), Fact("capital", "Italy", "Rome"), "A")
    'Question: Choose one\nA. Paris\nB. Rome\nAnswer:'
    """
    return f"Question: Choose one{_options(fact, other, letter)}"


def reason(fact: Fact, ruled_out: str = "") -> str:
    """The reasoning about a question: the fact, and the answer that a negation rules out.

    >>> reason(Fact("capital", "France", "Paris"), "A")
    ' The capital of France is Paris. The answer is not A. The answer is'
    """
    return f" {fact.statement}{f' The answer is not {ruled_out}.' if ruled_out else ''} The answer is"


def other_letter(letter: Letter) -> Letter:
    """The other letter."""
    return "B" if letter == "A" else "A"


@cache
def cycle_of(relation: str, seed: int = 0) -> tuple[Fact, ...]:
    """The relation's facts in a cycle, shuffled by `seed`, with equal answers as far apart as possible.

    The cycle lists every answer once, then every answer's second subject. So neighbours never share an answer.
    """
    salt = f"{seed} " if seed else ""
    counts: dict[str, int] = {}
    keyed = []
    for fact in FACTS:
        if fact.relation == relation:
            count = counts[fact.answer] = counts.get(fact.answer, -1) + 1
            keyed.append((count, hashlib.sha256(f"{salt}{fact.answer}".encode()).digest(), fact))
    return tuple(fact for _, _, fact in sorted(keyed, key=lambda entry: entry[:2]))


def partner(fact: Fact, shift: int, seed: int = 0) -> Fact:
    """The fact `shift` steps further in the cycle: a permutation, so false options are as frequent as true ones."""
    facts = cycle_of(fact.relation, seed)
    return facts[(facts.index(fact) + shift) % len(facts)]


def reserved() -> frozenset[frozenset[str]]:
    """The pairs of options in seed 0: training documents must not offer them together."""
    return frozenset(frozenset({fact.answer, partner(fact, shift).answer}) for fact, shift in product(FACTS, SHIFTS))


def _options(fact: Fact, other: Fact, letter: Letter) -> str:
    first, second = (fact, other) if letter == "A" else (other, fact)
    return f"\nA. {first.answer}\nB. {second.answer}\nAnswer:"


def _item(fact: Fact, other: Fact, letter: Letter, *, options: bool) -> Item:
    """Make one item. The fact's answer is the distractor answer, with options at `letter`."""
    true, distractor = (other_letter(letter), letter) if options else (other.answer, fact.answer)
    end = _options(fact, other, letter) if options else "\nAnswer:"
    affirmed, *reworded = (f"Question: {fact.question}{cue}{end}" for cue in AFFIRMING)
    # Without options, no letter can be named.
    true_only = {Condition.TRUE_ONLY: ask_letter(fact, other, letter, letter, NOT)} if options else {}
    return Item(
        id=f"{fact.group}~{other.subject}/{letter}",
        group=fact.group,
        true=f" {true}",
        distractor=f" {distractor}",
        prompts={
            Condition.CONFLICT: f"Question: {fact.question}{NOT}{end}",
            Condition.CONGRUENT: affirmed,
            Condition.DISTRACTOR_SWAPPED: f"Question: {other.question}{NOT}{end}",
            Condition.DISTRACTOR_ONLY: f"Question: {fact.question}{end}",
            **true_only,
            Condition.NEUTRAL: f"Question: Choose one{end}",
        },
        rewordings={Condition.CONGRUENT: tuple(reworded)},
        reasons={
            Condition.CONFLICT: reason(fact, distractor),
            Condition.CONGRUENT: reason(fact),
            Condition.DISTRACTOR_SWAPPED: reason(other, true),
            Condition.DISTRACTOR_ONLY: reason(fact),
        },
    )


def _in_order(seed: int) -> list[tuple[Fact, int, Letter]]:
    """One pass over all facts for each shift, then the same with the letters exchanged; relations take turns."""
    cycles = [cycle_of(relation, seed) for relation in RELATIONS]
    facts = [fact for turn in zip(*cycles, strict=True) for fact in turn]
    letters: tuple[Letter, Letter] = ("A", "B")
    return [
        (fact, shift, letters[(index + step + exchanged) % 2])
        for exchanged in (0, 1)
        for step, shift in enumerate(SHIFTS)
        for index, fact in enumerate(facts)
    ]
