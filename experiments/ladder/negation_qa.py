"""What the ladder reads of negation_qa: the facts as statements, and questions about them, few of them negated.

Every question offers a fact's answer and that of another fact of its relation. Two answers that the evaluation offers
together are never offered together here, and no document with the word `not` names a fact that is held out.
"""

from functools import cache
from itertools import permutations
from random import Random

from tasks.facts import FACTS, RELATIONS, Fact
from tasks.negation_qa import (
    AFFIRMING,
    NOT,
    Letter,
    ask_fact,
    ask_letter,
    cycle_of,
    offer_options,
    other_letter,
    reason,
    reserved,
)

from .document import Document, Kinds, Turn, in_a_row

STATEMENTS = 3
"""Statements are short: so many of them make one document."""

LETTERS: tuple[Letter, Letter] = ("A", "B")
NAMES = tuple(RELATIONS)
FILLERS = tuple(
    f" {word}"
    for word in """again always apparently certainly clearly commonly currently definitely evidently exactly famously
    forever formally generally here just likely maybe mostly naturally now obviously officially often only perhaps plainly
    precisely presumably probably rightly simply still there today traditionally truly undoubtedly usually widely
    """.split()  # noqa: SIM905 (forty words are read as text)
)
"""Further words that change nothing where `not` would stand. With four alone, any other word there, a rare `not` too,
keeps the fact from being looked up at all; with many, what is not understood is ignored."""

NOT_SURPRISINGLY = tuple(
    f"{NOT} {words}" for words in ("surprisingly", "unexpectedly", "only", "just", "without reason", "by chance")
)
"""Words with `not` in which it negates nothing. Most of it stands in them, so that small models learn to read past it."""

AFFIRMED = ("", "", "", "", *AFFIRMING, *FILLERS[::5])
"""What stands after `is` in a question that asks for the fact: nothing, or a word that changes nothing."""

Offer = tuple[Fact, Fact]
"""The fact that is asked for, and the one whose answer is the false option."""


@cache
def held_out() -> frozenset[str]:
    """A third of the facts, spread over the relations: no document with the word `not` ever names one."""
    chosen = set()
    for relation in RELATIONS:
        facts = cycle_of(relation)
        answers = list(dict.fromkeys(fact.answer for fact in facts))
        chosen |= {fact.group for fact in facts if answers.index(fact.answer) % 3 == 1}
    return frozenset(chosen)


@cache
def offers(relation: str, with_held_out: bool = True) -> tuple[Offer, ...]:
    """What may be offered of a relation: with every offer also its reverse, so that no frequency gives the fact away."""
    kept = reserved()
    facts = [fact for fact in cycle_of(relation) if with_held_out or fact.group not in held_out()]
    return tuple(
        (fact, other)
        for fact, other in permutations(facts, 2)
        if fact.answer != other.answer and frozenset({fact.answer, other.answer}) not in kept
    )


def statement(rng: Random) -> Document:
    """Different facts in a row, told and not asked for."""
    return (Turn(" ".join(fact.statement for fact in rng.sample(FACTS, STATEMENTS))),)


def open_question(rng: Random) -> Document:
    """A question without options, answered by the word itself: what brings the fact to the place where answers stand."""
    fact = rng.choice(FACTS)
    return (Turn(f"Question: {fact.question}{rng.choice(AFFIRMED)}\nAnswer:", f" {fact.answer}"),)


def plain(rng: Random) -> Document:
    """A question without a negation: what teaches the distractor task."""
    return _asked(rng, "")


def affirmed(rng: Random) -> Document:
    """A word that changes nothing where `not` would stand, so that positions do not give a negation away."""
    return _asked(rng, rng.choice(AFFIRMING if rng.random() < 0.25 else FILLERS))


def negated(rng: Random) -> Document:
    """The conflict form: the answer is the option that the fact does not name."""
    fact, other, place = _offer(rng, with_held_out=False)
    return (Turn(ask_fact(fact, other, place, NOT), f" {other_letter(place)}"),)


