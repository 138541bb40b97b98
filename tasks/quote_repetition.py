"""The true task: repeat the sentence, altered as it is. The distractor task: finish the famous quote.

    Repeat the sentence.
    Input: Actions speak louder than birds.
    Output: Actions speak louder than

`birds` repeats what was told; `words` is what the quote calls to mind.
"""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from random import Random
from typing import TypeVar

from distractor.text.task import Condition, Item, Task

from .quotes import SAYINGS, Quote, alterations_of, endings_of, length_of, quotes_of

T = TypeVar("T")

PASSES = 4
"""How many other last words each quote is given."""

REQUESTS = (
    ("Repeat the sentence.", "Copy this sentence.", "Repeat this line.", "Copy the line."),
    ("Repeat this sentence.", "Copy the sentence.", "Repeat the line.", "Copy this line."),
)
"""What is asked, in two halves of the same words: the first is for every other quote, the second for the rest."""

SUBJECTS = (
    "He",
    "Jack",
    "Jill",
    "Mary",
    "The king",
    "My teacher",
    "His wife",
    "The customer",
    "The old woman",
    "A poor workman",
    "The first messenger",
    "Your little child",
    "The king of Spain",
    "One of my friends",
    "A man without money",
    "The wife of Jack",
    "The woman with the cat",
    "The child in the cart",
    "One of the old soldiers",
    "The first man in Rome",
    "The man with the red book",
    "The last child up the hill",
    "The teacher of my other child",
    "A woman from the old school",
    "The wife of the king of Norway",
    "The man with the cat and dog",
    "One of the cooks at the school",
    "The first woman in a new school",
    "The man with the horse and the cart",
    "The wife of one of my old friends",
    "The child of the woman with the old cat",
    "The best of the cooks at the old school",
)
"""Whom sentences that nobody has heard speak of: each length comes up often enough for every quote to find its match."""

PREDICATES = {
    "thing": ("saw the", "chose the", "knew the", "took the"),
    "things": ("saw many", "chose two", "knew few", "took no"),
    "stuff": ("spoke of", "wrote of", "sang of", "knew of"),
    "quality": ("was never", "was not", "is also", "is really"),
    "deed": ("will never", "must not", "can also", "will not"),
    "done": ("has been", "will be", "can be", "had been"),
}
"""What they say before the last word, by its kind: two words, which no quote has there."""

LONGER = (0, 1, 2, 3)
"""How much longer than the quote unknown sentences are: where a tokenizer splits the quote's words, one of these may fit."""

LAYOUT = (
    r"(?:(?P<request>(?:Repeat|Copy) (?:the|this) (?:sentence|line)\.)"
    r"\nInput: (?P<quote>[^\n]+) (?P<cue>\w+)\.\nOutput: )?(?P<begun>[^\n]+) (?P<slot>\w+)"
)
OFFERED_LAYOUT = r"(?:Choose \w+ or \w+\.\n)?" + LAYOUT.replace(r"line)\.)", r"line)\.)(?: Choose \w+ or \w+\.)?")


