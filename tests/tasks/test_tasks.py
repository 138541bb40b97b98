"""Laws of every built-in task under every seed: matched prompts, fixed answers, balance, and oracles with known results.

The content of a task is tested in `test_NAME.py`, which also holds its two oracles: `attentive` does the true task by
rule, `distracted` the distractor task.
"""

import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tiny
from distractor.ablation.ablate import SizeCurves
from distractor.models.model import Model
from distractor.scoring.encode import encode
from distractor.scoring.quantities import logit_gap
from distractor.scoring.sweep import Scores
from distractor.statistics.verdict import verdict
from distractor.text.task import ALIGNED, RIGHT, Answer, Condition, Item, Task
from experiments.ladder import vocabulary
from oracles import Oracle, log_probs, scored, summary
from tasks import TASKS

C = Condition
ROOT = Path(__file__).parents[2]

FINGERPRINTS = {
    "negation_qa": "ffa37cf59f9d6e508d7ac11126114ae6e2755ac9f468c107f9c0c56b92da1a08",
    "hindsight_neglect": "f180bc21d586e769575ec39157e0f99f2a62ff8f09d144bda7a20b66ac8a113f",
    "quote_repetition": "c6e9da203b71890d4d193735a634b50adc5c938eb6920667bfcd5cee44d4b31a",
    "redefine_math": "09b037d07b4a21d8005a484ecf39bb5ad16ffb5e3e622010d1d400adbad93536",
}
"""The default items: stored scores and the training of the built-in models depend on them."""

OTHER_RIGHT = {"negation_qa": {C.DISTRACTOR_SWAPPED: Answer.DISTRACTOR}}
"""{task: right answers that differ from the table of conditions}."""

CUES: Mapping[str, Mapping[Condition, set[str]]] = {
    "negation_qa": {C.CONGRUENT: {"cue"}, C.DISTRACTOR_SWAPPED: {"subject"}},
    "hindsight_neglect": {C.CONGRUENT: {"first_amount", "second_amount"}, C.DISTRACTOR_SWAPPED: {"outcome"}},
    "quote_repetition": {C.CONGRUENT: {"cue"}, C.DISTRACTOR_SWAPPED: {"quote", "begun", "slot"}},
    "redefine_math": {C.CONGRUENT: {"cue"}, C.DISTRACTOR_SWAPPED: {"defined", "used"}},
}
"""The only roles in which an aligned prompt differs from `conflict`."""

SEEDS = (1, 2, 3, 2**16 + 1, 2**31, 2**32 - 1)
"""Seeds of the quick tests next to 0: few, so that tests share the tasks. The slow test takes many more."""

FEW_SEEDS = (0, 2**32 - 1)

LONGEST = 60
"""Maximum length of a prompt with its answer in tokens of the built-in models, whose training documents are short."""


@cache
def made(name: str, seed: int) -> Task:
    return TASKS[name](seed=seed)


def every_task(test: Callable[..., None]) -> Callable[..., None]:
    """Every task with seed 0."""
    return pytest.mark.parametrize("name", TASKS)(test)


def over_seeds(test: Callable[..., None]) -> Callable[..., None]:
    """Every task with seed 0 and some others."""
    drawn = given(seed=st.sampled_from(SEEDS))(test)
    return every_task(settings(max_examples=2, deadline=None)(example(seed=0)(drawn)))


def over_few_seeds(test: Callable[..., None]) -> Callable[..., None]:
    """Every task with two seeds, for tests that tokenize all texts."""
    return every_task(pytest.mark.parametrize("seed", FEW_SEEDS)(test))


@cache
def oracle(name: str, which: str) -> Oracle:
    """An oracle of the task's own test file."""
    result: Oracle = getattr(importlib.import_module(f"test_{name}"), which)
    return result


@cache
def answers_of(which: str, name: str, seed: int) -> np.ndarray:
    """The log-probabilities [condition item answer] of an oracle."""
    values = log_probs(oracle(name, which), made(name, seed))
    values.flags.writeable = False
    return values


def texts_of(task: Task, conditions: Iterable[Condition] = Condition) -> list[str]:
    """Every wording of every prompt."""
    return [text for item in task.items for c in conditions for text in item.wordings(c)]


# Items


@every_task
def test_the_default_items_never_change(name: str) -> None:
    assert TASKS[name]().fingerprint() == FINGERPRINTS[name]


