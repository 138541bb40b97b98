"""What every task on the shelf keeps to, whatever its seed: matched prompts, fixed answers, balance, and oracles that
come out as what they are. What a task asks is tested in a file of its own, `test_NAME.py`, which also holds its two
oracles: `attentive` does the true task by rule, `distracted` the distractor task.
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
from oracles import Oracle, said, scored, told
from tasks import TASKS

C = Condition
ROOT = Path(__file__).parents[2]

RIGHT_ELSEWHERE = {"negation_qa": {C.DISTRACTOR_SWAPPED: Answer.DISTRACTOR}}
"""Where a task's right answer is another than that of the table of conditions: {task: {condition: answer}}."""

CUES: Mapping[str, Mapping[Condition, set[str]]] = {
    "negation_qa": {C.CONGRUENT: {"cue"}, C.DISTRACTOR_SWAPPED: {"subject"}},
    "hindsight_neglect": {C.CONGRUENT: {"first_amount", "second_amount"}, C.DISTRACTOR_SWAPPED: {"outcome"}},
    "quote_repetition": {C.CONGRUENT: {"cue"}, C.DISTRACTOR_SWAPPED: {"quote", "begun", "slot"}},
    "redefine_math": {C.CONGRUENT: {"cue"}, C.DISTRACTOR_SWAPPED: {"defined", "used"}},
}
"""The parts of the layout in which an aligned prompt differs from `conflict`, and nowhere else."""

SEEDS = (1, 2, 3, 2**16 + 1, 2**31, 2**32 - 1)
"""What quick tests draw from beside 0, so that they share what they make; many more are tried by the slow one."""

FEW_SEEDS = (0, 2**32 - 1)

LONGEST = 60
"""A prompt with its answer, in the ladder's tokens: documents that it learns from must not be much longer."""


@cache
def made(name: str, seed: int) -> Task:
    return TASKS[name](seed=seed)


def on_the_shelf(test: Callable[..., None]) -> Callable[..., None]:
    """Every task, seed 0."""
    return pytest.mark.parametrize("name", TASKS)(test)


def over_seeds(test: Callable[..., None]) -> Callable[..., None]:
    """Every task under seed 0 and some others."""
    drawn = given(seed=st.sampled_from(SEEDS))(test)
    return on_the_shelf(settings(max_examples=2, deadline=None)(example(seed=0)(drawn)))


def over_few_seeds(test: Callable[..., None]) -> Callable[..., None]:
    """Every task under the seeds whose texts are read token by token, which takes long."""
    return on_the_shelf(pytest.mark.parametrize("seed", FEW_SEEDS)(test))


@cache
def oracle(name: str, which: str) -> Oracle:
    """That of the task's own test file."""
    found: Oracle = getattr(importlib.import_module(f"test_{name}"), which)
    return found


@cache
def says(which: str, name: str, seed: int) -> np.ndarray:
    """What an oracle says to every prompt: log-probabilities [condition item answer]."""
    found = said(oracle(name, which), made(name, seed))
    found.flags.writeable = False
    return found


def texts_of(task: Task, conditions: Iterable[Condition] = Condition) -> list[str]:
    """Every wording of every prompt."""
    return [text for item in task.items for c in conditions for text in item.wordings(c)]


# What there is


@over_seeds
def test_every_item_is_posed_under_every_condition(name: str, seed: int) -> None:
    task = made(name, seed)
    assert task.name == name
    assert task.question.endswith("?")
    assert all(item.prompts.keys() == set(Condition) for item in task.items)
    assert len(task.items) >= 600
    assert len({item.group for item in task.items}) >= 30


@over_seeds
def test_the_right_answer_is_that_of_the_table(name: str, seed: int) -> None:
    assert dict(made(name, seed).right) == {**RIGHT, **RIGHT_ELSEWHERE.get(name, {})}


@over_seeds
def test_no_two_items_are_alike(name: str, seed: int) -> None:
    task = made(name, seed)
    for condition in (C.CONFLICT, *ALIGNED):
        posed = Counter(item.prompts[condition] for item in task.items)
        assert posed.most_common(1)[0][1] == 1, posed.most_common(1)


@over_seeds
def test_a_seed_stands_for_one_set_of_items(name: str, seed: int) -> None:
    fingerprint = made(name, seed).fingerprint()
    assert TASKS[name](seed=seed).fingerprint() == fingerprint
    assert (TASKS[name]().fingerprint() == fingerprint) == (seed == 0)


@over_seeds
def test_another_seed_poses_other_items(name: str, seed: int) -> None:
    mine, next_ones = (
        {item.prompts[C.CONFLICT] for item in made(name, one).items} for one in (seed, (seed + 1) % 2**32)
    )
    assert mine != next_ones


@over_seeds
def test_answers_are_plain_words_and_prompts_end_where_they_begin(name: str, seed: int) -> None:
    task = made(name, seed)
    assert all(re.fullmatch(r" [^\W_]+", answer) for item in task.items for answer in item.answers)
    assert not [text for text in texts_of(task) if text != text.strip() or "  " in text]


# Matched prompts


