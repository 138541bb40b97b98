"""Quotes of quote_repetition can be altered and nothing gives the altered word away; the ladder's reading keeps clear of it.

What every task keeps to is in test_tasks.py.
"""

import importlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle, islice, permutations
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest

from distractor.text.task import Condition, Task
from oracles import ask
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
ROOT = Path(__file__).parents[2]
ENDING_OF = {quote.beginning: quote.ending for quote in QUOTES}
OF_GROUP = {quote.group: quote for quote in QUOTES}
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


# The quotes


def test_there_is_enough_of_it(task: Task) -> None:
    assert len(QUOTES) >= 150
    of_quote = Counter(item.group for item in task.items)
    assert of_quote == dict.fromkeys(OF_GROUP, PASSES)
    assert len(OF_GROUP) == len(QUOTES)


def test_quotes_are_short_and_kept_in_order() -> None:
    assert [quote.index for quote in QUOTES] == list(range(len(QUOTES)))
    for quote in QUOTES:
        assert 4 <= len(words_in(quote.sentence)) <= 9, quote.sentence
        assert re.fullmatch(r"[A-Z]\w*(,? \w+)+\.", quote.sentence), quote.sentence
        assert quote.sentence == f"{quote.group.removeprefix(f'{quote.kind}/')}."
        assert quote.length == len(re.findall(r"\w+|,", quote.beginning))


def test_a_beginning_belongs_to_one_quote() -> None:
    for one, other in permutations((f"{quote.beginning} " for quote in QUOTES), 2):
        assert not other.startswith(one), (one, other)


def test_a_quote_has_not_said_its_last_word_before() -> None:
    assert not [quote.sentence for quote in QUOTES if quote.ending in words_in(quote.beginning)]


def test_every_kind_can_be_paired_off() -> None:
    for kind in SAYINGS:
        assert len(quotes_of(kind)) % 2 == 0
        assert set(endings_of(kind)) == {quote.ending for quote in quotes_of(kind)}


def test_what_would_do_as_well_is_a_last_word_of_the_kind_and_another_one() -> None:
    for quote in QUOTES:
        assert quote.also_fit <= set(endings_of(quote.kind)) - {quote.ending}, quote


def test_an_altered_word_is_of_the_same_kind_and_not_to_be_expected() -> None:
    for quote in QUOTES:
        assert len(alterations_of(quote)) >= 2 * PASSES
        for word in alterations_of(quote):
            assert word in endings_of(quote.kind)
            assert word != quote.ending
            assert word not in quote.also_fit
            assert word not in words_in(quote.beginning)
            assert not (quote.beginning.endswith(" a") and word.startswith(tuple("aeiou")))
            assert f"{' '.join(last_two(quote.beginning))} {word}." not in " ".join(q.sentence for q in QUOTES)


# The items


def test_the_items_of_seed_0_stay_what_they_are() -> None:
    """What is on disk and in the ladder's card was computed with these."""
    fingerprint = TASKS["quote_repetition"]().fingerprint()
    assert fingerprint == "c6e9da203b71890d4d193735a634b50adc5c938eb6920667bfcd5cee44d4b31a"


def test_another_seed_gives_other_last_words_in_another_order() -> None:
    first, second = ([pair for turn in passes(seed) for pair in turn] for seed in (0, 1))
    assert len(set(first) & set(second)) < 0.3 * len(first)
    assert [quote for quote, _ in first] != [quote for quote, _ in second]


def test_every_quote_is_given_different_words_that_may_alter_it(task: Task) -> None:
    given = defaultdict(set)
    for item in task.items:
        quote = OF_GROUP[item.group]
        assert item.distractor == f" {quote.ending}"
        assert item.true.strip() in alterations_of(quote)
        given[item.group].add(item.true)
    assert {len(words) for words in given.values()} == {PASSES}


def test_each_pass_takes_every_quote_once(task: Task) -> None:
    for turn in range(PASSES):
        items = task.items[turn * len(QUOTES) : (turn + 1) * len(QUOTES)]
        assert {item.group for item in items} == OF_GROUP.keys()


