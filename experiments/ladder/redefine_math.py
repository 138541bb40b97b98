"""Training documents of redefine_math: sums, quotients, π and e, made-up symbols, and few redefinitions.

No document with a definition shows a prompt of the evaluation. In conflict, the plus sign is never a random digit, and the
new value is never a held-out one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from tasks.redefine_math import (
    NO,
    USUAL,
    YES,
    Question,
    ask_comparison,
    ask_digit,
    reason,
    redefine_math,
    reserved,
    write_prompt,
)
from tasks.redefinitions import SUBTASKS, Case, Subtask, draw_exchanged, draw_numbers, exchangeable, quotient

from .document import Document, Kinds, Turn, in_a_row


def _times(**counts: int) -> tuple[str, ...]:
    return tuple(name for name, count in counts.items() for _ in range(count))


NAMES = _times(
    number_as_text=1,
    plus_as_random_digit=1,
    plus_as_digit=1,
    pi_as_number=2,
    pi_as_sum=2,
    pi_as_remainder=3,
    e_as_number=2,
    division_as_random_digit=2,
)
"""The sub-tasks, by how often they are drawn: those about the plus sign are easier, and rarer."""

ORDINALS = ("first", "second", "third")

NEVER = "plus_as_random_digit"
"""The sub-task that is never in conflict."""


@dataclass(frozen=True)
class Problem:
    """A question about a symbol, with or without a definition, and the meaning of the symbol."""

    subtask: Subtask
    case: Case
    question: Question
    symbol: str
    definition: str
    meaning: str
    is_new: bool

    @property
    def prompt(self) -> str:
        """The prompt."""
        return write_prompt(self.question, self.symbol, self.definition)

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.question.new if self.is_new else self.question.usual


@cache
def held_out() -> frozenset[str]:
    """The groups that are never in conflict: all of one sub-task, and a third of those of every other one."""
    return frozenset(item.group for item in redefine_math().items if is_held_out(*item.group.split("/")))


def is_held_out(name: str, value: str) -> bool:
    """Whether this value of a sub-task never occurs in conflict.

    This depends on the first digit of a constant, the digit that a sign becomes, or the first number of an expression.

    >>> is_held_out("pi_as_number", "4.1359"), is_held_out("pi_as_number", "5.1359"), is_held_out("pi_as_sum", "3.1 + 4")
    (True, False, True)
    """
    numbers = [int(number.partition(".")[0]) for number in value.split() if number[0].isdigit()]
    if "." in value:
        key = numbers[0] % numbers[1] if "mod" in value else sum(numbers)
    else:
        digits = [int(digit) for digit in value.split()[0]]
        key = digits[2] if name == "plus_as_digit" else sum(digits)
    return name == NEVER or key % 3 == 1


def plain(rng: Random) -> Document:
    """No definition, the usual meaning: it teaches the distractor task."""
    return _answered(_plain(rng))


def agreeing(rng: Random) -> Document:
    """A symbol defined as its usual meaning."""
    return _answered(_agreeing(rng))


def unrelated(rng: Random) -> Document:
    """A definition of a made-up symbol, and a question about the usual one: a definition alone does not reveal the answer."""
    return _answered(_unrelated(rng))


def made_up(rng: Random) -> Document:
    """A definition of a made-up symbol, and a question about it: the true task without a distractor."""
    return _answered(_made_up(rng))


def neutral(rng: Random) -> Document:
    """A made-up symbol without a definition: a random answer."""
    subtask, _, question = _drawn(rng)
    answers = (question.new, question.usual) if question.new not in (YES, NO) else (YES, NO)
    return (Turn(write_prompt(question, rng.choice(subtask.made_up)), rng.choice(answers)),)


def redefined(rng: Random) -> Document:
    """The conflict form: a symbol is redefined against its usual meaning."""
    return _answered(_redefined(rng))


def digit(rng: Random) -> Document:
    """A question for a digit of a number: half of what a sum or a quotient needs."""
    number = rng.randint(10, 999)
    digits = str(number)
    ordinal = rng.choice(ORDINALS[: len(digits)])
    return (
        Turn(f"Question: What is the {ordinal} digit of {number}?\nAnswer:", f" {digits[ORDINALS.index(ordinal)]}"),
    )


def several(rng: Random) -> Document:
    """One or two worked examples and a question; none is in conflict."""
    return in_a_row([_answered(rng.choice(FREQUENT)(rng)) for _ in range(rng.choice((2, 3)))])


def several_redefined(rng: Random) -> Document:
    """Like `several`, but the last question is in conflict."""
    examples = [_answered(rng.choice(FREQUENT)(rng)) for _ in range(rng.choice((1, 2)))]
    return in_a_row([*examples, _answered(_redefined(rng))])


def reasoned(rng: Random) -> Document:
    """The symbol's meaning and what follows from it, before the answer; half of the documents have two questions."""
    return in_a_row([_reasoned(rng.choice(FREQUENT)(rng)) for _ in range(rng.choice((1, 2)))])


