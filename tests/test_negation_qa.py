"""The contract of negation_qa: what it asks is true, matched word by word, balanced; oracles score as they must."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import tiny
from distractor import quantities
from distractor.ablate import values_of
from distractor.families import Source
from distractor.sweep import Scores
from distractor.task import Condition, Item, Task
from tasks import TASKS
from tasks.facts import FACTS, RELATIONS

C = Condition
ANSWER_OF = {fact.question: fact.answer for fact in FACTS}
Oracle = Callable[[str], Mapping[str, float]]
"""From a prompt to the probability of each letter."""


@pytest.fixture(scope="module")
def task() -> Task:
    return TASKS["negation_qa"]()


def test_there_is_enough_of_it(task: Task) -> None:
    assert len(FACTS) >= 120
    assert len(RELATIONS) >= 6
    assert len(task.items) >= 600
    assert {item.group for item in task.items} == {fact.group for fact in FACTS}
    assert task.conditions == tuple(Condition)


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


@pytest.mark.parametrize("condition", [C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_SWAPPED, C.DISTRACTOR_ONLY])
def test_no_two_items_ask_the_same(condition: Condition, task: Task) -> None:
    assert len({item.prompts[condition] for item in task.items}) == len(task.items)


@pytest.mark.parametrize("count", [20, 60, 120, 200, 360, 720])
def test_letters_are_balanced_in_every_first_part(count: int, task: Task) -> None:
    letters = Counter(item.true for item in task.take(count).items)
    assert abs(letters[" A"] - letters[" B"]) <= 1


def test_letters_are_balanced_within_every_relation_and_fact(task: Task) -> None:
    of_fact = defaultdict(Counter)
    for item in task.items:
        of_fact[item.group][item.true] += 1
    assert all(letters[" A"] == letters[" B"] for letters in of_fact.values())


@pytest.mark.parametrize("pair", [C.CONGRUENT, C.DISTRACTOR_SWAPPED])
def test_aligned_prompts_differ_in_one_word(pair: Condition, task: Task) -> None:
    for item in task.items:
        for wording in item.wordings(pair):
            words, others = (text.split(" ") for text in (item.prompts[C.CONFLICT], wording))
            assert sum(one != other for one, other in zip(words, others, strict=True)) == 1


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


def test_aligned_prompts_have_equal_token_counts(task: Task) -> None:
    texts = [
        [item.prompts[c], *item.rewordings.get(c, ())]
        for item in task.items
        for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_SWAPPED)
    ]
    tokenizer = tiny.word_level(tiny.words_of(*(text for posed in texts for text in posed), " A B"))
    lengths = [[len(ids) for ids in tokenizer(posed).input_ids] for posed in texts]
    for one, two, three in zip(*[iter(lengths)] * 3, strict=True):
        assert len({*one, *two, *three}) == 1


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
    *words, last = question.split(" ")
    if last in "AB":
        return last, "not" in words
    is_cue = last in {"not", "indeed", "surely", "also", "really"}
    answer = ANSWER_OF.get(" ".join(words) if is_cue else question)
    return next((letter for letter in "AB" if option_of(prompt, letter) == answer), None), last == "not"


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


def fond_of_a(prompt: str) -> Mapping[str, float]:
    """Has no idea, and likes A."""
    return sure("A")


def contrary(prompt: str) -> Mapping[str, float]:
    """Takes the affirming word for the negation, and the negation for an affirmation."""
    letter, is_negated = read(prompt)
    if letter is None:
        return {"A": 0.45, "B": 0.45}
    return sure(letter if is_negated else "AB".replace(letter, ""))


def ask(oracle: Oracle, task: Task) -> dict[str, float]:
    """Accuracy under every condition, and the two pulls: means over all items."""

    def answers(item: Item, condition: Condition) -> list[float]:
        given = oracle(item.prompts[condition])
        return [np.log(given[answer.strip()]) for answer in item.answers]

    log_probs = np.array([[answers(item, c) for item in task.items] for c in task.conditions])
    values = values_of(task, Scores(Source("oracles", "one", Path("oracles")), log_probs, False, 0, {}))
    accuracy = dict(zip(task.conditions, values.by_condition["accuracy"].mean(1), strict=True))
    return {**accuracy, "T": values.pulls["true_pull"].mean(), "D": values.pulls["distractor_pull"].mean()}


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


def test_a_fondness_for_a_letter_is_chance_and_no_pull(task: Task) -> None:
    found = ask(fond_of_a, task)
    assert [found[c] for c in task.conditions[:-1]] == pytest.approx([0.5] * 5)
    assert (found["T"], found["D"]) == pytest.approx((0, 0))


def test_an_inverted_cue_is_a_negative_true_pull(task: Task) -> None:
    found = ask(contrary, task)
    assert found[C.CONFLICT] == 0
    assert found["T"] == pytest.approx(-SURE)
    assert found["D"] == pytest.approx(0)


def test_the_pulls_add_up_to_the_gap(task: Task) -> None:
    random = np.random.default_rng(0)
    conflict, congruent, neutral = random.normal(size=(3, 50))
    pulls = quantities.true_pull(conflict, congruent), quantities.distractor_pull(conflict, congruent, neutral)
    assert neutral + pulls[0] - pulls[1] == pytest.approx(conflict)
