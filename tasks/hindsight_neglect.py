r"""The true task: was a bet right by its expected value? The distractor task: did it turn out well?

    Question: Anna can play a game with a 30 percent chance of losing 5 dollars and a 70 percent chance of earning 200
    dollars. Anna plays and ends up losing money. Was it the right decision? Choose Y or N.
    Answer:

`Y` answers what was asked, since 70 times 200 is more than 30 times 5; `N` goes by the outcome. (On one line in the
prompt; real items are less easy.)

In every item a long shot at the larger amount stands against a likely smaller one, so odds and amounts speak against
each other, and the sign of the expected value takes all four numbers. Which of the two wins, which earns, which is told
first and whether the unlikely thing happened are crossed: who goes by odds, by surprise or by the larger amount is right
in half of the items.

For the same reason `congruent` cannot be had by swapping the two amounts: where a swap turns the sign, the larger amount
alone decides it. The amounts are changed instead, a first digit or two, so that the other branch outweighs; the larger
one stays the larger.
"""

from collections.abc import Iterator
from functools import cache, partial
from itertools import product
from random import Random
from typing import Literal

from distractor.errors import TaskError
from distractor.text.task import Condition, Item, Task

from .bets import NAMES, Bet, bets, contests

Outcome = Literal["earning", "losing"]
Letter = Literal["Y", "N"]

LAYOUT = (
    r"(?P<shots>.*\n\n)?Question: (?P<player>\w+) can play a game"
    r"(?: with an? (?P<first_odds>\d+) percent chance of (?P<first_verb>earning|losing) (?P<first_amount>\d+) dollars"
    r" and an? (?P<second_odds>\d+) percent chance of (?P<second_verb>earning|losing) (?P<second_amount>\d+) dollars)?"
    r"\. (?P<played>\w+ plays)(?: and ends up (?P<outcome>earning|losing) money)?"
    r"\. (?P<question>Was it the right decision|Did \w+ end up earning money)\? Choose Y or N\.\nAnswer(?P<slot>:)"
)

PASSES = 4
"""How often each contest is posed: the long shot earns or loses, and outweighs the likely branch or not."""


OPEN_LAYOUT = LAYOUT.replace(r" Choose Y or N\.", "")


def hindsight_neglect(seed: int = 0, shots: int = 0, options: bool = True) -> Task:
    """Every contest four times; each pass over them is balanced over all that is crossed.

    Another seed gives other contests; what the ladder reads keeps clear of seed 0 alone. With `shots`, so many worked
    examples stand before every prompt, posed as it is, in which both tasks agree, as in the prize's file: of bets that
    no item poses, half of them right, drawn for each item and the same ones under each of its conditions. Without
    `options` in the prompts nothing says that the answer is a letter.
    """
    if shots < 0:
        raise TaskError(f"{shots} shots were asked for; 0 or more are wanted, 10 as in the prize's file")
    return Task(
        name="hindsight_neglect",
        question="Is a decision judged by how it turned out?",
        items=tuple(
            _item(place, turn, seed, shots)
            if options
            else _item(place, turn, seed, shots).map_prompts(_without_options)
            for turn, place in product(range(PASSES), range(len(contests(seed))))
        ),
        source="tasks/bets.py",
        layout=LAYOUT if options else OPEN_LAYOUT,
        with_options=partial(hindsight_neglect, seed, shots),
    )


def pose(name: str, bet: Bet, outcome: Outcome) -> str:
    r"""Whether it was right, with the outcome told.

    >>> from tasks.bets import Branch
    >>> pose("Anna", Bet(Branch(30, 5), Branch(70, 200), earns_first=False), "losing")  # doctest: +ELLIPSIS
    'Question: Anna can play ... Anna plays and ends up losing money. Was it the right decision? Choose Y or N.\nAnswer:'
    """
    return f"Question: {_game(name, bet)} {_played(name, outcome)} Was it the right decision? {_CHOOSE}"


def pose_earning(name: str, bet: Bet, outcome: Outcome) -> str:
    """The same, but the question is how it turned out."""
    return f"Question: {_game(name, bet)} {_played(name, outcome)} Did {name} end up earning money? {_CHOOSE}"


def pose_open(name: str, bet: Bet) -> str:
    """Whether it was right, the outcome left open."""
    return f"Question: {_game(name, bet)} {name} plays. Was it the right decision? {_CHOOSE}"


def pose_nothing(name: str) -> str:
    r"""Whether it was right, with neither stakes nor outcome.

    >>> pose_nothing("Anna")
    'Question: Anna can play a game. Anna plays. Was it the right decision? Choose Y or N.\nAnswer:'
    """
    return f"Question: {name} can play a game. {name} plays. Was it the right decision? {_CHOOSE}"


def reason(bet: Bet) -> str:
    """What leads from a bet to its worth: the expected earning against the expected loss.

    >>> from tasks.bets import Branch
    >>> reason(Bet(Branch(30, 5), Branch(70, 200), earns_first=False))
    ' 70 times 200 is more than 30 times 5. The answer is'
    """
    (chance, earned), (risk, lost) = bet.earning, bet.losing
    compared = "more" if bet.is_right else "less"
    return f" {chance} times {earned} is {compared} than {risk} times {lost}. The answer is"


