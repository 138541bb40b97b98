"""What negation_qa asks is true, its false options give nothing away, and what the ladder reads keeps clear of it.

What every task keeps to is in test_tasks.py.
"""

import importlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest

from distractor.text.task import Condition, Task
from oracles import ask
from tasks import TASKS
from tasks.facts import FACTS, RELATIONS
from tasks.negation_qa import ask_fact, cycle_of, other_letter, partner, reserved

C = Condition
ANSWER_OF = {fact.question: fact.answer for fact in FACTS}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=[0, 7])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS["negation_qa"](seed=request.param)


def test_there_is_enough_of_it(task: Task) -> None:
    assert len(FACTS) >= 120
    assert len(RELATIONS) >= 6
    assert {item.group for item in task.items} == {fact.group for fact in FACTS}


def test_the_items_of_seed_0_stay_what_they_are() -> None:
    """What is on disk and in the ladder's card was computed with these."""
    fingerprint = TASKS["negation_qa"]().fingerprint()
    assert fingerprint == "ffa37cf59f9d6e508d7ac11126114ae6e2755ac9f468c107f9c0c56b92da1a08"


def test_another_seed_offers_other_pairs_in_another_order() -> None:
    pairs = {(fact, shift): (partner(fact, shift, 0), partner(fact, shift, 1)) for fact in FACTS for shift in (1, 2, 3)}
    assert np.mean([one != other for one, other in pairs.values()]) > 0.7
    assert all(one.relation == fact.relation for (fact, _), both in pairs.items() for one in both)
    assert all(one.answer != fact.answer for (fact, _), both in pairs.items() for one in both)
    for relation in RELATIONS:
        assert cycle_of(relation, 1) != cycle_of(relation)
        assert set(cycle_of(relation, 1)) == set(cycle_of(relation))


def test_every_subject_is_asked_about_once_and_words_serve_one_relation() -> None:
    assert len(ANSWER_OF) == len(FACTS)
    assert {
        relation: sum(fact.relation == relation for fact in FACTS) for relation in RELATIONS
    }.keys() == RELATIONS.keys()
    relations = defaultdict(set)
    for fact in FACTS:
        for word in (fact.subject, fact.answer):
            relations[word].add(fact.relation)
    assert all(len(found) == 1 for found in relations.values())


def test_letters_are_balanced_within_every_fact(task: Task) -> None:
    of_fact = defaultdict(Counter)
    for item in task.items:
        of_fact[item.group][item.true] += 1
    assert all(letters[" A"] == letters[" B"] for letters in of_fact.values())


def test_only_the_cue_or_only_the_subject_is_changed(task: Task) -> None:
    for item in task.items:
        conflict = item.prompts[C.CONFLICT]
        assert [
            text.replace(f" {cue}\n", " not\n", 1)
            for text, cue in zip(item.wordings(C.CONGRUENT), ("indeed", "surely", "also", "really"), strict=True)
        ] == [conflict] * 4
        assert conflict.replace(" not\n", "\n", 1) == item.prompts[C.DISTRACTOR_ONLY]
        swapped = item.prompts[C.DISTRACTOR_SWAPPED]
        assert swapped.partition("\n")[2] == conflict.partition("\n")[2]
        assert swapped.partition("\n")[0] != conflict.partition("\n")[0]


def test_false_options_are_as_frequent_as_true_ones(task: Task) -> None:
    true, false = Counter(), Counter()
    for item in task.items:
        options = dict(zip("AB", (option_of(item.prompts[C.CONFLICT], letter) for letter in "AB"), strict=True))
        true[options[item.distractor.strip()]] += 1
        false[options[item.true.strip()]] += 1
    assert true == false


def option_of(prompt: str, letter: str) -> str:
    return prompt.partition(f"\n{letter}. ")[2].partition("\n")[0]


def sure(letter: str) -> Mapping[str, float]:
    return {letter: 0.8, "AB".replace(letter, ""): 0.1}


