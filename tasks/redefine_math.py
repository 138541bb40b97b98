"""The true task: use the new definition of a symbol. The distractor task: use the usual one.

    Redefine π as 4.1359.
    Question: What is the first digit of π?
    Answer:

`4` answers what was asked; `3` is what π usually begins with. Eight sub-tasks redefine a sign or a number; the questions
are what a digit is, whether it is this one, and whether a number is more or less than another.

Frequencies do not give the answer away. Where one digit is right under the new meaning and another under the usual one,
a second item has the two exchanged, and the prompt names both equally often; yes and no are right equally often, for
every digit that is asked about, and for more as for less.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, product
from operator import add, mod
from random import Random
from typing import Literal

from distractor.errors import TaskError
from distractor.text.task import Condition, Item, Task

Form = Literal["what", "whether", "compare"]
Digits = tuple[int, int]
"""Which digit is right under the new meaning, and which under the usual one."""

YES, NO = " Yes", " No"

GREEK, LATIN, MARKS, RARE_MARKS = ("ψ", "ω", "ξ"), ("q", "z", "k"), ("@", "#", "&"), ("§", "¤", "¬")
"""Made-up symbols, with no usual meaning; each kind stands in for symbols that tokenizers treat likewise."""

PI, E = "314159", "271828"
"""The usual digits. A value is written with the first two of them or more: `3.1` to `3.14159`."""

USUAL = {"π": f"{PI[0]}.{PI[1:3]}", "e": f"{E[0]}.{E[1:3]}"}
"""What the constants are where nothing is told."""

ADDED = range(1, 8)
"""What may be added to a constant before its first digit is asked for."""

PAIRS = 42
"""Pairs of items in a sub-task: the answers of the two are opposite words, or the same two digits exchanged."""

ATTEMPTS = 1000
"""How often a pair is drawn again because one of its prompts was there before."""

DEFINED = (Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED)
"""The conditions whose prompt begins with a definition; `true_only` repeats the last."""


@dataclass(frozen=True)
class Case:
    """A new meaning, the usual one in as many words, and an expression that holds the symbol, written `{}`.

    Where a tokenizer has other lengths for the two, further wordings of the usual meaning may fit.

    `ordinal` says which digit of the expression is asked for, `digits` which one that is under either meaning; where
    numbers are compared, these are their first. `value` is what errors are clustered by: the new value of a constant, or
    an expression as it is read.
    """

    new: str
    usual: tuple[str, ...]
    expression: str
    ordinal: str
    digits: Digits
    value: str


Pool = Callable[[Digits, Random], Case | None]
"""Draws a case in which these digits are right; None where there is none."""


@dataclass(frozen=True)
class Question:
    """What is asked, the symbol written `{}`, and what is right under the new and under the usual meaning."""

    text: str
    new: str
    usual: str


@dataclass(frozen=True)
class Subtask:
    """What is redefined, in which words, and what is asked about it.

    `forms` of question take turns, and so do the `pools` that digits are asked about from. `number` draws a case whose
    new value begins with the digit given: only constants are compared. `firsts` are such digits, those below the usual
    one and those above it.
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
        """What the errors of a case are clustered by."""
        return f"{self.name}/{case.value}"


def redefine_math(seed: int = 0, options: bool = False) -> Task:
    """All sub-tasks in turn, `PAIRS` pairs of items each; any first part is balanced over sub-tasks and answers.

    With `options` each prompt offers the two answers: Yes before No, and of two digits the new one first in every other
    pair.
    """
    rng = Random(seed)
    items: list[Item] = []
    is_yes_first = True
    for pairs in zip(*(_pairs(subtask, rng) for subtask in SUBTASKS.values()), strict=True):
        turns: tuple[list[Item], list[Item]] = ([], [])
        for one, other in pairs:
            firstly, secondly = (one, other) if is_yes_first else (other, one)
            is_yes_first ^= one.true == YES
            turns[0].append(firstly)
            turns[1].append(secondly)
        items += [*turns[0], *turns[1]]
    return Task(
        name="redefine_math",
        question="Is a redefined symbol taken in its usual meaning?",
        items=tuple(map(_offered, items)) if options else tuple(items),
        source="tasks/redefine_math.py",
        layout=OFFERED_LAYOUT if options else LAYOUT,
        with_options=partial(redefine_math, seed),
    )


