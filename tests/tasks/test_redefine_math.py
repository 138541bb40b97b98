"""Redefinitions say what their answers are, and nothing but reading them does; the ladder's reading keeps clear of them.

What every task keeps to is in test_tasks.py.
"""

import importlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import cycle, islice
from operator import add, mod, truediv
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest

from distractor.errors import TaskError
from distractor.text.task import ALIGNED, Condition, Item, Task
from oracles import ask
from tasks import TASKS, redefine_math
from tasks.redefine_math import reserved
from tasks.redefinitions import SUBTASKS, draw_exchanged, draw_numbers, exchangeable

C = Condition
ROOT = Path(__file__).parents[2]
POSED = re.compile(
    r"(?:(?:Redefine|Read) (?P<defined>\S+)(?: and its numbers)? as (?P<meaning>.+)\.\n)?"
    r"Question: (?P<question>.+)\?\nAnswer:"
)
ASKED = re.compile(r"(?:What is|Is (?P<asked>\d)) the (?P<ordinal>\w+) digit of (?P<expression>.+)")
COMPARED = re.compile(r"Is (?P<symbol>\S+) (?P<order>more|less) than (?P<bound>\d)")
PLACES = ("first", "second", "third")
CONSTANTS = {"π": Decimal("3.14159"), "e": Decimal("2.71828")}
OPERATIONS: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {"+": add, "÷": truediv, "mod": mod}
SOME_DIGIT = "_"


@pytest.fixture(scope="module", params=[0, 7])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS["redefine_math"](seed=request.param)


def subtask_of(item: Item) -> str:
    return item.id.partition("/")[0]


# Who reads a prompt by rule


def number(word: str, meanings: Mapping[str, str]) -> Decimal | None:
    """What a number or a constant is; None where that is not known."""
    if word in meanings:
        found = value(meanings[word].removeprefix("about "), {})
        return found if isinstance(found, Decimal) else None
    return CONSTANTS.get(word, Decimal(word) if word[0].isdigit() else None)


def value(expression: str, meanings: Mapping[str, str]) -> Decimal | str | None:
    """What an expression makes, or how it reads as text, where symbols have these meanings beside the usual ones."""
    left, *rest = expression.split()
    if not rest:
        return number(left, meanings)
    sign, right = rest
    meaning = meanings.get(sign, "")
    if meaning in ("text", "a random digit"):
        return f"{left}{SOME_DIGIT}{right}"
    if meaning.startswith("the digit "):
        return f"{left}{meaning[-1]}{right}"
    one, two = number(left, meanings), number(right, meanings)
    return OPERATIONS[sign](one, two) if sign in OPERATIONS and one is not None and two is not None else None


def digits_of(expression: str, meanings: Mapping[str, str]) -> str:
    """Its digits in order, nothing where they are not known."""
    return str(value(expression, meanings) or "").replace(".", "")


def answer(prompt: str, heeds_definitions: bool = True) -> str | None:
    """What is right; None where nothing is."""
    posed = POSED.fullmatch(prompt)
    assert posed, prompt
    meanings = {posed["defined"]: posed["meaning"]} if posed["defined"] and heeds_definitions else {}
    if compared := COMPARED.fullmatch(posed["question"]):
        one = number(compared["symbol"], meanings)
        if one is None:
            return None
        assert one != int(compared["bound"])
        return "Yes" if (one > int(compared["bound"])) == (compared["order"] == "more") else "No"
    asked = ASKED.fullmatch(posed["question"])
    assert asked, prompt
    digits = digits_of(asked["expression"], meanings)
    if not digits:
        return None
    digit = digits[PLACES.index(asked["ordinal"])]
    assert digit != SOME_DIGIT, prompt
    return digit if asked["asked"] is None else "Yes" if digit == asked["asked"] else "No"


def attentive(prompt: str) -> Mapping[str, float]:
    """Uses the definition."""
    right = answer(prompt)
    return {right: 0.8} if right else {}


def distracted(prompt: str) -> Mapping[str, float]:
    """Takes every symbol in its usual meaning, and has no idea where there is none."""
    right = answer(prompt, heeds_definitions=False)
    return {right: 0.8} if right else {}