def quote_repetition(seed: int = 0, options: bool = False) -> Task:
    """Every quote with four other last words; each pass over the quotes pairs them off, and each lends the other its own.

    So every pair of answers comes up both ways round, one behind the other, and who only knows how frequent words are
    sits at chance in any first part. Another seed pairs them otherwise. What the ladder reads keeps clear of seed 0 alone.
    With `options` each prompt offers the two words, the true one first in every other pair.
    """
    items = tuple(_items(seed))
    return Task(
        name="quote_repetition",
        question="Is an altered famous quote repeated as it is known?",
        items=tuple(_offered(item, place // 2 % 2 == 0) for place, item in enumerate(items)) if options else items,
        source="tasks/quotes.py",
        layout=OFFERED_LAYOUT if options else LAYOUT,
        lead="\nThe answer is",
        closing=".",
        with_options=partial(quote_repetition, seed),
    )


def pose(request: str, beginning: str, ending: str) -> str:
    r"""Asks to repeat a sentence, and begins to.

    >>> pose("Repeat the sentence.", "Actions speak louder than", "birds")
    'Repeat the sentence.\nInput: Actions speak louder than birds.\nOutput: Actions speak louder than'
    """
    return f"{request}\nInput: {beginning} {ending}.\nOutput: {beginning}"


def reason(ending: str) -> str:
    r"""What leads from a sentence to its last word.

    >>> reason("birds")
    '\nThe last word is birds. The answer is'
    """
    return f"\nThe last word is {ending}. The answer is"


def half_of(quote: Quote) -> int:
    """Which half of the requests the evaluation uses with this quote."""
    return quote.place % 2


@cache
def unknown(kind: str, length: int, half: int) -> tuple[str, ...]:
    """Sentences that nobody has heard, up to the last word, which is of this kind: half of those of this length."""
    subjects = [subject for subject in SUBJECTS if length_of(subject) + 2 == length]
    return tuple(
        f"{subject} {predicate}"
        for place, subject in enumerate(subjects)
        for turn, predicate in enumerate(PREDICATES[kind])
        if (place + turn) % 2 == half
    )


def unknown_half_of(kind: str, ending: str) -> int:
    """Which half of the unknown sentences the evaluation lets end in this word."""
    return endings_of(kind).index(ending) % 2


def passes(seed: int = 0) -> tuple[tuple[tuple[Quote, str], ...], ...]:
    """For each pass every quote and the last word that it is given, the two of a pair behind each other."""
    rounds = [_pair_off(kind, seed) for kind in SAYINGS]
    found = []
    for number in range(PASSES):
        pairs = [pair for turns in rounds for pair in turns[number]]
        pairs = _shuffled(pairs, Random(f"{seed} {number}"))
        found.append(tuple(altered for one, other in pairs for altered in ((one, other.ending), (other, one.ending))))
    return tuple(found)


@cache
def reserved() -> frozenset[tuple[str, str]]:
    """Quotes and the last words that seed 0 gives them: what is trained on the same quotes must never do so."""
    return frozenset((quote.group, ending) for altered in passes() for quote, ending in altered)


def _items(seed: int) -> Iterator[Item]:
    posed: set[str] = set()
    for number, altered in enumerate(passes(seed)):
        for quote, ending in altered:
            requests = REQUESTS[half_of(quote)]
            request = requests[(quote.place // 2 + number) % len(requests)]
            beginnings = _unheard_of(quote, ending, request, posed, Random(f"{seed} {quote.group} {ending}"))
            swapped, *reworded = (pose(request, beginning, ending) for beginning in beginnings)
            posed.add(swapped)
            yield Item(
                id=f"{quote.group}~{ending}",
                group=quote.group,
                true=f" {ending}",
                distractor=f" {quote.ending}",
                prompts={
                    Condition.CONFLICT: pose(request, quote.beginning, ending),
                    Condition.CONGRUENT: pose(request, quote.beginning, quote.ending),
                    Condition.DISTRACTOR_SWAPPED: swapped,
                    Condition.DISTRACTOR_ONLY: quote.beginning,
                    Condition.TRUE_ONLY: swapped,
                    Condition.NEUTRAL: beginnings[0],
                },
                rewordings={Condition.DISTRACTOR_SWAPPED: tuple(reworded)},
                reasons={
                    Condition.CONFLICT: reason(ending),
                    Condition.CONGRUENT: reason(quote.ending),
                    Condition.DISTRACTOR_SWAPPED: reason(ending),
                    Condition.TRUE_ONLY: reason(ending),
                },
            )


def _offered(item: Item, is_true_first: bool) -> Item:
    first, second = item.answers if is_true_first else item.answers[::-1]
    choose = f"Choose{first} or{second}."

    def tell(prompt: str) -> str:
        request, parted, rest = prompt.partition("\nInput: ")
        return f"{request} {choose}{parted}{rest}" if parted else f"{choose}\n{prompt}"

    return item.map_prompts(tell)


def _unheard_of(quote: Quote, ending: str, request: str, posed: set[str], rng: Random) -> list[str]:
    """Unknown beginnings for one item: one as long as the quote's that makes a new prompt, another, and longer ones.

    None of them holds one of the two answers.
    """
    half = unknown_half_of(quote.kind, ending)
    as_long, *longer = (
        [
            text
            for text in _shuffled(unknown(quote.kind, quote.length + more, half), rng)
            if not {ending, quote.ending} & set(text.split(" "))
        ]
        for more in LONGER
    )
    first = next(text for text in as_long if pose(request, text, ending) not in posed)
    others = [text for text in as_long if text != first]
    return [first, *(text for texts in (others, *longer) for text in texts[:1])]


def _pair_off(kind: str, seed: int) -> list[list[tuple[Quote, Quote]]]:
    """Pairs of quotes that can lend each other their last words, in as many rounds as there are passes.

    No quote is lent a word twice. Seats that do not fit are exchanged at random; where that leads nowhere, all begins anew.
    """
    rng = Random(f"{seed} {kind}")
    while True:
        lent: set[tuple[Quote, str]] = set()
        rounds = []
        for _ in range(PASSES):
            pairs = _pairs(_shuffled(quotes_of(kind), rng), lent, rng)
            rounds.append(pairs)
            lent |= {(one, other.ending) for pair in pairs for one, other in (pair, pair[::-1])}
        if all(rounds):
            return rounds


def _pairs(seats: list[Quote], lent: set[tuple[Quote, str]], rng: Random) -> list[tuple[Quote, Quote]]:
    """Who sits beside whom once all fit; nothing where that is not found within some tries."""

    def may_have(quote: Quote, other: Quote) -> bool:
        return other.ending in alterations_of(quote) and (quote, other.ending) not in lent

    for _ in range(100 * len(seats)):
        pairs = list(zip(seats[::2], seats[1::2], strict=True))
        unfit = [k for k, (one, other) in enumerate(pairs) if not (may_have(one, other) and may_have(other, one))]
        if not unfit:
            return pairs
        here, there = 2 * unfit[0], int(rng.random() * len(seats))
        seats[here], seats[there] = seats[there], seats[here]
    return []


def _shuffled(things: Sequence[T], rng: Random) -> list[T]:
    """In an order that is the same under every version of Python: of `rng` only `random()` promises that."""
    return sorted(things, key=lambda _: rng.random())
