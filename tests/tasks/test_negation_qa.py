"""negation_qa asks true facts, its false options predict nothing, and training documents avoid its items."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pytest
from training import documents

from distractor.text.task import Condition, Task
from experiments.ladder import negation_qa as training_module
from tasks import TASKS
from tasks.facts import FACTS, RELATIONS
from tasks.negation_qa import ask_fact, cycle_of, other_letter, partner, reserved

C = Condition
ANSWER_OF = {fact.question: fact.answer for fact in FACTS}


@pytest.fixture(scope="module", params=[0, 7])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS["negation_qa"](seed=request.param)


def test_every_fact_is_a_group_and_no_word_belongs_to_two_relations(task: Task) -> None:
    assert len(ANSWER_OF) == len(FACTS) >= 120
    assert {item.group for item in task.items} == {fact.group for fact in FACTS}
    relations = defaultdict(set)
    for fact in FACTS:
        for word in (fact.subject, fact.answer):
            relations[word].add(fact.relation)
    assert all(len(names) == 1 for names in relations.values())


def test_another_seed_offers_other_false_options_of_the_same_relation() -> None:
    pairs = [(fact, partner(fact, shift, 0), partner(fact, shift, 1)) for fact in FACTS for shift in (1, 2, 3)]
    assert np.mean([first != second for _, first, second in pairs]) > 0.7
    for fact, *partners in pairs:
        assert all(other.relation == fact.relation and other.answer != fact.answer for other in partners)


def test_letters_are_balanced_within_every_fact(task: Task) -> None:
    of_fact = defaultdict(Counter)
    for item in task.items:
        of_fact[item.group][item.true] += 1
    assert all(letters[" A"] == letters[" B"] for letters in of_fact.values())


def test_only_the_cue_or_only_the_subject_changes(task: Task) -> None:
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
        true[option_of(item.prompts[C.CONFLICT], item.distractor.strip())] += 1
        false[option_of(item.prompts[C.CONFLICT], item.true.strip())] += 1
    assert true == false


def option_of(prompt: str, letter: str) -> str:
    return prompt.partition(f"\n{letter}. ")[2].partition("\n")[0]


# Oracles


def sure(letter: str) -> Mapping[str, float]:
    return {letter: 0.8, "AB".replace(letter, ""): 0.1}


def read(prompt: str) -> tuple[str | None, bool]:
    """The letter that the question points to without its negation, and whether it has a negation."""
    question = prompt.removeprefix("Question: ").partition("\n")[0]
    # Only training documents ask which option is false, or name an option.
    fact = question.removeprefix("Which is false? ")
    *words, last = fact.split(" ")
    if last in "AB":
        return last, "not" in words
    named = last if fact.startswith("The answer is ") else None
    # Any word after a fact's question is a cue, and only `not` alone negates.
    answer = named or next((a for asked, a in ANSWER_OF.items() if f"{fact} ".startswith(f"{asked} ")), None)
    is_negated = fact != question or last == "not"
    return next((letter for letter in "AB" if option_of(prompt, letter) == answer), None), is_negated


def attentive(prompt: str) -> Mapping[str, float]:
    """Answers the question, negated or not."""
    letter, is_negated = read(prompt)
    if letter is None:
        return {"A": 0.45, "B": 0.45}
    return sure("AB".replace(letter, "") if is_negated else letter)


def distracted(prompt: str) -> Mapping[str, float]:
    """Answers as if there were no negation."""
    letter, _ = read(prompt)
    return {"A": 0.45, "B": 0.45} if letter is None else sure(letter)


# Training documents

WITHOUT_LETTERS = {"statement", "open_question"}


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return documents("negation_qa")


def questions(document: str) -> list[str]:
    """Every question of a document, up to its answer."""
    return [f"Question: {part.partition(':')[0]}:" for part in document.split("Question: ")[1:]]


def test_no_document_contains_a_prompt_or_a_pair_of_options_of_seed_0(texts: dict[str, list[str]]) -> None:
    items = TASKS["negation_qa"]().items
    kept = {text for item in items for c in Condition for text in item.wordings(c)}
    asked = {prompt for every in texts.values() for text in every for prompt in questions(text)}
    assert len(asked) > 10_000
    assert all(text.endswith("\nAnswer:") for text in asked | kept)
    assert not asked & kept
    options = {frozenset(option_of(text, letter) for letter in "AB") for text in asked}
    assert not options & reserved()


def test_a_planted_prompt_would_be_found() -> None:
    fact = FACTS[0]
    document = ask_fact(fact, partner(fact, 1), "A", " indeed") + " A"
    assert set(questions(f"{document}\n\n{document}")) & {
        text for item in TASKS["negation_qa"]().items for text in item.wordings(C.CONGRUENT)
    }


def test_no_negated_document_names_a_held_out_fact(texts: dict[str, list[str]]) -> None:
    held_out = {
        word for fact in FACTS if fact.group in training_module.held_out() for word in (fact.subject, fact.answer)
    }
    words = {kind: [set(text.replace(".", " ").split()) for text in every] for kind, every in texts.items()}
    with_not = {"negated", "several_negated", "reasoned_negated", "negated_letter", "not_surprisingly"}
    assert {kind for kind, every in words.items() if any("not" in own for own in every)} == with_not
    assert all("not" in own for kind in with_not for own in words[kind])
    # `which_false` asks in other words for the option that is not the fact.
    assert with_not >= training_module.CONFLICT - {"which_false"}
    for kind in (*with_not, "which_false"):
        assert all(not own & held_out for own in words[kind]), kind
    # The other kinds name every held-out fact.
    for kind in ("statement", "open_question", "plain", "affirmed", "several", "reasoned"):
        assert held_out <= set().union(*words[kind]), kind


def test_a_third_of_every_relation_is_held_out() -> None:
    for relation in RELATIONS:
        share = np.mean([fact.group in training_module.held_out() for fact in cycle_of(relation)])
        assert 0.25 <= share <= 0.4


@pytest.mark.parametrize("with_held_out", [True, False])
def test_options_in_documents_are_true_as_often_as_false(with_held_out: bool) -> None:
    for relation in RELATIONS:
        offers = training_module.offers(relation, with_held_out)
        assert set(offers) == {(other, fact) for fact, other in offers}
        held_out = sum(fact.group in training_module.held_out() for fact in cycle_of(relation))
        assert len({fact for fact, _ in offers}) == 20 - (not with_held_out) * held_out


def test_each_letter_is_equally_often_the_answer_in_documents(texts: dict[str, list[str]]) -> None:
    for kind in texts.keys() - WITHOUT_LETTERS:
        last = Counter(text.rstrip(".")[-1] for text in texts[kind])
        assert last.keys() == {"A", "B"}
        assert abs(last["A"] - last["B"]) <= 4 * len(texts[kind]) ** 0.5, kind


def test_open_questions_are_answered_by_the_fact(texts: dict[str, list[str]]) -> None:
    asked = set()
    for text in texts["open_question"]:
        question, _, answer = text.removeprefix("Question: ").partition("\nAnswer: ")
        words = question.split(" ")
        fact = " ".join(words[: words.index("is") + 1])
        assert ANSWER_OF[fact] == answer
        asked.add(fact)
    assert asked == ANSWER_OF.keys()


def test_answers_in_documents_are_right(texts: dict[str, list[str]]) -> None:
    for kind in texts.keys() - WITHOUT_LETTERS:
        for turn in (turn for text in texts[kind] for turn in text.split("\n\n")):
            question, answer, reasoning = turn.rpartition("\nAnswer: ")
            given = attentive(question + answer.rstrip())
            right = {letter for letter in "AB" if given[letter] == max(given.values())}
            assert reasoning.rstrip(".")[-1] in right, turn
            assert (len(reasoning) > 1) == kind.startswith("reasoned")
            assert (len(right) == 2) == (kind == "neutral")


def test_reasoning_in_documents_is_the_fact_and_its_consequence(texts: dict[str, list[str]]) -> None:
    statements = {fact.statement for fact in FACTS}
    for kind in ("reasoned", "reasoned_negated"):
        for text in texts[kind]:
            *_, last = text.split("\n\n")
            reasoning, _, letter = last.partition("\nAnswer: ")[2].rpartition(" The answer is ")
            fact, _, ruled_out = reasoning.partition(" The answer is not ")
            assert fact in statements
            assert fact.startswith(last.removeprefix("Question: ").partition(" is")[0])
            assert ruled_out == (f"{other_letter(letter[0])}." if kind == "reasoned_negated" else "")
