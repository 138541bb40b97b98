"""What the ladder reads of hindsight_neglect: bets of all odds and amounts, few of which turn out against their worth.

No bet that the evaluation poses is ever told here in the order of its branches there. Told the other way round it may
be, but if its group is held out, then never with an outcome that contradicts it.
"""

from functools import cache
from random import Random

from tasks.bets import NAMES, Bet, Decider, bets, contests
from tasks.hindsight_neglect import (
    ask_decision,
    ask_open_decision,
    ask_outcome,
    ask_unknown_decision,
    letter,
    outcome_that,
    reason,
    reserved,
)

from .document import Document, Kinds, Turn, in_a_row

DECIDERS: tuple[Decider, ...] = ("odds", "amounts", "both", "both")
"""What settles the bets. The odds against the amounts as often as the reverse, so that neither is worth going by; both in
half of the bets, from which it is learnt which way each of the four numbers counts: with fewer of them nothing began."""


@cache
def held_out() -> frozenset[str]:
    """Every third contest: none of its bets is ever in conflict."""
    return frozenset(contest.group for contest in contests()[1::3])


@cache
def never_in_conflict() -> frozenset[Bet]:
    """The bets of the groups that are held out, told either way."""
    return frozenset(bet for contest in contests() if contest.group in held_out() for bet in contest.bets())


def agreeing(rng: Random) -> Document:
    """The outcome agrees with the bet's worth: what teaches both tasks, and that they mostly come to the same."""
    bet = _bet(rng)
    return _judged(rng, bet, bet.is_right)


def conflict(rng: Random) -> Document:
    """The outcome contradicts the bet's worth, which the answer goes by."""
    bet = _bet(rng, never_in_conflict())
    return _judged(rng, bet, not bet.is_right)


def earning(rng: Random) -> Document:
    """The question is how it turned out, which has nothing to do with the bet's worth: the distractor task alone."""
    turns_out_well = rng.random() < 0.5
    told = ask_outcome(rng.choice(NAMES), _bet(rng), outcome_that(turns_out_well))
    return (Turn(told, f" {letter(turns_out_well)}"),)


def open_bet(rng: Random) -> Document:
    """Without an outcome: the true task alone."""
    bet = _bet(rng)
    return (Turn(ask_open_decision(rng.choice(NAMES), bet), f" {letter(bet.is_right)}"),)


def neutral(rng: Random) -> Document:
    """Neither stakes nor outcome: either answer, at even odds."""
    return (Turn(ask_unknown_decision(rng.choice(NAMES)), f" {rng.choice('YN')}"),)


def several(rng: Random) -> Document:
    """Two questions in a row, as shots stand before a question; one of them without an outcome, for shortness."""
    drawn = [rng.choice((agreeing, earning))(rng), open_bet(rng)]
    rng.shuffle(drawn)
    return in_a_row(drawn)


def reasoned(rng: Random) -> Document:
    """The two products compared before the answer; half of the bets have no outcome, the others one that agrees."""
    bet, name = _bet(rng), rng.choice(NAMES)
    told = ask_open_decision(name, bet) if rng.random() < 0.5 else ask_decision(name, bet, outcome_that(bet.is_right))
    return _reasoned(told, bet)


def reasoned_conflict(rng: Random) -> Document:
    """The same where the outcome contradicts the bet's worth."""
    bet = _bet(rng, never_in_conflict())
    return _reasoned(ask_decision(rng.choice(NAMES), bet, outcome_that(not bet.is_right)), bet)


KINDS: Kinds = {
    "agreeing": agreeing,
    "earning": earning,
    "open_bet": open_bet,
    "neutral": neutral,
    "several": several,
    "reasoned": reasoned,
    "reasoned_conflict": reasoned_conflict,
    "conflict": conflict,
}
CONFLICT = frozenset({"conflict", "reasoned_conflict"})
"""Kinds in which the true and the distractor task disagree. In `earning` the true task is not asked for."""


def _bet(rng: Random, kept_away: frozenset[Bet] = frozenset()) -> Bet:
    """Any bet that is not reserved and not to be kept away; what settles it is drawn first, and comes as often as told."""
    every = bets(rng.choice(DECIDERS))
    while True:
        bet = rng.choice(every)
        if bet not in reserved() and bet not in kept_away:
            return bet


def _judged(rng: Random, bet: Bet, turns_out_well: bool) -> Document:
    return (Turn(ask_decision(rng.choice(NAMES), bet, outcome_that(turns_out_well)), f" {letter(bet.is_right)}"),)


def _reasoned(told: str, bet: Bet) -> Document:
    return (Turn(told, f"{reason(bet)} {letter(bet.is_right)}."),)