def reasoned_redefined(rng: Random) -> Document:
    """Like `reasoned`, but the last question is in conflict."""
    shots = [_reasoned(rng.choice(FREQUENT)(rng)) for _ in range(rng.choice((0, 1)))]
    return in_a_row([*shots, _reasoned(_redefined(rng))])


KINDS: Kinds = {
    "plain": plain,
    "agreeing": agreeing,
    "unrelated": unrelated,
    "made_up": made_up,
    "neutral": neutral,
    "digit": digit,
    "redefined": redefined,
    "several": several,
    "several_redefined": several_redefined,
    "reasoned": reasoned,
    "reasoned_redefined": reasoned_redefined,
}
CONFLICT = frozenset({"redefined", "several_redefined", "reasoned_redefined"})
"""Kinds in which the true and the distractor task disagree."""


def _plain(rng: Random) -> Problem:
    subtask, case, question = _drawn(rng)
    return Problem(subtask, case, question, subtask.symbol, "", USUAL.get(subtask.symbol, ""), False)


@cache
def _reserved() -> frozenset[str]:
    return reserved()


def _not_reserved(draw: Callable[[Random], Problem]) -> Callable[[Random], Problem]:
    """Draw again while the evaluation shows the prompt."""

    def draw_allowed(rng: Random) -> Problem:
        while (problem := draw(rng)).prompt in _reserved():
            pass
        return problem

    return draw_allowed


@_not_reserved
def _agreeing(rng: Random) -> Problem:
    subtask, case, question = _drawn(rng)
    usual = case.usual[0]
    return Problem(subtask, case, question, subtask.symbol, subtask.define(subtask.symbol, usual), usual, False)


@_not_reserved
def _unrelated(rng: Random) -> Problem:
    problem = _plain(rng)
    other = rng.choice(problem.subtask.made_up)
    return replace(problem, definition=problem.subtask.define(other, problem.case.new))


@_not_reserved
def _made_up(rng: Random) -> Problem:
    subtask, case, question = _drawn(rng)
    symbol = rng.choice(subtask.made_up)
    return Problem(subtask, case, question, symbol, subtask.define(symbol, case.new), case.new, True)


@_not_reserved
def _redefined(rng: Random) -> Problem:
    while True:
        subtask, case, question = _drawn(rng, is_conflict=True)
        if not is_held_out(subtask.name, case.value):
            break
    return Problem(subtask, case, question, subtask.symbol, subtask.define(subtask.symbol, case.new), case.new, True)


FREQUENT = (_plain, _agreeing, _made_up)


def _drawn(rng: Random, is_conflict: bool = False) -> tuple[Subtask, Case, Question]:
    """A question. Half of the questions fit a conflict, half are arbitrary."""
    subtask = SUBTASKS[rng.choice(NAMES)]
    form = rng.choice(subtask.forms)
    is_any = not is_conflict and rng.random() < 0.5
    if form == "compare":
        bound, case, _ = draw_numbers(subtask, rng.choice(rng.choice(subtask.firsts)), rng)
        return subtask, case, ask_comparison(case, rng.randint(1, 9) if is_any else bound, rng.random() < 0.5)
    pool = rng.choice(subtask.pools)
    first, second = rng.sample(rng.choice(exchangeable(pool)), 2)
    case, _ = draw_exchanged(pool, (first, second), rng)
    if is_any and subtask.number is None:
        case = _any_numbers(case, subtask.symbol, rng)
    return subtask, case, ask_digit(case)


def _any_numbers(case: Case, symbol: str, rng: Random) -> Case:
    """The same case with other numbers: a sum with the same number of digits, or another quotient."""
    if symbol == "÷":
        return quotient(rng.randint(100, 999), rng.randint(2, 9))
    left, right = _summands(case.ordinal == "third", rng)
    digits = (case.digits[0] if case.ordinal == "third" else left % 10, (left + right) % 10)
    return replace(case, expression=f"{left} {{}} {right}", digits=digits)


def _summands(make_three_digits: bool, rng: Random) -> tuple[int, int]:
    while True:
        left, right = rng.randint(10, 99), rng.randint(10, 99)
        if (left + right >= 100) == make_three_digits:
            return left, right


def _answered(problem: Problem) -> Document:
    return (Turn(problem.prompt, problem.answer),)


def _reasoned(problem: Problem) -> Document:
    thought = reason(problem.subtask, problem.case, problem.symbol, problem.meaning, is_new=problem.is_new)
    return Turn(problem.prompt + thought, problem.answer), Turn(".")
