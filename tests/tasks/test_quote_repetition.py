"""quote_repetition alters quotes so that nothing predicts the altered word, and training documents avoid its items."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import permutations
from random import Random

import numpy as np
import pytest
from training import documents

from distractor.text.task import Condition, Task
from experiments.ladder import quote_repetition as training_module
from tasks import TASKS
from tasks.facts import FACTS
from tasks.quote_repetition import (
    PASSES,
    PREDICATES,
    REQUESTS,
    SUBJECTS,
    half_of,
    passes,
    reserved,
    unknown,
    unknown_half_of,
)
from tasks.quotes import QUOTES, SAYINGS, Quote, alterations_of, count_words, endings_of, quotes_of

C = Condition
BY_BEGINNING = {quote.beginning: quote for quote in QUOTES}
ENDING_OF = {quote.beginning: quote.ending for quote in QUOTES}
BY_GROUP = {quote.group: quote for quote in QUOTES}
UNKNOWN = {
    kind: [text for length in range(2, 20) for half in (0, 1) for text in unknown(kind, length, half)]
    for kind in SAYINGS
}


@pytest.fixture(scope="module", params=[0, 7])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS["quote_repetition"](seed=request.param)


def words_in(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def last_two(text: str) -> list[str]:
    return text.split(" ")[-2:]


# Quotes


def test_quotes_are_short_plain_sentences_that_use_their_last_word_once() -> None:
    assert len(QUOTES) >= 150
    assert [quote.index for quote in QUOTES] == list(range(len(QUOTES)))
    for quote in QUOTES:
        assert 4 <= len(words_in(quote.sentence)) <= 9, quote.sentence
        assert re.fullmatch(r"[A-Z]\w*(,? \w+)+\.", quote.sentence), quote.sentence
        assert quote.ending not in words_in(quote.beginning)


def test_a_beginning_belongs_to_one_quote() -> None:
    for one, other in permutations((f"{quote.beginning} " for quote in QUOTES), 2):
        assert not other.startswith(one), (one, other)


def test_quotes_of_a_kind_form_pairs_and_words_that_fit_as_well_are_endings_of_the_kind() -> None:
    for kind in SAYINGS:
        assert len(quotes_of(kind)) % 2 == 0
    for quote in QUOTES:
        assert quote.also_fit <= set(endings_of(quote.kind)) - {quote.ending}, quote


def test_an_altered_word_has_the_same_kind_and_is_unexpected() -> None:
    sentences = " ".join(quote.sentence for quote in QUOTES)
    for quote in QUOTES:
        assert len(alterations_of(quote)) >= 2 * PASSES
        for word in alterations_of(quote):
            assert word in endings_of(quote.kind)
            assert word not in {quote.ending, *quote.also_fit, *words_in(quote.beginning)}
            assert not (quote.beginning.endswith(" a") and word.startswith(tuple("aeiou")))
            assert f"{' '.join(last_two(quote.beginning))} {word}." not in sentences


# Items


def test_another_seed_gives_other_last_words_in_another_order() -> None:
    first, second = ([pair for turn in passes(seed) for pair in turn] for seed in (0, 1))
    assert len(set(first) & set(second)) < 0.3 * len(first)
    assert [quote for quote, _ in first] != [quote for quote, _ in second]


def test_every_quote_gets_a_different_word_in_each_pass(task: Task) -> None:
    words = defaultdict(set)
    for item in task.items:
        quote = BY_GROUP[item.group]
        assert item.distractor == f" {quote.ending}"
        assert item.true.strip() in alterations_of(quote)
        words[item.group].add(item.true)
    assert {len(own) for own in words.values()} == {PASSES}
    for turn in range(PASSES):
        items = task.items[turn * len(QUOTES) : (turn + 1) * len(QUOTES)]
        assert {item.group for item in items} == BY_GROUP.keys()


def test_neighbouring_quotes_exchange_their_last_words(task: Task) -> None:
    for one, other in zip(task.items[::2], task.items[1::2], strict=True):
        assert one.answers == other.answers[::-1]


def test_only_the_last_word_or_only_the_quote_changes(task: Task) -> None:
    for item in task.items:
        quote, conflict = BY_GROUP[item.group], item.prompts[C.CONFLICT]
        assert conflict.count(quote.beginning) == 2
        assert words_in(conflict).count(item.true.strip()) == 1
        assert conflict.replace(f"{item.true}.", f"{item.distractor}.") == item.prompts[C.CONGRUENT]
        assert item.prompts[C.DISTRACTOR_ONLY] == quote.beginning
        for wording in item.wordings(C.DISTRACTOR_SWAPPED):
            _, _, beginning = wording.rpartition("Output: ")
            assert wording.replace(beginning, "…") == conflict.replace(quote.beginning, "…")
            assert beginning in UNKNOWN[quote.kind]
        assert item.prompts[C.TRUE_ONLY] == item.prompts[C.DISTRACTOR_SWAPPED]
        assert item.prompts[C.DISTRACTOR_SWAPPED].endswith(f"Output: {item.prompts[C.NEUTRAL]}")


def test_unknown_sentences_are_as_long_as_the_quote_and_then_longer(task: Task) -> None:
    for item in task.items:
        lengths = [count_words(text.rpartition("Output: ")[2]) for text in item.wordings(C.DISTRACTOR_SWAPPED)]
        assert lengths[:2] == [BY_GROUP[item.group].length] * 2
        assert lengths[2:] == [lengths[0] + more for more in range(1, len(lengths) - 1)]
        assert len(set(item.wordings(C.DISTRACTOR_SWAPPED))) == len(lengths)


def test_unknown_sentences_contain_neither_answer_nor_the_two_words_before_a_quotes_last(task: Task) -> None:
    for item in task.items:
        for wording in (*item.wordings(C.DISTRACTOR_SWAPPED), item.prompts[C.NEUTRAL]):
            beginning = wording.rpartition("Output: ")[2]
            assert not {answer.strip() for answer in item.answers} & set(words_in(beginning))
    known = [last_two(quote.beginning.lower()) for quote in QUOTES]
    for texts in UNKNOWN.values():
        assert not [text for text in texts if last_two(text.lower()) in known]
        assert not [text for text in texts for quote in QUOTES if f"{quote.sentence} ".startswith(f"{text} ")]


def test_unknown_sentences_have_every_length_and_two_halves_for_every_kind() -> None:
    distinct = {text for texts in UNKNOWN.values() for text in texts}
    assert len(distinct) == len(SUBJECTS) * sum(map(len, PREDICATES.values()))
    for kind in SAYINGS:
        for length in {quote.length for quote in quotes_of(kind)}:
            halves = [set(unknown(kind, length, half)) for half in (0, 1)]
            assert min(map(len, halves)) >= 6
            assert not halves[0] & halves[1]
        assert {unknown_half_of(kind, word) for word in endings_of(kind)} == {0, 1}


def test_requests_have_one_length_and_both_halves_use_the_same_words(task: Task) -> None:
    halves = [{word for request in half for word in words_in(request)} for half in REQUESTS]
    assert halves[0] == halves[1]
    assert len({count_words(request) for half in REQUESTS for request in half}) == 1
    used = Counter(item.prompts[C.CONFLICT].partition("\n")[0] for item in task.items)
    assert used.keys() == {request for half in REQUESTS for request in half}
    assert max(used.values()) - min(used.values()) <= 0.1 * len(task.items) / len(used)


@pytest.mark.parametrize("count", [60, 696])
def test_the_frequency_of_words_gives_chance(count: int, task: Task) -> None:
    frequency = Counter(quote.ending for quote in QUOTES)
    random = np.random.default_rng(0)
    for bias in (frequency, {word: random.random() for word in frequency}):
        ahead = [np.sign(bias[i.true.strip()] - bias[i.distractor.strip()]) for i in task.take(count).items]
        assert sum(ahead) == 0


# Oracles


def input_of(prompt: str) -> str | None:
    """The sentence to repeat, without its full stop; None without an instruction."""
    _, label, rest = prompt.rpartition("\nInput: ")
    return rest.partition(".\nOutput: ")[0] if label else None


def attentive(prompt: str) -> Mapping[str, float]:
    """Repeats the input, and has no preference without one."""
    sentence = input_of(prompt)
    return {sentence.rpartition(" ")[2]: 0.8} if sentence else {}


def distracted(prompt: str) -> Mapping[str, float]:
    """Finishes the quote, and has no preference without one."""
    beginning = prompt.rpartition("Output: ")[2]
    return {ENDING_OF[beginning]: 0.8} if beginning in ENDING_OF else {}


# Training documents

REPETITION = re.compile(r"(?P<request>\w+ \w+ \w+\.)\nInput: (?P<input>[^.\n]+)\.\nOutput: (?P<output>[^.\n]+)")
Asked = tuple[str, str]
"""A request and its input, which identify a prompt."""

ENDINGS = sorted({quote.ending for quote in QUOTES})
ASKING = (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_SWAPPED, C.TRUE_ONLY)
"""The conditions with an instruction."""


def asked_in(text: str) -> list[Asked]:
    return [(request, sentence) for request, sentence, _ in REPETITION.findall(text)]


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return documents("quote_repetition")


@pytest.fixture(scope="module")
def asked(texts: dict[str, list[str]]) -> dict[str, list[Asked]]:
    """All repetitions in the documents of each kind."""
    return {kind: [pair for text in every for pair in asked_in(text)] for kind, every in texts.items()}


def split(asked: list[Asked], quotes: bool = True) -> set[tuple[str, str]]:
    """(beginning, last word) of every sentence that is a quote, altered or not; or of every other sentence."""
    pairs = {(beginning, word) for _, sentence in asked for beginning, _, word in [sentence.rpartition(" ")]}
    return {(beginning, word) for beginning, word in pairs if (beginning in ENDING_OF) == quotes}


@cache
def prompts_of_seed_0() -> frozenset[Asked]:
    items = TASKS["quote_repetition"]().items
    return frozenset(pair for item in items for c in ASKING for text in item.wordings(c) for pair in asked_in(text))


def test_no_document_contains_a_prompt_or_an_altered_quote_of_seed_0(asked: dict[str, list[Asked]]) -> None:
    shown = {pair for every in asked.values() for pair in every}
    assert len(shown) > 8_000
    assert len(prompts_of_seed_0()) > 3_000
    assert not shown & prompts_of_seed_0()
    assert not {(BY_BEGINNING[beginning].group, word) for beginning, word in split(list(shown))} & reserved()


def test_a_planted_prompt_would_be_found() -> None:
    items = TASKS["quote_repetition"]().items
    for condition in ASKING:
        document = items[5].wordings(condition)[-1]
        assert set(asked_in(f"{document} words.\n\n{document} birds.")) <= prompts_of_seed_0()


def test_no_held_out_quote_is_altered(texts: dict[str, list[str]], asked: dict[str, list[Asked]]) -> None:
    held_out = {quote.beginning for quote in QUOTES if quote.group in training_module.held_out()}
    for kind, every in asked.items():
        altered = {beginning for beginning, word in split(every) if ENDING_OF[beginning] != word}
        expected = ENDING_OF.keys() - held_out if kind in training_module.CONFLICT else set()
        assert altered == expected, kind
    # Documents show them, but never ask to repeat them.
    famous = "\n".join(texts["famous"])
    assert all(beginning in famous for beginning in held_out)
    assert not held_out & {beginning for every in asked.values() for beginning, _ in split(every)}


def test_a_third_of_every_kind_is_held_out_and_every_word_alters_some_quote() -> None:
    for kind in SAYINGS:
        assert 0.25 <= np.mean([quote.group in training_module.held_out() for quote in quotes_of(kind)]) <= 0.4
        assert min(len(training_module.altered_to(kind, word)) for word in endings_of(kind)) >= 2


def test_a_request_does_not_predict_whether_the_quote_is_altered(asked: dict[str, list[Asked]]) -> None:
    """Both kinds use all requests that the items of a quote do not use."""
    for kind in ("agreeing", "altered"):
        used = defaultdict(set)
        for request, sentence in asked[kind]:
            used[sentence.rpartition(" ")[0]].add(request)
        for quote in QUOTES:
            assert used[quote.beginning] <= set(REQUESTS[1 - half_of(quote)]), quote
        assert np.mean([len(requests) for requests in used.values() if requests]) >= 3.8, kind


def test_last_words_are_as_frequent_in_every_kind_as_in_its_quotes() -> None:
    rng, count = Random(2), 6000

    def shares_of(quotes: Sequence[Quote]) -> dict[str, float]:
        return {word: sum(quote.ending == word for quote in quotes) / len(quotes) for word in ENDINGS}

    every, requested = shares_of(QUOTES), shares_of(training_module.requested())
    either = {word: (every[word] + requested[word]) / 2 for word in ENDINGS}
    of_kind = {"agreeing": requested, "several": either, "several_altered": either}
    for kind in training_module.KINDS.keys() - {"reasoned", "reasoned_altered"}:
        answered = Counter(training_module.KINDS[kind](rng)[0][1].strip() for _ in range(count))
        share = {word: p for word, p in of_kind.get(kind, every).items() if p}
        assert answered.keys() <= share.keys(), kind
        # A chi-squared statistic over its degrees of freedom: about 1 for equal frequencies.
        distance = sum((answered[word] - count * p) ** 2 / (count * p) for word, p in share.items()) / len(share)
        assert distance < 1.5, (kind, distance)


def test_documents_repeat_their_input(texts: dict[str, list[str]]) -> None:
    for kind in texts.keys() - {"famous", "neutral", "reasoned", "reasoned_altered"}:
        for text in texts[kind]:
            turns = text.split("\n\n")
            matches = [REPETITION.fullmatch(turn.removesuffix(".")) for turn in turns]
            assert all(match and match["input"] == match["output"] for match in matches), text
            assert (len(turns) > 1) == kind.startswith("several")


def test_reasoning_in_documents_names_the_last_word(texts: dict[str, list[str]]) -> None:
    for turn in (
        turn for kind in ("reasoned", "reasoned_altered") for text in texts[kind] for turn in text.split("\n\n")
    ):
        prompt, _, reasoning = turn.rpartition("\n")
        (word,) = attentive(prompt)
        assert reasoning == f"The last word is {word}. The answer is {word}."
        assert prompt.endswith(f"Output: {input_of(prompt).removesuffix(f' {word}')}")


def test_each_kind_of_document_has_its_own_sentences(
    texts: dict[str, list[str]], asked: dict[str, list[Asked]]
) -> None:
    shown = {kind: {s for text in texts[kind] for s in text[:-1].split(". ")} for kind in ("famous", "neutral")}
    assert shown["famous"] == {f"{beginning} {ending}" for beginning, ending in ENDING_OF.items()}
    requested = {quote.sentence.removesuffix(".") for quote in training_module.requested()}
    assert {sentence for _, sentence in asked["agreeing"]} == requested
    kinds = {beginning: kind for kind, beginnings in UNKNOWN.items() for beginning in beginnings}
    neutral = {tuple(sentence.rsplit(" ", 1)) for sentence in shown["neutral"]}
    for beginning, word in neutral | split(asked["unfamiliar"], quotes=False):
        assert word in endings_of(kinds[beginning])
    assert not split(asked["unfamiliar"])
    for kind in training_module.CONFLICT:
        altered = split(asked[kind]) - ENDING_OF.items()
        assert all(word in alterations_of(BY_BEGINNING[beginning]) for beginning, word in altered)
    assert not split(asked["altered"]) & ENDING_OF.items()


def test_documents_use_few_words_and_all_words_of_the_items(texts: dict[str, list[str]], task: Task) -> None:
    known = {word for every in texts.values() for text in every[:2000] for word in re.findall(r"\w+", text)}
    prompts = {text for item in task.items for c in Condition for text in item.wordings(c)}
    assert {word for text in prompts for word in re.findall(r"\w+", text)} <= known
    assert len(known - {word for fact in FACTS for word in re.findall(r"\w+", fact.statement)}) <= 480
