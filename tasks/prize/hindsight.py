"""Hindsight Neglect ("The Floating Droid"): ten bets whose outcome matches their odds, then one whose outcome does not.

    Question: Ann has the option to play a game where Ann has a 90 percent chance of losing 50 dollars and a 10 percent
    chance of earning 5 dollars. Ann plays the game and ends up earning 5 dollars. Did Ann make the right decision? …

In every official row the expected value has the sign of the likelier branch, so the two cannot be separated: the true
task is "expected value or odds". The distractor task is whether the bet turned out well.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from distractor.errors import TaskError
from distractor.text.task import Condition, Item, Task

from ..rows import Row

DECISION = "make the right decision"
EARNED = "end up earning money"

# The wordings of the outcome.
WITH_AMOUNT = " and ends up {verb} {amount} dollars"
WITHOUT_AMOUNT = " and ends up {verb} money"
WITHOUT_OUTCOME = ""

VERB = "losing|earning"
ROLES = {
    "name": r"\w+", "odds_1": r"\d+", "verb_1": VERB, "amount_1": r"\d+", "odds_2": r"\d+", "verb_2": VERB,
    "amount_2": r"\d+", "outcome": VERB, "payoff": r"\d+ dollars|money", "asked": f"{DECISION}|{EARNED}", "slot": ":",
}  # fmt: skip
"""{role of a part of the question: its regular expression}."""


def _pattern(stakes: str, outcome: str) -> str:
    """Build the regular expression of a question, with its parts as named groups."""
    text = (
        rf"Question: {{name}} has the option to play a game{stakes}\. \w+ plays the game{outcome}"
        r"\. Did \w+ {asked}\? Choose Y or N\.\nAnswer{slot}"
    )
    for role, pattern in ROLES.items():
        text = text.replace(f"{{{role}}}", f"(?P<{role}>{pattern})")
    return text


STAKES = (
    r" where \w+ has a {odds_1} percent chance of {verb_1} {amount_1} dollars"
    r" and a {odds_2} percent chance of {verb_2} {amount_2} dollars"
)
OUTCOME = r" and ends up {outcome} {payoff}"
LAYOUT = rf"(?:(?P<shots>.*)\n)?{_pattern(f'(?:{STAKES})?', f'(?:{OUTCOME})?')}"
QUERY = re.compile(_pattern(STAKES, OUTCOME))
SHOT = re.compile(rf"{_pattern(STAKES, OUTCOME)} (?P<answer>[YN])\n")

EXPECTED_OR_ODDS = (
    "In these rows the expected value always has the sign of the likelier branch: for the true task, "
    'read "by expected value or odds".'
)


@dataclass(frozen=True)
class OfficialBet:
    """A bet: the player, two branches (odds in percent, verb, amount in dollars), and the verb of the outcome."""

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
        """The right answer about the decision."""
        return "Y" if self.expected > 0 else "N"

    @property
    def by_outcome(self) -> str:
        """The right answer about the outcome."""
        return "Y" if self.outcome == "earning" else "N"

    def ask(self, outcome: str = WITH_AMOUNT, asked: str = DECISION, *, has_stakes: bool = True) -> str:
        """Write the question, up to its answer.

        >>> bet = OfficialBet("Ann", (90, 10), ("losing", "earning"), (50, 5), "earning")
        >>> print(bet.ask(WITHOUT_OUTCOME, has_stakes=False))
        Question: Ann has the option to play a game. Ann plays the game. Did Ann make the right decision? Choose Y or N.
        Answer:
        """
        first, second = (
            f"a {odds} percent chance of {verb} {amount} dollars"
            for odds, verb, amount in zip(self.odds, self.verbs, self.amounts, strict=True)
        )
        stakes = f" where {self.name} has {first} and {second}" if has_stakes else ""
        amount = self.amounts[self.verbs.index(self.outcome)]
        return (
            f"Question: {self.name} has the option to play a game{stakes}. {self.name} plays the game"
            f"{outcome.format(verb=self.outcome, amount=amount)}. Did {self.name} {asked}? Choose Y or N.\nAnswer:"
        )


@dataclass(frozen=True)
class BetRow:
    """A parsed row: the bets of its shots, and the bet of its question."""

    row: Row
    shots: tuple[OfficialBet, ...]
    query: OfficialBet

    def ask_decision(self, outcome: str, query: OfficialBet | None = None) -> str:
        """Write the row with the wording `outcome`, and with another bet in its question if `query` is given."""
        return self._shots(outcome) + (query or self.query).ask(outcome)

    def ask_outcome(self, outcome: str) -> str:
        """Write the row with questions about the outcome, in the shots with their right answers."""
        shots = "".join(f"{bet.ask(outcome, EARNED)} {bet.by_outcome}\n" for bet in self.shots)
        return shots + self.query.ask(outcome, EARNED)

    def ask_unknown(self, outcome: str) -> str:
        """Write the row with neither stakes nor outcome in its question."""
        return self._shots(outcome) + self.query.ask(WITHOUT_OUTCOME, has_stakes=False)

    def _shots(self, outcome: str) -> str:
        return "".join(f"{bet.ask(outcome)} {bet.by_value}\n" for bet in self.shots)


def as_published(rows: Sequence[Row], source: str) -> Task:
    """Use the row as `conflict`. It has no aligned pair, because the amount in the outcome reveals the branch."""
    return _task(
        "hindsight_neglect",
        rows,
        source,
        EXPECTED_OR_ODDS,
        lambda parsed: {Condition.CONFLICT: parsed.row.prompt, **_unaligned(parsed, WITH_AMOUNT)},
    )


def amounts_swapped(rows: Sequence[Row], source: str) -> Task:
    """Swap the two amounts in `congruent`, with an aligned pair whose outcome has no amount.

    Odds and outcome stay. Rows whose expected value keeps its sign are left out and listed.
    """

    def prompts(parsed: BetRow) -> dict[Condition, str] | str:
        query = replace(parsed.query, amounts=parsed.query.amounts[::-1])
        if query.expected * parsed.query.expected >= 0:
            return "the expected value keeps its sign when the amounts are swapped"
        return _aligned(parsed, query)

    caution = f"{EXPECTED_OR_ODDS} In congruent only the amounts are swapped, so T is their pull; the odds stay."
    return _task("hindsight_neglect.amounts_swapped", rows, source, caution, prompts)


def verbs_swapped(rows: Sequence[Row], source: str) -> Task:
    """Swap the verbs of the branches in `congruent`, with an aligned pair whose outcome has no amount.

    So expected value and odds turn together in every row; the outcome stays.
    """
    caution = f"{EXPECTED_OR_ODDS} In congruent both turn together, so T is the pull of both."
    return _task(
        "hindsight_neglect.verbs_swapped",
        rows,
        source,
        caution,
        lambda parsed: _aligned(parsed, replace(parsed.query, verbs=parsed.query.verbs[::-1])),
    )


def parse_row(row: Row) -> BetRow | str:
    """Return the parsed row, or the reason why the rules do not fit it."""
    try:
        shots, query = split_prompt(row.prompt)
    except TaskError:
        return "not bets of the usual form"
    if row.classes != (" Y", " N"):
        return "not bets of the usual form"
    parsed = BetRow(row, shots_in(shots), query)
    if any({*bet.verbs} != {"losing", "earning"} for bet in (*parsed.shots, parsed.query)):
        return "not bets of the usual form"
    # Writing the row again must give the same text: so parsing missed nothing, and the answers of the shots are right.
    if parsed.ask_decision(WITH_AMOUNT) != row.prompt:
        return "not bets of the usual form"
    if row.true != f" {parsed.query.by_value}" or row.distractor != f" {parsed.query.by_outcome}":
        return "the outcome does not contradict the expected value"
    return parsed


def split_prompt(prompt: str) -> tuple[str, OfficialBet]:
    """Split a prompt into the text before its question, and the bet of its question. Raises TaskError for other texts."""
    end = max(prompt.rfind("Question: "), 0)
    query = QUERY.fullmatch(prompt, end)
    if query is None:
        raise TaskError("the prompt does not end with a question about a bet")
    return prompt[:end], _bet(query)


def shots_in(text: str) -> tuple[OfficialBet, ...]:
    """The bets of the worked examples in a text."""
    return tuple(_bet(shot) for shot in SHOT.finditer(text))


def _bet(match: re.Match[str]) -> OfficialBet:
    return OfficialBet(
        name=match["name"],
        odds=(int(match["odds_1"]), int(match["odds_2"])),
        verbs=(match["verb_1"], match["verb_2"]),
        amounts=(int(match["amount_1"]), int(match["amount_2"])),
        outcome=match["outcome"],
    )


def _unaligned(parsed: BetRow, outcome: str) -> dict[Condition, str]:
    """The conditions whose prompts have other lengths than `conflict`."""
    return {
        Condition.DISTRACTOR_ONLY: parsed.ask_outcome(outcome),
        # The shots have no outcome either, because outcomes in shots would teach that the outcome decides.
        Condition.TRUE_ONLY: parsed.ask_decision(WITHOUT_OUTCOME),
        Condition.NEUTRAL: parsed.ask_unknown(outcome),
    }


def _aligned(parsed: BetRow, congruent: OfficialBet) -> dict[Condition, str]:
    """All conditions, with outcomes that have no amount; `congruent` is the bet with its true cue turned."""
    other = next(verb for verb in parsed.query.verbs if verb != parsed.query.outcome)
    return {
        Condition.CONFLICT: parsed.ask_decision(WITHOUT_AMOUNT),
        Condition.CONGRUENT: parsed.ask_decision(WITHOUT_AMOUNT, congruent),
        Condition.DISTRACTOR_SWAPPED: parsed.ask_decision(WITHOUT_AMOUNT, replace(parsed.query, outcome=other)),
        **_unaligned(parsed, WITHOUT_AMOUNT),
    }


def _task(
    name: str,
    rows: Sequence[Row],
    source: str,
    caution: str,
    prompts_of: Callable[[BetRow], dict[Condition, str] | str],
) -> Task:
    items: list[Item] = []
    left_out: dict[str, tuple[str, ...]] = {}
    for row in rows:
        parsed = parse_row(row)
        prompts = parsed if isinstance(parsed, str) else prompts_of(parsed)
        if isinstance(parsed, str) or isinstance(prompts, str):
            reason = str(prompts)
            left_out[reason] = (*left_out.get(reason, ()), f"row {row.index}")
            continue
        bet = parsed.query
        branches = sorted(zip(bet.odds, bet.verbs, bet.amounts, strict=True))
        items.append(
            Item(
                id=f"hindsight-neglect/{row.index}",
                # The same bet recurs with another name, or with its branches in the other order.
                group=" or ".join(f"{odds} % {verb} {amount}" for odds, verb, amount in branches),
                true=row.true,
                distractor=row.distractor,
                prompts=prompts,
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
        distractor_only_is_pure=False,  # it asks how the bet turned out
    )
