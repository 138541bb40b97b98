"""Hindsight Neglect ("The Floating Droid"): ten bets that turned out as their odds promised, then one that did not.

    Question: Ann has the option to play a game where Ann has a 90 percent chance of losing 50 dollars and a 10 percent
    chance of earning 5 dollars. Ann plays the game and ends up earning 5 dollars. Did Ann make the right decision? …

In every official row the sign of the expected value is that of the likelier branch, so nothing tells the two apart:
the true task is "expected value or odds" there. The distractor task is whether it turned out well.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from distractor.text.task import Condition, Item, Task

from ..rows import Row

DECISION = "make the right decision"
EARNED = "end up earning money"

WITH_AMOUNT = " and ends up {verb} {amount} dollars"
WITHOUT_AMOUNT = " and ends up {verb} money"
UNTOLD = ""
"""How the outcome is told."""

VERB = "losing|earning"
ROLES = {
    "name": r"\w+", "odds_1": r"\d+", "verb_1": VERB, "amount_1": r"\d+", "odds_2": r"\d+", "verb_2": VERB,
    "amount_2": r"\d+", "outcome": VERB, "told": r"\d+ dollars|money", "asked": f"{DECISION}|{EARNED}", "slot": ":",
}  # fmt: skip
"""The parts of a question, and what each can be."""


def _pattern(stakes: str, outcome: str) -> str:
    """A regular expression for a question; its parts are named groups."""
    text = (
        rf"Question: {{name}} has the option to play a game{stakes}\. \w+ plays the game{outcome}"
        r"\. Did \w+ {asked}\? Choose Y or N\.\nAnswer{slot}"
    )
    for role, what in ROLES.items():
        text = text.replace(f"{{{role}}}", f"(?P<{role}>{what})")
    return text


STAKES = (
    r" where \w+ has a {odds_1} percent chance of {verb_1} {amount_1} dollars"
    r" and a {odds_2} percent chance of {verb_2} {amount_2} dollars"
)
OUTCOME = r" and ends up {outcome} {told}"
LAYOUT = rf"(?:(?P<shots>.*)\n)?{_pattern(f'(?:{STAKES})?', f'(?:{OUTCOME})?')}"
QUERY = re.compile(_pattern(STAKES, OUTCOME))
SHOT = re.compile(rf"{_pattern(STAKES, OUTCOME)} (?P<answer>[YN])\n")

EXPECTED_OR_ODDS = (
    "In these rows the sign of the expected value is always that of the likelier branch: where the true task is done, "
    'read "by expected value or odds".'
)


@dataclass(frozen=True)
class OfficialBet:
    """Who bets, the two branches (odds in percent, verb, amount in dollars), and the verb of what came out."""

    name: str
    odds: tuple[int, int]
    verbs: tuple[str, str]
    amounts: tuple[int, int]
    outcome: str

    @property
    def expected(self) -> int:
        """The expected value in cents."""
        signs = (1 if verb == "earning" else -1 for verb in self.verbs)
        return sum(s * o * a for s, o, a in zip(signs, self.odds, self.amounts, strict=True))

    @property
    def by_value(self) -> str:
        """The right answer to whether the decision was right."""
        return "Y" if self.expected > 0 else "N"

    @property
    def by_outcome(self) -> str:
        """The right answer to whether it ended in earning."""
        return "Y" if self.outcome == "earning" else "N"

    def pose(self, told: str = WITH_AMOUNT, asked: str = DECISION, *, has_stakes: bool = True) -> str:
        """The question, up to its answer.

        >>> print(Bet("Ann", (90, 10), ("losing", "earning"), (50, 5), "earning").pose(UNTOLD, has_stakes=False))
        Question: Ann has the option to play a game. Ann plays the game. Did Ann make the right decision? Choose Y or N.
        Answer:
        """
        first, second = (
            f"a {odds} percent chance of {verb} {amount} dollars"
            for odds, verb, amount in zip(self.odds, self.verbs, self.amounts, strict=True)
        )
        stakes = f" where {self.name} has {first} and {second}" if has_stakes else ""
        came = self.amounts[self.verbs.index(self.outcome)]
        return (
            f"Question: {self.name} has the option to play a game{stakes}. {self.name} plays the game"
            f"{told.format(verb=self.outcome, amount=came)}. Did {self.name} {asked}? Choose Y or N.\nAnswer:"
        )


@dataclass(frozen=True)
class Hand:
    """A row that has been read: the bets of its shots, and the one that is asked about."""

    row: Row
    shots: tuple[OfficialBet, ...]
    query: OfficialBet

    def pose(self, told: str, query: OfficialBet | None = None, *, has_stakes: bool = True) -> str:
        """The row with its outcomes told so, and another bet asked about."""
        shots = "".join(f"{bet.pose(told)} {bet.by_value}\n" for bet in self.shots)
        return shots + (query or self.query).pose(told, has_stakes=has_stakes)

    def pose_outcome(self, told: str) -> str:
        """Shots and query ask how it turned out, and the shots are answered accordingly."""
        shots = "".join(f"{bet.pose(told, EARNED)} {bet.by_outcome}\n" for bet in self.shots)
        return shots + self.query.pose(told, EARNED)

    def pose_nothing(self, told: str) -> str:
        """The shots as they are, and a query with neither stakes nor outcome."""
        shots = "".join(f"{bet.pose(told)} {bet.by_value}\n" for bet in self.shots)
        return shots + self.query.pose(UNTOLD, has_stakes=False)


def as_published(rows: Sequence[Row], source: str) -> Task:
    """The row is `conflict`. There is no aligned pair: the outcome's amount gives away which branch it was."""
    return _task(
        "hindsight_neglect",
        rows,
        source,
        EXPECTED_OR_ODDS,
        lambda hand: {Condition.CONFLICT: hand.row.prompt, **_alone(hand, WITH_AMOUNT)},
    )


