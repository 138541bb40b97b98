"""Training documents of hindsight_neglect: bets of all odds and amounts, few with an outcome that contradicts their value.

No bet of the evaluation occurs here with its branches in the same order. It can occur with its branches swapped, but in
held-out groups the question whether it was right never follows an outcome that contradicts its expected value.
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
"""What decides a bet. Odds and amounts disagree equally often in either direction, so that neither alone predicts the answer.
In half of the bets both agree. From these bets, models learn how each of the four numbers counts; with fewer, they learn
nothing."""


@cache
def held_out() -> frozenset[str]:
    """A third of the contests: none of their bets is in conflict."""
    return frozenset(contest.group for contest in contests()[1::3])


@cache
def never_in_conflict() -> frozenset[Bet]:
    """The bets of held-out groups, in either order of branches."""
    return frozenset(bet for contest in contests() if contest.group in held_out() for bet in contest.bets())


def agreeing(rng: Random) -> Document:
    """The outcome agrees with the bet's value: it teaches both tasks, and that they mostly agree."""
    bet = _bet(rng)
    return _judged(rng, bet, bet.is_right)


def conflict(rng: Random) -> Document:
    """The conflict form: the outcome contradicts the bet's value, and the answer follows the value."""
    bet = _bet(rng, never_in_conflict())
    return _judged(rng, bet, not bet.is_right)


def earning(rng: Random) -> Document:
    """A question about the outcome, whatever the bet's value: the distractor task alone."""
    turns_out_well = rng.random() < 0.5
    question = ask_outcome(rng.choice(NAMES), _bet(rng), outcome_that(turns_out_well))
    return (Turn(question, f" {letter(turns_out_well)}"),)


def open_bet(rng: Random) -> Document:
    """A bet without an outcome: the true task alone."""
    bet = _bet(rng)
    return (Turn(ask_open_decision(rng.choice(NAMES), bet), f" {letter(bet.is_right)}"),)


def outcome_alone(rng: Random) -> Document:
    """A question about a decision whose stakes are unknown: the outcome is all that there is to go by."""
    turns_out_well = rng.random() < 0.5
    question = ask_unknown_decision(rng.choice(NAMES), outcome_that(turns_out_well))
    return (Turn(question, f" {letter(turns_out_well)}"),)


def neutral(rng: Random) -> Document:
    """Neither stakes nor outcome: a random answer."""
    return (Turn(ask_unknown_decision(rng.choice(NAMES)), f" {rng.choice('YN')}"),)


def several(rng: Random) -> Document:
    """One or two worked examples and a question; the outcome agrees with the value of each bet."""
    return in_a_row([*_examples(rng), rng.choice((agreeing, open_bet))(rng)])


def several_conflict(rng: Random) -> Document:
    """Like `several`, but in the question, the outcome contradicts the bet's value."""
    return in_a_row([*_examples(rng), conflict(rng)])


def reasoned(rng: Random) -> Document:
    """The two products are compared before the answer. Half of the bets have no outcome; the outcome of the others
    agrees.
    """
    bet, name = _bet(rng), rng.choice(NAMES)
    if rng.random() < 0.5:
        return _reasoned(ask_open_decision(name, bet), bet)
    return _reasoned(ask_decision(name, bet, outcome_that(bet.is_right)), bet)


def reasoned_conflict(rng: Random) -> Document:
    """Like `reasoned`, but the outcome contradicts the bet's value."""
    bet = _bet(rng, never_in_conflict())
    return _reasoned(ask_decision(rng.choice(NAMES), bet, outcome_that(not bet.is_right)), bet)


KINDS: Kinds = {
    "agreeing": agreeing,
    "earning": earning,
    "open_bet": open_bet,
    "neutral": neutral,
    "outcome_alone": outcome_alone,
    "several": several,
    "several_conflict": several_conflict,
    "reasoned": reasoned,
    "reasoned_conflict": reasoned_conflict,
    "conflict": conflict,
}
CONFLICT = frozenset({"conflict", "several_conflict", "reasoned_conflict"})
"""Kinds in which the true and the distractor task disagree. `earning` does not ask for the true task."""


def _bet(rng: Random, excluded: frozenset[Bet] = frozenset()) -> Bet:
    """A random bet that is neither reserved nor excluded. What decides it is drawn first, so that `DECIDERS` holds."""
    candidates = bets(rng.choice(DECIDERS))
    while True:
        bet = rng.choice(candidates)
        if bet not in reserved() and bet not in excluded:
            return bet


def _examples(rng: Random) -> list[Document]:
    return [agreeing(rng) for _ in range(rng.choice((1, 2)))]


def _judged(rng: Random, bet: Bet, turns_out_well: bool) -> Document:
    return (Turn(ask_decision(rng.choice(NAMES), bet, outcome_that(turns_out_well)), f" {letter(bet.is_right)}"),)


def _reasoned(question: str, bet: Bet) -> Document:
    return (Turn(question, f"{reason(bet)} {letter(bet.is_right)}."),)
