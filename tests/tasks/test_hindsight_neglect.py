"""What hindsight_neglect asks takes all four numbers, nothing else stands in for it, and the ladder reads around it.

What every task keeps to is in test_tasks.py.
"""

import importlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import chain, cycle, islice, product
from pathlib import Path
from random import Random
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

from distractor.errors import TaskError
from distractor.text.task import ALIGNED, Condition, Item, Task
from oracles import ask
from tasks import TASKS
from tasks.bets import AMOUNTS, NAMES, PERCENTS, Bet, Branch, bets, contests
from tasks.hindsight_neglect import hindsight_neglect, letter, reserved

C = Condition
ROOT = Path(__file__).parents[2]
POSED = (C.CONFLICT, *ALIGNED, C.DISTRACTOR_ONLY, C.TRUE_ONLY)
"""The conditions that tell a bet."""


class Read(NamedTuple):
    """What the last question of a prompt tells, by verb, and how it turned out; nothing where it is not told."""

    chance: Mapping[str, int]
    dollars: Mapping[str, int]
    told: tuple[str, ...]
    outcome: str | None
    asks_for_outcome: bool

    @property
    def is_right(self) -> bool:
        """Worked out anew, by whole numbers."""
        won, lost = (self.chance[verb] * self.dollars[verb] for verb in ("earning", "losing"))
        assert won != lost
        return won > lost


def read(prompt: str) -> Read:
    text = prompt.rpartition("Question: ")[2]
    found = re.findall(r"an? (\d+) percent chance of (earning|losing) (\d+) dollars", text)
    outcome = re.search(r"ends up (earning|losing) money\.", text)
    return Read(
        {verb: int(chance) for chance, verb, _ in found},
        {verb: int(dollars) for _, verb, dollars in found},
        tuple(verb for _, verb, _ in found),
        outcome[1] if outcome else None,
        "end up earning money?" in text,
    )


def sure(is_yes: bool) -> Mapping[str, float]:
    return {"Y": 0.8, "N": 0.1} if is_yes else {"Y": 0.1, "N": 0.8}


UNDECIDED = {"Y": 0.45, "N": 0.45}
SURE = np.log(8)


def attentive(prompt: str) -> Mapping[str, float]:
    """Answers what is asked: by the expected value, or by the outcome where that is the question."""
    told = read(prompt)
    if told.asks_for_outcome:
        return sure(told.outcome == "earning")
    return sure(told.is_right) if told.chance else UNDECIDED


def distracted(prompt: str) -> Mapping[str, float]:
    """Goes by the outcome."""
    outcome = read(prompt).outcome
    return sure(outcome == "earning") if outcome else UNDECIDED


def by_odds(prompt: str) -> Mapping[str, float]:
    """Takes the likelier branch for the one that counts."""
    told = read(prompt)
    return sure(told.chance["earning"] > told.chance["losing"]) if told.chance else UNDECIDED


def by_amount(prompt: str) -> Mapping[str, float]:
    """Takes the larger amount for the one that counts."""
    told = read(prompt)
    return sure(told.dollars["earning"] > told.dollars["losing"]) if told.chance else UNDECIDED


def by_surprise(prompt: str) -> Mapping[str, float]:
    """Approves of a bet that turned out as was to be expected."""
    told = read(prompt)
    return sure(told.chance[told.outcome] > 50) if told.chance and told.outcome else UNDECIDED


def by_order(prompt: str) -> Mapping[str, float]:
    """Takes the branch that is told first for the one that counts."""
    told = read(prompt)
    return sure(told.told[0] == "earning") if told.chance else UNDECIDED


@pytest.fixture(scope="module", params=[0, 7])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS["hindsight_neglect"](seed=request.param)


def test_there_is_enough_of_it(task: Task) -> None:
    assert len(task.items) == 640
    assert set(Counter(item.group for item in task.items).values()) == {4}


def test_the_items_of_seed_0_stay_what_they_are() -> None:
    """What is on disk and in the ladder's card was computed with these."""
    fingerprint = TASKS["hindsight_neglect"]().fingerprint()
    assert fingerprint == "f180bc21d586e769575ec39157e0f99f2a62ff8f09d144bda7a20b66ac8a113f"


# What is asked


def test_conflict_contradicts_the_sign_and_each_aligned_prompt_turns_one_of_the_two(task: Task) -> None:
    for item in task.items:
        conflict, congruent, swapped = (read(item.prompts[c]) for c in (C.CONFLICT, *ALIGNED))
        assert item.true == f" {letter(conflict.is_right)}"
        assert item.distractor == f" {letter(conflict.outcome == 'earning')}"
        assert (congruent.is_right, congruent.outcome) == (not conflict.is_right, conflict.outcome)
        assert congruent.is_right == (congruent.outcome == "earning")
        assert (swapped.is_right, swapped.outcome == conflict.outcome) == (conflict.is_right, False)


