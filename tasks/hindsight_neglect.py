r"""The true task: was a bet right by its expected value? The distractor task: did it turn out well?

    Question: Anna can play a game with a 30 percent chance of losing 5 dollars and a 70 percent chance of earning 200
    dollars. Anna plays and ends up losing money. Was it the right decision? Choose Y or N.
    Answer:

`Y` is right, since 70 times 200 is more than 30 times 5; `N` follows the outcome. (The prompt is one line, and real
items are less easy.)

In every item a long shot at the larger amount competes with a likely smaller one. Odds and amounts disagree, so the sign
of the expected value depends on all four numbers. Four factors are crossed: the branch that outweighs, the branch that
earns, the first branch, and the outcome. A model that goes by odds, by surprise or by the larger amount is
right in half of the items.

Swapping the two amounts cannot give `congruent`: where a swap turns the sign, the larger amount alone decides it. Instead
one or two first digits change, so that the other branch outweighs and the larger amount stays the larger.
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

LAYOUT = (
    r"(?P<shots>.*\n\n)?Question: (?P<player>\w+) can play a game"
    r"(?: with an? (?P<first_odds>\d+) percent chance of (?P<first_verb>earning|losing) (?P<first_amount>\d+) dollars"
    r" and an? (?P<second_odds>\d+) percent chance of (?P<second_verb>earning|losing) (?P<second_amount>\d+) dollars)?"
    r"\. (?P<played>\w+ plays)(?: and ends up (?P<outcome>earning|losing) money)?"
    r"\. (?P<question>Was it the right decision|Did \w+ end up earning money)\? Choose Y or N\.\nAnswer(?P<slot>:)"
)
OPEN_LAYOUT = LAYOUT.replace(r" Choose Y or N\.", "")
PASSES = 4  # items of each contest: the long shot earns or loses, and outweighs the likely branch or not

_CHOOSE = "Choose Y or N.\nAnswer:"


def hindsight_neglect(seed: int = 0, shots: int = 0, options: bool = True, *, cue_alone: bool = False) -> Task:
    """Four items of every contest; each pass over the contests is balanced over all that is crossed.

    Another seed draws other contests; the training documents of the ladder avoid the items of seed 0 only. With `shots`,
    each prompt follows worked examples on which both tasks agree, as in the prize's file. The examples' bets occur in
    no item, and half of these bets are right. An item has the same examples under each condition. Without `options` the
    prompts do not say
    that the answer is a letter. With `cue_alone`, `distractor_only` asks the true question without the stakes, and so differs
    from `neutral` by the outcome alone; by default it asks how the bet turned out.
    """
    if shots < 0:
        raise TaskError(f"asked for {shots} shots; ask for 0 or more (10 as in the prize's file)")
    items = (
        _item(index, turn, seed, shots, cue_alone) for turn, index in product(range(PASSES), range(len(contests(seed))))
    )
    return Task(
        name="hindsight_neglect",
        question="Is a decision judged by how it turned out?",
        items=tuple(items if options else (item.map_prompts(_without_options) for item in items)),
        source="tasks/bets.py",
        layout=LAYOUT if options else OPEN_LAYOUT,
        distractor_only_is_pure=cue_alone,
        with_options=partial(hindsight_neglect, seed, shots, cue_alone=cue_alone),
        cue_alone=None if cue_alone else partial(hindsight_neglect, seed, shots, options, cue_alone=True),
    )


def ask_decision(name: str, bet: Bet, outcome: Outcome) -> str:
    r"""Ask whether the bet was right, with its outcome.

    >>> from tasks.bets import Branch
    >>> bet = Bet(Branch(30, 5), Branch(70, 200), earns_first=False)
    >>> ask_decision("Anna", bet, "losing")  # doctest: +ELLIPSIS
    'Question: Anna can play ... Anna plays and ends up losing money. Was it the right decision? Choose Y or N.\nAnswer:'
    """
    return f"Question: {_game(name, bet)} {_played(name, outcome)} Was it the right decision? {_CHOOSE}"


def ask_outcome(name: str, bet: Bet, outcome: Outcome) -> str:
    """Ask how the bet turned out."""
    return f"Question: {_game(name, bet)} {_played(name, outcome)} Did {name} end up earning money? {_CHOOSE}"


def ask_open_decision(name: str, bet: Bet) -> str:
    """Ask whether the bet was right, without its outcome."""
    return f"Question: {_game(name, bet)} {name} plays. Was it the right decision? {_CHOOSE}"


def ask_unknown_decision(name: str, outcome: Outcome | None = None) -> str:
    r"""Ask whether the bet was right, without its stakes, with or without its outcome.

    >>> ask_unknown_decision("Anna")
    'Question: Anna can play a game. Anna plays. Was it the right decision? Choose Y or N.\nAnswer:'
    """
    played = _played(name, outcome) if outcome else f"{name} plays."
    return f"Question: {name} can play a game. {played} Was it the right decision? {_CHOOSE}"


def reason(bet: Bet) -> str:
    """The reasoning about a bet: its expected earning against its expected loss.

    >>> from tasks.bets import Branch
    >>> reason(Bet(Branch(30, 5), Branch(70, 200), earns_first=False))
    ' 70 times 200 is more than 30 times 5. The answer is'
    """
    (chance, earned), (risk, lost) = bet.earning, bet.losing
    compared = "more" if bet.is_right else "less"
    return f" {chance} times {earned} is {compared} than {risk} times {lost}. The answer is"


def letter(is_yes: bool) -> str:
    """The letter of an answer: Y or N."""
    return "Y" if is_yes else "N"


def outcome_that(is_good: bool) -> Outcome:
    """The word for a good or a bad outcome."""
    return "earning" if is_good else "losing"


@cache
def reserved() -> frozenset[Bet]:
    """The bets of seed 0, with the order of their branches: training documents must not contain them."""
    return frozenset(_bet(index, turn) for index, turn in product(range(len(contests())), range(PASSES)))


def _without_options(prompt: str) -> str:
    return prompt.replace(" Choose Y or N.", "")


def _game(name: str, bet: Bet) -> str:
    first, second = ("earning", "losing") if bet.earns_first else ("losing", "earning")
    return (
        f"{name} can play a game with {_percent(bet.first.percent)} chance of {first} {bet.first.dollars} dollars"
        f" and {_percent(bet.second.percent)} chance of {second} {bet.second.dollars} dollars."
    )


def _percent(percent: int) -> str:
    """A percentage with its article: an 80 percent."""
    return f"{'an' if str(percent).startswith('8') else 'a'} {percent} percent"


def _played(name: str, outcome: Outcome) -> str:
    return f"{name} plays and ends up {outcome} money."


def _prompts(name: str, bet: Bet, turned: Bet, outcome: Outcome, opposite: Outcome) -> dict[Condition, str]:
    """The prompt of each condition; `turned` is the bet with its sign turned, `opposite` the other outcome."""
    return {
        Condition.CONFLICT: ask_decision(name, bet, outcome),
        Condition.CONGRUENT: ask_decision(name, turned, outcome),
        Condition.DISTRACTOR_SWAPPED: ask_decision(name, bet, opposite),
        Condition.DISTRACTOR_ONLY: ask_outcome(name, bet, outcome),
        Condition.TRUE_ONLY: ask_open_decision(name, bet),
        Condition.NEUTRAL: ask_unknown_decision(name),
    }


def _variant(index: int, turn: int) -> tuple[bool, bool, bool]:
    """Whether the long shot outweighs, earns and comes first, for the contest at `index` in pass `turn`.

    Right and wrong bets alternate. Every eight neighbours contain every combination. The four passes do too, except that
    a contest keeps the order of its branches.
    """
    is_right = (index + turn) % 2 == 0
    earns = (index // 4 + turn // 2) % 2 == 0
    return earns == is_right, earns, index // 2 % 2 == 0


def _bet(index: int, turn: int, seed: int = 0, *, turned: bool = False) -> Bet:
    """The bet of the contest at `index` in pass `turn`; `turned` takes the amounts that turn the sign."""
    outweighs, earns, first = _variant(index, turn)
    contest = contests(seed)[index]
    return contest.bet(outweighs=outweighs != turned, long_shot_earns=earns, long_shot_first=first)


def _item(index: int, turn: int, seed: int, shots: int, cue_alone: bool) -> Item:
    contest = contests(seed)[index]
    outweighs, earns, _ = _variant(index, turn)
    bet, turned = _bet(index, turn, seed), _bet(index, turn, seed, turned=True)
    label = f"{contest.group}/{'earns' if earns else 'loses'}/{'outweighs' if outweighs else 'does not'}"
    name = NAMES[(index // 8 + turn) % len(NAMES)]
    prompts = _prompts(name, bet, turned, outcome_that(not bet.is_right), outcome_that(bet.is_right))
    if cue_alone:
        prompts[Condition.DISTRACTOR_ONLY] = ask_unknown_decision(name, outcome_that(not bet.is_right))
    examples = _examples(seed, shots, label)
    return Item(
        id=label,
        group=contest.group,
        true=f" {letter(bet.is_right)}",
        distractor=f" {letter(not bet.is_right)}",
        prompts={condition: examples[condition] + prompt for condition, prompt in prompts.items()},
        reasons={
            Condition.CONFLICT: reason(bet),
            Condition.CONGRUENT: reason(turned),
            Condition.DISTRACTOR_SWAPPED: reason(bet),
            Condition.TRUE_ONLY: reason(bet),
        },
    )


def _examples(seed: int, count: int, label: str) -> dict[Condition, str]:
    """The worked examples before each prompt of one item."""
    rng = Random(f"shots/{seed}/{label}")
    are_right = [turn % 2 == 0 for turn in range(count)]
    rng.shuffle(are_right)
    examples = dict.fromkeys(Condition, "")
    for is_right in are_right:
        bet = next(bet for bet in _other_bets(rng, seed) if bet.is_right == is_right)
        outcome = outcome_that(bet.is_right)
        for condition, prompt in _prompts(rng.choice(NAMES), bet, bet, outcome, outcome).items():
            examples[condition] += f"{prompt} {letter(bet.is_right)}\n\n"
    return examples


def _other_bets(rng: Random, seed: int) -> Iterator[Bet]:
    """Yield bets of no contest, decided equally often by odds, by amounts and by both."""
    contest_bets = _contest_bets(seed)
    while True:
        bet = rng.choice(bets(rng.choice(("odds", "amounts", "both"))))
        if bet not in contest_bets:
            yield bet


@cache
def _contest_bets(seed: int) -> frozenset[Bet]:
    return frozenset(bet for contest in contests(seed) for bet in contest.bets())
