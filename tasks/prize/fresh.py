"""Fresh items in exactly the format of an official file: the rows' preface, layout, worked examples and answers.

Their text is made from the user's copy while the program runs, so it is new, and no row stands in this repository.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from distractor.text.task import Condition, Item, Task

from ..facts import RELATIONS
from ..negation_qa import NOT, SHIFTS, ask_fact, cycle_of, partner
from ..rows import Row
from . import hindsight, neqa
from .hindsight import WITH_AMOUNT, OfficialBet

TRIES = 10_000  # draws for one bet
Odds = tuple[int, int]
Amounts = tuple[int, int]


def fresh_items(official: Task, seed: int = 0) -> Task | None:
    """Return fresh items for the items of an official file, in their order; None if the file has none.

    Item by item, the right answer is the same letter. Another seed draws other items.
    """
    make = _MAKERS.get(official.official)
    return make(official, seed) if make else None


def _questions(official: Task, seed: int) -> Task:
    """Negated questions about our own facts, after the preface of the official rows."""
    cycles = [cycle_of(relation, seed) for relation in RELATIONS]
    facts = [fact for turn in zip(*cycles, strict=True) for fact in turn]
    preface = official.items[0].prompts[Condition.CONFLICT].partition("Question: ")[0]
    rows, groups = [], []
    for index, item in enumerate(official.items[: len(facts) * len(SHIFTS)]):
        fact = facts[index % len(facts)]
        other = partner(fact, SHIFTS[index // len(facts)], seed)
        prompt = preface + ask_fact(fact, other, "B" if item.true == " A" else "A", NOT)
        rows.append(Row(index, index + 1, prompt, (" A", " B"), int(item.true == " B")))
        groups.append(fact.group)
    task = neqa.negated(rows, "tasks/facts.py, in the format of the official rows")
    return _named(task, official, [replace(item, group=group) for item, group in zip(task.items, groups, strict=True)])


def _bets(official: Task, seed: int) -> Task:
    """After the worked examples of each official row, a bet with the odds of one row and the amounts of another.

    No official row has such a bet, in its question or its examples. As in the official rows, the expected value has the
    sign of the likelier branch, and it is as clear as there.
    """
    rng = Random(f"fresh bets/{seed}")
    parsed = [hindsight.split_prompt(item.prompts[Condition.CONFLICT]) for item in official.items]
    queries = [query for _, query in parsed]
    used = {_content(bet) for shots, query in parsed for bet in (*hindsight.shots_in(shots), query)}
    least, names = min(map(_clearness, queries)), sorted({query.name for query in queries})
    rows = []
    for index, ((shots, query), item) in enumerate(zip(parsed, official.items, strict=True)):
        for _ in range(TRIES):
            bet = _draw(rng, queries, names, is_right=query.by_value == "Y")
            if _content(bet) not in used and bet.by_value == query.by_value and _clearness(bet) >= least:
                break
        else:  # so few rows that all of their odds and amounts are used together
            continue
        used.add(_content(bet))
        rows.append(Row(index, index + 1, shots + bet.ask(WITH_AMOUNT), (" Y", " N"), int(item.true == " N")))
    task = hindsight.as_published(rows, "odds and amounts of different official rows")
    return _named(task, official, task.items)


def _draw(rng: Random, queries: list[OfficialBet], names: list[str], *, is_right: bool) -> OfficialBet:
    """A bet whose likelier branch earns if it is right, and whose outcome is the other branch."""
    odds, amounts = _by_odds(rng.choice(queries))[0], _by_odds(rng.choice(queries))[1]
    verbs = ("earning", "losing") if is_right else ("losing", "earning")
    bet = OfficialBet(rng.choice(names), odds, verbs, amounts, outcome=verbs[1])
    if rng.random() < 0.5:
        return bet
    return replace(bet, odds=odds[::-1], verbs=verbs[::-1], amounts=amounts[::-1])


def _by_odds(bet: OfficialBet) -> tuple[Odds, Amounts]:
    """The odds and the amounts of a bet, those of the likelier branch first."""
    first, second = (0, 1) if bet.odds[0] > bet.odds[1] else (1, 0)
    return (bet.odds[first], bet.odds[second]), (bet.amounts[first], bet.amounts[second])


def _content(bet: OfficialBet) -> frozenset[tuple[int, str, int]]:
    """A bet without its name and the order of its branches."""
    return frozenset(zip(bet.odds, bet.verbs, bet.amounts, strict=True))


def _clearness(bet: OfficialBet) -> float:
    """The expected amount of the likelier branch, relative to that of the other."""
    (likely, less), (amount, other) = _by_odds(bet)
    return likely * amount / (less * other)


def _named(task: Task, official: Task, items: Sequence[Item]) -> Task:
    return replace(task, name=f"{official.name}.fresh", items=tuple(items))


_MAKERS: dict[str, Callable[[Task, int], Task]] = {"neqa": _questions, "hindsight-neglect": _bets}
"""{the release's name of a file: makes its fresh items}."""

HAVE_FRESH = tuple(_MAKERS)  # the files for which there are fresh items
