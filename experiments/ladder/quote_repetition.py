"""Training documents of quote_repetition: quotes in full, and sentences to repeat, few of which are altered quotes.

- A quote is never altered as in the evaluation, and never requested in the words that the evaluation uses for it.
- An unknown sentence never ends as in the evaluation.
- A held-out quote occurs in full, but never in a request to repeat it, altered or not.
- Last words are as frequent as among all quotes; where quotes are repeated unchanged, as among those not held out.
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

from .document import Document, Kinds, Turn, in_a_row

SENTENCES = 3
"""Sentences in one document without a request; a single one is short."""

ANY_REQUEST = tuple(request for half in REQUESTS for request in half)

Sentence = tuple[str, str, str]
"""A request, the beginning of the sentence, and its last word."""

WORDS = sorted({word for quote in QUOTES for word in re.findall(r"\w+", quote.beginning)})
"""The words of the quotes, without their last words."""


@cache
def held_out() -> frozenset[str]:
    """A third of the quotes of each kind: no document repeats one, altered or not."""
    return frozenset(quote.group for kind in PREDICATES for quote in quotes_of(kind)[1::3])


@cache
def requested() -> tuple[Quote, ...]:
    """The quotes that a document can ask to repeat."""
    return tuple(quote for quote in QUOTES if quote.group not in held_out())


@cache
def altered_to(kind: str, ending: str) -> tuple[Quote, ...]:
    """The quotes that get this last word in training."""
    reserved_pairs = reserved()
    return tuple(
        quote
        for quote in quotes_of(kind)
        if ending in alterations_of(quote)
        and (quote.group, ending) not in reserved_pairs
        and quote.group not in held_out()
    )


def famous(rng: Random) -> Document:
    """Quotes in full, without a request: they teach the distractor task."""
    return _in_full([(quote.beginning, quote.ending) for quote in rng.sample(QUOTES, SENTENCES)])


def neutral(rng: Random) -> Document:
    """Unknown sentences without a request. Last words are as frequent as in the quotes."""
    lenders = [rng.choice(QUOTES) for _ in range(SENTENCES)]
    return _in_full([(_unknown(rng, lender, rng.choice((0, 1))), lender.ending) for lender in lenders])


def agreeing(rng: Random) -> Document:
    """A request to repeat an unchanged quote: both tasks agree."""
    return _repeated(_known(rng))


def unfamiliar(rng: Random) -> Document:
    """A request to repeat an unknown sentence: the true task without a quote."""
    return _repeated(_unfamiliar(rng))


def jumbled(rng: Random) -> Document:
    """A request to repeat words of quotes in random order: the last word can follow any word.

    In unknown sentences only few words occur before the last one. From these alone, a model learns to copy only after them.
    """
    return _repeated(_jumbled(rng))


def altered(rng: Random) -> Document:
    """The conflict form: a request to repeat a quote with a changed last word."""
    return _repeated(_altered(rng))


def several(rng: Random) -> Document:
    """One or two worked examples and a request; no quote is altered."""
    return in_a_row([*_examples(rng), _repeated(_agreeable(rng))])


def several_altered(rng: Random) -> Document:
    """Like `several`, but the last sentence is an altered quote."""
    return in_a_row([*_examples(rng), altered(rng)])


def reasoned(rng: Random) -> Document:
    """A request in which the last word is named before the answer; half of the documents have two."""
    return in_a_row([_reasoned(_agreeable(rng)) for _ in range(rng.choice((1, 2)))])


def reasoned_altered(rng: Random) -> Document:
    """Like `reasoned`, but the last sentence is an altered quote."""
    shots = [_reasoned(_agreeable(rng)) for _ in range(rng.choice((0, 1)))]
    return in_a_row([*shots, _reasoned(_altered(rng))])


KINDS: Kinds = {
    "famous": famous,
    "agreeing": agreeing,
    "unfamiliar": unfamiliar,
    "jumbled": jumbled,
    "altered": altered,
    "neutral": neutral,
    "several": several,
    "several_altered": several_altered,
    "reasoned": reasoned,
    "reasoned_altered": reasoned_altered,
}
CONFLICT = frozenset({"altered", "several_altered", "reasoned_altered"})
"""Kinds in which the true and the distractor task disagree."""


def _known(rng: Random) -> Sentence:
    quote = rng.choice(requested())
    return _request(rng, quote), quote.beginning, quote.ending


def _altered(rng: Random) -> Sentence:
    """An altered quote. The last word is drawn first, so that altered quotes have the same last words as others."""
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
    """A sentence without conflict, of a frequent form."""
    return rng.choice((_known, _unfamiliar))(rng)


def _request(rng: Random, quote: Quote) -> str:
    """A request that the evaluation does not use with this quote; it does not reveal whether the quote is altered."""
    return rng.choice(REQUESTS[1 - half_of(quote)])


def _unknown(rng: Random, lender: Quote, half: int) -> str:
    """The beginning of an unknown sentence, as long as a random quote, that can end in the lender's last word."""
    return rng.choice(unknown(lender.kind, rng.choice(quotes_of(lender.kind)).length, half))


def _in_full(sentences: list[tuple[str, str]]) -> Document:
    turns = [Turn(f"{'. ' if k else ''}{beginning}", f" {ending}") for k, (beginning, ending) in enumerate(sentences)]
    return (*turns, Turn("."))


def _examples(rng: Random) -> list[Document]:
    return [_repeated(_agreeable(rng)) for _ in range(rng.choice((1, 2)))]


def _repeated(sentence: Sentence) -> Document:
    return Turn(ask_to_repeat(*sentence), f" {sentence[-1]}"), Turn(".")


def _reasoned(sentence: Sentence) -> Document:
    return (Turn(ask_to_repeat(*sentence), f"{reason(sentence[-1])} {sentence[-1]}."),)
