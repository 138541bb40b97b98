"""Redefinitions for redefine_math: eight sub-tasks that give a sign or a number a new meaning, and draws of cases.

A case is an expression whose digits differ between the new and the usual meaning. Where one digit is right under the new
meaning and another under the usual one, a second case exists with the two exchanged. So digits predict nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, product
from operator import add, mod
from random import Random
from typing import Literal

from distractor.errors import TaskError

Form = Literal["what", "compare"]
Digits = tuple[int, int]  # the right digit under the new meaning, and under the usual one

GREEK, LATIN, MARKS, RARE_MARKS = ("ψ", "ω", "ξ"), ("q", "z", "k"), ("@", "#", "&"), ("§", "¤", "¬")
"""Made-up symbols without a usual meaning; each kind replaces symbols that tokenizers treat alike."""

PI, E = "31415926", "27182818"
"""The usual digits. A value is written with two of them or more: `3.1` to `3.1415926`."""

ADDED = range(1, 8)  # the numbers that questions may add to a constant


@dataclass(frozen=True)
class Case:
    """A new meaning, the usual meaning in as many words, and an expression with the symbol written `{}`.

    `usual` may have further wordings, in case a tokenizer gives the first another length. The question is about the
    digit at `ordinal` in the expression, and `digits` are its values under each meaning. If numbers are compared, these
    are their first digits. `value` names the group: the new value of a constant, or the expression.
    """

    new: str
    usual: tuple[str, ...]
    expression: str
    ordinal: str
    digits: Digits
    value: str


Pool = Callable[[Digits, Random], Case | None]  # draws a case with these digits; None if there is none


@dataclass(frozen=True)
class Subtask:
    """A symbol, the wording of its redefinition, and the questions about it.

    Items take turns over the `forms` of question, and over the `pools` of cases for questions about digits. `number`
    draws a case whose new value begins with a given digit; only constants are compared. `firsts` are the possible first
    digits below and above the usual one.
    """

    name: str
    symbol: str
    made_up: tuple[str, ...]
    frame: str
    forms: tuple[Form, ...]
    pools: tuple[Pool, ...] = ()
    number: Callable[[int, Random], Case] | None = None
    firsts: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    def define(self, symbol: str, meaning: str) -> str:
        """The sentence that gives `symbol` a meaning."""
        return f"{self.frame.format(symbol)} {meaning}."

    def group(self, case: Case) -> str:
        """The group of all items about a case."""
        return f"{self.name}/{case.value}"


@cache
def exchangeable(pool: Pool) -> tuple[Digits, ...]:
    """The pairs of digits that have cases in both orders."""
    rng = Random(0)
    return tuple(digits for digits in combinations(range(10), 2) if pool(digits, rng) and pool(digits[::-1], rng))


def draw_exchanged(pool: Pool, digits: Digits, rng: Random) -> tuple[Case, Case]:
    """Draw a case for `digits` and one for the same two digits exchanged.

    Raises:
        TaskError: one of them has no case.
    """
    case, exchanged = pool(digits, rng), pool(digits[::-1], rng)
    if case is None or exchanged is None:
        raise TaskError(f"no cases have the digits {digits} in both orders; use a pair from `exchangeable`")
    return case, exchanged


def draw_numbers(subtask: Subtask, first: int, rng: Random) -> tuple[int, Case, Case]:
    """Draw a value that begins with `first`, a bound between it and the usual value, and another value with this digit.

    Returns (bound, case, other case).

    Raises:
        TaskError: the sub-task redefines no number.
    """
    if subtask.number is None:
        raise TaskError(f"{subtask.name} redefines no number, so values cannot be compared; ask for a digit")
    case = subtask.number(first, rng)
    bound = rng.randint(min(case.digits) + 1, max(case.digits))
    return bound, case, subtask.number(first, rng)


# Cases of signs


def _listed(table: Callable[[], Mapping[Digits, list[Case]]], digits: Digits, rng: Random) -> Case | None:
    cases = table().get(digits)
    return rng.choice(cases) if cases else None


def _by_digits(cases: Iterable[Case]) -> Mapping[Digits, list[Case]]:
    """Group cases by their digits, without those that copying can solve.

    Both digits occur once in the numbers of the prompt, and neither is the last digit.
    """
    table: dict[Digits, list[Case]] = {}
    for case in cases:
        numbers = re.sub(r"\D", "", case.new + case.expression)
        if case.digits[0] != case.digits[1] and all(
            numbers.count(str(digit)) == 1 and not numbers.endswith(str(digit)) for digit in case.digits
        ):
            table.setdefault(case.digits, []).append(case)
    return table


@cache
def _sums(new: str, *usual: str) -> Mapping[Digits, list[Case]]:
    """The second digit of 83 + 15: `3` as text, `8` as a sum."""
    return _by_digits(
        Case(new, usual, f"{left} {{}} {right}", "second", (left % 10, (left + right) % 10), f"{left} + {right}")
        for left, right in product(range(10, 100), repeat=2)
        if left + right < 100
    )


@cache
def _digits_named() -> Mapping[Digits, list[Case]]:
    """The second digit of a sum, as text or as a sum, where the sum's second digit is also the new meaning of its sign."""
    return _by_digits(
        _with_digit(left, total % 10, right, "second", (left % 10, total % 10))
        for left, right in product(range(10, 100), repeat=2)
        if (total := left + right) < 100
    )