@over_seeds
def test_every_item_has_every_condition(name: str, seed: int) -> None:
    task = made(name, seed)
    assert task.name == name
    assert task.question.endswith("?")
    assert all(item.prompts.keys() == set(Condition) for item in task.items)
    assert len(task.items) >= 600
    assert len({item.group for item in task.items}) >= 30
    assert dict(task.right) == {**RIGHT, **OTHER_RIGHT.get(name, {})}


@over_seeds
def test_no_two_items_have_the_same_prompt(name: str, seed: int) -> None:
    task = made(name, seed)
    for condition in (C.CONFLICT, *ALIGNED):
        assert len({item.prompts[condition] for item in task.items}) == len(task.items), condition


@over_seeds
def test_a_seed_gives_one_set_of_items_and_other_seeds_give_others(name: str, seed: int) -> None:
    fingerprint = made(name, seed).fingerprint()
    assert TASKS[name](seed=seed).fingerprint() == fingerprint
    prompts, next_prompts = (
        {item.prompts[C.CONFLICT] for item in made(name, number).items} for number in (seed, (seed + 1) % 2**32)
    )
    assert prompts != next_prompts


@over_seeds
def test_answers_are_single_words_and_prompts_have_no_stray_spaces(name: str, seed: int) -> None:
    task = made(name, seed)
    assert all(re.fullmatch(r" [^\W_]+", answer) for item in task.items for answer in item.answers)
    assert not [text for text in texts_of(task) if text != text.strip() or "  " in text]


@every_task
def test_the_page_of_tasks_shows_a_prompt_with_its_right_answer(name: str) -> None:
    section = (ROOT / "docs" / "tasks.md").read_text().partition(f"## {name}\n")[2].partition("\n## ")[0]
    shown = re.search(r"^\| `conflict` \| (.+) \| (\w+) \|$", section, flags=re.MULTILINE)
    assert shown
    prompt, answer = shown[1].replace("**", "").replace(" ⏎ ", "\n"), shown[2]
    assert made(name, 0).roles(prompt), prompt
    attentive, distracted = (oracle(name, which)(prompt) for which in ("attentive", "distracted"))
    assert max(attentive, key=attentive.__getitem__) == answer
    assert max(distracted, key=distracted.__getitem__) != answer


# Reasoning


@every_task
def test_reasoning_exists_for_both_kinds_of_examples_and_ends_before_the_answer(name: str) -> None:
    for item in made(name, 0).items:
        assert {C.CONFLICT, C.CONGRUENT} <= set(item.reasons), item.id
        assert all(text.endswith(" The answer is") for text in item.reasons.values())


def test_reasoning_gives_the_fact_that_decides() -> None:
    for item in made("negation_qa", 0).items:
        assert f"not{item.distractor}." in item.reasons[C.CONFLICT]
    for item in made("quote_repetition", 0).items:
        assert f" is{item.true}." in item.reasons[C.CONFLICT]
        assert f" is{item.distractor}." in item.reasons[C.CONGRUENT]
    for item in made("hindsight_neglect", 0).items:
        assert (" more " in item.reasons[C.CONFLICT]) == (item.true == " Y")
        assert (" more " in item.reasons[C.CONGRUENT]) == (item.distractor == " Y")


# Matched prompts


def split(task: Task, text: str, roles: set[str]) -> tuple[list[str], list[str]]:
    """The parts of a prompt with these roles, and the text around them."""
    inside, around, end = [], [], 0
    for first, last in sorted(span for role, span in task.roles(text).items() if role in roles):
        inside.append(text[first:last])
        around.append(text[end:first])
        end = last
    return inside, [*around, text[end:]]


@over_seeds
def test_aligned_prompts_differ_from_conflict_in_their_cue_only(name: str, seed: int) -> None:
    task = made(name, seed)
    for item, condition in product(task.items, ALIGNED):
        cue, around = split(task, item.prompts[C.CONFLICT], CUES[name][condition])
        for wording in item.wordings(condition):
            other_cue, other_around = split(task, wording, CUES[name][condition])
            assert other_around == around, (item.id, condition)
            assert len(other_cue) == len(cue) == len(CUES[name][condition]), (item.id, condition)
            assert other_cue != cue, (item.id, condition)


Token = tuple[int, int]
"""The span of a token in its text."""


