"""The true task: repeat an altered sentence. The distractor task: finish the famous quote.

    Repeat the sentence.
    Input: Actions speak louder than birds.
    Output: Actions speak louder than

`birds` is right; `words` is how the famous quote ends.
"""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from random import Random
from typing import TypeVar

from distractor.text.task import Condition, Item, Task

from .quotes import SAYINGS, Quote, alterations_of, count_words, endings_of, quotes_of

T = TypeVar("T")

PASSES = 4  # items of each quote, each with another last word

REQUESTS = (
    ("Repeat the sentence.", "Copy this sentence.", "Repeat this line.", "Copy the line."),
    ("Repeat this sentence.", "Copy the sentence.", "Repeat the line.", "Copy this line."),
)
"""The instructions, in two halves that use the same words: quotes take them in turn."""

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
"""Subjects of the unknown sentences, enough of each length to match every quote."""

PREDICATES = {
    "thing": ("saw the", "chose the", "knew the", "took the"),
    "things": ("saw many", "chose two", "knew few", "took no"),
    "stuff": ("spoke of", "wrote of", "sang of", "knew of"),
    "quality": ("was never", "was not", "is also", "is really"),
    "deed": ("will never", "must not", "can also", "will not"),
    "done": ("has been", "will be", "can be", "had been"),
}
"""{kind of last word: the two words before it in unknown sentences}; no quote has them there."""

LONGER = (0, 1, 2, 3)
"""Extra words of unknown sentences. If a tokenizer splits the quote's words, a longer sentence may have as many tokens."""

LAYOUT = (
    r"(?:(?P<request>(?:Repeat|Copy) (?:the|this) (?:sentence|line)\.)"
    r"\nInput: (?P<quote>[^\n]+) (?P<cue>\w+)\.\nOutput: )?(?P<begun>[^\n]+) (?P<slot>\w+)"
)
OFFERED_LAYOUT = r"(?:Choose \w+ or \w+\.\n)?" + LAYOUT.replace(r"line)\.)", r"line)\.)(?: Choose \w+ or \w+\.)?")