def test_only_first_digits_of_the_amounts_or_only_the_outcome_are_changed(task: Task) -> None:
    changed = Counter()
    for item in task.items:
        conflict, congruent, swapped = (item.prompts[c] for c in (C.CONFLICT, *ALIGNED))
        assert len(conflict) == len(congruent)
        places = [k for k, (one, other) in enumerate(zip(conflict, congruent, strict=True)) if one != other]
        roles = {role: start for role, (start, _) in task.roles(conflict).items()}
        assert set(places) <= {roles["first_amount"], roles["second_amount"]}
        changed[len(places)] += 1
        now, then = ("losing", "earning") if "up losing" in conflict else ("earning", "losing")
        assert conflict.replace(f"ends up {now}", f"ends up {then}") == swapped
    assert min(changed[1], changed[2]) > 100
    assert changed[1] + changed[2] == len(task.items)


def test_every_condition_tells_what_its_name_says(task: Task) -> None:
    for item in task.items:
        conflict = item.prompts[C.CONFLICT]
        outcome = re.search(r" and ends up \w+ money", conflict)
        assert item.prompts[C.TRUE_ONLY] == conflict.replace(outcome[0], "")
        name = conflict.split(" ")[1]
        asked = conflict.replace("Was it the right decision", f"Did {name} end up earning money")
        assert item.prompts[C.DISTRACTOR_ONLY] == asked
        stakes = re.search(r" with an? .* dollars", conflict)
        assert item.prompts[C.NEUTRAL] == conflict.replace(outcome[0], "").replace(stakes[0], "")
        assert name in NAMES


def test_numbers_range_wide_and_signs_are_clear(task: Task) -> None:
    told = [read(item.prompts[c]) for item in task.items for c in (C.CONFLICT, C.CONGRUENT)]
    amounts = {amount for one in told for amount in one.dollars.values()}
    chances = {chance for one in told for chance in one.chance.values()}
    assert max(amounts) / min(amounts) >= 100
    assert {5, 95} <= chances <= set(PERCENTS)
    assert amounts <= set(AMOUNTS)
    for one in told:
        assert sum(one.chance.values()) == 100
        less, more = sorted(one.chance[verb] * one.dollars[verb] for verb in ("earning", "losing"))
        assert more >= 1.5 * less


def test_an_eighty_and_a_seventy(task: Task) -> None:
    for item, condition in product(task.items, POSED):
        for article, number in re.findall(r"(an?) (\d+) percent", item.prompts[condition]):
            assert article == ("an" if number in {"80", "85"} else "a")


def test_the_page_prints_items_as_they_are() -> None:
    page = (ROOT / "tasks" / "README.md").read_text()
    section = page.partition("## hindsight_neglect\n")[2].partition("\n## ")[0]
    printed = re.findall(r"^(Question: .*\nAnswer:)( [YN])$", section, flags=re.MULTILINE)
    assert len(printed) == 5
    assert set(printed) <= {(item.prompts[C.CONFLICT], item.true) for item in TASKS["hindsight_neglect"]().items}


# What does not stand in for it


def test_who_works_it_out_is_right_and_feels_no_outcome(task: Task) -> None:
    found = ask(attentive, task)
    assert [found[c] for c in POSED] == [1] * 5
    assert (found["T"], found["D"]) == pytest.approx((SURE, 0))


def test_who_goes_by_the_outcome_is_wrong_where_it_contradicts(task: Task) -> None:
    found = ask(distracted, task)
    assert [found[c] for c in POSED] == [0, 1, 1, 1, 0.5]
    assert (found["T"], found["D"]) == pytest.approx((0, SURE))


@pytest.mark.parametrize("oracle", [by_odds, by_amount, by_surprise, by_order])
@pytest.mark.parametrize("count", [8, 120, 200, 640])
def test_odds_amounts_surprise_and_order_are_chance_and_no_pull(oracle, count: int, task: Task) -> None:  # type: ignore[no-untyped-def]
    found = ask(oracle, task.take(count))
    assert [found[c] for c in (C.CONFLICT, *ALIGNED)] == [0.5] * 3
    assert (found["T"], found["D"]) == pytest.approx((0, 0))