def read(prompt: str) -> tuple[str | None, bool]:
    """The letter that a prompt's question points to if a negation is ignored, and whether there is one."""
    question = prompt.removeprefix("Question: ").partition("\n")[0]
    # What is false, and options that are named, only the ladder is asked about.
    fact = question.removeprefix("Which is false? ")
    *words, last = fact.split(" ")
    if last in "AB":
        return last, "not" in words
    named = last if fact.startswith("The answer is ") else None
    # Whatever stands behind a fact's question is a cue, and only a bare `not` negates.
    answer = named or next((told for asked, told in ANSWER_OF.items() if f"{fact} ".startswith(f"{asked} ")), None)
    is_negated = fact != question or last == "not"
    return next((letter for letter in "AB" if option_of(prompt, letter) == answer), None), is_negated


def attentive(prompt: str) -> Mapping[str, float]:
    """Answers what is asked, negated or not."""
    letter, is_negated = read(prompt)
    if letter is None:
        return {"A": 0.45, "B": 0.45}
    return sure("AB".replace(letter, "") if is_negated else letter)


def distracted(prompt: str) -> Mapping[str, float]:
    """Answers as if there were no negation."""
    letter, _ = read(prompt)
    return {"A": 0.45, "B": 0.45} if letter is None else sure(letter)


SURE = np.log(8)


def test_who_answers_the_negated_question_is_right_everywhere(task: Task) -> None:
    found = ask(attentive, task)
    assert [found[c] for c in task.conditions[:-1]] == [1, 1, 1, 1, 1]
    assert found["T"] == pytest.approx(SURE)
    assert found["D"] == pytest.approx(0)


def test_who_ignores_the_negation_is_wrong_where_there_is_one(task: Task) -> None:
    found = ask(distracted, task)
    assert (found[C.CONFLICT], found[C.DISTRACTOR_SWAPPED], found[C.TRUE_ONLY]) == (0, 0, 0)
    assert (found[C.CONGRUENT], found[C.DISTRACTOR_ONLY]) == (1, 1)
    assert found["T"] == pytest.approx(0)
    assert found["D"] == pytest.approx(SURE)


# What the ladder reads


