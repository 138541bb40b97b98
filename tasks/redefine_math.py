"""The true task: use the new definition of a symbol. The distractor task: use the usual one.

    Redefine π as 4.1359.
    Question: What is the first digit of π?
    Answer:

`4` is right; `3` is the usual first digit of π. Eight sub-tasks redefine a sign or a number. The questions ask for a
digit, or whether a number is more or less than another.

Frequencies predict nothing. If the answers are two digits, a second item has the two exchanged, and the prompt names both
equally often. Yes and no are right equally often, for every number in a question, and for "more" as for "less".
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from distractor.errors import TaskError
from distractor.text.task import Condition, Item, Task

from .redefinitions import (
    PI,
    SUBTASKS,
    Case,
    Digits,
    E,
    Form,
    Pool,
    Subtask,
    draw_exchanged,
    draw_numbers,
    exchangeable,
)

YES, NO = " Yes", " No"

USUAL = {"π": f"{PI[0]}.{PI[1:3]}", "e": f"{E[0]}.{E[1:3]}"}
"""The values of the constants in prompts without a definition."""

PAIRS = 44
"""Pairs of items in each sub-task, a multiple of four: half of the questions about a constant compare it, and half of these
have a value above the usual one. The answers of a pair are opposite words, or the same two digits exchanged.
"""

ATTEMPTS = 1000  # maximum number of draws until none of a pair's prompts is a repeat

DEFINED = (Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED)
"""The conditions whose prompt starts with a definition; `true_only` equals the last."""

_SYMBOLS = "|".join(
    re.escape(symbol)
    for symbol in sorted({symbol for subtask in SUBTASKS.values() for symbol in (subtask.symbol, *subtask.made_up)})
)

LAYOUT = (
    r"(?:(?:Redefine|Read) (?P<defined>{symbols})(?: and its numbers)? as (?P<cue>[^\n]+)\.\n)?"
    r"Question: (?P<ask>What is|Is)(?: the (?P<ordinal>first|second|third) digit of)?"
    r"(?: (?P<left>\d+))? (?P<used>{symbols})(?:(?: \+)? (?P<right>\d+))?"
    r"(?: (?P<order>more|less) than (?P<bound>\d))?\?\nAnswer(?P<slot>:)"
).replace("{symbols}", _SYMBOLS)

OFFERED_LAYOUT = LAYOUT.replace(r"\?\nAnswer", r"\? Choose \w+ or \w+\.\nAnswer")


@dataclass(frozen=True)
class Question:
    """A question with the symbol written `{}`, and its answers under the new and the usual meaning."""

    text: str
    new: str
    usual: str


def redefine_math(seed: int = 0, options: bool = False) -> Task:
    """All sub-tasks in turn, `PAIRS` pairs of items each; any initial part is balanced over sub-tasks and answers.

    With `options` each prompt offers the two answers: Yes before No, or two digits with the new one first in every other
    pair.
    """
    rng = Random(seed)
    items: list[Item] = []
    is_yes_first = True
    for pairs in zip(*(_pairs(subtask, rng) for subtask in SUBTASKS.values()), strict=True):
        firsts: list[Item] = []
        seconds: list[Item] = []
        for pair in pairs:
            first, second = pair if is_yes_first else pair[::-1]
            is_yes_first ^= pair[0].true == YES
            firsts.append(first)
            seconds.append(second)
        items += [*firsts, *seconds]
    return Task(
        name="redefine_math",
        question="Is a redefined symbol taken in its usual meaning?",
        items=tuple(map(_with_options, items)) if options else tuple(items),
        source="tasks/redefine_math.py",
        layout=OFFERED_LAYOUT if options else LAYOUT,
        with_options=partial(redefine_math, seed),
    )


def write_prompt(question: Question, symbol: str, definition: str = "") -> str:
    r"""Write the question about `symbol`, after a definition if there is one.

    >>> write_prompt(Question("Is {} more than 3?", YES, NO), "e", "Redefine e as 4.1.")
    'Redefine e as 4.1.\nQuestion: Is e more than 3?\nAnswer:'
    """
    return f"{definition}\nQuestion: {question.text.format(symbol)}\nAnswer:".lstrip("\n")


def ask_digit(case: Case) -> Question:
    """Ask which digit it is."""
    new, usual = case.digits
    return Question(f"What is the {case.ordinal} digit of {case.expression}?", f" {new}", f" {usual}")


def ask_comparison(case: Case, bound: int, is_more: bool) -> Question:
    """Ask whether a number is more or less than `bound`; no number is whole."""
    new, usual = case.digits
    text = f"Is {case.expression} {'more' if is_more else 'less'} than {bound}?"
    return Question(text, yes_or_no((new >= bound) == is_more), yes_or_no((usual >= bound) == is_more))


def reason(subtask: Subtask, case: Case, symbol: str, meaning: str, *, is_new: bool) -> str:
    """The reasoning about a question: what the symbol means, and the value that this gives.

    Sums with a constant use its whole part only. An expression is given by its value, or by its first digits.
    """
    steps = (
        _constant_steps(case, symbol, meaning) if subtask.number else _sign_step(case, symbol, meaning, is_new=is_new)
    )
    return f" {steps} The answer is"


def yes_or_no(is_yes: bool) -> str:
    """The answer as a word."""
    return YES if is_yes else NO


def reserved() -> frozenset[str]:
    """The prompts of seed 0 that start with a definition: training documents must not contain them."""
    return frozenset(
        wording for item in redefine_math().items for condition in DEFINED for wording in item.wordings(condition)
    )


def _constant_steps(case: Case, symbol: str, meaning: str) -> str:
    steps = f"{symbol} is {meaning}."
    first, *rest = meaning.split()
    whole = int(first.partition(".")[0])
    if rest:
        sign, second = rest[0], int(rest[1].partition(".")[0])
        result = whole + second if sign == "+" else whole % second
        steps += f" {whole} {sign} {second} is {result}."
        whole = result
    added = case.expression.removeprefix("{}").removeprefix(" + ")
    return f"{steps} {whole} + {added} is {whole + int(added)}." if added else steps


def _sign_step(case: Case, symbol: str, meaning: str, *, is_new: bool) -> str:
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


def _pairs(subtask: Subtask, rng: Random) -> Iterator[tuple[Item, Item]]:
    """Yield pairs of items without a repeated prompt; if the answers are words, the first item's is yes."""
    orders = {pool: rng.sample(exchangeable(pool), len(exchangeable(pool))) for pool in subtask.pools}
    turns: Counter[Form] = Counter()
    used: set[str] = set()
    for index in range(PAIRS):
        form = subtask.forms[index % len(subtask.forms)]
        for asked in _candidates(subtask, form, turns[form], orders, rng):
            pair = tuple(_item(subtask, case, question, 2 * index + k) for k, (case, question) in enumerate(asked))
            prompts = [item.prompts[condition] for item in pair for condition in DEFINED]
            if len({*prompts}) == len(prompts) and used.isdisjoint(prompts):
                break
        else:
            raise TaskError(f"{subtask.name} has too few cases for {PAIRS} pairs of items; lower PAIRS")
        turns[form] += 1
        used.update(prompts)
        yield pair[0], pair[1]


