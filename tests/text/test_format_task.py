"""Prompts follow their format, and worked examples never reveal the answer of an item."""

import re
from collections import Counter
from typing import Any

import pytest

import tiny
from conftest import Loaded
from distractor.errors import EncodeError, TaskError
from distractor.scoring.encode import encode
from distractor.text.chat import apply_chat_template
from distractor.text.format import SHOT_KINDS, Format
from distractor.text.format_task import SHOT_CONDITIONS, TURN, chat_turns, format_task
from distractor.text.task import Condition, Item, Task
from tasks import TASKS


def some(name: str, count: int = 24) -> tuple[Task, Task]:
    """The first items of a task, and the whole task."""
    whole = TASKS[name]()
    return whole.take(count), whole


@pytest.mark.quick
def test_the_default_format_changes_nothing() -> None:
    task = TASKS["negation_qa"]().take(4)
    assert format_task(task, Format()) is task


# Worked examples


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", TASKS)
def test_examples_show_neither_the_items_group_nor_its_prompts(name: str, seed: int) -> None:
    whole = TASKS[name](seed=seed % 3)
    task = whole.take(40)
    for scoring, kind in (("rank", "congruent"), ("rank", "conflict"), ("cot", "mixed")):
        sources = examples_of(whole, scoring)
        formatted = format_task(task, Format(scoring, shots=2, kind=kind, seed=seed), whole)  # type: ignore[arg-type]
        for item, plain in zip(formatted.items, task.items, strict=True):
            before = item.prompts[Condition.CONFLICT].removesuffix(plain.prompts[Condition.CONFLICT])
            *shots, rest = before.split("\n\n")
            assert (len(shots), rest) == (2, "")
            for shot in shots:
                assert plain.group not in {source.group for source, _ in sources[shot]}
            assert not any(text in before for c in plain.prompts for text in plain.wordings(c))


@pytest.mark.parametrize("name", TASKS)
def test_examples_share_no_rare_word_with_the_item(name: str) -> None:
    task, whole = some(name, 40)
    groups: dict[str, set[str]] = {}
    for item in whole.items:
        for word in words_of(item):
            groups.setdefault(word, set()).add(item.group)
    rare_count, n_rare = 0.1 * len({item.group for item in whole.items}), 0
    sources = examples_of(whole)
    for item, plain in zip(format_task(task, Format(shots=2, kind="mixed"), whole).items, task.items, strict=True):
        rare = {word for word in words_of(plain) if len(groups[word]) <= rare_count}
        n_rare += len(rare)
        for shot in item.prompts[Condition.CONFLICT].split("\n\n")[:2]:
            assert any(rare.isdisjoint(words_of(source)) for source, _ in sources[shot])
    assert n_rare > len(task.items)


def words_of(item: Item) -> set[str]:
    texts = [*item.answers, *(text for c in item.prompts for text in item.wordings(c))]
    return set(re.findall(r"\w+", " ".join(texts).lower()))


def examples_of(whole: Task, scoring: str = "rank") -> dict[str, list[tuple[Item, str]]]:
    """{text of a worked example: its items and kinds} for every item of a task."""
    examples: dict[str, list[tuple[Item, str]]] = {}
    for item in whole.items:
        for kind, condition in SHOT_CONDITIONS.items():
            right = whole.right[condition]
            assert right is not None
            answer = item.answers[right]
            reply = f"{item.reasons[condition]}{answer}." if scoring == "cot" else f"{answer}{whole.closing}"
            examples.setdefault(f"{item.prompts[condition]}{reply}", []).append((item, kind))
    return examples


@pytest.mark.quick
@pytest.mark.parametrize("kind", SHOT_KINDS)
def test_examples_have_the_requested_kind_and_their_right_answer(kind: Any) -> None:
    task, whole = some("negation_qa")
    sources = examples_of(whole)
    for item in format_task(task, Format(shots=2, kind=kind), whole).items:
        kinds = {k for shot in item.prompts[Condition.CONFLICT].split("\n\n")[:2] for _, k in sources[shot]}
        assert kinds == ({"congruent", "conflict"} if kind == "mixed" else {kind})


@pytest.mark.quick
@pytest.mark.parametrize("name", TASKS)
def test_an_item_has_the_same_examples_under_every_condition(name: str) -> None:
    task, whole = some(name)
    for plain, item in zip(task.items, format_task(task, Format("cot", shots=2), whole).items, strict=True):
        (before,) = {item.prompts[c].removesuffix(plain.prompts[c]) for c in plain.prompts}
        for c in plain.prompts:
            assert item.wordings(c) == tuple(before + text for text in plain.wordings(c))