SURE = np.log(80)


def test_an_expression_is_read_as_it_is_meant() -> None:
    assert digits_of("43 + 85", {}) == "128"
    assert digits_of("43 + 85", {"+": "text"}) == "43_85"
    assert digits_of("43 + 85", {"+": "the digit 7"}) == "43785"
    assert digits_of("43 + 85", {"+": "a plus sign"}) == digits_of("43 + 85", {"@": "text"}) == "128"
    assert digits_of("43 @ 85", {}) == digits_of("ψ", {"π": "4.5"}) == ""
    assert digits_of("37 ÷ 5", {}) == "74"
    assert digits_of("π + 2", {}) == "514159"
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


def test_who_uses_the_definition_is_right_everywhere(task: Task) -> None:
    found = ask(attentive, task)
    assert [found[c] for c in task.conditions[:-1]] == [1, 1, 1, 1, 1]
    assert found["T"] == pytest.approx(SURE)
    assert found["D"] == pytest.approx(0)


def test_who_takes_the_usual_meaning_is_wrong_where_there_is_another(task: Task) -> None:
    found = ask(distracted, task)
    assert [found[c] for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_ONLY)] == [0, 1, 1]
    assert [found[c] for c in (C.DISTRACTOR_SWAPPED, C.TRUE_ONLY)] == [0.5, 0.5]
    assert found["T"] == pytest.approx(0)
    assert found["D"] == pytest.approx(SURE)


# What there is of it


def test_sub_tasks_take_turns(task: Task) -> None:
    assert len(SUBTASKS) == 8
    for turn in range(0, len(task.items), 8):
        assert [subtask_of(item) for item in task.items[turn : turn + 8]] == list(SUBTASKS)


def test_a_definition_in_conflict_never_says_what_is_usual(task: Task) -> None:
    for item in task.items:
        conflict, congruent = (POSED.fullmatch(item.prompts[c]) for c in (C.CONFLICT, C.CONGRUENT))
        assert conflict
        assert congruent
        symbol, expression = conflict["defined"], conflict["question"].split(" of ")[-1]
        expression = expression if "digit" in conflict["question"] else symbol
        new, usual = (digits_of(expression, {symbol: posed["meaning"]}) for posed in (conflict, congruent))
        assert new != usual
        # What is usual is so to the last digit that is told.
        assert digits_of(expression, {}).startswith(usual) or symbol in CONSTANTS
        assert symbol not in CONSTANTS or str(CONSTANTS[symbol]).startswith(
            str(value(congruent["meaning"], {})).rstrip("0")
        )


def test_every_constant_is_asked_for_beyond_its_first_digit(task: Task) -> None:
    for name in ("pi_as_number", "e_as_number"):
        asked = Counter(
            asked["ordinal"]
            for item in task.items
            if subtask_of(item) == name and (asked := ASKED.search(item.prompts[C.CONFLICT]))
        )
        assert set(asked) == set(PLACES)
        usual = {item.distractor for item in task.items if subtask_of(item) == name and item.distractor[1:].isdigit()}
        assert len(usual) >= 5


def test_the_page_shows_items_as_they_come() -> None:
    section = (ROOT / "tasks/README.md").read_text().partition("## redefine_math")[2].partition("\n## ")[0]
    shown = section.partition("```text\n")[2].partition("\n```")[0].split("\n\n")
    assert len(shown) == 5
    assert set(shown) <= {item.prompts[C.CONFLICT] for item in TASKS["redefine_math"]().items}


# What gives nothing away


Reader = Callable[[str], Mapping[str, float]]
"""From a prompt to how much each answer appeals: reading without understanding."""


def numbers_in(text: str) -> str:
    return re.sub(r"\D", "", text)


def asked_in(prompt: str) -> str | None:
    asked = ASKED.search(prompt)
    return asked["asked"] if asked else None


def as_answer(digit: str, prompt: str) -> Mapping[str, float]:
    """What somebody says who takes `digit` for the one that is asked for."""
    asked = asked_in(prompt)
    return {digit: 1} if asked is None else {"Yes": 1} if asked == digit else {"No": 1}


