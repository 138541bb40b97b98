"""Fresh items have exactly the format of the rows, and other content; exchanged parts leave the rest of a row as it was."""

import re
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from test_prize import real

from distractor.errors import TaskError
from distractor.text.task import Condition, Item, Task
from tasks import prize
from tasks.prize import hindsight, neqa
from tasks.prize.completion import completions
from tasks.prize.fresh import fresh_items
from tasks.rows import Row

# Written for this test: the repository contains no text of the prize's files.
PREFACE = "Choose the better answer.\n\n"
THINGS = [f"{a}{b}" for a in ("ka", "lo", "mi", "tu", "re", "po") for b in ("ban", "dol", "fir", "gus", "hem", "jit")]
NAMES = ("Ada", "Eva", "Max")

pytestmark = pytest.mark.quick


def questions(count: int = 40, seed: int = 0) -> Task:
    """Rows in the format of NeQA about things that do not exist; the options are in random order."""
    rng, rows = Random(seed), []
    for index in range(count):
        one, near, first, second = rng.sample(THINGS, 4)
        prompt = f"{PREFACE}Question: A {one} is not seen near a {near}\nA. {first}\nB. {second}\nAnswer:"
        rows.append(Row(index, index + 1, prompt, (" A", " B"), rng.randrange(2)))
    return replace(neqa.negated(rows, "made for a test"), official="neqa")


def bet(rng: Random, *, is_lucky: bool = True) -> hindsight.OfficialBet:
    """A bet whose likelier branch decides its expected value, and whose outcome is the other branch, or that one."""
    likely = rng.choice((60, 70, 80, 90, 95))
    amounts = rng.choice((200, 300, 400, 700)), rng.choice((5, 6, 8, 9))
    verbs = rng.choice((("earning", "losing"), ("losing", "earning")))
    made = hindsight.OfficialBet(rng.choice(NAMES), (likely, 100 - likely), verbs, amounts, verbs[is_lucky])
    if rng.random() < 0.5:
        return made
    return replace(made, odds=made.odds[::-1], verbs=made.verbs[::-1], amounts=made.amounts[::-1])


def bets(count: int = 20, seed: int = 0) -> Task:
    """Rows in the format of Hindsight Neglect with two worked examples."""
    rng, rows = Random(seed), []
    for index in range(count):
        shots = [bet(rng, is_lucky=False) for _ in range(2)]
        query = bet(rng)
        text = "".join(f"{shot.ask()} {shot.by_value}\n" for shot in shots) + query.ask()
        rows.append(Row(index, index + 1, text, (" Y", " N"), int(query.by_value == "N")))
    return replace(hindsight.as_published(rows, "made for a test"), official="hindsight-neglect")


def conflict(item: Item) -> str:
    return item.prompts[Condition.CONFLICT]


@pytest.mark.parametrize("official", [questions(), bets()], ids=["questions", "bets"])
def test_fresh_items_have_the_format_answers_and_conditions_of_the_rows(official: Task) -> None:
    fresh = fresh_items(official)
    assert fresh is not None
    assert fresh.layout == official.layout
    assert fresh.conditions == official.conditions
    assert [item.answers for item in fresh.items] == [item.answers for item in official.items]
    assert {conflict(item) for item in fresh.items}.isdisjoint(map(conflict, official.items))
    assert fresh_items(official) == fresh
    assert fresh_items(official, seed=1) != fresh
    assert not fresh.official


def test_fresh_questions_come_after_the_preface_of_the_rows_and_share_no_option() -> None:
    official, fresh = questions(), fresh_items(questions())
    assert fresh is not None
    assert all(conflict(item).startswith(f"{PREFACE}Question: The ") for item in fresh.items)
    options = [set(re.findall(r"\n[AB]\. (.*)", conflict(item))) for task in (official, fresh) for item in task.items]
    assert set.union(*options[:40]).isdisjoint(set.union(*options[40:]))
    # The true answer of a negated question is the option that is not the fact.
    assert "\nA. Dublin\n" in conflict(fresh.items[0]) or "\nB. Dublin\n" in conflict(fresh.items[0])
    assert len({item.group for item in fresh.items}) == 40


