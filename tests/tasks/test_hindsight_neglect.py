"""hindsight_neglect needs all four numbers, no single feature replaces them, and training documents avoid its items."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import chain, product
from typing import NamedTuple

import numpy as np
import pytest
from training import documents

from distractor.errors import TaskError
from distractor.text.task import ALIGNED, Condition, Item, Task
from experiments.ladder import hindsight_neglect as training_module
from oracles import log_probs, summary
from tasks import TASKS
from tasks.bets import AMOUNTS, NAMES, PERCENTS, Bet, Branch, bets, contests
from tasks.hindsight_neglect import hindsight_neglect, letter, reserved

C = Condition
WITH_BET = (C.CONFLICT, *ALIGNED, C.DISTRACTOR_ONLY, C.TRUE_ONLY)
"""The conditions whose prompt contains a bet."""


class Question(NamedTuple):
    """The last question of a prompt: chances and dollars by verb, the order of the verbs, and the outcome if given."""

    chance: Mapping[str, int]
    dollars: Mapping[str, int]
    verbs: tuple[str, ...]
    outcome: str | None
    is_about_outcome: bool

    @property
    def is_right(self) -> bool:
        """Whether the bet is right, computed from the text in whole numbers."""
        won, lost = (self.chance[verb] * self.dollars[verb] for verb in ("earning", "losing"))
        assert won != lost
        return won > lost

    @property
    def branches(self) -> tuple[tuple[str, int, int], ...]:
        """The branches in the order of the text; empty without a bet."""
        return tuple((verb, self.chance[verb], self.dollars[verb]) for verb in self.verbs)


def read(prompt: str) -> Question:
    text = prompt.rpartition("Question: ")[2]
    branches = re.findall(r"an? (\d+) percent chance of (earning|losing) (\d+) dollars", text)
    outcome = re.search(r"ends up (earning|losing) money\.", text)
    return Question(
        {verb: int(chance) for chance, verb, _ in branches},
        {verb: int(dollars) for _, verb, dollars in branches},
        tuple(verb for _, verb, _ in branches),
        outcome[1] if outcome else None,
        "end up earning money?" in text,
    )


def sure(is_yes: bool) -> Mapping[str, float]:
    return {"Y": 0.8, "N": 0.1} if is_yes else {"Y": 0.1, "N": 0.8}


UNDECIDED = {"Y": 0.45, "N": 0.45}


def attentive(prompt: str) -> Mapping[str, float]:
    """Answers the question: by the expected value, or by the outcome if the question is about it."""
    question = read(prompt)
    if question.is_about_outcome:
        return sure(question.outcome == "earning")
    return sure(question.is_right) if question.chance else UNDECIDED


def distracted(prompt: str) -> Mapping[str, float]:
    """Answers by the outcome."""
    outcome = read(prompt).outcome
    return sure(outcome == "earning") if outcome else UNDECIDED


def by_odds(prompt: str) -> Mapping[str, float]:
    """Answers by the likelier branch."""
    question = read(prompt)
    return sure(question.chance["earning"] > question.chance["losing"]) if question.chance else UNDECIDED


def by_amount(prompt: str) -> Mapping[str, float]:
    """Answers by the branch with the larger amount."""
    question = read(prompt)
    return sure(question.dollars["earning"] > question.dollars["losing"]) if question.chance else UNDECIDED


def by_surprise(prompt: str) -> Mapping[str, float]:
    """Approves of a bet with the likelier outcome."""
    question = read(prompt)
    return sure(question.chance[question.outcome] > 50) if question.chance and question.outcome else UNDECIDED


def by_order(prompt: str) -> Mapping[str, float]:
    """Answers by the first branch of the text."""
    question = read(prompt)
    return sure(question.verbs[0] == "earning") if question.chance else UNDECIDED


@pytest.fixture(scope="module", params=[0, 7])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS["hindsight_neglect"](seed=request.param)


# Items


def test_every_contest_has_four_items(task: Task) -> None:
    assert len(task.items) == 640
    assert set(Counter(item.group for item in task.items).values()) == {4}


def test_conflict_contradicts_the_sign_and_each_aligned_prompt_turns_one_of_the_two(task: Task) -> None:
    for item in task.items:
        conflict, congruent, swapped = (read(item.prompts[c]) for c in (C.CONFLICT, *ALIGNED))
        assert item.true == f" {letter(conflict.is_right)}"
        assert item.distractor == f" {letter(conflict.outcome == 'earning')}"
        assert (congruent.is_right, congruent.outcome) == (not conflict.is_right, conflict.outcome)
        assert congruent.is_right == (congruent.outcome == "earning")
        assert (swapped.is_right, swapped.outcome == conflict.outcome) == (conflict.is_right, False)


def test_only_first_digits_of_the_amounts_change_in_congruent(task: Task) -> None:
    changed = Counter()
    for item in task.items:
        conflict, congruent = (item.prompts[c] for c in (C.CONFLICT, C.CONGRUENT))
        differing = {k for k, (a, b) in enumerate(zip(conflict, congruent, strict=True)) if a != b}
        starts = {role: start for role, (start, _) in task.roles(conflict).items()}
        assert differing <= {starts["first_amount"], starts["second_amount"]}
        changed[len(differing)] += 1
    assert min(changed[1], changed[2]) > 100
    assert changed[1] + changed[2] == len(task.items)


def test_other_conditions_change_the_outcome_or_the_question_only(task: Task) -> None:
    for item in task.items:
        conflict, name = item.prompts[C.CONFLICT], item.prompts[C.CONFLICT].split(" ")[1]
        outcome, stakes = re.search(r" and ends up (\w+) money", conflict), re.search(r" with an? .* dollars", conflict)
        other = {"losing": "earning", "earning": "losing"}[outcome[1]]
        assert item.prompts[C.DISTRACTOR_SWAPPED] == conflict.replace(f"ends up {outcome[1]}", f"ends up {other}")
        assert item.prompts[C.TRUE_ONLY] == conflict.replace(outcome[0], "")
        asked = conflict.replace("Was it the right decision", f"Did {name} end up earning money")
        assert item.prompts[C.DISTRACTOR_ONLY] == asked
        assert item.prompts[C.NEUTRAL] == conflict.replace(outcome[0], "").replace(stakes[0], "")
        assert name in NAMES


def test_numbers_have_a_wide_range_and_signs_are_clear(task: Task) -> None:
    questions = [read(item.prompts[c]) for item in task.items for c in (C.CONFLICT, C.CONGRUENT)]
    amounts = {amount for question in questions for amount in question.dollars.values()}
    chances = {chance for question in questions for chance in question.chance.values()}
    assert max(amounts) / min(amounts) >= 100
    assert {5, 95} <= chances <= set(PERCENTS)
    assert amounts <= set(AMOUNTS)
    for question in questions:
        assert sum(question.chance.values()) == 100
        less, more = sorted(question.chance[verb] * question.dollars[verb] for verb in ("earning", "losing"))
        assert more >= 1.5 * less


def test_articles_fit_their_number(task: Task) -> None:
    for item, condition in product(task.items, WITH_BET):
        for article, number in re.findall(r"(an?) (\d+) percent", item.prompts[condition]):
            assert article == ("an" if number in {"80", "85"} else "a")


# Features that do not replace the expected value


@pytest.mark.parametrize("oracle", [by_odds, by_amount, by_surprise, by_order])
@pytest.mark.parametrize("count", [8, 120, 640])
def test_odds_amounts_surprise_and_order_are_at_chance_without_a_pull(oracle, count: int, task: Task) -> None:  # type: ignore[no-untyped-def]
    part = task.take(count)
    result = summary(part, log_probs(oracle, part))
    assert [result[c] for c in (C.CONFLICT, *ALIGNED)] == [0.5] * 3
    assert (result["T"], result["D"]) == pytest.approx((0, 0))


def test_odds_and_the_larger_amount_disagree_and_stay_while_the_sign_turns(task: Task) -> None:
    for item in task.items:
        for oracle in (by_odds, by_amount, by_surprise, by_order):
            assert oracle(item.prompts[C.CONFLICT]) == oracle(item.prompts[C.CONGRUENT])
        assert by_odds(item.prompts[C.CONFLICT]) != by_amount(item.prompts[C.CONFLICT])


def best_accuracy(feature: np.ndarray, is_heavy: np.ndarray) -> float:
    """The accuracy of the best threshold on a feature."""
    ordered = is_heavy[np.argsort(feature, kind="stable")]
    right = np.concatenate([[0], np.cumsum(~ordered)]) + np.concatenate([np.cumsum(ordered[::-1])[::-1], [0]])
    return float(max(right.max(), len(ordered) - right.min()) / len(ordered))


@pytest.mark.parametrize("seed", [0, 7])
def test_no_single_number_predicts_which_branch_outweighs(seed: int) -> None:
    stakes = [(c.percent, *amounts) for c in contests(seed) for amounts in (c.heavy, c.light)]
    chance, large, small = np.log(np.array(stakes, float)).T
    odds = np.log(np.exp(chance) / (100 - np.exp(chance)))
    is_heavy = np.tile([True, False], len(contests(seed)))
    assert best_accuracy(odds, is_heavy) == pytest.approx(0.5, abs=0.02)
    for feature in (large, small, odds + large, odds - small):
        assert best_accuracy(feature, is_heavy) <= 0.65
    # The ratio of the amounts predicts more; only together with the odds does it predict the answer.
    assert best_accuracy(large - small, is_heavy) <= 0.9
    assert best_accuracy(odds + large - small, is_heavy) == 1


def test_eight_neighbours_contain_every_variant_of_a_bet(task: Task) -> None:
    for first in range(0, len(task.items), 8):
        variants = set()
        for item in task.items[first : first + 8]:
            question = read(item.prompts[C.CONFLICT])
            variants.add((item.true, question.verbs[0], question.chance[question.verbs[0]] < 50))
        assert len(variants) == 8


@pytest.mark.parametrize("count", [160, 640])
def test_a_name_does_not_predict_the_answer(count: int, task: Task) -> None:
    answers = defaultdict(Counter)
    for item in task.take(count).items:
        answers[item.prompts[C.CONFLICT].split(" ")[1]][item.true] += 1
    assert answers.keys() == set(NAMES)
    assert all(letters[" Y"] == letters[" N"] for letters in answers.values())


def test_no_two_contests_share_a_bet() -> None:
    for seed in range(20):
        every = [bet for contest in contests(seed) for bet in contest.bets()]
        assert len(set(every)) == len(every) == 8 * 160


@pytest.mark.parametrize("decider", ["odds", "amounts", "both"])
def test_the_decider_of_a_bet_decides_its_sign(decider: str) -> None:
    every = bets(decider)  # type: ignore[arg-type]
    assert len(every) > 2000
    assert len(set(every)) == len(every)
    assert sum(bet.is_right for bet in every) * 2 == len(every)
    for bet in every:
        likelier = bet.earning.percent > bet.losing.percent
        larger = bet.earning.dollars > bet.losing.dollars
        assert (likelier == bet.is_right, larger == bet.is_right) == (decider != "amounts", decider != "odds")


def test_a_reversed_bet_has_the_same_expected_value() -> None:
    bet = Bet(Branch(30, 5), Branch(70, 200), earns_first=False)
    assert (bet.reversed().expected, bet.reversed().reversed()) == (bet.expected, bet)
    assert bet.reversed() != bet


# Worked examples


@pytest.fixture(scope="module")
def with_shots() -> Task:
    return hindsight_neglect(seed=0, shots=10)


def shots_of(prompt: str) -> tuple[list[str], list[str]]:
    """The worked examples before the last question, and their answers."""
    *shots, _ = prompt.split("\n\n")
    return [shot[:-2] for shot in shots], [shot[-2:] for shot in shots]


def some(task: Task) -> tuple[Item, ...]:
    return task.items[::11]


def test_ten_shots_precede_the_same_prompts(with_shots: Task) -> None:
    plain = hindsight_neglect()
    assert [item.id for item in with_shots.items] == [item.id for item in plain.items]
    for item, bare in zip(with_shots.items, plain.items, strict=True):
        assert item.answers == bare.answers
        for condition, prompt in item.prompts.items():
            assert prompt.endswith(f"\n\n{bare.prompts[condition]}")
            assert prompt.count("Question: ") == 11
    assert with_shots.fingerprint() == hindsight_neglect(0, 10).fingerprint() != hindsight_neglect(1, 10).fingerprint()


def test_both_tasks_agree_in_every_shot_and_its_answer_is_right(with_shots: Task) -> None:
    for item, condition in product(some(with_shots), WITH_BET):
        for shot, answer in zip(*shots_of(item.prompts[condition]), strict=True):
            question = read(shot)
            expected = None if condition is C.TRUE_ONLY else "earning" if question.is_right else "losing"
            assert answer == f" {letter(question.is_right)}"
            assert question.outcome == expected
            assert question.is_about_outcome == (condition is C.DISTRACTOR_ONLY)


def test_shots_have_the_same_answers_under_all_conditions_half_of_them_yes(with_shots: Task) -> None:
    orders = set()
    for item in some(with_shots):
        (order,) = {tuple(shots_of(item.prompts[c])[1]) for c in Condition}
        assert Counter(order) == {" Y": 5, " N": 5}
        orders.add(order)
        assert len({item.prompts[c].rpartition("\n\n")[0] for c in (C.CONFLICT, *ALIGNED)}) == 1
    assert len(orders) > 50


def test_shots_contain_no_bet_of_an_item(with_shots: Task) -> None:
    items = {frozenset(read(item.prompts[c]).branches) for item in with_shots.items for c in (C.CONFLICT, C.CONGRUENT)}
    shown = {
        frozenset(read(shot).branches) for item in with_shots.items for shot in shots_of(item.prompts[C.CONFLICT])[0]
    }
    assert not items & shown
    assert len(shown) > 3000


def test_the_layout_finds_the_question_after_the_shots(with_shots: Task) -> None:
    for item, condition in product(some(with_shots), Condition):
        prompt = item.prompts[condition]
        roles = with_shots.roles(prompt)
        assert roles["shots"] == (0, prompt.rindex("Question: "))
        assert roles["slot"] == (len(prompt) - 1, len(prompt))


def test_three_shots_have_both_answers_and_a_negative_number_is_refused() -> None:
    answers = Counter(shots_of(hindsight_neglect(0, 3).items[0].prompts[C.CONFLICT])[1])
    assert sorted(answers.values()) == [1, 2]
    with pytest.raises(TaskError, match="-1 shots"):
        hindsight_neglect(0, -1)


# Training documents


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return documents("hindsight_neglect")


def questions(document: str) -> list[str]:
    """Every question of a document, up to its answer."""
    return [f"Question: {part.partition('Answer:')[0]}Answer:" for part in document.split("Question: ")[1:]]


def test_no_document_contains_a_bet_of_seed_0(texts: dict[str, list[str]]) -> None:
    items = TASKS["hindsight_neglect"]().items
    kept = {read(item.prompts[c]).branches for item in items for c in (C.CONFLICT, C.CONGRUENT)}
    asked = {prompt for every in texts.values() for text in every for prompt in questions(text)}
    shown = {read(prompt).branches for prompt in asked} - {()}
    assert len(kept) == len(reserved()) == 640
    assert len(shown) > 5000
    assert not kept & shown
    assert not asked & {item.prompts[c] for item in items for c in WITH_BET}
    # With their branches in the other order they occur.
    assert len({branches[::-1] for branches in kept} & shown) > 500


def test_documents_in_conflict_contain_no_bet_of_a_held_out_group(texts: dict[str, list[str]]) -> None:
    held_out, others = set(), set()
    for item, condition in product(TASKS["hindsight_neglect"]().items, (C.CONFLICT, C.CONGRUENT)):
        bet = frozenset(read(item.prompts[condition]).branches)
        (held_out if item.group in training_module.held_out() else others).add(bet)
    shown: dict[str, set[frozenset[tuple[str, int, int]]]] = {}
    for kind, every in texts.items():
        # Examples before a question in conflict agree, so that they can show a held-out bet.
        asked = [read(questions(text)[-1]) for text in every]
        shown[kind] = {frozenset(question.branches) for question in asked}
    for kind in training_module.CONFLICT:
        assert not held_out & shown[kind]
        assert others & shown[kind]
    for kind in ("agreeing", "earning", "open_bet", "several", "reasoned"):
        assert held_out & shown[kind]


def test_a_third_of_the_groups_is_held_out_at_all_odds() -> None:
    held_out = training_module.held_out()
    groups = {item.group for item in TASKS["hindsight_neglect"]().items}
    assert len(held_out) / len(groups) == pytest.approx(1 / 3, abs=0.01)
    for odds in {group.partition(" ")[0] for group in groups}:
        share = np.mean([group in held_out for group in groups if group.startswith(f"{odds} ")])
        assert 0.15 <= share <= 0.5, odds


def test_outcomes_contradict_the_sign_only_in_documents_in_conflict(texts: dict[str, list[str]]) -> None:
    for kind, every in texts.items():
        for text in every:
            *examples, last = (read(prompt) for prompt in questions(text))
            assert bool(examples) == kind.startswith("several")
            for question in (*examples, last):
                if question.chance and question.outcome and not question.is_about_outcome:
                    is_conflict = question.is_right != (question.outcome == "earning")
                    assert is_conflict == (question is last and kind in training_module.CONFLICT), text


def test_answers_in_documents_are_right(texts: dict[str, list[str]]) -> None:
    for kind, every in texts.items():
        for turn in (turn for text in every for turn in text.split("\n\n")):
            question, answer, reasoning = turn.rpartition("\nAnswer:")
            reader = distracted if kind == "outcome_alone" else attentive
            given = reader(question + answer)
            right = {name for name in "YN" if given[name] == max(given.values())}
            assert reasoning.rstrip(".")[-1] in right, turn
            assert (len(reasoning) > 2) == kind.startswith("reasoned")
            assert (len(right) == 2) == (kind == "neutral")


def test_reasoning_in_documents_compares_the_two_products(texts: dict[str, list[str]]) -> None:
    for text in chain(texts["reasoned"], texts["reasoned_conflict"]):
        chance, won, compared, risk, lost, answer = re.search(
            r"Answer: (\d+) times (\d+) is (more|less) than (\d+) times (\d+)\. The answer is ([YN])\.$", text
        ).groups()
        question = read(text)
        assert (int(chance), int(won)) == (question.chance["earning"], question.dollars["earning"])
        assert (int(risk), int(lost)) == (question.chance["losing"], question.dollars["losing"])
        assert (compared == "more") == question.is_right == (answer == "Y")


def test_answers_odds_and_amounts_predict_nothing_in_documents(texts: dict[str, list[str]]) -> None:
    for kind, every in texts.items():
        last = Counter(text.rstrip(".")[-1] for text in every)
        assert last.keys() == {"Y", "N"}
        assert abs(last["Y"] - last["N"]) <= 4 * len(every) ** 0.5, kind
    for kind in ("agreeing", "conflict", "open_bet"):
        asked = [read(prompt) for text in texts[kind] for prompt in questions(text)]
        # Odds win against amounts as often as they lose; in half of the documents both agree.
        for numbers in ("chance", "dollars"):
            right = np.mean(
                [(getattr(q, numbers)["earning"] > getattr(q, numbers)["losing"]) == q.is_right for q in asked]
            )
            assert right == pytest.approx(3 / 4, abs=0.03), (kind, numbers)


def test_documents_add_few_words(texts: dict[str, list[str]]) -> None:
    other = {text for item in TASKS["negation_qa"]().items for text in item.prompts.values()}
    known, own = (
        {word for text in every for word in re.findall(r"[^\W\d_]+|\d", text)}
        for every in (other, chain.from_iterable(texts.values()))
    )
    assert len(own - known) <= 50


def test_with_the_cue_alone_distractor_only_differs_from_neutral_by_the_outcome() -> None:
    plain = hindsight_neglect().take(8)
    alone = plain.with_cue_alone()
    assert (plain.distractor_only_is_pure, alone.distractor_only_is_pure) == (False, True)
    for before, after in zip(plain.items, alone.items, strict=True):
        prompt = after.prompts[Condition.DISTRACTOR_ONLY]
        ends = " and ends up earning money" if before.distractor == " Y" else " and ends up losing money"
        assert prompt.replace(ends, "") == before.prompts[Condition.NEUTRAL] != prompt
        others = set(before.prompts) - {Condition.DISTRACTOR_ONLY}
        assert all(after.prompts[condition] == before.prompts[condition] for condition in others)
    assert alone.with_cue_alone() is alone