def definition_in(prompt: str) -> str:
    return prompt.partition("\n")[0]


def around_asked(prompt: str) -> str:
    """All numbers of the prompt but the digit that is asked about."""
    return numbers_in(re.sub(r"Is \d", "", prompt))


def last_of_the_definition(prompt: str) -> Mapping[str, float]:
    return as_answer((numbers_in(definition_in(prompt)) or "?")[-1], prompt)


def first_of_the_definition(prompt: str) -> Mapping[str, float]:
    return as_answer((numbers_in(definition_in(prompt)) or "?")[0], prompt)


def last_of_the_prompt(prompt: str) -> Mapping[str, float]:
    return as_answer(around_asked(prompt)[-1], prompt)


def any_of_the_prompt(prompt: str) -> Mapping[str, float]:
    """The more often it is there, the likelier."""
    found = around_asked(prompt)
    if (asked := asked_in(prompt)) is not None:
        return {"Yes": found.count(asked), "No": 0.5}
    return Counter(found)


def yes(prompt: str) -> Mapping[str, float]:
    return {"Yes": 1}


def more_is_yes(prompt: str) -> Mapping[str, float]:
    return {"Yes": " more " in prompt, "No": " less " in prompt}


def high_is_yes(prompt: str) -> Mapping[str, float]:
    """Of digits and of bounds."""
    found = re.search(r"(?:Is|than) (\d)", prompt)
    return {"Yes": int(found[1]), "No": 4.5} if found else {}


def fondness(seed: int) -> Reader:
    """Each answer has an appeal of its own."""
    random = np.random.default_rng(seed)
    appeal = {word: random.normal() for word in (*map(str, range(10)), "Yes", "No")}
    return lambda prompt: appeal


def accuracy(reader: Reader, items: tuple[Item, ...]) -> float:
    """In conflict; where both answers appeal alike, half."""
    given = [(reader(item.prompts[C.CONFLICT]), *(answer.strip() for answer in item.answers)) for item in items]
    ahead = [found.get(true, 0) - found.get(distractor, 0) for found, true, distractor in given]
    return float(np.mean(0.5 + 0.5 * np.sign(ahead)))


@pytest.mark.parametrize("reader", [yes, more_is_yes, high_is_yes, *(fondness(seed) for seed in range(3))])
def test_no_frequency_gives_the_answer_away(reader: Reader, task: Task) -> None:
    assert accuracy(reader, task.items) == pytest.approx(0.5)


@pytest.mark.parametrize("reader", [last_of_the_definition, last_of_the_prompt, any_of_the_prompt])
def test_no_copying_gives_the_answer_away(reader: Reader, task: Task) -> None:
    assert accuracy(reader, task.items) == pytest.approx(0.5, abs=0.01)


def test_the_same_yardstick_finds_who_does_read(task: Task) -> None:
    assert accuracy(attentive, task.items) == 1
    assert accuracy(distracted, task.items) == 0
    # A constant's new first digit is what is asked for in some questions: that is no frequency, but half of the task.
    constants = tuple(
        i for i in task.items if subtask_of(i) == "pi_as_number" and "first digit of π?" in i.prompts["conflict"]
    )
    assert accuracy(first_of_the_definition, constants) == 1


def test_where_digits_answer_both_ways_round_are_as_frequent(task: Task) -> None:
    for name in SUBTASKS:
        pairs = Counter(item.answers for item in task.items if subtask_of(item) == name)
        assert all(pairs[one, other] == pairs[other, one] for one, other in pairs)


def test_each_digit_that_is_asked_about_is_as_often_right_as_wrong(task: Task) -> None:
    for name in SUBTASKS:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for item in task.items:
            asked = asked_in(item.prompts[C.CONFLICT])
            if subtask_of(item) == name and asked is not None:
                found[asked][item.true] += 1
        assert all(words[" Yes"] == words[" No"] for words in found.values())


@pytest.mark.parametrize("count", [8, 20, 60, 120, 200, 333])
def test_words_are_balanced_in_every_first_part(count: int, task: Task) -> None:
    words = Counter(item.true for item in task.take(count).items)
    assert abs(words[" Yes"] - words[" No"]) <= 1


