"""Bets for hindsight_neglect: a chance of earning some dollars and a chance of losing some.

Amounts are one digit and zeros: few tokens, and small differences between two amounts.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from random import Random
from typing import Literal, NamedTuple

from distractor.errors import TaskError

AMOUNTS = tuple(digit * 10**zeros for zeros in range(3) for digit in range(1, 10) if digit * 10**zeros > 1)
"""2 to 900 dollars."""

PERCENTS = tuple(percent for percent in range(5, 100, 5) if percent != 50)
"""Chances in percent; 50 is left out, because one branch must be the likelier one."""

CLEAR = 1.5  # the larger of expected earning and expected loss is at least this many times the smaller, in every bet
NAMES = ("Anna", "Ben", "Carl", "Dora", "Emma", "Frank", "Grace", "Henry", "Ida", "Jack")  # names of the players
CONTESTS = 160  # number of contests: a multiple of eight, so that every eight neighbours contain all eight variants
LOOKAHEAD = 4  # of this many contests, the one is chosen that balances the digits best

Stakes = tuple[int, tuple[int, int]]
"""The chance of the long shot in percent, and the amounts of the long shot and of the likely branch in dollars."""

Decider = Literal["odds", "amounts", "both"]
"""What decides the sign of the expected value: one against the other, or both together."""


class Branch(NamedTuple):
    """One outcome of a game: its chance in percent, and the dollars earned or lost."""

    percent: int
    dollars: int


@dataclass(frozen=True)
class Bet:
    """Two branches in the order of the text. With `earns_first` the first branch earns and the second loses."""

    first: Branch
    second: Branch
    earns_first: bool

    @property
    def earning(self) -> Branch:
        """The branch that earns."""
        return self.first if self.earns_first else self.second

    @property
    def losing(self) -> Branch:
        """The branch that loses."""
        return self.second if self.earns_first else self.first

    @property
    def expected(self) -> int:
        """The expected value in cents.

        >>> Bet(Branch(30, 5), Branch(70, 200), earns_first=False).expected
        13850
        """
        return _cents(self.earning) - _cents(self.losing)

    @property
    def is_right(self) -> bool:
        """Whether the bet is worth taking."""
        return self.expected > 0

    @property
    def is_clear(self) -> bool:
        """Whether the expected earning and the expected loss differ enough; see `CLEAR`."""
        first, second = _cents(self.first), _cents(self.second)
        return _outweighs(first, second) or _outweighs(second, first)

    @property
    def decider(self) -> Decider:
        """What decides the sign of the expected value.

        >>> Bet(Branch(10, 900), Branch(90, 20), earns_first=True).decider
        'amounts'
        """
        heavier, lighter = sorted((self.first, self.second), key=_cents, reverse=True)
        if heavier.percent < lighter.percent:
            return "amounts"
        return "odds" if heavier.dollars < lighter.dollars else "both"

    def reversed(self) -> "Bet":
        """Return the bet with its branches in the other order."""
        return Bet(self.second, self.first, not self.earns_first)


@dataclass(frozen=True)
class Contest:
    """A long shot at the larger amount against a likely smaller one, so that odds and amounts disagree.

    `percent` is the chance of the long shot. There are two choices of amounts, (larger, smaller): with `heavy` the long
    shot has the larger expected amount, with `light` the likely branch has. The two choices differ in first digits only.
    """

    percent: int
    heavy: tuple[int, int]
    light: tuple[int, int]

    @property
    def group(self) -> str:
        """The group of all items about this contest.

        >>> Contest(10, (600, 30), (400, 80)).group
        '10:90 600/30 400/80'
        """
        (large, small), (less_large, less_small) = self.heavy, self.light
        return f"{self.percent}:{100 - self.percent} {large}/{small} {less_large}/{less_small}"

    @property
    def stakes(self) -> tuple[Stakes, Stakes]:
        """The stakes of its bets, heavy and light."""
        return (self.percent, self.heavy), (self.percent, self.light)

    def bet(self, *, outweighs: bool, long_shot_earns: bool, long_shot_first: bool) -> Bet:
        """Return one of its eight bets.

        >>> Contest(10, (600, 30), (400, 80)).bet(outweighs=True, long_shot_earns=False, long_shot_first=True)
        Bet(first=Branch(percent=10, dollars=600), second=Branch(percent=90, dollars=30), earns_first=False)
        """
        large, small = self.heavy if outweighs else self.light
        bet = Bet(Branch(self.percent, large), Branch(100 - self.percent, small), long_shot_earns)
        return bet if long_shot_first else bet.reversed()

    def bets(self) -> Iterator[Bet]:
        """Yield all eight bets."""
        for outweighs, earns, first in product((True, False), repeat=3):
            yield self.bet(outweighs=outweighs, long_shot_earns=earns, long_shot_first=first)


@cache
def bets(decider: Decider) -> tuple[Bet, ...]:
    """Every clear bet with two different amounts whose sign is decided by `decider`."""
    every = (
        Bet(Branch(percent, first), Branch(100 - percent, second), earns_first)
        for percent, (first, second), earns_first in product(PERCENTS, permutations(AMOUNTS, 2), (True, False))
    )
    return tuple(bet for bet in every if bet.is_clear and bet.decider == decider)


@cache
def contests(seed: int = 0) -> tuple[Contest, ...]:
    """Draw 160 contests that share no bet, taking turns over all possible odds.

    A single digit must not predict which amounts are heavy. So each choice is among the next few contests with the same
    odds, and takes the one whose digits were more frequent on the other side so far.
    """
    rng = Random(f"contests/{seed}")
    waiting = {percent: deque(rng.sample(every, len(every))) for percent, every in _possible().items()}
    chosen: list[Contest] = []
    used: set[Stakes] = set()
    balance: Counter[tuple[int, str]] = Counter()
    while len(chosen) < CONTESTS:
        if not any(waiting.values()):
            raise TaskError(f"seed {seed} gives {len(chosen)} contests of {CONTESTS}; use another seed")
        for queue in waiting.values():
            candidates: list[Contest] = []
            while queue and len(candidates) < LOOKAHEAD:
                contest = queue.popleft()
                if used.isdisjoint(contest.stakes):
                    candidates.append(contest)
            if candidates and len(chosen) < CONTESTS:
                best = min(
                    candidates, key=lambda contest: sum(balance[digit] * sign for digit, sign in _digits(contest))
                )
                queue.extend(contest for contest in candidates if contest is not best)
                chosen.append(best)
                used.update(best.stakes)
                for digit, sign in _digits(best):
                    balance[digit] += sign
    return tuple(chosen)


@cache
def _possible() -> dict[int, tuple[Contest, ...]]:
    """Every possible contest, by its odds."""
    return {
        percent: tuple(
            Contest(percent, heavy, light)
            for heavy, light in product(_amounts(percent, outweighs=True), _amounts(percent, outweighs=False))
            # From light to heavy the larger amount does not fall and the smaller does not rise, with equal digit counts.
            if heavy[0] >= light[0]
            and heavy[1] <= light[1]
            and [len(str(amount)) for amount in heavy] == [len(str(amount)) for amount in light]
        )
        for percent in PERCENTS
        if percent < 50 and _amounts(percent, outweighs=True) and _amounts(percent, outweighs=False)
    }


def _amounts(percent: int, *, outweighs: bool) -> list[tuple[int, int]]:
    """Amounts (larger, smaller) for which a long shot of `percent` clearly outweighs the likely branch, or is outweighed."""

    def fits(large: int, small: int) -> bool:
        long_shot, likely = percent * large, (100 - percent) * small
        return _outweighs(long_shot, likely) if outweighs else _outweighs(likely, long_shot)

    return [(large, small) for large, small in product(AMOUNTS, repeat=2) if large > small and fits(large, small)]


def _digits(contest: Contest) -> Iterator[tuple[tuple[int, str], int]]:
    """Yield the first digit of each amount with its position, and its side: 1 for heavy, −1 for light."""
    for amounts, sign in ((contest.heavy, 1), (contest.light, -1)):
        yield from (((position, str(amount)[0]), sign) for position, amount in enumerate(amounts))


def _cents(branch: Branch) -> int:
    return branch.percent * branch.dollars


def _outweighs(cents: int, other_cents: int) -> bool:
    return cents >= CLEAR * other_cents