def _candidates(
    subtask: Subtask, form: Form, turn: int, orders: Mapping[Pool, list[Digits]], rng: Random
) -> Iterator[tuple[tuple[Case, Question], tuple[Case, Question]]]:
    """Yield candidate pairs of questions; each `turn` starts at other digits or another first digit."""
    for attempt in range(ATTEMPTS):
        if form == "compare":
            is_above = turn % 2 == 0
            side = subtask.firsts[is_above]
            bound, case, other = draw_numbers(subtask, side[(turn // 2 + attempt) % len(side)], rng)
            yield (case, ask_comparison(case, bound, is_above)), (other, ask_comparison(other, bound, not is_above))
        else:
            pool = subtask.pools[turn % len(subtask.pools)]
            order = orders[pool]
            digits = order[(turn // len(subtask.pools) + attempt) % len(order)]
            first, second = rng.sample(digits, 2)
            case, other = draw_exchanged(pool, (first, second), rng)
            yield (case, ask_digit(case)), (other, ask_digit(other))


def _item(subtask: Subtask, case: Case, question: Question, number: int) -> Item:
    symbol = subtask.symbol
    turn = number % len(subtask.made_up)
    made_up = (*subtask.made_up[turn:], *subtask.made_up[:turn])
    usual, *usual_too = (write_prompt(question, symbol, subtask.define(symbol, meaning)) for meaning in case.usual)
    unknown, *unknown_too = (write_prompt(question, other, subtask.define(other, case.new)) for other in made_up)
    return Item(
        id=f"{subtask.name}/{number}",
        group=subtask.group(case),
        true=question.new,
        distractor=question.usual,
        prompts={
            Condition.CONFLICT: write_prompt(question, symbol, subtask.define(symbol, case.new)),
            Condition.CONGRUENT: usual,
            Condition.DISTRACTOR_SWAPPED: unknown,
            Condition.DISTRACTOR_ONLY: write_prompt(question, symbol),
            Condition.TRUE_ONLY: unknown,
            Condition.NEUTRAL: write_prompt(question, made_up[0]),
        },
        rewordings={Condition.CONGRUENT: tuple(usual_too), Condition.DISTRACTOR_SWAPPED: tuple(unknown_too)},
        reasons={
            Condition.CONFLICT: reason(subtask, case, symbol, case.new, is_new=True),
            Condition.CONGRUENT: reason(subtask, case, symbol, case.usual[0], is_new=False),
            Condition.DISTRACTOR_SWAPPED: reason(subtask, case, made_up[0], case.new, is_new=True),
            Condition.DISTRACTOR_ONLY: reason(subtask, case, symbol, USUAL.get(symbol, ""), is_new=False),
            Condition.TRUE_ONLY: reason(subtask, case, made_up[0], case.new, is_new=True),
        },
    )


def _with_options(item: Item) -> Item:
    """Return the item with its answers offered after the question."""
    number = int(item.id.rpartition("/")[2])
    if item.true in (YES, NO):
        first, second = YES, NO
    else:
        first, second = item.answers if number // 2 % 2 == 0 else item.answers[::-1]
    return item.map_prompts(lambda prompt: prompt.replace("?\nAnswer:", f"? Choose{first} or{second}.\nAnswer:"))