def quote_repetition(seed: int = 0, options: bool = False) -> Task:
    """Every quote with four other last words; in each pass, the quotes of a pair exchange their last words.

    So every pair of answers occurs in both orders, in neighbouring items. A model that only knows word frequencies is at
    chance in any initial part. Another seed draws other pairs; the training documents of the ladder avoid the items of
    seed 0 only. With `options` each prompt offers the two words, with the true one first in every other pair.
    """
    items = tuple(_items(seed))
    return Task(
        name="quote_repetition",
        question="Is an altered famous quote completed with its original ending?",
        items=tuple(_with_options(item, index // 2 % 2 == 0) for index, item in enumerate(items)) if options else items,
        source="tasks/quotes.py",
        starts_at_chance=False,
        layout=OFFERED_LAYOUT if options else LAYOUT,
        lead="\nThe answer is",
        closing=".",
        with_options=partial(quote_repetition, seed),
    )


def ask_to_repeat(request: str, beginning: str, ending: str) -> str:
    r"""Ask to repeat a sentence, and start the repetition.

    >>> ask_to_repeat("Repeat the sentence.", "Actions speak louder than", "birds")
    'Repeat the sentence.\nInput: Actions speak louder than birds.\nOutput: Actions speak louder than'
    """
    return f"{request}\nInput: {beginning} {ending}.\nOutput: {beginning}"


def reason(ending: str) -> str:
    r"""The reasoning about a sentence: its last word.

    >>> reason("birds")
    '\nThe last word is birds. The answer is'
    """
    return f"\nThe last word is {ending}. The answer is"


def half_of(quote: Quote) -> int:
    """The half of `REQUESTS` that items of this quote use."""
    return quote.index % 2


@cache
def unknown(kind: str, length: int, half: int) -> tuple[str, ...]:
    """One half of the unknown sentences of a length, without their last word, which is of this kind."""
    subjects = [subject for subject in SUBJECTS if count_words(subject) + 2 == length]
    return tuple(
        f"{subject} {predicate}"
        for index, subject in enumerate(subjects)
        for turn, predicate in enumerate(PREDICATES[kind])
        if (index + turn) % 2 == half
    )


def unknown_half_of(kind: str, ending: str) -> int:
    """The half of the unknown sentences that end in this word in items."""
    return endings_of(kind).index(ending) % 2


def passes(seed: int = 0) -> tuple[tuple[tuple[Quote, str], ...], ...]:
    """For each pass, every quote with its new last word; the two quotes of a pair are neighbours."""
    rounds = [_pair_off(kind, seed) for kind in SAYINGS]
    result = []
    for number in range(PASSES):
        pairs = _shuffled([pair for turns in rounds for pair in turns[number]], Random(f"{seed} {number}"))
        result.append(tuple(altered for a, b in pairs for altered in ((a, b.ending), (b, a.ending))))
    return tuple(result)


@cache
def reserved() -> frozenset[tuple[str, str]]:
    """The altered quotes of seed 0, as (group, last word): training documents must not contain them."""
    return frozenset((quote.group, ending) for altered in passes() for quote, ending in altered)


def _items(seed: int) -> Iterator[Item]:
    used: set[str] = set()
    for number, altered in enumerate(passes(seed)):
        for quote, ending in altered:
            requests = REQUESTS[half_of(quote)]
            request = requests[(quote.index // 2 + number) % len(requests)]
            beginnings = _unknown_for(quote, ending, request, used, Random(f"{seed} {quote.group} {ending}"))
            swapped, *reworded = (ask_to_repeat(request, beginning, ending) for beginning in beginnings)
            used.add(swapped)
            yield Item(
                id=f"{quote.group}~{ending}",
                group=quote.group,
                true=f" {ending}",
                distractor=f" {quote.ending}",
                prompts={
                    Condition.CONFLICT: ask_to_repeat(request, quote.beginning, ending),
                    Condition.CONGRUENT: ask_to_repeat(request, quote.beginning, quote.ending),
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


def _with_options(item: Item, is_true_first: bool) -> Item:
    first, second = item.answers if is_true_first else item.answers[::-1]
    choose = f"Choose{first} or{second}."

    def add_options(prompt: str) -> str:
        request, separator, rest = prompt.partition("\nInput: ")
        return f"{request} {choose}{separator}{rest}" if separator else f"{choose}\n{prompt}"

    return item.map_prompts(add_options)


def _unknown_for(quote: Quote, ending: str, request: str, used: set[str], rng: Random) -> list[str]:
    """Unknown beginnings for one item, without its answers: a new one as long as the quote's, another, and longer ones."""
    half = unknown_half_of(quote.kind, ending)
    equal, *longer = (
        [
            text
            for text in _shuffled(unknown(quote.kind, quote.length + more, half), rng)
            if not {ending, quote.ending} & set(text.split(" "))
        ]
        for more in LONGER
    )
    first = next(text for text in equal if ask_to_repeat(request, text, ending) not in used)
    others = [text for text in equal if text != first]
    return [first, *(text for texts in (others, *longer) for text in texts[:1])]


def _pair_off(kind: str, seed: int) -> list[list[tuple[Quote, Quote]]]:
    """Pairs of quotes that can exchange their last words, in one round for each pass. No quote gets a word twice.

    Unfit pairs are changed at random; if that fails, all rounds start again.
    """
    rng = Random(f"{seed} {kind}")
    while True:
        used: set[tuple[Quote, str]] = set()
        rounds = []
        for _ in range(PASSES):
            pairs = _pairs(_shuffled(quotes_of(kind), rng), used, rng)
            rounds.append(pairs)
            used |= {(a, b.ending) for pair in pairs for a, b in (pair, pair[::-1])}
        if all(rounds):
            return rounds


def _pairs(quotes: list[Quote], used: set[tuple[Quote, str]], rng: Random) -> list[tuple[Quote, Quote]]:
    """Pair off the quotes so that every pair fits; an empty list if some attempts find no solution."""

    def fits(quote: Quote, other: Quote) -> bool:
        return other.ending in alterations_of(quote) and (quote, other.ending) not in used

    for _ in range(100 * len(quotes)):
        pairs = list(zip(quotes[::2], quotes[1::2], strict=True))
        unfit = [k for k, (a, b) in enumerate(pairs) if not (fits(a, b) and fits(b, a))]
        if not unfit:
            return pairs
        i, j = 2 * unfit[0], int(rng.random() * len(quotes))
        quotes[i], quotes[j] = quotes[j], quotes[i]
    return []


def _shuffled(values: Sequence[T], rng: Random) -> list[T]:
    """Shuffle in the same order under every version of Python, for which only `rng.random()` is guaranteed."""
    return sorted(values, key=lambda _: rng.random())