def test_two_quotes_lend_each_other_their_last_words_one_behind_the_other(task: Task) -> None:
    for one, other in zip(task.items[::2], task.items[1::2], strict=True):
        assert one.answers == other.answers[::-1]


@pytest.mark.parametrize("count", [60, 200, 696])
def test_who_only_knows_how_frequent_words_are_is_at_chance(count: int, task: Task) -> None:
    frequent = Counter(quote.ending for quote in QUOTES)
    random = np.random.default_rng(0)
    for appeal in (frequent, {word: random.random() for word in frequent}):
        ahead = [np.sign(appeal[i.true.strip()] - appeal[i.distractor.strip()]) for i in task.take(count).items]
        assert sum(ahead) == 0


def test_only_the_last_word_or_only_the_quote_is_changed(task: Task) -> None:
    for item in task.items:
        quote, conflict = OF_GROUP[item.group], item.prompts[C.CONFLICT]
        assert conflict.count(quote.beginning) == 2
        assert words_in(conflict).count(item.true.strip()) == 1
        assert conflict.replace(f"{item.true}.", f"{item.distractor}.") == item.prompts[C.CONGRUENT]
        begun = [conflict.replace(quote.beginning, "…"), quote.beginning]
        assert item.prompts[C.DISTRACTOR_ONLY] == quote.beginning
        for wording in item.wordings(C.DISTRACTOR_SWAPPED):
            _, _, unheard_of = wording.rpartition("Output: ")
            assert wording.replace(unheard_of, "…") == begun[0]
            assert unheard_of in UNKNOWN[quote.kind]
        assert item.prompts[C.TRUE_ONLY] == item.prompts[C.DISTRACTOR_SWAPPED]
        assert item.prompts[C.DISTRACTOR_SWAPPED].endswith(f"Output: {item.prompts[C.NEUTRAL]}")


def test_unknown_sentences_are_as_long_as_the_quote_and_then_longer(task: Task) -> None:
    for item in task.items:
        lengths = [count_words(text.rpartition("Output: ")[2]) for text in item.wordings(C.DISTRACTOR_SWAPPED)]
        assert lengths[:2] == [OF_GROUP[item.group].length] * 2
        assert lengths[2:] == [lengths[0] + more for more in range(1, len(lengths) - 1)]
        assert len(set(item.wordings(C.DISTRACTOR_SWAPPED))) == len(lengths)


def test_unknown_sentences_favour_neither_answer(task: Task) -> None:
    """They say neither before, and no quote has the two words that stand before the last."""
    for item in task.items:
        for wording in (*item.wordings(C.DISTRACTOR_SWAPPED), item.prompts[C.NEUTRAL]):
            begun = wording.rpartition("Output: ")[2]
            assert not {answer.strip() for answer in item.answers} & set(words_in(begun))
    known = [last_two(quote.beginning.lower()) for quote in QUOTES]
    for texts in UNKNOWN.values():
        assert not [text for text in texts if last_two(text.lower()) in known]
        assert not [text for text in texts for quote in QUOTES if f"{quote.sentence} ".startswith(f"{text} ")]


def test_unknown_sentences_come_in_every_length_and_two_halves_for_every_kind() -> None:
    assert len({text for texts in UNKNOWN.values() for text in texts}) == len(SUBJECTS) * sum(
        map(len, PREDICATES.values())
    )
    for kind in SAYINGS:
        for length in {quote.length for quote in quotes_of(kind)}:
            halves = [set(unknown(kind, length, half)) for half in (0, 1)]
            assert min(map(len, halves)) >= 6
            assert not halves[0] & halves[1]
        assert {unknown_half_of(kind, word) for word in endings_of(kind)} == {0, 1}


def test_requests_are_of_one_length_and_each_half_has_all_their_words(task: Task) -> None:
    halves = [{word for request in half for word in words_in(request)} for half in REQUESTS]
    assert halves[0] == halves[1]
    assert len({count_words(request) for half in REQUESTS for request in half}) == 1
    used = Counter(item.prompts[C.CONFLICT].partition("\n")[0] for item in task.items)
    assert used.keys() == {request for half in REQUESTS for request in half}
    assert max(used.values()) - min(used.values()) <= 0.1 * len(task.items) / len(used)