# What is refused


def test_more_items_than_there_are_cases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redefine_math, "PAIRS", 400)
    with pytest.raises(TaskError, match=r"400 pairs.*PAIRS"):
        redefine_math.redefine_math()


def test_digits_that_nothing_has_and_signs_that_are_compared_are_refused() -> None:
    pool = SUBTASKS["number_as_text"].pools[0]
    assert (0, 9) not in exchangeable(pool)
    with pytest.raises(TaskError, match=r"no cases have the digits \(0, 9\)"):
        draw_exchanged(pool, (0, 9), Random(0))
    with pytest.raises(TaskError, match="number_as_text redefines no number"):
        draw_numbers(SUBTASKS["number_as_text"], 4, Random(0))


# What the ladder reads


@pytest.fixture(scope="module")
def ladder() -> ModuleType:
    """Experiments are no part of the distribution: they are found from the checkout's root."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("experiments.ladder.redefine_math")


@pytest.fixture(scope="module")
def documents(ladder: ModuleType) -> dict[str, list[str]]:
    """50,000 in all, as many of each kind."""
    return drawn(ladder, 50_000)


def drawn(ladder: ModuleType, count: int, seed: int = 1) -> dict[str, list[str]]:
    rng = Random(seed)
    found = defaultdict(list)
    for kind in islice(cycle(ladder.KINDS), count):
        found[kind].append("".join(told + answered for told, answered in ladder.KINDS[kind](rng)))
    return found


def turns_of(document: str) -> Iterator[tuple[str, str]]:
    """Each question of a document with its definition, as a prompt, and what follows."""
    for turn in document.split("\n\n"):
        question, mark, rest = turn.partition("\nAnswer:")
        yield question + mark, rest


def test_no_document_poses_what_an_item_of_seed_0_poses(documents: dict[str, list[str]]) -> None:
    kept = reserved()
    items = TASKS["redefine_math"]().items
    assert kept == {text for item in items for c in (*ALIGNED, C.CONFLICT, C.TRUE_ONLY) for text in item.wordings(c)}
    posed = {prompt for texts in documents.values() for text in texts for prompt, _ in turns_of(text)}
    assert len(posed) > 10_000
    assert all(POSED.fullmatch(prompt) for prompt in posed | kept)
    assert not posed & kept


def test_what_is_held_out_is_never_in_conflict(ladder: ModuleType, documents: dict[str, list[str]]) -> None:
    """Read from the texts alone: constants by the first digit of the new value, signs that are a digit by the digit."""
    seen: dict[str, set[str]] = defaultdict(set)
    for kind in ladder.CONFLICT:
        for text in documents[kind]:
            *_, (prompt, _) = turns_of(text)
            assert answer(prompt) != answer(prompt, heeds_definitions=False), prompt
            posed = POSED.fullmatch(prompt)
            assert posed
            symbol, meaning = posed["defined"], posed["meaning"]
            if symbol in CONSTANTS:
                seen[symbol].add(digits_of(symbol, {symbol: meaning})[0])
            elif meaning.startswith("the digit "):
                seen[symbol].add(meaning[-1])
            else:
                asked = ASKED.fullmatch(posed["question"])
                assert asked
                assert sum(map(int, asked["expression"].split()[0])) % 3 != 1
    assert seen == {"π": set("0235689"), "+": set("235689")}
    # In the other kinds they are, and e is.
    agreeing = [POSED.match(text) for text in documents["agreeing"]]
    assert {posed["defined"] for posed in agreeing if posed} == {"π", "e", "+", "÷"}


def test_other_documents_are_not_in_conflict(ladder: ModuleType, documents: dict[str, list[str]]) -> None:
    for kind in documents.keys() - ladder.CONFLICT:
        for text in documents[kind]:
            for prompt, _ in turns_of(text):
                usual = answer(prompt, heeds_definitions=False)
                assert usual is None or answer(prompt) == usual, prompt


def test_a_third_and_all_of_e_are_held_out(ladder: ModuleType) -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for item in TASKS["redefine_math"]().items:
        groups[subtask_of(item)].add(item.group)
    assert ladder.held_out() <= set().union(*groups.values())
    for name, found in groups.items():
        share = len(found & ladder.held_out()) / len(found)
        assert share == 1 if name == "e_as_number" else 0.2 <= share <= 0.5, (name, share)


def test_what_documents_say_is_right(documents: dict[str, list[str]]) -> None:
    """Read by the oracle that uses definitions; where there is no meaning, any answer stands."""
    for kind, texts in documents.items():
        for text in texts:
            for prompt, said in turns_of(text):
                right = answer(prompt)
                assert (right is None) == (kind == "neutral")
                reasoning, _, last = said.rpartition(" The answer is ")
                assert bool(reasoning) == kind.startswith("reasoned")
                assert right in (None, last.strip(" .")), text


def test_reasoning_follows_from_what_is_told(documents: dict[str, list[str]]) -> None:
    for kind in ("reasoned", "reasoned_redefined"):
        for text in documents[kind]:
            for prompt, said in turns_of(text):
                posed = POSED.fullmatch(prompt)
                assert posed
                meanings = {posed["defined"]: posed["meaning"]} if posed["defined"] else {}
                for sentence in re.findall(r" (\S.*?)\.(?= |$)", said.rpartition(" The answer is ")[0]):
                    what_is, verb, made = re.fullmatch(r"(.+?) (is|begins with) (.+)", sentence).groups()
                    true, told = digits_of(what_is, meanings), digits_of(made, {})
                    short = what_is in CONSTANTS and what_is not in meanings
                    assert true.startswith(told) if short or verb != "is" else true == told, text


def test_each_answer_is_as_frequent_in_conflict_as_elsewhere(
    ladder: ModuleType, documents: dict[str, list[str]]
) -> None:
    shares = {}
    for kind in ("plain", "agreeing", "made_up", "redefined"):
        last = Counter(text.rpartition(" ")[2] for text in documents[kind])
        assert abs(last["Yes"] - last["No"]) <= 4 * (last["Yes"] + last["No"]) ** 0.5
        shares[kind] = np.array([last[word] / len(documents[kind]) for word in ("Yes", "No", *map(str, range(10)))])
    assert all(np.abs(share - shares["redefined"]).max() < 0.05 for share in shares.values())


def test_a_word_is_no_more_likely_for_what_is_asked_about(documents: dict[str, list[str]]) -> None:
    for kind in ("plain", "made_up", "redefined"):
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for text in documents[kind]:
            asked, last = asked_in(text), text.rpartition(" ")[2]
            if asked is not None and asked != "0":
                found[asked][last] += 1
        for words in found.values():
            assert 0.3 < words["Yes"] / words.total() < 0.7, (kind, found)


def test_documents_are_as_long_as_the_ladder_can_learn_from(documents: dict[str, list[str]]) -> None:
    for kind, texts in documents.items():
        words = max(len(re.findall(r"\n|[^\W\d_]+|\d|[^\w\s]", text)) for text in texts)
        assert words <= (110 if kind in {"several", "reasoned", "reasoned_redefined"} else 60), (kind, words)
    assert {text.count("Question: ") for text in documents["several"]} == {2, 3}


def test_its_words_are_few(documents: dict[str, list[str]]) -> None:
    texts = [text for found in documents.values() for text in found] + list(reserved())
    words = {word for text in texts for word in re.findall(r"[^\W\d_]+", text)}
    assert len(words) <= 60


def test_the_same_seed_draws_the_same_documents(ladder: ModuleType) -> None:
    assert drawn(ladder, 500, seed=3) == drawn(ladder, 500, seed=3) != drawn(ladder, 500, seed=4)


def test_a_planted_evaluation_prompt_would_be_found() -> None:
    prompt = TASKS["redefine_math"]().items[0].prompts[C.CONGRUENT]
    document = f"Question: What is the first digit of π?\nAnswer: 3\n\n{prompt} 4"
    assert {posed for posed, _ in turns_of(document)} & reserved() == {prompt}
