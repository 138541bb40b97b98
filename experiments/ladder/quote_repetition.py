"""What the ladder reads of quote_repetition: quotes in full, sentences that are repeated, and few quotes repeated altered.

A quote is never altered here as the evaluation alters it, nor asked for in the evaluation's words; an unknown sentence
never ends here as it does there; and a quote that is held out is only ever told, never to be repeated, altered or not.
Each last word is as frequent as it is among the quotes, or, where quotes are repeated as they are, among those that are not
held out.
"""

import re
from functools import cache
from random import Random

from tasks.quote_repetition import (
    PREDICATES,
    REQUESTS,
    ask_to_repeat,
    half_of,
    reason,
    reserved,
    unknown,
    unknown_half_of,
)
from tasks.quotes import QUOTES, Quote, alterations_of, quotes_of

from . import negation_qa
from .document import Document, Kinds, Turn, in_a_row

SENTENCES = 3
"""Sentences are short: so many of them, told without a request, make one document."""

ANY_REQUEST = tuple(request for half in REQUESTS for request in half)

Sentence = tuple[str, str, str]
"""A request that goes with it, its beginning, and its last word."""


WORDS = sorted({word for quote in QUOTES for word in re.findall(r"\w+", quote.beginning)})
"""What quotes are made of, but for their last words."""


@cache
def held_out() -> frozenset[str]:
    """A third of the quotes of every kind: none of them is ever altered, nor repeated as it is."""
    return frozenset(quote.group for kind in PREDICATES for quote in quotes_of(kind)[1::3])


@cache
def requested() -> tuple[Quote, ...]:
    """The quotes that a document may ask to repeat."""
    return tuple(quote for quote in QUOTES if quote.group not in held_out())


@cache
def altered_to(kind: str, ending: str) -> tuple[Quote, ...]:
    """The quotes that are given this last word in training."""
    kept = reserved()
    return tuple(
        quote
        for quote in quotes_of(kind)
        if ending in alterations_of(quote) and (quote.group, ending) not in kept and quote.group not in held_out()
    )


def famous(rng: Random) -> Document:
    """Quotes in full, without a request: what teaches the distractor task."""
    return _told([(quote.beginning, quote.ending) for quote in rng.sample(QUOTES, SENTENCES)])


def neutral(rng: Random) -> Document:
    """Unknown sentences without a request: they end in any word of a kind, each as often as in the quotes."""
    lenders = [rng.choice(QUOTES) for _ in range(SENTENCES)]
    return _told([(_unknown(rng, lender, rng.choice((0, 1))), lender.ending) for lender in lenders])


def agreeing(rng: Random) -> Document:
    """A quote that is repeated as it is known: here the two tasks agree."""
    return _repeated(_known(rng))


def unfamiliar(rng: Random) -> Document:
    """An unknown sentence that is repeated: the true task where no quote is at work."""
    return _repeated(_unfamiliar(rng))


def jumbled(rng: Random) -> Document:
    """Words of quotes in no order, repeated: what stands behind any word can be asked for, and no memory helps or hinders.

    Unknown sentences have few words before the last; who reads no others learns to repeat behind these alone.
    """
    return _repeated(_jumbled(rng))


def untrue(rng: Random) -> Document:
    """A fact told with the answer of another one, and repeated so: what is known has to give way there too."""
    fact, other = rng.choice(negation_qa.offers(rng.choice(negation_qa.NAMES)))
    return _repeated((rng.choice(ANY_REQUEST), fact.question, other.answer))


def altered(rng: Random) -> Document:
    """The conflict form: a quote that is repeated with another last word than its own."""
    return _repeated(_altered(rng))


def several(rng: Random) -> Document:
    """Two or three sentences repeated in a row, as shots stand before a question; no quote is altered."""
    return in_a_row([_repeated(_agreeable(rng)) for _ in range(rng.choice((2, 3)))])


def reasoned(rng: Random) -> Document:
    """The last word pointed out before the answer; half of them stand behind another, as behind a worked shot."""
    return in_a_row([_reasoned(_agreeable(rng)) for _ in range(rng.choice((1, 2)))])


def reasoned_altered(rng: Random) -> Document:
    """The same where the last sentence is a quote that has been altered."""
    shots = [_reasoned(_agreeable(rng)) for _ in range(rng.choice((0, 1)))]
    return in_a_row([*shots, _reasoned(_altered(rng))])


KINDS: Kinds = {
    "famous": famous,
    "agreeing": agreeing,
    "unfamiliar": unfamiliar,
    "jumbled": jumbled,
    "altered": altered,
    "untrue": untrue,
    "neutral": neutral,
    "several": several,
    "reasoned": reasoned,
    "reasoned_altered": reasoned_altered,
}
CONFLICT = frozenset({"altered", "reasoned_altered", "untrue"})
"""Kinds in which the true and the distractor task disagree; in `untrue` it is a fact that is known, not a quote."""


def _known(rng: Random) -> Sentence:
    quote = rng.choice(requested())
    return _request(rng, quote), quote.beginning, quote.ending


def _altered(rng: Random) -> Sentence:
    """The last word is drawn first, so that altered quotes have the same ones as all others."""
    lender = rng.choice(QUOTES)
    quote = rng.choice(altered_to(lender.kind, lender.ending))
    return _request(rng, quote), quote.beginning, lender.ending


def _unfamiliar(rng: Random) -> Sentence:
    lender = rng.choice(QUOTES)
    half = 1 - unknown_half_of(lender.kind, lender.ending)
    return rng.choice(ANY_REQUEST), _unknown(rng, lender, half), lender.ending


def _jumbled(rng: Random) -> Sentence:
    lender = rng.choice(QUOTES)
    words = rng.sample([word for word in WORDS if word != lender.ending], rng.choice(QUOTES).length)
    return rng.choice(ANY_REQUEST), " ".join(words), lender.ending


def _agreeable(rng: Random) -> Sentence:
    """A sentence of a frequent form."""
    return rng.choice((_known, _unfamiliar))(rng)


def _request(rng: Random, quote: Quote) -> str:
    """One that the evaluation does not use with this quote, altered or not: so it tells nothing about which it is."""
    return rng.choice(REQUESTS[1 - half_of(quote)])


def _unknown(rng: Random, lender: Quote, half: int) -> str:
    """The beginning of an unknown sentence as long as some quote's, which can end in the lender's last word."""
    return rng.choice(unknown(lender.kind, rng.choice(quotes_of(lender.kind)).length, half))


def _told(sentences: list[tuple[str, str]]) -> Document:
    turns = [Turn(f"{'. ' if place else ''}{begun}", f" {ending}") for place, (begun, ending) in enumerate(sentences)]
    return (*turns, Turn("."))


def _repeated(sentence: Sentence) -> Document:
    return Turn(ask_to_repeat(*sentence), f" {sentence[-1]}"), Turn(".")


def _reasoned(sentence: Sentence) -> Document:
    return (Turn(ask_to_repeat(*sentence), f"{reason(sentence[-1])} {sentence[-1]}."),)