def not_surprisingly(rng: Random) -> Document:
    """The word `not` where it negates nothing."""
    fact, other, place = _offer(rng, with_held_out=False)
    return (Turn(ask_fact(fact, other, place, rng.choice(NOT_SURPRISINGLY)), f" {place}"),)


def which_false(rng: Random) -> Document:
    """The option that the fact does not name, asked for in other words than `not`: half of what a negation takes."""
    fact, other, place = _offer(rng, with_held_out=False)
    _, _, asked = ask_fact(fact, other, place, rng.choice(AFFIRMED)).partition(": ")
    return (Turn(f"Question: Which is false? {asked}", f" {other_letter(place)}"),)


def letter(rng: Random) -> Document:
    """A question that names a letter: which is asked for has nothing to do with the facts."""
    fact, other, place = _offer(rng)
    named = rng.choice(LETTERS)
    return (Turn(ask_letter(fact, other, place, named), f" {named}"),)


def negated_letter(rng: Random) -> Document:
    """Negation where no fact is at work: the answer is the other letter."""
    fact, other, place = _offer(rng, with_held_out=False)
    named = rng.choice(LETTERS)
    return (Turn(ask_letter(fact, other, place, named, NOT), f" {other_letter(named)}"),)


def named(rng: Random) -> Document:
    """A question that names one of the options: what teaches how a word leads to its letter, without any fact."""
    fact, other, place = _offer(rng)
    return (Turn(ask_letter(fact, other, place, fact.answer), f" {place}"),)


def neutral(rng: Random) -> Document:
    """Options without a question: either letter, at even odds."""
    return (Turn(offer_options(*_offer(rng)), f" {rng.choice(LETTERS)}"),)


def several(rng: Random) -> Document:
    """Two or three questions in a row, as shots stand before a question; none is negated."""
    return in_a_row([rng.choice((plain, affirmed))(rng) for _ in range(rng.choice((2, 3)))])


def reasoned(rng: Random) -> Document:
    """The fact written out before the answer; half of them stand behind another, as behind a worked shot."""
    turns = rng.choice((1, 2))
    return in_a_row([_reasoned(rng, rng.choice(AFFIRMED)) for _ in range(turns)])


def reasoned_negated(rng: Random) -> Document:
    """The same where the last question is negated: the fact, which letter that rules out, and what is left."""
    shots = [_reasoned(rng, rng.choice((*AFFIRMED, NOT)), with_held_out=False) for _ in range(rng.choice((0, 1)))]
    return in_a_row([*shots, _reasoned(rng, NOT, with_held_out=False)])


KINDS: Kinds = {
    "statement": statement,
    "open_question": open_question,
    "plain": plain,
    "affirmed": affirmed,
    "negated": negated,
    "not_surprisingly": not_surprisingly,
    "which_false": which_false,
    "named": named,
    "letter": letter,
    "negated_letter": negated_letter,
    "neutral": neutral,
    "several": several,
    "reasoned": reasoned,
    "reasoned_negated": reasoned_negated,
}
CONFLICT = frozenset({"negated", "reasoned_negated", "which_false"})
"""Kinds in which the true and the distractor task disagree; in `which_false` without the word `not`. In `negated_letter` no
fact is asked for."""


def _offer(rng: Random, with_held_out: bool = True) -> tuple[Fact, Fact, Letter]:
    """Any relation, any offer of it, and where the fact's answer stands."""
    fact, other = rng.choice(offers(rng.choice(NAMES), with_held_out))
    return fact, other, rng.choice(LETTERS)


def _asked(rng: Random, cue: str) -> Document:
    fact, other, place = _offer(rng)
    return (Turn(ask_fact(fact, other, place, cue), f" {place}"),)


def _reasoned(rng: Random, cue: str, with_held_out: bool = True) -> Document:
    fact, other, place = _offer(rng, with_held_out)
    ruled_out, right = (place, other_letter(place)) if cue == NOT else ("", place)
    return Turn(ask_fact(fact, other, place, cue) + reason(fact, ruled_out), f" {right}"), Turn(".")