def test_odds_and_the_larger_amount_stay_where_they_are_while_the_sign_turns(task: Task) -> None:
    for item in task.items:
        for oracle in (by_odds, by_amount, by_surprise, by_order):
            assert oracle(item.prompts[C.CONFLICT]) == oracle(item.prompts[C.CONGRUENT])
        assert by_odds(item.prompts[C.CONFLICT]) != by_amount(item.prompts[C.CONFLICT])


def cut(feature: np.ndarray, is_heavy: np.ndarray) -> float:
    """The share that is right by the best cut through a feature."""
    ordered = is_heavy[np.argsort(feature, kind="stable")]
    below = np.concatenate([[0], np.cumsum(~ordered)]) + np.concatenate([np.cumsum(ordered[::-1])[::-1], [0]])
    return float(max(below.max(), len(ordered) - below.min()) / len(ordered))


@pytest.mark.parametrize("seed", [0, 7])
def test_no_number_alone_tells_which_branch_outweighs(seed: int) -> None:
    told = [(c.percent, *amounts) for c in contests(seed) for amounts in (c.heavy, c.light)]
    chance, large, small = np.log(np.array(told, float)).T
    odds = np.log(np.exp(chance) / (100 - np.exp(chance)))
    is_heavy = np.tile([True, False], len(contests(seed)))
    assert cut(odds, is_heavy) == pytest.approx(0.5, abs=0.02)
    for one in (large, small, odds + large, odds - small):
        assert cut(one, is_heavy) <= 0.65
    # How far the amounts are apart says more, as it must; only together with the odds does it say all.
    assert cut(large - small, is_heavy) <= 0.9
    assert cut(odds + large - small, is_heavy) == 1


def test_eight_neighbours_hold_every_way_to_pose_a_bet(task: Task) -> None:
    for first in range(0, len(task.items), 8):
        ways = set()
        for item in task.items[first : first + 8]:
            told = read(item.prompts[C.CONFLICT])
            ways.add((item.true, told.told[0], told.chance[told.told[0]] < 50))
        assert len(ways) == 8


@pytest.mark.parametrize("count", [160, 200, 640])
def test_a_name_says_nothing_about_the_answer(count: int, task: Task) -> None:
    found = defaultdict(Counter)
    for item in task.take(count).items:
        found[item.prompts[C.CONFLICT].split(" ")[1]][item.true] += 1
    assert found.keys() == set(NAMES)
    assert all(letters[" Y"] == letters[" N"] for letters in found.values())


def test_no_two_contests_share_a_bet() -> None:
    for seed in range(20):
        every = [bet for contest in contests(seed) for bet in contest.bets()]
        assert len(set(every)) == len(every) == 8 * 160


@pytest.mark.parametrize("decider", ["odds", "amounts", "both"])
def test_what_settles_a_bet_is_what_its_name_says(decider: str) -> None:
    found = bets(decider)  # type: ignore[arg-type]
    assert len(found) > 2000
    assert len(set(found)) == len(found)
    assert sum(bet.is_right for bet in found) * 2 == len(found)
    for bet in found:
        likelier = bet.earning.percent > bet.losing.percent
        larger = bet.earning.dollars > bet.losing.dollars
        assert (likelier == bet.is_right, larger == bet.is_right) == (decider != "amounts", decider != "odds")


def test_a_bet_told_the_other_way_round_is_worth_the_same() -> None:
    bet = Bet(Branch(30, 5), Branch(70, 200), earns_first=False)
    assert (bet.reversed().expected, bet.reversed().reversed()) == (bet.expected, bet)
    assert bet.reversed() != bet


# Shots


@pytest.fixture(scope="module")
def with_shots() -> Task:
    return hindsight_neglect(seed=0, shots=10)


def shots_of(prompt: str) -> tuple[list[str], list[str]]:
    """The worked examples before the last question, and their answers."""
    *worked, _ = prompt.split("\n\n")
    return [shot[:-2] for shot in worked], [shot[-2:] for shot in worked]


def some(task: Task) -> tuple[Item, ...]:
    return task.items[::11]


def test_ten_shots_stand_before_the_same_prompts(with_shots: Task) -> None:
    plain = hindsight_neglect()
    assert [item.id for item in with_shots.items] == [item.id for item in plain.items]
    for item, bare in zip(with_shots.items, plain.items, strict=True):
        assert item.answers == bare.answers
        for condition, prompt in item.prompts.items():
            assert prompt.endswith(f"\n\n{bare.prompts[condition]}")
            assert prompt.count("Question: ") == 11
    assert with_shots.fingerprint() != plain.fingerprint()
    assert with_shots.fingerprint() == hindsight_neglect(0, 10).fingerprint() != hindsight_neglect(1, 10).fingerprint()