@cache
def tokens_of(name: str, seed: int) -> Mapping[str, list[Token]]:
    """{prompt or answer: its tokens} for every text of a task, with the tokenizer of the built-in models."""
    texts = all_texts(made(name, seed))
    tokenizer = vocabulary.tokenizer_for(vocabulary.words_of(texts))
    offsets = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return dict(zip(texts, offsets, strict=True))


def all_texts(task: Task) -> list[str]:
    """Every distinct wording and answer."""
    return sorted({*texts_of(task)} | {answer for item in task.items for answer in item.answers})


@over_few_seeds
def test_aligned_prompts_have_equally_many_tokens(name: str, seed: int) -> None:
    tokens = tokens_of(name, seed)
    for item in made(name, seed).items:
        assert len({len(tokens[item.prompts[c]]) for c in (C.CONFLICT, *ALIGNED)}) == 1, item.id
        assert all(len(tokens[answer]) == 1 for answer in item.answers)


@over_few_seeds
def test_the_layout_fits_every_prompt_and_the_slot_is_its_last_token(name: str, seed: int) -> None:
    task, tokens = made(name, seed), tokens_of(name, seed)
    for text in texts_of(task):
        assert task.roles(text).get("slot") == tokens[text][-1], text
        assert len(tokens[text]) < LONGEST, text


def test_all_tasks_together_use_few_words() -> None:
    words = {
        text[first:last] for name in TASKS for text, tokens in tokens_of(name, 0).items() for first, last in tokens
    }
    assert len(words) <= 1000


@cache
def byte_pairs() -> Model:
    """A byte-level BPE trained on the manual of Python, which contains none of the tasks."""
    from pydoc_data.topics import topics

    tokenizer = tiny.byte_level("\n".join(topics.values()), vocab=4000)
    # Encoding needs only the tokenizer of a model.
    return Model("tokens", None, tokenizer, 1, len(tokenizer), None, None)


@every_task
def test_items_that_do_not_align_under_another_tokenizer_are_dropped_and_counted(name: str) -> None:
    task, model = made(name, 0).take(60), byte_pairs()
    encoding = encode(task, model)
    texts = all_texts(task)
    length = {text: len(ids) for text, ids in zip(texts, model.tokenizer(texts).input_ids, strict=True)}

    def fitting(item: Item, condition: Condition) -> str | None:
        """The first wording with as many tokens as `conflict`."""
        expected = length[item.prompts[C.CONFLICT]]
        return next((text for text in item.wordings(condition) if length[text] == expected), None)

    kept = [item for item in task.items if fitting(item, C.CONGRUENT)]
    assert kept, encoding.dropped
    assert list(encoding.items) == kept
    assert {c: encoding.dropped.get(c, 0) for c in ALIGNED} == {
        c: sum(fitting(item, c) is None for item in task.items) for c in ALIGNED
    }
    for condition in ALIGNED:
        for item, row in zip(kept, encoding.rows[condition], strict=True):
            # Exactly this text: no padding makes a prompt fit.
            assert (model.tokenizer.decode(row.prompt) if row else None) == fitting(item, condition)


# Balance


def has_labels(task: Task) -> bool:
    """Whether all items have the same two answers."""
    return len({answer for item in task.items for answer in item.answers}) == 2


@over_seeds
def test_every_answer_is_as_often_true_as_distractor(name: str, seed: int) -> None:
    task = made(name, seed)
    for count in (60, 120, 200, len(task.items)):
        items = task.take(count).items
        ahead = Counter(item.true for item in items)
        ahead.subtract(item.distractor for item in items)
        if has_labels(task):
            assert max(map(abs, ahead.values())) <= 0.02 * count, (count, ahead)
        else:
            # Guessing by the frequency of each word as true answer gains little.
            gained = np.mean([np.sign(ahead[item.true] - ahead[item.distractor]) for item in items])
            assert abs(gained) <= 0.1, (count, gained)


@over_seeds
def test_the_first_items_come_from_as_many_groups_as_possible(name: str, seed: int) -> None:
    task = made(name, seed)
    groups = len({item.group for item in task.items})
    for count in (60, 120, 200):
        held = {item.group for item in task.take(count).items}
        assert len(held) >= 0.9 * min(count, groups), (count, len(held), groups)


# Oracles


@over_seeds
def test_the_attentive_oracle_is_right_under_every_condition_with_the_true_task(name: str, seed: int) -> None:
    result = summary(made(name, seed), answers_of("attentive", name, seed))
    assert [result[c] for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_SWAPPED, C.TRUE_ONLY)] == [1, 1, 1, 1]
    assert result["T"] > 1
    assert result["D"] == pytest.approx(0)