def split(task: Task, text: str, roles: set[str]) -> tuple[list[str], list[str]]:
    """What stands in the parts called `roles`, and what stands around them."""
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
            other, rest = split(task, wording, CUES[name][condition])
            assert rest == around, (item.id, condition)
            assert len(other) == len(cue) == len(CUES[name][condition]), (item.id, condition)
            assert other != cue, (item.id, condition)


Token = tuple[int, int]
"""Where a token begins and ends in its text."""


@cache
def read_by_the_ladder(name: str, seed: int) -> Mapping[str, list[Token]]:
    """Every text that a task says, and each answer, in the tokens of the ladder's tokenizer: {text: tokens}.

    Experiments are no part of the distribution; they are found from the checkout's root.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        vocabulary = importlib.import_module("experiments.ladder.vocabulary")
    texts = said_by(made(name, seed))
    tokenizer = vocabulary.tokenizer_for(vocabulary.words_of(texts))
    offsets = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return dict(zip(texts, offsets, strict=True))


def said_by(task: Task) -> list[str]:
    """Every wording of every prompt and every answer, each once."""
    prompts = {text for item in task.items for c in Condition for text in item.wordings(c)}
    return sorted(prompts | {answer for item in task.items for answer in item.answers})


@over_few_seeds
def test_aligned_prompts_have_equal_counts_of_the_ladders_tokens(name: str, seed: int) -> None:
    tokens = read_by_the_ladder(name, seed)
    for item in made(name, seed).items:
        assert len({len(tokens[item.prompts[c]]) for c in (C.CONFLICT, *ALIGNED)}) == 1, item.id


@over_few_seeds
def test_answers_are_one_token_of_the_ladder(name: str, seed: int) -> None:
    tokens = read_by_the_ladder(name, seed)
    assert all(len(tokens[answer]) == 1 for item in made(name, seed).items for answer in item.answers)


@over_few_seeds
def test_the_layout_fits_every_prompt_and_the_slot_is_its_last_token(name: str, seed: int) -> None:
    task = made(name, seed)
    for text in texts_of(task):
        assert task.roles(text).get("slot") == read_by_the_ladder(name, seed)[text][-1], text


@over_few_seeds
def test_prompts_are_short_enough_for_the_ladder(name: str, seed: int) -> None:
    tokens = read_by_the_ladder(name, seed)
    assert max(len(tokens[text]) + 1 for text in texts_of(made(name, seed))) <= LONGEST


def test_the_words_of_all_tasks_together_are_few() -> None:
    words = {
        text[first:last]
        for name in TASKS
        for text, tokens in read_by_the_ladder(name, 0).items()
        for first, last in tokens
    }
    assert len(words) <= 1000


@cache
def byte_pairs() -> Model:
    """A byte-level BPE trained on the manual of Python that comes with the interpreter, which knows no task."""
    from pydoc_data.topics import topics

    tokenizer = tiny.byte_level("\n".join(topics.values()), vocab=4000)
    # To turn a task into tokens, nothing but a tokenizer is needed.
    return Model("tokens", None, tokenizer, 1, 1, 1, len(tokenizer), None, None)


@on_the_shelf
def test_items_that_do_not_align_under_another_tokenizer_are_dropped_and_counted(name: str) -> None:
    task, model = made(name, 0).take(60), byte_pairs()
    encoding = encode(task, model)
    texts = said_by(task)
    length = {text: len(ids) for text, ids in zip(texts, model.tokenizer(texts).input_ids, strict=True)}

    def fits(item: Item, condition: Condition) -> str | None:
        """The first wording as long as `conflict`."""
        wanted = length[item.prompts[C.CONFLICT]]
        return next((text for text in item.wordings(condition) if length[text] == wanted), None)

    kept = [item for item in task.items if fits(item, C.CONGRUENT)]
    assert list(encoding.items) == kept
    assert {c: encoding.dropped.get(c, 0) for c in ALIGNED} == {
        c: sum(fits(item, c) is None for item in task.items) for c in ALIGNED
    }
    for condition in ALIGNED:
        for item, row in zip(kept, encoding.rows[condition], strict=True):
            # To the letter: nothing was padded to fit.
            assert (model.tokenizer.decode(row.prompt) if row else None) == fits(item, condition)
    assert kept, encoding.dropped


# Balance


def has_labels(task: Task) -> bool:
    """Whether all items have the same two answers."""
    return len({answer for item in task.items for answer in item.answers}) == 2


@over_seeds
def test_no_answer_is_the_true_one_more_often_than_the_distractors(name: str, seed: int) -> None:
    task = made(name, seed)
    for count in (60, 120, 200, len(task.items)):
        items = task.take(count).items
        ahead = Counter(item.true for item in items)
        ahead.subtract(item.distractor for item in items)
        if has_labels(task):
            assert max(map(abs, ahead.values())) <= 0.02 * count, (count, ahead)
        else:
            # Who knows how often each word is which of the two gains next to nothing by it.
            gained = np.mean([np.sign(ahead[item.true] - ahead[item.distractor]) for item in items])
            assert abs(gained) <= 0.1, (count, gained)


@over_seeds
def test_a_first_part_holds_as_many_groups_as_it_can(name: str, seed: int) -> None:
    task = made(name, seed)
    groups = len({item.group for item in task.items})
    for count in (60, 120, 200):
        held = Counter(item.group for item in task.take(count).items)
        assert len(held) >= 0.9 * min(count, groups), (count, len(held), groups)


# Oracles


@over_seeds
def test_who_does_the_true_task_is_right_wherever_it_is_posed(name: str, seed: int) -> None:
    found = told(made(name, seed), says("attentive", name, seed))
    assert [found[c] for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_SWAPPED, C.TRUE_ONLY)] == [1, 1, 1, 1]
    assert found["T"] > 1
    assert found["D"] == pytest.approx(0)


@over_seeds
def test_who_does_the_distractor_task_is_right_where_it_is_alone_and_wrong_in_conflict(name: str, seed: int) -> None:
    found = told(made(name, seed), says("distracted", name, seed))
    assert [found[c] for c in (C.CONFLICT, C.CONGRUENT, C.DISTRACTOR_ONLY)] == [0, 1, 1]
    assert found["T"] == pytest.approx(0)
    assert found["D"] > 1


@over_seeds
def test_where_a_cue_is_not_nobody_follows_it(name: str, seed: int) -> None:
    task = made(name, seed)
    gaps = {
        (which, condition): logit_gap(row)
        for which in ("attentive", "distracted")
        for condition, row in zip(task.conditions, says(which, name, seed), strict=True)
    }
    assert (gaps["attentive", C.DISTRACTOR_ONLY] <= 0).all()
    assert gaps["attentive", C.NEUTRAL] == pytest.approx(0)
    assert gaps["distracted", C.NEUTRAL] == pytest.approx(0)


def fond(task: Task) -> np.ndarray:
    """No idea, and each answer its own appeal whatever is asked; the first of two labels the greater one."""
    words = sorted({answer for item in task.items for answer in item.answers})
    appeal = dict(zip(words, np.log(np.linspace(0.8, 0.1, len(words))), strict=True))
    return np.array([[[appeal[answer] for answer in item.answers] for item in task.items] for _ in task.conditions])


@over_seeds
def test_a_fondness_for_an_answer_is_chance_and_no_pull(name: str, seed: int) -> None:
    task = made(name, seed)
    found = told(task, fond(task))
    assert (found["T"], found["D"]) == pytest.approx((0, 0))
    scored_under = [found[c] for c in Condition if task.right[c] is not None]
    assert scored_under == pytest.approx([0.5] * 5, abs=0.01 if has_labels(task) else 0.1)


def contrary(task: Task, attentive: np.ndarray) -> np.ndarray:
    """Takes each cue of the matched pair for the other."""
    found = attentive.copy()
    conflict, congruent = (task.conditions.index(c) for c in (C.CONFLICT, C.CONGRUENT))
    found[[conflict, congruent]] = attentive[[congruent, conflict]]
    return found


@over_seeds
def test_an_inverted_cue_is_a_negative_true_pull(name: str, seed: int) -> None:
    task, attentive = made(name, seed), says("attentive", name, seed)
    found = told(task, contrary(task, attentive))
    assert (found[C.CONFLICT], found[C.CONGRUENT]) == (0, 0)
    assert found["T"] == pytest.approx(-told(task, attentive)["T"])
    assert found["D"] == pytest.approx(0)


ABILITY = (0, 0, 0, 0.2, 2, 3)
"""How much of the true task each size of a planted family has learnt, the smallest first."""

LURED = (0, 0.5, 1.5, 1.5, 0.5, 0)
"""How much something else draws it away."""


def family(task: Task, attentive: np.ndarray, lure: np.ndarray) -> list[Scores]:
    """Six sizes of three seeds: ability and lure add up in log-probability, with noise of each item's own."""
    random = np.random.default_rng(0)
    return [
        scored(task, able * attentive + lured * lure + random.normal(0, 0.3, lure.shape), 10 ** (3 + place), seed)
        for seed in range(3)
        for place, (able, lured) in enumerate(zip(ABILITY, LURED, strict=True))
    ]


@on_the_shelf
def test_a_distractor_is_supported_and_what_only_looks_like_one_is_not(name: str) -> None:
    task = made(name, 0).take(200)
    attentive, distracted = (says(which, name, 0)[:, :200] for which in ("attentive", "distracted"))

    def judged(lure: np.ndarray) -> str:
        curves = SizeCurves.over(task, family(task, attentive, lure), np.ones(len(task.items), dtype=bool))
        return verdict(curves.evidence(task), draws=400).label

    assert judged(distracted) == "supported"
    assert judged(contrary(task, attentive)) == "contradicted"
    assert judged(fond(task)) != "supported"


LAWS = [found for found in globals().values() if hasattr(found, "hypothesis")]


@pytest.mark.slow
@on_the_shelf
def test_many_more_seeds_keep_to_it(name: str) -> None:
    assert LAWS
    for seed, law in product(range(100, 120), LAWS):
        law.hypothesis.inner_test(name=name, seed=seed)