def test_both_tasks_agree_in_every_shot_and_its_answer_is_right(with_shots: Task) -> None:
    for item, condition in product(some(with_shots), POSED):
        for shot, answer in zip(*shots_of(item.prompts[condition]), strict=True):
            told = read(shot)
            assert answer == f" {letter(told.is_right)}"
            assert told.outcome in ({None} if condition is C.TRUE_ONLY else {"earning" if told.is_right else "losing"})
            assert told.asks_for_outcome == (condition is C.DISTRACTOR_ONLY)


def test_shots_have_the_same_answers_under_all_conditions_half_of_them_yes(with_shots: Task) -> None:
    orders = set()
    for item in some(with_shots):
        answers = [shots_of(item.prompts[c])[1] for c in Condition]
        assert all(one == answers[0] for one in answers)
        assert Counter(answers[0]) == {" Y": 5, " N": 5}
        orders.add(tuple(answers[0]))
        aligned = {item.prompts[c].rpartition("\n\n")[0] for c in (C.CONFLICT, *ALIGNED)}
        assert len(aligned) == 1
    assert len(orders) > 50


def test_shots_are_of_bets_that_no_item_poses(with_shots: Task) -> None:
    def numbers(prompt: str) -> tuple[tuple[str, int], ...]:
        told = read(prompt)
        return tuple(sorted((verb, told.chance[verb], told.dollars[verb]) for verb in told.told))

    asked = {numbers(item.prompts[c]) for item in with_shots.items for c in (C.CONFLICT, C.CONGRUENT)}
    shown = [numbers(shot) for item in with_shots.items for shot in shots_of(item.prompts[C.CONFLICT])[0]]
    assert not asked & set(shown)
    assert len(set(shown)) > 3000


def test_the_layout_finds_the_question_behind_the_shots(with_shots: Task) -> None:
    for item, condition in product(some(with_shots), Condition):
        prompt = item.prompts[condition]
        roles = with_shots.roles(prompt)
        assert roles["shots"] == (0, prompt.rindex("Question: "))
        assert roles["slot"] == (len(prompt) - 1, len(prompt))


def test_an_odd_number_of_shots_differs_by_one_and_a_negative_one_is_refused() -> None:
    answers = Counter(shots_of(hindsight_neglect(0, 3).items[0].prompts[C.CONFLICT])[1])
    assert sorted(answers.values()) == [1, 2]
    with pytest.raises(TaskError, match="-1 shots"):
        hindsight_neglect(0, -1)


# What the ladder reads