@over_seeds
def test_the_distracted_oracle_is_wrong_in_conflict_and_right_in_the_distractor_task(name: str, seed: int) -> None:
    result = summary(made(name, seed), answers_of("distracted", name, seed))
    assert [result[c] for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_ONLY)] == [0, 1, 1]
    assert result["T"] == pytest.approx(0)
    assert result["D"] > 1


@over_seeds
def test_an_oracle_has_no_preference_without_its_cue(name: str, seed: int) -> None:
    gaps = {
        (which, condition): logit_gap(row)
        for which in ("attentive", "distracted")
        for condition, row in zip(made(name, seed).conditions, answers_of(which, name, seed), strict=True)
    }
    assert (gaps["attentive", C.DISTRACTOR_ONLY] <= 0).all()
    assert gaps["attentive", C.NEUTRAL] == pytest.approx(0)
    assert gaps["distracted", C.NEUTRAL] == pytest.approx(0)


def biased(task: Task) -> np.ndarray:
    """Each answer has a fixed probability under every prompt; of two labels the first has the higher one."""
    words = sorted({answer for item in task.items for answer in item.answers})
    bias = dict(zip(words, np.log(np.linspace(0.8, 0.1, len(words))), strict=True))
    return np.array([[[bias[answer] for answer in item.answers] for item in task.items] for _ in task.conditions])


@over_seeds
def test_answer_bias_gives_chance_and_no_pull(name: str, seed: int) -> None:
    task = made(name, seed)
    result = summary(task, biased(task))
    assert (result["T"], result["D"]) == pytest.approx((0, 0))
    accuracies = [result[c] for c in Condition if task.right[c] is not None]
    assert accuracies == pytest.approx([0.5] * 5, abs=0.01 if has_labels(task) else 0.1)


def contrary(task: Task, attentive: np.ndarray) -> np.ndarray:
    """The answers of `conflict` and `congruent` exchanged."""
    values = attentive.copy()
    conflict, congruent = (task.conditions.index(c) for c in (C.CONFLICT, C.CONGRUENT))
    values[[conflict, congruent]] = attentive[[congruent, conflict]]
    return values


@over_seeds
def test_an_inverted_cue_is_a_negative_true_pull(name: str, seed: int) -> None:
    task, attentive = made(name, seed), answers_of("attentive", name, seed)
    result = summary(task, contrary(task, attentive))
    assert (result[C.CONFLICT], result[C.CONGRUENT]) == (0, 0)
    assert result["T"] == pytest.approx(-summary(task, attentive)["T"])
    assert result["D"] == pytest.approx(0)


ABILITY = (0, 0, 0, 0.2, 2, 3)
"""The weight of the true task at each size of a planted family, the smallest size first."""

LURED = (0, 0.5, 1.5, 1.5, 0.5, 0)
"""The weight of another influence."""


def family(task: Task, attentive: np.ndarray, lure: np.ndarray) -> list[Scores]:
    """Six sizes with three seeds: the weights of the true task and of the lure add up in log-probability, with item
    noise.
    """
    random = np.random.default_rng(0)
    return [
        scored(task, able * attentive + lured * lure + random.normal(0, 0.3, lure.shape), 10 ** (3 + size), seed)
        for seed in range(3)
        for size, (able, lured) in enumerate(zip(ABILITY, LURED, strict=True))
    ]


@every_task
def test_a_planted_distractor_is_supported_and_other_lures_are_not(name: str) -> None:
    task = made(name, 0).take(200)
    attentive, distracted = (answers_of(which, name, 0)[:, :200] for which in ("attentive", "distracted"))

    def judge(lure: np.ndarray) -> str:
        curves = SizeCurves.over(task, family(task, attentive, lure), np.ones(len(task.items), dtype=bool))
        return verdict(curves.evidence(task), draws=400).label

    assert judge(distracted) == "supported"
    assert judge(contrary(task, attentive)) == "contradicted"
    assert judge(biased(task)) != "supported"


LAWS = [value for value in globals().values() if hasattr(value, "hypothesis")]


@pytest.mark.slow
@every_task
def test_the_laws_hold_under_many_more_seeds(name: str) -> None:
    assert LAWS
    for seed, law in product(range(100, 120), LAWS):
        law.hypothesis.inner_test(name=name, seed=seed)