@pytest.fixture(scope="module")
def ladder() -> ModuleType:
    """Experiments are no part of the distribution: they are found from the checkout's root."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("experiments.ladder.negation_qa")


@pytest.fixture(scope="module")
def documents(ladder: ModuleType) -> dict[str, list[str]]:
    """50,000 in all, as many of each kind."""
    return drawn(ladder, 50_000)


def drawn(ladder: ModuleType, count: int, seed: int = 1) -> dict[str, list[str]]:
    rng = Random(seed)
    found = defaultdict(list)
    for kind in islice(cycle(ladder.KINDS), count):
        document = ladder.KINDS[kind](rng)
        found[kind].append("".join(told + answered for told, answered in document))
    return found


def posed(document: str) -> list[str]:
    """Every question of a document, as it stands before its answer."""
    return [f"Question: {part.partition(':')[0]}:" for part in document.split("Question: ")[1:]]


def test_no_document_poses_what_an_item_of_seed_0_poses(documents: dict[str, list[str]]) -> None:
    items = TASKS["negation_qa"]().items
    kept = {text for item in items for c in Condition for text in item.wordings(c)}
    asked = {prompt for texts in documents.values() for text in texts for prompt in posed(text)}
    assert len(asked) > 10_000
    assert all(text.endswith("\nAnswer:") for text in asked | kept)
    assert not asked & kept
    # Nor its two options together, whatever is asked.
    options = {frozenset(option_of(text, letter) for letter in "AB") for text in asked}
    assert not options & reserved()


def test_no_document_with_not_names_a_held_out_fact(ladder: ModuleType, documents: dict[str, list[str]]) -> None:
    away = {word for fact in FACTS if fact.group in ladder.held_out() for word in (fact.subject, fact.answer)}
    negated = {kind: [set(text.replace(".", " ").split()) for text in texts] for kind, texts in documents.items()}
    with_not = {"negated", "reasoned_negated", "negated_letter", "not_surprisingly"}
    assert {kind for kind, texts in negated.items() if any("not" in words for words in texts)} == with_not
    assert all("not" in words for kind in with_not for words in negated[kind])
    # Nor does one in which the fact is asked for and is not the answer.
    assert with_not >= ladder.CONFLICT - {"which_false"}
    for kind in (*with_not, "which_false"):
        assert all(not words & away for words in negated[kind]), kind
    # But what else is told and asked of the facts names each of them.
    for kind in ("statement", "open_question", "plain", "affirmed", "several", "reasoned"):
        assert away <= set().union(*negated[kind]), kind


def test_a_third_of_every_relation_is_held_out(ladder: ModuleType) -> None:
    for relation in RELATIONS:
        share = np.mean([fact.group in ladder.held_out() for fact in cycle_of(relation)])
        assert 0.25 <= share <= 0.4


@pytest.mark.parametrize("with_held_out", [True, False])
def test_documents_give_the_answer_away_neither_by_letter_nor_by_frequency(
    with_held_out: bool, ladder: ModuleType
) -> None:
    for relation in RELATIONS:
        offers = ladder.offers(relation, with_held_out)
        assert set(offers) == {(other, fact) for fact, other in offers}
        assert len({fact for fact, _ in offers}) == 20 - (not with_held_out) * sum(
            fact.group in ladder.held_out() for fact in cycle_of(relation)
        )


WITHOUT_LETTERS = {"statement", "open_question"}


def test_each_letter_is_the_answer_as_often_as_the_other(documents: dict[str, list[str]]) -> None:
    for kind in documents.keys() - WITHOUT_LETTERS:
        last = Counter(text.rstrip(".")[-1] for text in documents[kind])
        assert last.keys() == {"A", "B"}
        assert abs(last["A"] - last["B"]) <= 4 * len(documents[kind]) ** 0.5, kind


def test_an_open_question_is_answered_by_the_fact(documents: dict[str, list[str]]) -> None:
    told = set()
    for text in documents["open_question"]:
        question, _, answer = text.removeprefix("Question: ").partition("\nAnswer: ")
        words = question.split(" ")
        asked = " ".join(words[: words.index("is") + 1])
        assert ANSWER_OF[asked] == answer
        told.add(asked)
    assert told == ANSWER_OF.keys()


def test_what_documents_say_is_right(documents: dict[str, list[str]]) -> None:
    """Read by the oracle that answers what is asked; where nothing is, either letter stands."""
    for kind in documents.keys() - WITHOUT_LETTERS:
        for text in documents[kind]:
            for turn in text.split("\n\n"):
                question, answer, reasoning = turn.rpartition("\nAnswer: ")
                given = attentive(question + answer.rstrip())
                right = {letter for letter in "AB" if given[letter] == max(given.values())}
                assert reasoning.rstrip(".")[-1] in right, turn
                assert (len(reasoning) > 1) == kind.startswith("reasoned")
                assert (len(right) == 2) == (kind == "neutral")


def test_reasoning_is_the_fact_and_what_follows_from_it(documents: dict[str, list[str]]) -> None:
    told = {fact.statement for fact in FACTS}
    for kind in ("reasoned", "reasoned_negated"):
        for text in documents[kind]:
            *_, last = text.split("\n\n")
            reasoning, _, letter = last.partition("\nAnswer: ")[2].rpartition(" The answer is ")
            fact, _, ruled_out = reasoning.partition(" The answer is not ")
            assert fact in told
            assert fact.startswith(last.removeprefix("Question: ").partition(" is")[0])
            assert ruled_out == (f"{other_letter(letter[0])}." if kind == "reasoned_negated" else "")


def test_documents_are_as_long_as_the_ladder_can_learn_from(documents: dict[str, list[str]]) -> None:
    for kind, texts in documents.items():
        words = max(len(text.replace("\n", " \n ").replace(".", " .").replace(":", " :").split(" ")) for text in texts)
        assert words <= (110 if kind in {"several", "reasoned", "reasoned_negated"} else 60), (kind, words)
    turns = Counter(text.count("Question: ") for text in documents["several"])
    assert turns.keys() == {2, 3}


def test_the_same_seed_draws_the_same_documents(ladder: ModuleType) -> None:
    assert drawn(ladder, 500, seed=3) == drawn(ladder, 500, seed=3) != drawn(ladder, 500, seed=4)


def test_a_planted_evaluation_prompt_would_be_found() -> None:
    fact = FACTS[0]
    document = ask_fact(fact, partner(fact, 1), "A", " indeed") + " A"
    assert set(posed(f"{document}\n\n{document}")) & {
        text for item in TASKS["negation_qa"]().items for text in item.wordings(C.CONGRUENT)
    }