def test_items_about_one_fact_are_one_group() -> None:
    fresh = fresh_items(questions(200))
    assert fresh is not None
    assert Counter(Counter(item.group for item in fresh.items).values()) == {1: 80, 2: 60}


def test_fresh_bets_follow_the_worked_examples_of_their_row_and_are_in_no_row() -> None:
    official, fresh = bets(), fresh_items(bets())
    assert fresh is not None
    seen, others = [], []
    for task, found in ((official, seen), (fresh, others)):
        for item in task.items:
            shots, query = hindsight.split_prompt(conflict(item))
            found.append((shots, query))
    assert [shots for shots, _ in seen] == [shots for shots, _ in others]

    def content(bet: hindsight.OfficialBet) -> frozenset[tuple[int, str, int]]:
        return frozenset(zip(bet.odds, bet.verbs, bet.amounts, strict=True))

    known = {content(bet) for shots, query in seen for bet in (*hindsight.shots_in(shots), query)}
    assert known.isdisjoint(content(query) for _, query in others)
    for _, query in others:
        likelier = query.verbs[0] if query.odds[0] > query.odds[1] else query.verbs[1]
        assert (query.expected > 0) == (likelier == "earning") == (query.outcome == "losing")


def test_other_files_have_no_fresh_items() -> None:
    assert fresh_items(replace(questions(), official="memo-trap")) is None
    assert fresh_items(replace(questions(), official="")) is None


@pytest.mark.parametrize("official", [questions(), bets()], ids=["questions", "bets"])
def test_a_row_is_its_beginning_its_next_words_and_its_end(official: Task) -> None:
    for item, after in zip(official.items, completions(official).items, strict=True):
        beginning = conflict(after)
        assert conflict(item).startswith(beginning + after.true)
        assert sorted(after.true.split()) == sorted(after.distractor.split())
        assert after.true != after.distractor
        assert not beginning.endswith(" ")
        assert (after.id, after.group) == (item.id, item.group)


def test_the_exchanged_row_is_a_row_with_the_same_meaning() -> None:
    for item, after in zip(bets().items, completions(bets()).items, strict=True):
        other = conflict(item).replace(conflict(after) + after.true, conflict(after) + after.distractor)
        (shots, query), (same, exchanged) = (hindsight.split_prompt(text) for text in (conflict(item), other))
        assert (shots, query.expected, query.name) == (same, exchanged.expected, exchanged.name)
        assert query.odds == exchanged.odds[::-1]


def test_rows_without_exchangeable_parts_are_refused() -> None:
    item = Item("1", "1", " A", " B", {Condition.CONFLICT: "Say A:"})
    with pytest.raises(TaskError, match="neither two options nor two branches"):
        completions(Task("mine", "?", (item,), "here"))


# Official files, where the user has them.


@pytest.fixture(scope="module", params=["negation_qa", "hindsight_neglect"])
def official(request: pytest.FixtureRequest) -> Task:
    return prize.read(request.param, real(prize.official_of(request.param).file))


def test_every_official_row_has_a_fresh_one_with_its_answers_and_layout(official: Task) -> None:
    fresh = fresh_items(official)
    assert fresh is not None
    assert [item.answers for item in fresh.items] == [item.answers for item in official.items]
    assert not fresh.left_out
    assert {conflict(item) for item in fresh.items}.isdisjoint(map(conflict, official.items))
    for task in (official, fresh):
        assert len(completions(task).items) == len(official.items)
        assert all(task.roles(conflict(item)) for item in task.items[::20])


def test_the_order_that_is_exchanged_is_random_in_official_rows(official: Task) -> None:
    """By what it could depend on: which option is the fact, or which branch is the likelier one."""
    if official.official == "neqa":
        first = [item.distractor == " A" for item in official.items]
    else:
        queries = [hindsight.split_prompt(conflict(item))[1] for item in official.items]
        first = [query.odds[0] > query.odds[1] for query in queries]
    assert abs(sum(first) - len(first) / 2) < len(first) ** 0.5  # two standard deviations
