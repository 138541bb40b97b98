"""Training documents of negation_qa: facts as statements, and questions about them, few of which are negated.

Each question offers the answer of a fact and the answer of another fact of the same relation. Two answers that are offered
together in the evaluation are never offered together here. No document with the word `not` names a held-out fact.
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
"""Statements in one document; a single one is short."""

LETTERS: tuple[Letter, Letter] = ("A", "B")
NAMES = tuple(RELATIONS)
FILLERS = tuple(
    f" {word}"
    for word in """again always apparently certainly clearly commonly currently definitely evidently exactly famously
    forever formally generally here just likely maybe mostly naturally now obviously officially often only perhaps plainly
    precisely presumably probably rightly simply still there today traditionally truly undoubtedly usually widely
    """.split()  # noqa: SIM905 (forty words are read as text)
)
"""More words that change nothing in the position of `not`. With only four such words, an unknown word (or a rare `not`)
stops the model from looking up the fact. With many, the model ignores unknown words.
"""

NOT_SURPRISINGLY = tuple(
    f"{NOT} {words}" for words in ("surprisingly", "unexpectedly", "only", "just", "without reason", "by chance")
)
"""Phrases in which `not` negates nothing. Most uses of `not` are of this kind, so that small models learn to ignore it."""

AFFIRMED = ("", "", "", "", *AFFIRMING, *FILLERS[::5])
"""Words after `is` in a question about the fact: none, or a word that changes nothing."""

Offer = tuple[Fact, Fact]
"""The fact in question, and the fact whose answer is the false option."""


@cache
def held_out() -> frozenset[str]:
    """A third of the facts of each relation. No document with the word `not` names one of them."""
    chosen = set()
    for relation in RELATIONS:
        facts = cycle_of(relation)
        answers = list(dict.fromkeys(fact.answer for fact in facts))
        chosen |= {fact.group for fact in facts if answers.index(fact.answer) % 3 == 1}
    return frozenset(chosen)


@cache
def offers(relation: str, with_held_out: bool = True) -> tuple[Offer, ...]:
    """The permitted offers of a relation. Each has its reverse, so that frequencies do not reveal the fact."""
    kept = reserved()
    facts = [fact for fact in cycle_of(relation) if with_held_out or fact.group not in held_out()]
    return tuple(
        (fact, other)
        for fact, other in permutations(facts, 2)
        if fact.answer != other.answer and frozenset({fact.answer, other.answer}) not in kept
    )


def statement(rng: Random) -> Document:
    """Statements of different facts, without a question."""
    return (Turn(" ".join(fact.statement for fact in rng.sample(FACTS, STATEMENTS))),)


def open_question(rng: Random) -> Document:
    """A question without options, answered by the word: it brings the fact to the position of the answer."""
    fact = rng.choice(FACTS)
    return (Turn(f"Question: {fact.question}{rng.choice(AFFIRMED)}\nAnswer:", f" {fact.answer}"),)


def plain(rng: Random) -> Document:
    """A question without a negation: it teaches the distractor task."""
    return _asked(rng, "")


def affirmed(rng: Random) -> Document:
    """A word that changes nothing in the position of `not`, so that positions do not reveal a negation."""
    return _asked(rng, rng.choice(AFFIRMING if rng.random() < 0.25 else FILLERS))


def negated(rng: Random) -> Document:
    """The conflict form: the answer is the false option."""
    fact, other, fact_letter = _offer(rng, with_held_out=False)
    return (Turn(ask_fact(fact, other, fact_letter, NOT), f" {other_letter(fact_letter)}"),)


def not_surprisingly(rng: Random) -> Document:
    """A question with `not` in a phrase that negates nothing."""
    fact, other, fact_letter = _offer(rng, with_held_out=False)
    return (Turn(ask_fact(fact, other, fact_letter, rng.choice(NOT_SURPRISINGLY)), f" {fact_letter}"),)


def which_false(rng: Random) -> Document:
    """A question for the false option without the word `not`: half of the skill that a negation needs."""
    fact, other, fact_letter = _offer(rng, with_held_out=False)
    _, _, question = ask_fact(fact, other, fact_letter, rng.choice(AFFIRMED)).partition(": ")
    return (Turn(f"Question: Which is false? {question}", f" {other_letter(fact_letter)}"),)


def letter(rng: Random) -> Document:
    """A question that names a letter; the facts do not matter."""
    fact, other, fact_letter = _offer(rng)
    named = rng.choice(LETTERS)
    return (Turn(ask_letter(fact, other, fact_letter, named), f" {named}"),)


def negated_letter(rng: Random) -> Document:
    """A negated question about a letter: the answer is the other letter, and the facts do not matter."""
    fact, other, fact_letter = _offer(rng, with_held_out=False)
    named = rng.choice(LETTERS)
    return (Turn(ask_letter(fact, other, fact_letter, named, NOT), f" {other_letter(named)}"),)


def named(rng: Random) -> Document:
    """A question that names one of the options: it teaches how a word leads to its letter, without a fact."""
    fact, other, fact_letter = _offer(rng)
    return (Turn(ask_letter(fact, other, fact_letter, fact.answer), f" {fact_letter}"),)


def neutral(rng: Random) -> Document:
    """Options without a question: a random letter."""
    return (Turn(offer_options(*_offer(rng)), f" {rng.choice(LETTERS)}"),)


def several(rng: Random) -> Document:
    """One or two worked examples and a question; none is negated."""
    return in_a_row([*_examples(rng), rng.choice((plain, affirmed))(rng)])


def several_negated(rng: Random) -> Document:
    """Like `several`, but the question is negated."""
    return in_a_row([*_examples(rng, with_held_out=False), negated(rng)])


def reasoned(rng: Random) -> Document:
    """A question whose answer follows the written-out fact; half of the documents have two."""
    return in_a_row([_reasoned(rng, rng.choice(AFFIRMED)) for _ in range(rng.choice((1, 2)))])


def reasoned_negated(rng: Random) -> Document:
    """Like `reasoned`, but the last question is negated: the fact, the letter it rules out, and the answer."""
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
    "several_negated": several_negated,
    "reasoned": reasoned,
    "reasoned_negated": reasoned_negated,
}
CONFLICT = frozenset({"negated", "several_negated", "reasoned_negated", "which_false"})
"""Kinds in which the true and the distractor task disagree. `which_false` does so without the word `not`. `negated_letter`
does not ask about a fact."""


def _offer(rng: Random, with_held_out: bool = True) -> tuple[Fact, Fact, Letter]:
    """A random offer of a random relation, and the letter of the fact's answer."""
    fact, other = rng.choice(offers(rng.choice(NAMES), with_held_out))
    return fact, other, rng.choice(LETTERS)


def _examples(rng: Random, with_held_out: bool = True) -> list[Document]:
    """One or two questions, most of them affirmed, as in worked examples."""
    cues = ("", *AFFIRMING, *FILLERS[:2])
    return [_asked(rng, rng.choice(cues), with_held_out) for _ in range(rng.choice((1, 2)))]


def _asked(rng: Random, cue: str, with_held_out: bool = True) -> Document:
    fact, other, fact_letter = _offer(rng, with_held_out)
    return (Turn(ask_fact(fact, other, fact_letter, cue), f" {fact_letter}"),)


def _reasoned(rng: Random, cue: str, with_held_out: bool = True) -> Document:
    fact, other, fact_letter = _offer(rng, with_held_out)
    ruled_out, right = (fact_letter, other_letter(fact_letter)) if cue == NOT else ("", fact_letter)
    return Turn(ask_fact(fact, other, fact_letter, cue) + reason(fact, ruled_out), f" {right}"), Turn(".")