def letter(is_so: bool) -> Letter:
    """The answer to a question that can be answered with yes or no."""
    return "Y" if is_so else "N"


def outcome_that(turns_out_well: bool) -> Outcome:
    """How it turned out, in a word."""
    return "earning" if turns_out_well else "losing"


@cache
def reserved() -> frozenset[Bet]:
    """The bets that seed 0 poses, as they are told there: what the ladder reads must never tell them so."""
    return frozenset(_bet(place, turn) for place, turn in product(range(len(contests())), range(PASSES)))


_CHOOSE = "Choose Y or N.\nAnswer:"


def _without_options(prompt: str) -> str:
    return prompt.replace(" Choose Y or N.", "")


def _game(name: str, bet: Bet) -> str:
    first, second = ("earning", "losing") if bet.earns_first else ("losing", "earning")
    return (
        f"{name} can play a game with {_percent(bet.first.percent)} chance of {first} {bet.first.dollars} dollars"
        f" and {_percent(bet.second.percent)} chance of {second} {bet.second.dollars} dollars."
    )


def _percent(percent: int) -> str:
    """As it is read: an eighty."""
    return f"{'an' if str(percent).startswith('8') else 'a'} {percent} percent"


def _played(name: str, outcome: Outcome) -> str:
    return f"{name} plays and ends up {outcome} money."


def _posed(name: str, bet: Bet, other: Bet, outcome: Outcome, opposite: Outcome) -> dict[Condition, str]:
    """Every condition: `other` is the bet with its sign turned, `opposite` the other outcome."""
    return {
        Condition.CONFLICT: pose(name, bet, outcome),
        Condition.CONGRUENT: pose(name, other, outcome),
        Condition.DISTRACTOR_SWAPPED: pose(name, bet, opposite),
        Condition.DISTRACTOR_ONLY: pose_earning(name, bet, outcome),
        Condition.TRUE_ONLY: pose_open(name, bet),
        Condition.NEUTRAL: pose_nothing(name),
    }


def _choice(place: int, turn: int) -> tuple[bool, bool, bool]:
    """Whether the long shot outweighs, earns and is told first in the contest at `place` in pass `turn`.

    Right and wrong bets take turns. Eight neighbours hold every combination, and so do the four passes, but for the
    order of telling: a contest keeps it.
    """
    is_right = (place + turn) % 2 == 0
    earns = (place // 4 + turn // 2) % 2 == 0
    return earns == is_right, earns, place // 2 % 2 == 0


def _bet(place: int, turn: int, seed: int = 0, *, turned: bool = False) -> Bet:
    """What the contest at `place` poses in pass `turn`; `turned`: with the amounts that turn the sign."""
    outweighs, earns, first = _choice(place, turn)
    contest = contests(seed)[place]
    return contest.bet(outweighs=outweighs != turned, long_shot_earns=earns, long_shot_first=first)


def _item(place: int, turn: int, seed: int, shots: int) -> Item:
    contest = contests(seed)[place]
    outweighs, earns, _ = _choice(place, turn)
    bet, other = _bet(place, turn, seed), _bet(place, turn, seed, turned=True)
    label = f"{contest.group}/{'earns' if earns else 'loses'}/{'outweighs' if outweighs else 'does not'}"
    prompts = _posed(
        NAMES[(place // 8 + turn) % len(NAMES)],
        bet,
        other,
        outcome_that(not bet.is_right),
        outcome_that(bet.is_right),
    )
    before = _shots(seed, shots, label) if shots else dict.fromkeys(Condition, "")
    return Item(
        id=label,
        group=contest.group,
        true=f" {letter(bet.is_right)}",
        distractor=f" {letter(not bet.is_right)}",
        prompts={condition: before[condition] + prompt for condition, prompt in prompts.items()},
        reasons={
            Condition.CONFLICT: reason(bet),
            Condition.CONGRUENT: reason(other),
            Condition.DISTRACTOR_SWAPPED: reason(bet),
            Condition.TRUE_ONLY: reason(bet),
        },
    )


def _shots(seed: int, count: int, label: str) -> dict[Condition, str]:
    """Worked examples of one item, as they stand before each of its prompts."""
    rng = Random(f"shots/{seed}/{label}")
    right = [turn % 2 == 0 for turn in range(count)]
    rng.shuffle(right)
    worked = []
    for bet in (next(bet for bet in _others(rng, seed) if bet.is_right == is_right) for is_right in right):
        outcome = outcome_that(bet.is_right)
        posed = _posed(rng.choice(NAMES), bet, bet, outcome, outcome)
        worked.append({condition: f"{prompt} {letter(bet.is_right)}\n\n" for condition, prompt in posed.items()})
    return {condition: "".join(shot[condition] for shot in worked) for condition in Condition}


def _others(rng: Random, seed: int) -> Iterator[Bet]:
    """Bets of no contest: those that odds decide, amounts or both, equally often."""
    away = _all_bets(seed)
    while True:
        bet = rng.choice(bets(rng.choice(("odds", "amounts", "both"))))
        if bet not in away:
            yield bet


@cache
def _all_bets(seed: int) -> frozenset[Bet]:
    return frozenset(bet for contest in contests(seed) for bet in contest.bets())