def pose(question: Question, symbol: str, definition: str = "") -> str:
    r"""The question about `symbol`, behind a definition where there is one.

    >>> pose(Question("Is {} more than 3?", YES, NO), "e", "Redefine e as 4.1.")
    'Redefine e as 4.1.\nQuestion: Is e more than 3?\nAnswer:'
    """
    return f"{definition}\nQuestion: {question.text.format(symbol)}\nAnswer:".lstrip("\n")


def what(case: Case) -> Question:
    """Which digit it is."""
    new, usual = case.digits
    return Question(f"What is the {case.ordinal} digit of {case.expression}?", f" {new}", f" {usual}")


def whether(case: Case, asked: int) -> Question:
    """Whether the digit is `asked`."""
    new, usual = case.digits
    text = f"Is {asked} the {case.ordinal} digit of {case.expression}?"
    return Question(text, word(new == asked), word(usual == asked))


def compare(case: Case, bound: int, is_more: bool) -> Question:
    """Whether a number, none of which is whole, is more or less than `bound`."""
    new, usual = case.digits
    text = f"Is {case.expression} {'more' if is_more else 'less'} than {bound}?"
    return Question(text, word((new >= bound) == is_more), word((usual >= bound) == is_more))


def reason(subtask: Subtask, case: Case, symbol: str, meaning: str, *, is_new: bool) -> str:
    """What leads from a question to its answer: what the symbol is there, and what that makes.

    Of a constant's digits only whole numbers are added up; of an expression it is said what it is, or what it begins with
    where that is enough.
    """
    made = (
        _constant_makes(case, symbol, meaning) if subtask.number else _sign_makes(case, symbol, meaning, is_new=is_new)
    )
    return f" {made} The answer is"


def _constant_makes(case: Case, symbol: str, meaning: str) -> str:
    said = f"{symbol} is {meaning}."
    first, *rest = meaning.split()
    whole = int(first.partition(".")[0])
    if rest:
        sign, second = rest[0], int(rest[1].partition(".")[0])
        made = whole + second if sign == "+" else whole % second
        said += f" {whole} {sign} {second} is {made}."
        whole = made
    added = case.expression.removeprefix("{}").removeprefix(" + ")
    return f"{said} {whole} + {added} is {whole + int(added)}." if added else said


def _sign_makes(case: Case, symbol: str, meaning: str, *, is_new: bool) -> str:
    expression = case.expression.format(symbol)
    left, right = (int(number) for number in case.expression.split(" {} "))
    if is_new:
        digit = meaning.removeprefix("the digit ")
        return f"{expression} is {left}{digit}{right}." if digit.isdigit() else f"{expression} begins with {left}."
    if symbol == "+":
        return f"{expression} is {left + right}."
    if left % right == 0:
        return f"{expression} is {left // right}."
    return f"{expression} begins with {str(left * 10 // right)[:2]}."


def word(is_so: bool) -> str:
    """The answer to a question that has one of two."""
    return YES if is_so else NO


@cache
def exchangeable(pool: Pool) -> tuple[Digits, ...]:
    """The pairs of digits for which there are cases either way round."""
    anyhow = Random(0)
    return tuple(digits for digits in combinations(range(10), 2) if pool(digits, anyhow) and pool(digits[::-1], anyhow))


def draw_exchanged(pool: Pool, digits: Digits, rng: Random) -> tuple[Case, Case]:
    """A case for `digits`, and one for the same two exchanged."""
    one, other = pool(digits, rng), pool(digits[::-1], rng)
    if one is None or other is None:
        raise TaskError(f"no cases have the digits {digits} either way round; take a pair that is exchangeable")
    return one, other


def draw_numbers(subtask: Subtask, first: int, rng: Random) -> tuple[int, Case, Case]:
    """A bound between the usual value and one that begins with `first`, that case, and another on its side."""
    if subtask.number is None:
        raise TaskError(f"{subtask.name} redefines no number, so that nothing can be compared; ask for a digit")
    one = subtask.number(first, rng)
    bound = rng.randint(min(one.digits) + 1, max(one.digits))
    beside = [other for side in subtask.firsts for other in side if (other >= bound) == (first >= bound)]
    return bound, one, subtask.number(rng.choice(beside), rng)