@cache
def _digits_asked() -> Mapping[Digits, list[Case]]:
    """The third digit of a sum: the new meaning of its sign as text, or the sum's third digit."""
    return _by_digits(
        _with_digit(left, digit, right, "third", (digit, (left + right) % 10))
        for left, right in product(range(10, 100), repeat=2)
        if left + right >= 100
        for digit in set(range(10)) - {*map(int, f"{left}{right}")}
    )


def _with_digit(left: int, digit: int, right: int, ordinal: str, digits: Digits) -> Case:
    usual = ("the plus sign", "the sign +")
    return Case(f"the digit {digit}", usual, f"{left} {{}} {right}", ordinal, digits, value=f"{left}{digit}{right}")


@cache
def _quotients() -> Mapping[Digits, list[Case]]:
    """The first digit of 846 ÷ 2: `8` as text, `4` as a quotient."""
    return _by_digits(quotient(left, right) for left, right in product(range(100, 1000), range(2, 10)))


def quotient(left: int, right: int) -> Case:
    """The first digit of `left` ÷ `right`, as text or as a quotient."""
    return Case(
        "a random digit",
        ("a division sign", "a usual division sign"),
        f"{left} {{}} {right}",
        "first",
        (int(str(left)[0]), int(str(left // right)[0])),
        f"{left} ÷ {right}",
    )


# Cases of constants


def _decimal(digits: str) -> str:
    return f"{digits[0]}.{digits[1:]}"


def _usual(known: str, length: int, shortest: int = 2) -> tuple[str, ...]:
    lengths = range(shortest, len(known) + 1)
    return _decimal(known[:length]), *(f"about {_decimal(known[:other])}" for other in lengths)


def _fraction(count: int, rng: Random, without: Digits = (0, 0)) -> str:
    """Draw `count` digits after the point; no zeros, so that the number is never whole."""
    return "".join(rng.choices([str(digit) for digit in range(1, 10) if digit not in without], k=count))


def _added(known: str, digits: Digits, rng: Random) -> Case | None:
    """The first digit of a constant plus a small number; the prompt names neither of `digits`."""
    new, usual = digits
    added = usual - int(known[0])
    first = new - added
    if added not in ADDED or not 0 <= first <= 9 or {added, first} & {new, usual}:
        return None
    length = rng.randint(2, len(known))
    value = _decimal(f"{first}{_fraction(length - 1, rng, digits)}")
    return Case(value, _usual(known, length), f"{{}} + {added}", "first", digits, value)


def _moved(known: str, digits: Digits, rng: Random) -> Case | None:
    """One of the first three digits of a constant, whose new value has the usual digit at another position."""
    new, usual = digits
    position = known[:3].find(str(usual))
    if position < 0 or new == usual:
        return None
    shortest = max(3, position + 2)
    length = rng.randint(shortest, len(known))
    drawn = list(_fraction(length, rng, digits))
    drawn[position] = str(new)
    drawn[rng.choice([other for other in range(length - 1) if other != position])] = str(usual)
    value = _decimal("".join(drawn))
    return Case(value, _usual(known, length, shortest), "{}", ("first", "second", "third")[position], digits, value)


def _number(known: str, first: int, rng: Random) -> Case:
    """A constant redefined as a number that begins with `first`."""
    length = rng.randint(2, len(known))
    new = _decimal(f"{first}{_fraction(length - 1, rng)}")
    return Case(new, _usual(known, length), "{}", "first", (first, int(known[0])), new)


@cache
def _changes(make: Callable[[int, int], int], numbers: tuple[Digits, ...], first: int) -> list[tuple[Digits, Digits]]:
    """Pairs of numbers that make `first`, each with a pair that makes the first digit of π; one number is the same."""
    return [
        (new, old)
        for new, old in product(numbers, numbers)
        if make(*new) == first and make(*old) == int(PI[0])
        if (new[0] == old[0]) != (new[1] == old[1]) and len(str(new[0])) == len(str(old[0]))
    ]


def _made(
    make: Callable[[int, int], int], numbers: tuple[Digits, ...], frames: tuple[str, ...], first: int, rng: Random
) -> Case:
    """π as the result of two numbers, one of which changes: usually 1.14 + 2 or 7.14 mod 4."""
    frame = rng.choice(frames)
    fraction = _decimal(PI[: rng.randint(2, len(PI))])[1:]
    new, old = (frame.format(*pair, fraction) for pair in rng.choice(_changes(make, numbers, first)))
    return Case(new, (old,), "{}", "first", (first, int(PI[0])), new)


ADDENDS = tuple(product(range(10), range(1, 10)))
DIVIDED = tuple((number, divisor) for number in range(20) for divisor in range(2, 10) if number >= divisor)
"""Numbers smaller than their divisor are left out, because they are their own remainder."""


# Sub-tasks


def _operator(
    name: str,
    symbol: str,
    made_up: tuple[str, ...],
    *tables: Callable[[], Mapping[Digits, list[Case]]],
    frame: str = "Redefine {} as",
    forms: tuple[Form, ...] = ("what",),
) -> Subtask:
    return Subtask(name, symbol, made_up, frame, forms, tuple(partial(_listed, table) for table in tables))


def _constant(name: str, symbol: str, made_up: tuple[str, ...], known: str) -> Subtask:
    usual = int(known[0])
    added: Pool = partial(_added, known)
    return Subtask(
        name,
        symbol,
        made_up,
        "Redefine {} as",
        forms=("compare", "what"),
        pools=(added, added, partial(_moved, known)),
        number=partial(_number, known),
        firsts=(tuple(range(usual)), tuple(range(usual + 1, 10))),
    )


def _made_of_two(
    name: str, number: Callable[[int, Random], Case], below: tuple[int, ...], above: tuple[int, ...]
) -> Subtask:
    return Subtask(name, "π", GREEK, "Redefine {} as", ("compare",), number=number, firsts=(below, above))


SUBTASKS: Mapping[str, Subtask] = {
    subtask.name: subtask
    for subtask in (
        _operator(
            "number_as_text", "+", MARKS, partial(_sums, "text", "usual", "numbers"), frame="Read {} and its numbers as"
        ),
        _operator(
            "plus_as_random_digit", "+", MARKS, partial(_sums, "a random digit", "a plus sign", "a usual plus sign")
        ),
        _operator("plus_as_digit", "+", MARKS, _digits_named, _digits_asked),
        _constant("pi_as_number", "π", GREEK, PI),
        _made_of_two(
            "pi_as_sum",
            partial(_made, add, ADDENDS, ("{0}{2} + {1}", "{0} + {1}{2}")),
            below=(1, 2),
            above=(4, 5, 6, 7, 8, 9),
        ),
        _made_of_two(
            "pi_as_remainder",
            partial(_made, mod, DIVIDED, ("{0}{2} mod {1}",)),
            below=(0, 1, 2),
            above=(4, 5, 6, 7, 8),
        ),
        _constant("e_as_number", "e", LATIN, E),
        _operator(
            "division_as_random_digit",
            "÷",
            RARE_MARKS,
            _quotients,
        ),
    )
}
"""{name: sub-task}. In each, the usual meaning takes as many words as the new one."""