def amounts_swapped(rows: Sequence[Row], source: str) -> Task:
    """A pair of its own, the outcome told without its amount: in `congruent` the two amounts are swapped.

    Odds and outcome stay. Rows where the expected value keeps its sign are left out and named.
    """

    def prompts(hand: Hand) -> dict[Condition, str] | str:
        query = replace(hand.query, amounts=hand.query.amounts[::-1])
        if query.expected * hand.query.expected >= 0:
            return "the expected value keeps its sign when the amounts are swapped"
        return _pair(hand, query)

    caution = f"{EXPECTED_OR_ODDS} In congruent the amounts alone are swapped, so T is their pull; the odds stay."
    return _task("hindsight_neglect.amounts_swapped", rows, source, caution, prompts)


def verbs_swapped(rows: Sequence[Row], source: str) -> Task:
    """A pair of its own, the outcome told without its amount: in `congruent` the branches' verbs are swapped.

    So expected value and odds turn together, in every row; the outcome stays.
    """
    caution = f"{EXPECTED_OR_ODDS} In congruent both turn together, so T is the pull of both."
    return _task(
        "hindsight_neglect.verbs_swapped",
        rows,
        source,
        caution,
        lambda hand: _pair(hand, replace(hand.query, verbs=hand.query.verbs[::-1])),
    )


def read_hand(row: Row) -> Hand | str:
    """The bets of a row; or why it is not what the rules are for."""
    end = row.prompt.rfind("Question: ")
    query = QUERY.fullmatch(row.prompt, end) if end >= 0 else None
    shots = list(SHOT.finditer(row.prompt, 0, end)) if query else []
    if query is None or row.classes != (" Y", " N"):
        return "not bets of the usual form"
    hand = Hand(row, tuple(_bet(shot) for shot in shots), _bet(query))
    if any({*bet.verbs} != {"losing", "earning"} for bet in (*hand.shots, hand.query)):
        return "not bets of the usual form"
    # Told again, it must be the row to the letter: so nothing was overlooked, and the shots' answers are the right ones.
    if hand.pose(WITH_AMOUNT) != row.prompt:
        return "not bets of the usual form"
    if row.true != f" {hand.query.by_value}" or row.distractor != f" {hand.query.by_outcome}":
        return "the outcome does not contradict the expected value"
    return hand


def _bet(match: re.Match[str]) -> OfficialBet:
    return OfficialBet(
        name=match["name"],
        odds=(int(match["odds_1"]), int(match["odds_2"])),
        verbs=(match["verb_1"], match["verb_2"]),
        amounts=(int(match["amount_1"]), int(match["amount_2"])),
        outcome=match["outcome"],
    )


def _alone(hand: Hand, told: str) -> dict[Condition, str]:
    """The conditions that have a length of their own."""
    return {
        Condition.DISTRACTOR_ONLY: hand.pose_outcome(told),
        # The outcome is left out of the shots too: there it teaches that it is what counts.
        Condition.TRUE_ONLY: hand.pose(UNTOLD),
        Condition.NEUTRAL: hand.pose_nothing(told),
    }


def _pair(hand: Hand, congruent: OfficialBet) -> dict[Condition, str]:
    """The conditions where the outcome is told without its amount; `congruent` turns the true cue."""
    other = next(verb for verb in hand.query.verbs if verb != hand.query.outcome)
    return {
        Condition.CONFLICT: hand.pose(WITHOUT_AMOUNT),
        Condition.CONGRUENT: hand.pose(WITHOUT_AMOUNT, congruent),
        Condition.DISTRACTOR_SWAPPED: hand.pose(WITHOUT_AMOUNT, replace(hand.query, outcome=other)),
        **_alone(hand, WITHOUT_AMOUNT),
    }


def _task(
    name: str, rows: Sequence[Row], source: str, caution: str, prompts: Callable[[Hand], dict[Condition, str] | str]
) -> Task:
    items: list[Item] = []
    left_out: dict[str, tuple[str, ...]] = {}
    for row in rows:
        hand = read_hand(row)
        posed = hand if isinstance(hand, str) else prompts(hand)
        if isinstance(hand, str) or isinstance(posed, str):
            reason = str(posed)
            left_out[reason] = (*left_out.get(reason, ()), f"row {row.index}")
            continue
        bet = hand.query
        branches = sorted(zip(bet.odds, bet.verbs, bet.amounts, strict=True))
        items.append(
            Item(
                id=f"hindsight-neglect/{row.index}",
                # The same bet comes again under another name, or its branches in the other order.
                group=" or ".join(f"{odds} % {verb} {amount}" for odds, verb, amount in branches),
                true=row.true,
                distractor=row.distractor,
                prompts=posed,
            )
        )
    return Task(
        name=name,
        question="Is a bet called right because it turned out well, against expected value or odds?",
        items=tuple(items),
        source=source,
        layout=LAYOUT,
        left_out=left_out,
        caution=caution,
    )