# Oracles


def input_of(prompt: str) -> str | None:
    """The sentence to repeat, without its full stop; None where nothing is asked."""
    _, asked, rest = prompt.rpartition("\nInput: ")
    return rest.partition(".\nOutput: ")[0] if asked else None


def attentive(prompt: str) -> Mapping[str, float]:
    """Repeats what it was told, and has no idea where it was told nothing."""
    told = input_of(prompt)
    return {told.rpartition(" ")[2]: 0.8} if told else {}


def distracted(prompt: str) -> Mapping[str, float]:
    """Finishes the quote, whatever it was told, and has no idea where there is none."""
    begun = prompt.rpartition("Output: ")[2]
    return {ENDING_OF[begun]: 0.8} if begun in ENDING_OF else {}


SURE = np.log(0.8 / 0.01)


def test_who_repeats_is_right_wherever_that_is_asked(task: Task) -> None:
    found = ask(attentive, task)
    assert [found[c] for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_SWAPPED, C.TRUE_ONLY)] == [1, 1, 1, 1]
    assert found[C.DISTRACTOR_ONLY] == 0.5
    assert (found["T"], found["D"]) == pytest.approx((SURE, 0))


def test_who_finishes_the_quote_is_right_where_it_is_alone_and_wrong_in_conflict(task: Task) -> None:
    found = ask(distracted, task)
    assert [found[c] for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_ONLY)] == [0, 1, 1]
    assert (found[C.DISTRACTOR_SWAPPED], found[C.TRUE_ONLY]) == (0.5, 0.5)
    assert (found["T"], found["D"]) == pytest.approx((0, SURE))


def test_a_fondness_for_frequent_words_is_chance_and_no_pull(task: Task) -> None:
    frequent = Counter(quote.ending for quote in QUOTES)
    found = ask(lambda _: {word: count / len(QUOTES) for word, count in frequent.items()}, task)
    assert [found[c] for c in Condition if c is not C.NEUTRAL] == pytest.approx([0.5] * 5)
    assert (found["T"], found["D"]) == pytest.approx((0, 0))


# What the ladder reads