@pytest.fixture(scope="module")
def ladder() -> ModuleType:
    """Experiments are no part of the distribution: they are found from the checkout's root."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("experiments.ladder.hindsight_neglect")


@pytest.fixture(scope="module")
def documents(ladder: ModuleType) -> dict[str, list[str]]:
    """50,000 in all, as many of each kind."""
    rng = Random(1)
    found = defaultdict(list)
    for kind in islice(cycle(ladder.KINDS), 50_000):
        found[kind].append("".join(told + answered for told, answered in ladder.KINDS[kind](rng)))
    return found


def questions(document: str) -> list[str]:
    """Every question of a document, as it stands before its answer."""
    return [f"Question: {part.partition('Answer:')[0]}Answer:" for part in document.split("Question: ")[1:]]


def told_in(prompt: str) -> tuple[tuple[str, int, int], ...]:
    """The bet, its branches in the order in which they are told."""
    told = read(prompt)
    return tuple((verb, told.chance[verb], told.dollars[verb]) for verb in told.told)


def test_no_document_tells_a_bet_as_an_item_of_seed_0_does(documents: dict[str, list[str]]) -> None:
    items = TASKS["hindsight_neglect"]().items
    kept = {told_in(item.prompts[c]) for item in items for c in (C.CONFLICT, C.CONGRUENT)}
    asked = {prompt for texts in documents.values() for text in texts for prompt in questions(text)}
    told = {told_in(prompt) for prompt in asked} - {()}
    assert len(kept) == len(reserved()) == 640
    assert len(told) > 5000
    assert not kept & told
    assert not asked & {item.prompts[c] for item in items for c in POSED}
    # But the other way round they are told.
    assert len({bet[::-1] for bet in kept} & told) > 500


def test_no_document_in_conflict_tells_a_bet_of_a_held_out_group(
    ladder: ModuleType, documents: dict[str, list[str]]
) -> None:
    items = TASKS["hindsight_neglect"]().items
    away, others = set(), set()
    for item, condition in product(items, (C.CONFLICT, C.CONGRUENT)):
        (away if item.group in ladder.held_out() else others).add(frozenset(told_in(item.prompts[condition])))
    seen = {
        kind: {frozenset(told_in(prompt)) for text in texts for prompt in questions(text)}
        for kind, texts in documents.items()
    }
    for kind in ladder.CONFLICT:
        assert not away & seen[kind]
        assert others & seen[kind]
    for kind in ("agreeing", "earning", "open_bet", "several", "reasoned"):
        assert away & seen[kind]


def test_a_third_of_the_groups_is_held_out_at_all_odds(ladder: ModuleType) -> None:
    away = ladder.held_out()
    groups = {item.group for item in TASKS["hindsight_neglect"]().items}
    assert away < groups
    assert len(away) / len(groups) == pytest.approx(1 / 3, abs=0.01)
    odds = {group.partition(" ")[0] for group in groups}
    for one in odds:
        share = np.mean([group in away for group in groups if group.startswith(f"{one} ")])
        assert 0.15 <= share <= 0.5, one


def test_outcomes_contradict_the_sign_in_the_kinds_of_conflict_only(
    ladder: ModuleType, documents: dict[str, list[str]]
) -> None:
    for kind, texts in documents.items():
        for prompt in (prompt for text in texts for prompt in questions(text)):
            told = read(prompt)
            if told.chance and told.outcome and not told.asks_for_outcome:
                assert (told.is_right != (told.outcome == "earning")) == (kind in ladder.CONFLICT)


def test_what_documents_say_is_right(documents: dict[str, list[str]]) -> None:
    """Read by the oracle that answers what is asked; where nothing is, either answer stands."""
    for kind, texts in documents.items():
        for turn in (turn for text in texts for turn in text.split("\n\n")):
            question, answer, reasoning = turn.rpartition("\nAnswer:")
            given = attentive(question + answer)
            right = {one for one in "YN" if given[one] == max(given.values())}
            assert reasoning.rstrip(".")[-1] in right, turn
            assert (len(reasoning) > 2) == kind.startswith("reasoned")
            assert (len(right) == 2) == (kind == "neutral")


def test_reasoning_compares_the_two_products(documents: dict[str, list[str]]) -> None:
    for kind in ("reasoned", "reasoned_conflict"):
        for text in documents[kind]:
            chance, won, compared, risk, lost, answer = re.search(
                r"Answer: (\d+) times (\d+) is (more|less) than (\d+) times (\d+)\. The answer is ([YN])\.$", text
            ).groups()
            told = read(text)
            assert (int(chance), int(won)) == (told.chance["earning"], told.dollars["earning"])
            assert (int(risk), int(lost)) == (told.chance["losing"], told.dollars["losing"])
            assert compared == ("more" if int(chance) * int(won) > int(risk) * int(lost) else "less")
            assert (compared == "more") == (answer == "Y")


def test_answers_odds_and_amounts_give_nothing_away_in_documents(
    ladder: ModuleType, documents: dict[str, list[str]]
) -> None:
    for kind, texts in documents.items():
        last = Counter(text.rstrip(".")[-1] for text in texts)
        assert last.keys() == {"Y", "N"}
        assert abs(last["Y"] - last["N"]) <= 4 * len(texts) ** 0.5, kind
    for kind in ("agreeing", "conflict", "open_bet"):
        told = [read(prompt) for text in documents[kind] for prompt in questions(text)]
        # As many where the odds are against the amounts and win as where they lose; in half of them both agree.
        for numbers in ("chance", "dollars"):
            right = np.mean([
                (getattr(one, numbers)["earning"] > getattr(one, numbers)["losing"]) == one.is_right for one in told
            ])  # fmt: skip
            assert right == pytest.approx(3 / 4, abs=0.03), (kind, numbers)


def test_documents_are_as_long_as_the_ladder_can_learn_from(documents: dict[str, list[str]]) -> None:
    for kind, texts in documents.items():
        longest = max(len(re.findall(r"\n|[^\W\d_]+|\d|[^\w\s]", text)) for text in texts)
        assert longest <= (110 if kind == "several" else 75 if kind.startswith("reasoned") else 56), (kind, longest)


def test_few_words_are_new(documents: dict[str, list[str]]) -> None:
    other = {text for item in TASKS["negation_qa"]().items for text in item.prompts.values()}
    known, mine = (
        {word for text in texts for word in re.findall(r"[^\W\d_]+|\d", text)}
        for texts in (other, chain.from_iterable(documents.values()))
    )
    assert len(mine - known) <= 50
