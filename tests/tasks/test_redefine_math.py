"""redefine_math has the right answers, nothing but the definition predicts them, and training documents avoid its items."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from math import comb
from operator import add, mod, truediv
from random import Random

import numpy as np
import pytest
from training import documents

from distractor.errors import TaskError
from distractor.text.task import ALIGNED, Condition, Item, Task
from experiments.ladder import redefine_math as training_module
from tasks import TASKS, redefine_math
from tasks.redefine_math import reserved
from tasks.redefinitions import SUBTASKS, draw_exchanged, draw_numbers, exchangeable

C = Condition
PROMPT = re.compile(
    r"(?:(?:Redefine|Read) (?P<defined>\S+)(?: and its numbers)? as (?P<meaning>.+)\.\n)?"
    r"Question: (?P<question>.+)\?\nAnswer:"
)
ASKED = re.compile(r"What is the (?P<ordinal>\w+) digit of (?P<expression>[^?]+)")
COMPARED = re.compile(r"Is (?P<symbol>\S+) (?P<order>more|less) than (?P<bound>\d)")
ORDINALS = ("first", "second", "third")
CONSTANTS = {"π": Decimal("3.1415926"), "e": Decimal("2.7182818")}
OPERATIONS: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {"+": add, "÷": truediv, "mod": mod}
SOME_DIGIT = "_"


@pytest.fixture(scope="module", params=[0, 7])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS["redefine_math"](seed=request.param)


def subtask_of(item: Item) -> str:
    return item.id.partition("/")[0]


# Oracles


def number(word: str, meanings: Mapping[str, str]) -> Decimal | None:
    """The value of a number or a constant; None if it is unknown."""
    if word in meanings:
        result = value(meanings[word].removeprefix("about "), {})
        return result if isinstance(result, Decimal) else None
    return CONSTANTS.get(word, Decimal(word) if word[0].isdigit() else None)


def value(expression: str, meanings: Mapping[str, str]) -> Decimal | str | None:
    """The value of an expression, or its text, if symbols have these meanings and otherwise their usual ones."""
    left, *rest = expression.split()
    if not rest:
        return number(left, meanings)
    sign, right = rest
    meaning = meanings.get(sign, "")
    if meaning in ("text", "a random digit"):
        return f"{left}{SOME_DIGIT}{right}"
    if meaning.startswith("the digit "):
        return f"{left}{meaning[-1]}{right}"
    a, b = number(left, meanings), number(right, meanings)
    return OPERATIONS[sign](a, b) if sign in OPERATIONS and a is not None and b is not None else None


def digits_of(expression: str, meanings: Mapping[str, str]) -> str:
    """The digits of an expression; empty if they are unknown."""
    return str(value(expression, meanings) or "").replace(".", "")


def answer(prompt: str, heeds_definitions: bool = True) -> str | None:
    """The right answer; None if there is none."""
    parts = PROMPT.fullmatch(prompt)
    assert parts, prompt
    meanings = {parts["defined"]: parts["meaning"]} if parts["defined"] and heeds_definitions else {}
    if compared := COMPARED.fullmatch(parts["question"]):
        compared_value = number(compared["symbol"], meanings)
        if compared_value is None:
            return None
        assert compared_value != int(compared["bound"])
        return "Yes" if (compared_value > int(compared["bound"])) == (compared["order"] == "more") else "No"
    asked = ASKED.fullmatch(parts["question"])
    assert asked, prompt
    digits = digits_of(asked["expression"], meanings)
    if not digits:
        return None
    digit = digits[ORDINALS.index(asked["ordinal"])]
    assert digit != SOME_DIGIT, prompt
    return digit


def attentive(prompt: str) -> Mapping[str, float]:
    """Uses the definition."""
    right = answer(prompt)
    return {right: 0.8} if right else {}


def distracted(prompt: str) -> Mapping[str, float]:
    """Takes every symbol in its usual meaning, and has no preference if there is none."""
    right = answer(prompt, heeds_definitions=False)
    return {right: 0.8} if right else {}


def test_the_oracle_reads_expressions_by_their_meaning() -> None:
    assert digits_of("43 + 85", {}) == "128"
    assert digits_of("43 + 85", {"+": "text"}) == "43_85"
    assert digits_of("43 + 85", {"+": "the digit 7"}) == "43785"
    assert digits_of("43 + 85", {"+": "a plus sign"}) == digits_of("43 + 85", {"@": "text"}) == "128"
    assert digits_of("43 @ 85", {}) == digits_of("ψ", {"π": "4.5"}) == ""
    assert digits_of("37 ÷ 5", {}) == "74"
    assert digits_of("π + 2", {}) == "51415926"
    assert digits_of("π + 2", {"π": "9.1 mod 6"}) == "51"
    assert digits_of("π", {"π": "2 + 3.14"}) == "514"


@pytest.mark.parametrize("condition", [c for c in Condition if c is not C.NEUTRAL])
def test_every_wording_has_the_right_answer(condition: Condition, task: Task) -> None:
    for item in task.items:
        for wording in item.wordings(condition):
            right = task.right[condition]
            assert right is not None
            assert answer(wording) == item.answers[right].strip(), wording


def test_without_a_definition_the_made_up_symbol_has_no_meaning(task: Task) -> None:
    assert all(answer(item.prompts[C.NEUTRAL]) is None for item in task.items)


# Items


def test_items_alternate_between_sub_tasks(task: Task) -> None:
    assert len(SUBTASKS) == 8
    for turn in range(0, len(task.items), 8):
        assert [subtask_of(item) for item in task.items[turn : turn + 8]] == list(SUBTASKS)


def test_a_definition_in_conflict_never_gives_the_usual_meaning(task: Task) -> None:
    for item in task.items:
        conflict, congruent = (PROMPT.fullmatch(item.prompts[c]) for c in (C.CONFLICT, C.CONGRUENT))
        assert conflict
        assert congruent
        symbol, expression = conflict["defined"], conflict["question"].split(" of ")[-1]
        expression = expression if "digit" in conflict["question"] else symbol
        new, usual = (digits_of(expression, {symbol: parts["meaning"]}) for parts in (conflict, congruent))
        assert new != usual
        # The usual meaning is right in all of its digits.
        assert digits_of(expression, {}).startswith(usual) or symbol in CONSTANTS
        assert symbol not in CONSTANTS or str(CONSTANTS[symbol]).startswith(
            str(value(congruent["meaning"], {})).rstrip("0")
        )


def test_questions_about_constants_cover_three_digits(task: Task) -> None:
    for name in ("pi_as_number", "e_as_number"):
        asked = Counter(
            asked["ordinal"]
            for item in task.items
            if subtask_of(item) == name and (asked := ASKED.search(item.prompts[C.CONFLICT]))
        )
        assert set(asked) == set(ORDINALS)
        usual = {item.distractor for item in task.items if subtask_of(item) == name and item.distractor[1:].isdigit()}
        assert len(usual) >= 5


# Features that do not predict the answer


Reader = Callable[[str], Mapping[str, float]]
"""A rule that gives each answer a preference without understanding the prompt."""


def numbers_in(text: str) -> str:
    return re.sub(r"\D", "", text)


def definition_in(prompt: str) -> str:
    return prompt.partition("\n")[0]


def last_of_the_definition(prompt: str) -> Mapping[str, float]:
    return dict.fromkeys(numbers_in(definition_in(prompt))[-1:], 1)


def first_of_the_definition(prompt: str) -> Mapping[str, float]:
    return dict.fromkeys(numbers_in(definition_in(prompt))[:1], 1)


def last_of_the_prompt(prompt: str) -> Mapping[str, float]:
    return {numbers_in(prompt)[-1]: 1}


def any_of_the_prompt(prompt: str) -> Mapping[str, float]:
    """Prefers a digit by its count in the prompt."""
    return Counter(numbers_in(prompt))


def yes(prompt: str) -> Mapping[str, float]:
    return {"Yes": 1}


def more_is_yes(prompt: str) -> Mapping[str, float]:
    return {"Yes": " more " in prompt, "No": " less " in prompt}


def high_is_yes(prompt: str) -> Mapping[str, float]:
    """Prefers yes for high bounds."""
    match = re.search(r"than (\d)", prompt)
    return {"Yes": int(match[1]), "No": 4.5} if match else {}


def larger(prompt: str) -> Mapping[str, float]:
    """Prefers large digits."""
    return {str(digit): digit for digit in range(10)}


def biased(seed: int) -> Reader:
    """Prefers each answer by a fixed random amount."""
    random = np.random.default_rng(seed)
    bias = {word: random.normal() for word in (*map(str, range(10)), "Yes", "No")}
    return lambda prompt: bias


def accuracy(reader: Reader, items: tuple[Item, ...]) -> float:
    """The accuracy in conflict; equal preferences count as half."""
    given = [(reader(item.prompts[C.CONFLICT]), *(answer.strip() for answer in item.answers)) for item in items]
    ahead = [preference.get(true, 0) - preference.get(distractor, 0) for preference, true, distractor in given]
    return float(np.mean(0.5 + 0.5 * np.sign(ahead)))


@pytest.mark.parametrize("reader", [yes, more_is_yes, high_is_yes, larger, *(biased(seed) for seed in range(3))])
def test_frequencies_give_chance(reader: Reader, task: Task) -> None:
    assert accuracy(reader, task.items) == pytest.approx(0.5)


@pytest.mark.parametrize("reader", [last_of_the_definition, last_of_the_prompt, any_of_the_prompt])
def test_copying_gives_chance(reader: Reader, task: Task) -> None:
    assert accuracy(reader, task.items) == pytest.approx(0.5, abs=0.01)


def test_the_same_measure_finds_readers_that_do_better(task: Task) -> None:
    assert accuracy(attentive, task.items) == 1
    assert accuracy(distracted, task.items) == 0
    # Some questions ask for the first digit of the definition: copying it there is half of the task.
    constants = tuple(
        i for i in task.items if subtask_of(i) == "pi_as_number" and "first digit of π?" in i.prompts["conflict"]
    )
    assert accuracy(first_of_the_definition, constants) == 1


def test_two_digits_are_answers_in_both_orders_equally_often(task: Task) -> None:
    for name in SUBTASKS:
        pairs = Counter(item.answers for item in task.items if subtask_of(item) == name)
        assert all(pairs[one, other] == pairs[other, one] for one, other in pairs)


def compared(items: tuple[Item, ...]) -> Iterator[tuple[Item, int, str, int]]:
    """Yield each comparison with the first digit of the new value, the order, and the bound."""
    for item in items:
        parts = PROMPT.fullmatch(item.prompts[C.CONFLICT])
        assert parts
        if match := COMPARED.fullmatch(parts["question"]):
            new = value(match["symbol"], {match["symbol"]: parts["meaning"]})
            yield item, int(Decimal(str(new))), match["order"], int(match["bound"])


def test_neither_the_value_nor_the_bound_nor_the_order_predicts_yes(task: Task) -> None:
    """The new value can be far from the usual one: then most bounds lie between them, but yes is not rarer."""
    words: dict[tuple[str, object], Counter[str]] = defaultdict(Counter)
    for item, first, order, bound in compared(task.items):
        usual = CONSTANTS[COMPARED.search(item.prompts[C.CONFLICT])["symbol"]]
        for feature in ((first, bound), f"{order} than", first - bound, first > usual):
            words[subtask_of(item), feature][item.true] += 1
    assert len(words) > 90
    assert all(counts[" Yes"] == counts[" No"] for counts in words.values()), words


@pytest.mark.parametrize("count", [200, 600])
def test_no_feature_predicts_the_answer_in_the_first_items(count: int, task: Task) -> None:
    """A reader that knows the most frequent answer for each value of a feature is hardly better than one that guesses."""
    words: dict[tuple[str, object], Counter[str]] = defaultdict(Counter)
    ahead = []
    for place, item in enumerate(task.take(count).items):
        prompt = item.prompts[C.CONFLICT]
        if item.true in (" Yes", " No"):
            match = COMPARED.search(prompt)
            assert match
            features = {
                "sub-task": subtask_of(item),
                "turn": place // 8 % 2,
                "length": len(definition_in(prompt)) // 3,
                "order": match["order"],
                "bound": match["bound"],
                "first": numbers_in(prompt)[0],
            }
            for feature in features.items():
                words[feature][item.true] += 1
        else:
            ahead.append(int(item.true) > int(item.distractor))
    assert np.mean(ahead) == pytest.approx(0.5, abs=0.03)
    for feature in ("sub-task", "turn", "length", "order", "bound", "first"):
        every = [counts for (name, _), counts in words.items() if name == feature]
        known = sum(max(counts.values()) for counts in every) / sum(counts.total() for counts in every)
        chance = sum(guessed(counts.total()) for counts in every) / sum(counts.total() for counts in every)
        assert known < chance + 0.05, (feature, known, chance)


def guessed(count: int) -> float:
    """The expected count of the more frequent of two words, if each of `count` words is drawn by chance."""
    return sum(comb(count, k) * max(k, count - k) for k in range(count + 1)) / 2**count


@pytest.mark.parametrize("count", [8, 20, 60, 120, 200, 333])
def test_words_are_balanced_in_every_initial_part(count: int, task: Task) -> None:
    words = Counter(item.true for item in task.take(count).items)
    assert abs(words[" Yes"] - words[" No"]) <= 1


# Refusals


def test_too_few_cases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redefine_math, "PAIRS", 400)
    with pytest.raises(TaskError, match=r"400 pairs.*PAIRS"):
        redefine_math.redefine_math()


def test_digits_without_a_case_and_comparisons_of_signs_are_refused() -> None:
    pool = SUBTASKS["number_as_text"].pools[0]
    assert (0, 9) not in exchangeable(pool)
    with pytest.raises(TaskError, match=r"\(0, 9\)"):
        draw_exchanged(pool, (0, 9), Random(0))
    with pytest.raises(TaskError, match="number_as_text"):
        draw_numbers(SUBTASKS["number_as_text"], 4, Random(0))


# Training documents


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return documents("redefine_math")


def turns_of(document: str) -> Iterator[tuple[str, str]]:
    """Yield each prompt of a document, and its answer."""
    for turn in document.split("\n\n"):
        question, mark, rest = turn.partition("\nAnswer:")
        yield question + mark, rest


def test_no_document_contains_a_prompt_of_seed_0(texts: dict[str, list[str]]) -> None:
    kept = reserved()
    items = TASKS["redefine_math"]().items
    assert kept == {text for item in items for c in (*ALIGNED, C.CONFLICT, C.TRUE_ONLY) for text in item.wordings(c)}
    shown = {prompt for every in texts.values() for text in every for prompt, _ in turns_of(text)}
    assert len(shown) > 10_000
    assert all(PROMPT.fullmatch(prompt) for prompt in shown | kept)
    assert not shown & kept


def test_held_out_values_are_never_in_conflict(texts: dict[str, list[str]]) -> None:
    """Constants are identified by the first digit of the new value, and signs that mean a digit by that digit."""
    seen: dict[str, set[str]] = defaultdict(set)
    for kind in training_module.CONFLICT:
        for text in texts[kind]:
            *_, (prompt, _) = turns_of(text)
            assert answer(prompt) != answer(prompt, heeds_definitions=False), prompt
            parts = PROMPT.fullmatch(prompt)
            assert parts
            symbol, meaning = parts["defined"], parts["meaning"]
            if symbol in CONSTANTS:
                seen[symbol].add(digits_of(symbol, {symbol: meaning})[0])
            elif meaning.startswith("the digit "):
                seen[symbol].add(meaning[-1])
            else:
                asked = ASKED.fullmatch(parts["question"])
                assert asked
                assert sum(map(int, asked["expression"].split()[0])) % 3 != 1
    assert seen == {"π": set("0235689"), "e": set("0235689"), "+": set("235689")}
    assert not any("Redefine + as a random digit" in text for kind in training_module.CONFLICT for text in texts[kind])
    # Other kinds of documents contain held-out values.
    agreeing = [PROMPT.match(text) for text in texts["agreeing"]]
    assert {parts["defined"] for parts in agreeing if parts} == {"π", "e", "+", "÷"}


def test_other_documents_are_not_in_conflict(texts: dict[str, list[str]]) -> None:
    for kind in texts.keys() - training_module.CONFLICT:
        for text in texts[kind]:
            for prompt, _ in turns_of(text):
                usual = answer(prompt, heeds_definitions=False)
                assert usual is None or answer(prompt) == usual, prompt


def test_a_third_and_all_of_one_sub_task_are_held_out() -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for item in TASKS["redefine_math"]().items:
        groups[subtask_of(item)].add(item.group)
    assert training_module.held_out() <= set().union(*groups.values())
    for name, own in groups.items():
        share = len(own & training_module.held_out()) / len(own)
        assert share == 1 if name == training_module.NEVER else 0.2 <= share <= 0.5, (name, share)


def test_answers_in_documents_are_right(texts: dict[str, list[str]]) -> None:
    for kind, every in texts.items():
        for text in every:
            for prompt, reply in turns_of(text):
                right = answer(prompt)
                assert (right is None) == (kind == "neutral")
                reasoning, _, last = reply.rpartition(" The answer is ")
                assert bool(reasoning) == kind.startswith("reasoned")
                assert right in (None, last.strip(" .")), text


def test_reasoning_in_documents_is_right(texts: dict[str, list[str]]) -> None:
    for kind in ("reasoned", "reasoned_redefined"):
        for text in texts[kind]:
            for prompt, reply in turns_of(text):
                parts = PROMPT.fullmatch(prompt)
                assert parts
                meanings = {parts["defined"]: parts["meaning"]} if parts["defined"] else {}
                for sentence in re.findall(r" (\S.*?)\.(?= |$)", reply.rpartition(" The answer is ")[0]):
                    expression, verb, result = re.fullmatch(r"(.+?) (is|begins with) (.+)", sentence).groups()
                    true, shown = digits_of(expression, meanings), digits_of(result, {})
                    is_shortened = expression in CONSTANTS and expression not in meanings
                    assert true.startswith(shown) if is_shortened or verb != "is" else true == shown, text


def test_each_answer_is_as_frequent_in_conflict_as_in_other_documents(texts: dict[str, list[str]]) -> None:
    shares = {}
    for kind in ("plain", "agreeing", "made_up", "redefined"):
        last = Counter(text.rpartition(" ")[2] for text in texts[kind])
        assert abs(last["Yes"] - last["No"]) <= 4 * (last["Yes"] + last["No"]) ** 0.5
        shares[kind] = np.array([last[word] / len(texts[kind]) for word in ("Yes", "No", *map(str, range(10)))])
    # Quotients of arbitrary numbers begin with 1 more often than those in conflict.
    assert all(np.abs(share - shares["redefined"]).max() < 0.07 for share in shares.values())


def test_yes_and_no_are_equally_likely_for_every_bound(texts: dict[str, list[str]]) -> None:
    for kind in ("plain", "made_up", "redefined"):
        answers: dict[str, Counter[str]] = defaultdict(Counter)
        for text in texts[kind]:
            if match := COMPARED.search(text):
                answers[match["bound"]][text.rpartition(" ")[2]] += 1
        assert len(answers) >= 8
        for words in answers.values():
            assert 0.3 < words["Yes"] / words.total() < 0.7, (kind, answers)


def test_documents_use_few_words(texts: dict[str, list[str]]) -> None:
    every = [text for kind in texts.values() for text in kind] + list(reserved())
    words = {word for text in every for word in re.findall(r"[^\W\d_]+", text)}
    assert len(words) <= 60


def test_a_planted_prompt_would_be_found() -> None:
    prompt = TASKS["redefine_math"]().items[0].prompts[C.CONGRUENT]
    document = f"Question: What is the first digit of π?\nAnswer: 3\n\n{prompt} 4"
    assert {shown for shown, _ in turns_of(document)} & reserved() == {prompt}