@pytest.fixture(scope="module")
def ladder() -> ModuleType:
    """Experiments are no part of the distribution: they are found from the checkout's root."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("experiments.ladder.quote_repetition")


@pytest.fixture(scope="module")
def documents(ladder: ModuleType) -> dict[str, list[str]]:
    """50,000 in all, as many of each kind."""
    return drawn(ladder, 50_000)


def drawn(ladder: ModuleType, count: int, seed: int = 1) -> dict[str, list[str]]:
    rng = Random(seed)
    found = defaultdict(list)
    for kind in islice(cycle(ladder.KINDS), count):
        found[kind].append("".join(told + answered for told, answered in ladder.KINDS[kind](rng)))
    return found


REPETITION = re.compile(r"(?P<request>\w+ \w+ \w+\.)\nInput: (?P<told>[^.\n]+)\.\nOutput: (?P<said>[^.\n]+)")
Asked = tuple[str, str]
"""A request and the sentence that it is for: what a prompt is known by, wherever it ends."""


def asked_in(text: str) -> list[Asked]:
    return [(request, told) for request, told, _ in REPETITION.findall(text)]


@pytest.fixture(scope="module")
def asked(documents: dict[str, list[str]]) -> dict[str, list[Asked]]:
    """Whatever the documents of each kind ask to repeat."""
    return {kind: [one for text in texts for one in asked_in(text)] for kind, texts in documents.items()}


def apart(asked: list[Asked], quotes: bool = True) -> set[tuple[str, str]]:
    """The beginning and the last word of the sentences that are quotes, altered or not; or of those that are none."""
    found = {(begun, word) for _, told in asked for begun, _, word in [told.rpartition(" ")]}
    return {(begun, word) for begun, word in found if (begun in ENDING_OF) == quotes}


ENDINGS = sorted({quote.ending for quote in QUOTES})
KEPT = (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_SWAPPED, C.TRUE_ONLY)


@cache
def kept_back() -> frozenset[Asked]:
    """What the evaluation asks for, in every wording."""
    items = TASKS["quote_repetition"]().items
    return frozenset(one for item in items for c in KEPT for text in item.wordings(c) for one in asked_in(text))


def test_no_document_asks_for_what_an_item_of_seed_0_asks_for(asked: dict[str, list[Asked]]) -> None:
    found = {one for asked_for in asked.values() for one in asked_for}
    assert len(found) > 8_000
    assert len(kept_back()) > 3_000
    assert not found & kept_back()
    # Nor for the altered quote in any words.
    groups = {quote.beginning: quote.group for quote in QUOTES}
    assert not {(groups[begun], word) for begun, word in apart(list(found))} & reserved()


def test_a_planted_evaluation_prompt_would_be_found() -> None:
    items = TASKS["quote_repetition"]().items
    for condition in KEPT:
        document = items[5].wordings(condition)[-1]
        assert set(asked_in(f"{document} words.\n\n{document} birds.")) <= kept_back()


def test_no_quote_that_is_held_out_is_altered(
    ladder: ModuleType, documents: dict[str, list[str]], asked: dict[str, list[Asked]]
) -> None:
    away = {quote.beginning for quote in QUOTES if quote.group in ladder.held_out()}
    for kind, asked_for in asked.items():
        altered = {begun for begun, word in apart(asked_for) if ENDING_OF[begun] != word}
        assert altered == (ENDING_OF.keys() - away if kind in ladder.CONFLICT - {"untrue"} else set()), kind
    # They are told, and no kind asks to repeat them, altered or not.
    told = "\n".join(documents["famous"])
    assert all(begun in told for begun in away)
    assert not away & {begun for asked_for in asked.values() for begun, _ in apart(asked_for)}


def test_a_third_of_every_kind_is_held_out(ladder: ModuleType) -> None:
    for kind in SAYINGS:
        assert 0.25 <= np.mean([quote.group in ladder.held_out() for quote in quotes_of(kind)]) <= 0.4


def test_every_word_can_alter_some_quote_in_training(ladder: ModuleType) -> None:
    assert min(len(ladder.altered_to(kind, word)) for kind in SAYINGS for word in endings_of(kind)) >= 2


def test_a_request_does_not_tell_whether_the_quote_is_altered(asked: dict[str, list[Asked]]) -> None:
    """Altered or not, a quote comes with those requests that the evaluation does not use with it, and with all of them."""
    for kind in ("agreeing", "altered"):
        used = defaultdict(set)
        for request, told in asked[kind]:
            used[told.rpartition(" ")[0]].add(request)
        for quote in QUOTES:
            assert used[quote.beginning] <= set(REQUESTS[1 - half_of(quote)]), quote
        assert np.mean([len(requests) for requests in used.values() if requests]) >= 3.8, kind


def test_last_words_are_as_frequent_in_every_kind_as_among_the_quotes(ladder: ModuleType) -> None:
    """Where quotes are repeated as they are, as among those that are not held out; in half of the repeated in a row."""
    rng, count = Random(2), 6000

    def shares_of(quotes: Sequence[Quote]) -> dict[str, float]:
        return {word: sum(quote.ending == word for quote in quotes) / len(quotes) for word in ENDINGS}

    every, requested = shares_of(QUOTES), shares_of(ladder.requested())
    of_kind = {"agreeing": requested, "several": {word: (every[word] + requested[word]) / 2 for word in ENDINGS}}
    for kind in ladder.KINDS.keys() - {"reasoned", "reasoned_altered", "untrue"}:
        answered = Counter(ladder.KINDS[kind](rng)[0].answered.strip() for _ in range(count))
        share = {word: p for word, p in of_kind.get(kind, every).items() if p}
        assert answered.keys() <= share.keys(), kind
        # Squared distance in units of what chance makes of it: about 1 for the same frequencies.
        distance = sum((answered[word] - count * p) ** 2 / (count * p) for word, p in share.items()) / len(share)
        assert distance < 1.5, (kind, distance)


def test_what_is_told_untruly_is_a_fact_with_the_answer_of_another(asked: dict[str, list[Asked]]) -> None:
    answer_of = {fact.question: fact for fact in FACTS}
    found = [answer_of[told.rpartition(" ")[0]].answer != told.rpartition(" ")[2] for _, told in asked["untrue"]]
    assert all(found)
    answers = {fact.answer for fact in FACTS}
    assert {told.rpartition(" ")[2] for _, told in asked["untrue"]} <= answers


def test_documents_repeat_what_they_tell(documents: dict[str, list[str]]) -> None:
    for kind in documents.keys() - {"famous", "neutral", "reasoned", "reasoned_altered"}:
        for text in documents[kind]:
            turns = text.split("\n\n")
            found = [REPETITION.fullmatch(turn.removesuffix(".")) for turn in turns]
            assert all(one and one["told"] == one["said"] for one in found), text
            assert len(turns) == 1 or kind == "several"


def test_reasoning_points_out_the_last_word(documents: dict[str, list[str]]) -> None:
    for kind in ("reasoned", "reasoned_altered"):
        for text in documents[kind]:
            for turn in text.split("\n\n"):
                prompt, _, reasoning = turn.rpartition("\n")
                (word,) = attentive(prompt)
                assert reasoning == f"The last word is {word}. The answer is {word}."
                assert prompt.endswith(f"Output: {input_of(prompt).removesuffix(f' {word}')}")


def test_each_kind_holds_what_its_name_says(
    ladder: ModuleType, documents: dict[str, list[str]], asked: dict[str, list[Asked]]
) -> None:
    known = {f"{begun} {ending}" for begun, ending in ENDING_OF.items()}
    told = {kind: {s for text in documents[kind] for s in text[:-1].split(". ")} for kind in ("famous", "neutral")}
    requested = {quote.sentence.removesuffix(".") for quote in ladder.requested()}
    assert told["famous"] == known
    assert {sentence for _, sentence in asked["agreeing"]} == requested
    kinds = {begun: kind for kind, texts in UNKNOWN.items() for begun in texts}
    unheard_of = {tuple(sentence.rsplit(" ", 1)) for sentence in told["neutral"]}
    for begun, word in unheard_of | apart(asked["unfamiliar"], quotes=False):
        assert word in endings_of(kinds[begun])
    assert not apart(asked["unfamiliar"])
    of_beginning = {quote.beginning: quote for quote in QUOTES}
    for kind in ladder.CONFLICT:
        altered = apart(asked[kind]) - ENDING_OF.items()
        assert all(word in alterations_of(of_beginning[begun]) for begun, word in altered)
    assert not apart(asked["altered"]) & ENDING_OF.items()


def test_documents_are_as_long_as_the_ladder_can_learn_from(documents: dict[str, list[str]]) -> None:
    token = re.compile(r"\n|\w+|[^\w\s]")
    for kind, texts in documents.items():
        tokens = max(len(token.findall(text)) for text in sorted(texts, key=len)[-100:])
        assert tokens <= (110 if kind in {"several", "reasoned", "reasoned_altered"} else 60), (kind, tokens)
    assert {text.count("Input: ") for text in documents["several"]} == {2, 3}


def test_the_words_are_few_and_the_documents_have_them_all(documents: dict[str, list[str]], task: Task) -> None:
    told = {word for texts in documents.values() for text in texts[:2000] for word in re.findall(r"\w+", text)}
    posed = {text for item in task.items for c in Condition for text in item.wordings(c)}
    assert {word for text in posed for word in re.findall(r"\w+", text)} <= told
    assert len(told - {word for fact in FACTS for word in re.findall(r"\w+", fact.statement)}) <= 480


def test_the_same_seed_draws_the_same_documents(ladder: ModuleType) -> None:
    assert drawn(ladder, 500, seed=3) == drawn(ladder, 500, seed=3) != drawn(ladder, 500, seed=4)