def reserved() -> frozenset[str]:
    """The prompts of the default items that begin with a definition: what is trained must never pose them."""
    return frozenset(
        wording for item in redefine_math().items for condition in DEFINED for wording in item.wordings(condition)
    )


def _pairs(subtask: Subtask, rng: Random) -> Iterator[tuple[Item, Item]]:
    """Pairs of items, the first answered by yes where the answers are words; no prompt comes twice."""
    orders = {pool: rng.sample(exchangeable(pool), len(exchangeable(pool))) for pool in subtask.pools}
    turns: Counter[Form] = Counter()
    seen: set[str] = set()
    for place in range(PAIRS):
        form = subtask.forms[place % len(subtask.forms)]
        for posed in _candidates(subtask, form, turns[form], orders, rng):
            one, other = (_item(subtask, case, question, 2 * place + k) for k, (case, question) in enumerate(posed))
            prompts = [item.prompts[condition] for item in (one, other) for condition in DEFINED]
            if len({*prompts}) == len(prompts) and seen.isdisjoint(prompts):
                break
        else:
            raise TaskError(f"{subtask.name} has too few cases for {PAIRS} pairs of items; lower PAIRS")
        turns[form] += 1
        seen.update(prompts)
        yield one, other


def _candidates(
    subtask: Subtask, form: Form, turn: int, orders: Mapping[Pool, list[Digits]], rng: Random
) -> Iterator[tuple[tuple[Case, Question], tuple[Case, Question]]]:
    """Pairs of questions to choose from; those of the next `turn` are about other digits or another first digit."""
    for attempt in range(ATTEMPTS):
        if form == "compare":
            is_above = turn % 2 == 0
            side = subtask.firsts[is_above]
            bound, one, other = draw_numbers(subtask, side[(turn // 2 + attempt) % len(side)], rng)
            yield (one, compare(one, bound, is_above)), (other, compare(other, bound, not is_above))
        else:
            pool = subtask.pools[turn % len(subtask.pools)]
            order = orders[pool]
            # The two forms go round the same digits half a round apart: what repeats a case comes late.
            start = len(order) // 2 if form == "what" else 0
            digits = order[(start + turn // len(subtask.pools) + attempt) % len(order)]
            asked, exchanged = rng.sample(digits, 2)
            one, other = draw_exchanged(pool, (asked, exchanged), rng)
            if form == "what":
                yield (one, what(one)), (other, what(other))
            else:
                yield (one, whether(one, asked)), (other, whether(other, asked))


def _item(subtask: Subtask, case: Case, question: Question, place: int) -> Item:
    symbol = subtask.symbol
    turn = place % len(subtask.made_up)
    made_up, *others = (*subtask.made_up[turn:], *subtask.made_up[:turn])
    usual, *usual_too = (pose(question, symbol, subtask.define(symbol, meaning)) for meaning in case.usual)
    unknown, *unknown_too = (pose(question, other, subtask.define(other, case.new)) for other in (made_up, *others))
    return Item(
        id=f"{subtask.name}/{place}",
        group=subtask.group(case),
        true=question.new,
        distractor=question.usual,
        prompts={
            Condition.CONFLICT: pose(question, symbol, subtask.define(symbol, case.new)),
            Condition.CONGRUENT: usual,
            Condition.DISTRACTOR_SWAPPED: unknown,
            Condition.DISTRACTOR_ONLY: pose(question, symbol),
            Condition.TRUE_ONLY: unknown,
            Condition.NEUTRAL: pose(question, made_up),
        },
        rewordings={Condition.CONGRUENT: tuple(usual_too), Condition.DISTRACTOR_SWAPPED: tuple(unknown_too)},
        reasons={
            Condition.CONFLICT: reason(subtask, case, symbol, case.new, is_new=True),
            Condition.CONGRUENT: reason(subtask, case, symbol, case.usual[0], is_new=False),
            Condition.DISTRACTOR_SWAPPED: reason(subtask, case, made_up, case.new, is_new=True),
            Condition.DISTRACTOR_ONLY: reason(subtask, case, symbol, USUAL.get(symbol, ""), is_new=False),
            Condition.TRUE_ONLY: reason(subtask, case, made_up, case.new, is_new=True),
        },
    )


def _offered(item: Item) -> Item:
    """The answers offered behind the question."""
    place = int(item.id.rpartition("/")[2])
    if item.true in (YES, NO):
        first, second = YES, NO
    else:
        first, second = item.answers if place // 2 % 2 == 0 else item.answers[::-1]
    return item.map_prompts(lambda prompt: prompt.replace("?\nAnswer:", f"? Choose{first} or{second}.\nAnswer:"))


def _listed(table: Callable[[], Mapping[Digits, list[Case]]], digits: Digits, rng: Random) -> Case | None:
    cases = table().get(digits)
    return rng.choice(cases) if cases else None


def _by_digits(cases: Iterable[Case]) -> Mapping[Digits, list[Case]]:
    """The cases by their digits, without those in which copying tells the two digits apart.

    Both stand once in the numbers of the prompt, and neither is the last of these.
    """
    found: dict[Digits, list[Case]] = {}
    for case in cases:
        numbers = re.sub(r"\D", "", case.new + case.expression)
        if case.digits[0] != case.digits[1] and all(
            numbers.count(str(digit)) == 1 and not numbers.endswith(str(digit)) for digit in case.digits
        ):
            found.setdefault(case.digits, []).append(case)
    return found


@cache
def _sums(new: str, *usual: str) -> Mapping[Digits, list[Case]]:
    """The second digit of 83 + 15 as it is written, `3`, or of what it makes, `8`."""
    return _by_digits(
        Case(new, usual, f"{left} {{}} {right}", "second", (left % 10, (left + right) % 10), f"{left} + {right}")
        for left, right in product(range(10, 100), repeat=2)
        if left + right < 100
    )


@cache
def _digits_named() -> Mapping[Digits, list[Case]]:
    """The second digit of a sum: of what is written, or of what it makes, which is also the digit that its sign is."""
    return _by_digits(
        _with_digit(left, total % 10, right, "second", (left % 10, total % 10))
        for left, right in product(range(10, 100), repeat=2)
        if (total := left + right) < 100
    )


@cache
def _digits_asked() -> Mapping[Digits, list[Case]]:
    """The third digit of a sum: the digit that its sign is, or that of what it makes."""
    return _by_digits(
        _with_digit(left, digit, right, "third", (digit, (left + right) % 10))
        for left, right in product(range(10, 100), repeat=2)
        if left + right >= 100
        for digit in set(range(10)) - {*map(int, f"{left}{right}")}
    )


def _with_digit(left: int, digit: int, right: int, ordinal: str, digits: Digits) -> Case:
    return Case(
        f"the digit {digit}",
        ("the plus sign", "the sign +"),
        f"{left} {{}} {right}",
        ordinal,
        digits,
        value=f"{left}{digit}{right}",
    )


@cache
def _quotients(place: int) -> Mapping[Digits, list[Case]]:
    """The first or second digit of 84 ÷ 2 as it is written, `8` or `4`, or of what it makes, `4` or `2`."""
    return _by_digits(
        Case(
            "a random digit",
            ("a division sign", "a usual division sign"),
            f"{left} {{}} {right}",
            ("first", "second")[place],
            (int(str(left)[place]), int(str(left * 10 // right)[place])),
            f"{left} ÷ {right}",
        )
        for left, right in product(range(10, 100), range(2, 10))
        if place == 0 or left % right or left >= 10 * right  # 8 has no second digit
    )


def _written(digits: str) -> str:
    return f"{digits[0]}.{digits[1:]}"


def _usual(known: str, length: int, shortest: int = 2) -> tuple[str, ...]:
    lengths = range(shortest, len(known) + 1)
    return _written(known[:length]), *(f"about {_written(known[:other])}" for other in lengths)


def _fraction(count: int, rng: Random, without: Digits = (0, 0)) -> str:
    """So many digits after the point: no zeros, so that the number is never whole."""
    return "".join(rng.choices([str(digit) for digit in range(1, 10) if digit not in without], k=count))


def _added(known: str, digits: Digits, rng: Random) -> Case | None:
    """The first digit of a constant and a small number; the prompt names neither of `digits`."""
    new, usual = digits
    added = usual - int(known[0])
    first = new - added
    if added not in ADDED or not 0 <= first <= 9 or {added, first} & {new, usual}:
        return None
    length = rng.randint(2, len(known))
    value = f"{first}{_fraction(length - 1, rng, digits)}"
    return Case(_written(value), _usual(known, length), f"{{}} + {added}", "first", digits, _written(value))


def _moved(known: str, digits: Digits, rng: Random) -> Case | None:
    """One of the first three digits of a constant, whose new value has the usual digit in another place."""
    new, usual = digits
    place = known[:3].find(str(usual))
    if place < 0 or new == usual:
        return None
    shortest = max(3, place + 2)
    length = rng.randint(shortest, len(known))
    value = list(_fraction(length, rng, digits))
    value[place] = str(new)
    value[rng.choice([other for other in range(length - 1) if other != place])] = str(usual)
    ordinal = ("first", "second", "third")[place]
    return Case(
        _written("".join(value)), _usual(known, length, shortest), "{}", ordinal, digits, _written("".join(value))
    )


def _number(known: str, first: int, rng: Random) -> Case:
    """A constant that is redefined as a number."""
    length = rng.randint(2, len(known))
    new = _written(f"{first}{_fraction(length - 1, rng)}")
    return Case(new, _usual(known, length), "{}", "first", (first, int(known[0])), new)


@cache
def _changes(make: Callable[[int, int], int], numbers: tuple[Digits, ...], first: int) -> list[tuple[Digits, Digits]]:
    """Two numbers that make `first`, and two that make the usual digit of π, of which one is the same."""
    return [
        (new, old)
        for new, old in product(numbers, numbers)
        if make(*new) == first and make(*old) == int(PI[0])
        if (new[0] == old[0]) != (new[1] == old[1]) and len(str(new[0])) == len(str(old[0]))
    ]


def _made(
    make: Callable[[int, int], int], numbers: tuple[Digits, ...], frames: tuple[str, ...], first: int, rng: Random
) -> Case:
    """π as what is made of two numbers, of which one is changed: usually 1.14 + 2 or 7.14 mod 4."""
    frame = rng.choice(frames)
    fraction = _written(PI[: rng.randint(2, len(PI))])[1:]
    new, old = (frame.format(*pair, fraction) for pair in rng.choice(_changes(make, numbers, first)))
    return Case(new, (old,), "{}", "first", (first, int(PI[0])), new)


ADDENDS = tuple(product(range(10), range(1, 10)))
DIVIDED = tuple((number, divisor) for number in range(20) for divisor in range(2, 10) if number >= divisor)
"""Where the number is the smaller of the two, it would be its own remainder."""


def _operator(
    name: str,
    symbol: str,
    made_up: tuple[str, ...],
    *tables: Callable[[], Mapping[Digits, list[Case]]],
    frame: str = "Redefine {} as",
    forms: tuple[Form, ...] = ("whether", "what"),
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
        forms=("whether", "compare", "what", "whether", "compare", "whether"),
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
            partial(_quotients, 0),
            partial(_quotients, 1),
            forms=("whether", "what", "whether"),
        ),
    )
}
"""What is redefined. In each of them the usual meaning is told in as many words as the new one."""

_SYMBOLS = "|".join(
    re.escape(symbol)
    for symbol in sorted({symbol for subtask in SUBTASKS.values() for symbol in (subtask.symbol, *subtask.made_up)})
)

LAYOUT = (
    r"(?:(?:Redefine|Read) (?P<defined>{symbols})(?: and its numbers)? as (?P<cue>[^\n]+)\.\n)?"
    r"Question: (?P<ask>What is|Is)(?: (?P<asked>\d))?(?: the (?P<ordinal>first|second|third) digit of)?"
    r"(?: (?P<left>\d+))? (?P<used>{symbols})(?:(?: \+)? (?P<right>\d+))?"
    r"(?: (?P<order>more|less) than (?P<bound>\d))?\?\nAnswer(?P<slot>:)"
).replace("{symbols}", _SYMBOLS)

OFFERED_LAYOUT = LAYOUT.replace(r"\?\nAnswer", r"\? Choose \w+ or \w+\.\nAnswer")