@pytest.mark.quick
def test_few_examples_are_the_first_of_many_and_another_seed_draws_others() -> None:
    task, whole = some("negation_qa", 8)
    one, three = (format_task(task, Format(shots=count), whole) for count in (1, 3))
    for few, many in zip(one.items, three.items, strict=True):
        first_example = few.prompts[Condition.CONFLICT].split("\n\n")[0]
        assert many.prompts[Condition.CONFLICT].startswith(first_example)
    assert format_task(task, Format(shots=1, seed=1), whole).fingerprint() != one.fingerprint()
    assert three.with_shots is not None
    assert three.with_shots(1) == one


@pytest.mark.quick
def test_the_answers_of_examples_are_balanced() -> None:
    task, whole = some("negation_qa", 60)
    first: Counter[str] = Counter()
    for item in format_task(task, Format(shots=2), whole).items:
        shots = item.prompts[Condition.CONFLICT].split("\n\n")[:-1]
        assert {shot[-1] for shot in shots} == {"A", "B"}
        first[shots[0][-1]] += 1
    assert 15 < first["A"] < 45


@pytest.mark.quick
def test_tasks_that_cannot_have_a_format_are_refused() -> None:
    task = tiny.task()
    groups = len({item.group for item in task.items})
    with pytest.raises(TaskError, match=rf"{groups} congruent shots.* only {groups - 1} for item"):
        format_task(task, Format(shots=groups))
    with pytest.raises(TaskError, match=r"no reasoning for congruent.*cot:0"):
        format_task(task, Format("cot", shots=1))
    with pytest.raises(TaskError, match="without options"):
        format_task(task, Format(options=False))
    with pytest.raises(TaskError, match="rank, 1 shot"):
        format_task(format_task(task, Format(shots=1)), Format(shots=1))


# Options, hint, lines, chat


@pytest.mark.quick
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("options", [True, False])
def test_options_change_the_prompts_of_the_same_items(name: str, options: bool) -> None:
    task, whole = some(name, 60)
    formatted = format_task(task, Format(options=options), whole)
    assert [item.id for item in formatted.items] == [item.id for item in task.items]
    for item in formatted.items:
        for condition, prompt in item.prompts.items():
            assert formatted.roles(prompt), prompt
            words = f" {prompt.replace('.', ' ').replace(chr(10), ' ')}"
            if options and (
                name != "quote_repetition" or condition not in (Condition.DISTRACTOR_ONLY, Condition.NEUTRAL)
            ):
                assert all(answer in words for answer in item.answers), prompt
            if not options:
                assert "Choose Y or N" not in prompt
                assert "\nA. " not in prompt


@pytest.mark.quick
def test_hint_inline_and_lead_change_the_prompt() -> None:
    task, whole = some("negation_qa", 3)
    for item, hinted, inline, led in zip(
        task.items,
        format_task(task, Format(shots=1, hint="Mind the word not."), whole).items,
        format_task(task, Format(shots=1, inline=True), whole).items,
        format_task(task, Format("generate", shots=1, lead=True), whole).items,
        strict=True,
    ):
        assert hinted.prompts[Condition.CONFLICT].startswith("Mind the word not.\n\nQuestion:")
        assert inline.prompts[Condition.CONFLICT].endswith(f" {item.prompts[Condition.CONFLICT]}")
        assert "\n\n" not in inline.prompts[Condition.CONFLICT]
        assert "Answer: The answer is" in led.prompts[Condition.CONFLICT]


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.mark.parametrize("adds_bos", [False, True])
def test_the_chat_template_writes_every_turn_and_one_bos(loaded: Loaded, adds_bos: bool) -> None:
    plain = loaded("gpt2", "bytes").tokenizer
    tokenizer = type(plain)(tokenizer_object=plain.backend_tokenizer, bos_token="<bos>", eos_token="<eos>")
    tokenizer.chat_template = TEMPLATE
    task = format_task(tiny.task(), Format(shots=1, chat=True))
    roles = [role for role, _ in chat_turns(task.items[0].prompts[Condition.CONFLICT])]
    assert roles == ["user", "assistant", "user"]
    for item in apply_chat_template(task, tokenizer, "model", adds_bos=adds_bos).items:
        prompt = item.prompts[Condition.CONFLICT]
        assert prompt.startswith("[user] " if adds_bos else "<bos>[user] ")
        assert prompt.endswith("[assistant] ")
        assert TURN not in prompt
        assert item.true == item.true.strip()


def test_a_model_without_a_chat_template_is_refused(loaded: Loaded) -> None:
    with pytest.raises(EncodeError, match=r"no chat template.*--chat"):
        encode(format_task(tiny.task(), Format(chat=True)), loaded("gpt2", "bytes"))
