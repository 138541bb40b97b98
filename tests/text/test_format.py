"""Prompts are put as the format says, examples never give an item away, and what is default stays as it was."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import tiny
from conftest import Loaded
from distractor.errors import EncodeError, ModelError, TaskError
from distractor.models.source import Source
from distractor.scoring import shot_limits as trained
from distractor.scoring.encode import encode
from distractor.text.format import SHOT_KINDS, Format, parse_formats
from distractor.text.shots import SHOT_CONDITIONS, TURN, chat_turns, format_task
from distractor.text.task import Condition, Item, Task
from experiments.ladder.corpus import MODULES
from experiments.ladder.document import text_of
from tasks import TASKS
from tasks.redefinitions import SUBTASKS


def some(name: str, count: int = 24) -> tuple[Task, Task]:
    """The first items of a task, and the whole of it."""
    whole = TASKS[name]()
    return whole.take(count), whole


# The value


def test_the_default_is_the_bare_prompt_and_is_recorded_as_it_always_was() -> None:
    task = TASKS["negation_qa"]().take(4)
    assert format_task(task, Format()) is task
    assert Format().as_dict() == {"format": "rank", "shots": 0}


def test_settings_that_make_no_difference_make_no_other_format() -> None:
    same = Format("generate", kind="mixed", seed=3, inline=True, lead=True).plain()
    assert same == Format("generate")
    assert Format("cot", shots=1, lead=True).plain() == Format("cot", shots=1)
    assert Format("cot", shots=1, limit=96).plain() == Format("cot", shots=1)
    assert Format("generate", shots=1, seed=3).plain() != Format("generate", shots=1)


def test_formats_are_read_as_they_are_typed() -> None:
    assert parse_formats(["rank,generate", "cot:0"]) == (Format(), Format("generate", 1), Format("cot", 0))
    assert parse_formats(["rank", "generate", "rank"], 2, limit=9) == (
        Format("rank", 2),
        Format("generate", 2, limit=9),
    )


@pytest.mark.parametrize("wrong", ["chain", "rank:", "rank:-1", "rank:two", "", "rank,"])
def test_what_is_no_format_is_refused(wrong: str) -> None:
    with pytest.raises(TaskError, match=r"format|shots"):
        parse_formats([wrong])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"shots": -1}, "-1 shots"),
        ({"limit": 4}, "generate or cot"),
        ({"scoring": "cot", "limit": 0}, "limit of 0 tokens"),
        ({"hint": "a\nb"}, r"hint.*one line"),
    ],
    ids=str,
)
def test_a_format_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        Format(**wrong)


def test_every_field_of_a_format_is_in_what_is_recorded_of_it() -> None:
    changed = Format("generate", 2, "mixed", 3, True, True, False, "Mind.", True, 7)
    assert changed.as_dict() == {
        "format": "generate", "shots": 2, "kind": "mixed", "seed": 3, "inline": True, "lead": True, "options": False,
        "hint": "Mind.", "chat": True, "limit": 7,
    }  # fmt: skip


# Worked examples


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", TASKS)
def test_examples_never_give_the_item_away(name: str, seed: int) -> None:
    """Of any set of items and any draw of examples: neither the item's own group nor what it asks is shown."""
    whole = TASKS[name](seed=seed % 3)
    task = whole.take(40)
    for scoring in ("rank", "cot"):
        givers = example_of(whole, scoring)
        for kind in SHOT_KINDS:
            posed = format_task(task, Format(scoring, shots=2, kind=kind, seed=seed), whole)
            for item, plain in zip(posed.items, task.items, strict=True):
                before = item.prompts[Condition.CONFLICT].removesuffix(plain.prompts[Condition.CONFLICT])
                *shots, nothing = before.split("\n\n")
                assert (len(shots), nothing) == (2, "")
                for shot in shots:
                    assert plain.group not in {giver.group for giver, _ in givers[shot]}
                said = {text for c in plain.prompts for text in plain.wordings(c)}
                assert not any(text in before for text in said)


@pytest.mark.parametrize("name", TASKS)
def test_examples_share_no_word_with_the_item_that_could_tell_what_is_asked(name: str) -> None:
    task, whole = some(name, 40)
    groups: dict[str, set[str]] = {}
    for item in whole.items:
        for word in words_of(item):
            groups.setdefault(word, set()).add(item.group)
    few, told = 0.1 * len({item.group for item in whole.items}), 0
    givers = example_of(whole)
    for item, plain in zip(format_task(task, Format(shots=2, kind="mixed"), whole).items, task.items, strict=True):
        telling = {word for word in words_of(plain) if len(groups[word]) <= few}
        told += len(telling)
        for shot in item.prompts[Condition.CONFLICT].split("\n\n")[:2]:
            assert any(telling.isdisjoint(words_of(giver)) for giver, _ in givers[shot])
    assert told > len(task.items)


def words_of(item: Item) -> set[str]:
    texts = [*item.answers, *(text for c in item.prompts for text in item.wordings(c))]
    return set(re.findall(r"\w+", " ".join(texts).lower()))


def example_of(whole: Task, scoring: str = "rank") -> dict[str, list[tuple[Item, str]]]:
    """Every item as an example, and of which kind that is."""
    found: dict[str, list[tuple[Item, str]]] = {}
    for item in whole.items:
        for kind, condition in SHOT_CONDITIONS.items():
            right = whole.right[condition]
            assert right is not None
            said = item.answers[right]
            answered = f"{item.reasons[condition]}{said}." if scoring == "cot" else f"{said}{whole.closing}"
            found.setdefault(f"{item.prompts[condition]}{answered}", []).append((item, kind))
    return found


@pytest.mark.parametrize("kind", SHOT_KINDS)
def test_examples_are_of_the_kind_asked_for_and_say_what_is_right_there(kind: Any) -> None:
    task, whole = some("negation_qa")
    givers = example_of(whole)
    for item in format_task(task, Format(shots=2, kind=kind), whole).items:
        kinds = {k for shot in item.prompts[Condition.CONFLICT].split("\n\n")[:2] for _, k in givers[shot]}
        assert kinds == ({"congruent", "conflict"} if kind == "mixed" else {kind})


@pytest.mark.parametrize("name", TASKS)
def test_an_item_has_the_same_examples_under_each_condition(name: str) -> None:
    task, whole = some(name)
    for plain, item in zip(task.items, format_task(task, Format("cot", shots=2), whole).items, strict=True):
        before = {item.prompts[c].removesuffix(plain.prompts[c]) for c in plain.prompts}
        assert len(before) == 1
        for c in plain.prompts:
            assert item.wordings(c) == tuple(before.copy().pop() + text for text in plain.wordings(c))


def test_few_examples_are_the_first_of_many_and_another_seed_draws_others() -> None:
    task, whole = some("negation_qa", 8)
    for few, many in zip(
        format_task(task, Format(shots=1), whole).items, format_task(task, Format(shots=3), whole).items, strict=True
    ):
        conflict = Condition.CONFLICT
        assert many.prompts[conflict].startswith(few.prompts[conflict].split("\n\n")[0])
    other = format_task(task, Format(shots=1, seed=1), whole)
    assert other.fingerprint() != format_task(task, Format(shots=1), whole).fingerprint()
    assert format_task(task, Format(shots=3), whole).with_shots(1) == format_task(task, Format(shots=1), whole)  # type: ignore[misc]


def test_the_right_answers_of_examples_are_balanced() -> None:
    task, whole = some("negation_qa", 60)
    said: Counter[str] = Counter()
    for item in format_task(task, Format(shots=2), whole).items:
        shots = item.prompts[Condition.CONFLICT].split("\n\n")[:-1]
        assert {shot[-1] for shot in shots} == {"A", "B"}
        said[shots[0][-1]] += 1
    assert 15 < said["A"] < 45


def test_too_few_items_for_the_examples_are_named() -> None:
    one = tiny.task()
    groups = len({item.group for item in one.items})
    with pytest.raises(TaskError, match=rf"{groups} congruent shots.* only {groups - 1} for item"):
        format_task(one, Format(shots=groups))


def test_a_task_that_has_been_put_is_not_put_again() -> None:
    task, whole = some("negation_qa", 4)
    with pytest.raises(TaskError, match="rank, 1 shot"):
        format_task(format_task(task, Format(shots=1), whole), Format(shots=1))


def test_reasoning_that_nobody_wrote_is_asked_for_in_vain() -> None:
    with pytest.raises(TaskError, match=r"no reasoning for congruent.*cot:0"):
        format_task(tiny.task(), Format("cot", shots=1))


# Reasoning


def test_every_task_reasons_wherever_examples_may_stand() -> None:
    for name, make in TASKS.items():
        for item in make().items:
            assert {Condition.CONFLICT, Condition.CONGRUENT} <= set(item.reasons), f"{name}: {item.id}"
            assert all(said.endswith(" The answer is") for said in item.reasons.values())


def test_all_sub_tasks_of_redefine_math_have_their_reasoning() -> None:
    items = TASKS["redefine_math"]().items
    assert {item.group.split("/")[0] for item in items} == set(SUBTASKS)
    reasons = {item.group.split("/")[0]: item.reasons[Condition.CONFLICT] for item in items}
    assert len(set(reasons.values())) == len(SUBTASKS)


@pytest.mark.parametrize("name", TASKS)
def test_reasoning_is_worded_as_in_the_ladders_training(name: str) -> None:
    """The same question there and here has the same reasoning: both are put from the same facts."""
    module: Any = MODULES[name]
    task = TASKS[name]()
    if name == "negation_qa":
        from tasks.negation_qa import NOT, reason

        rng, other = Random(1), Random(1)
        for cue in ("", NOT):
            fact, _, place = module._offer(rng)
            assert reason(fact, place if cue else "") in text_of(module._reasoned(other, cue))
    elif name == "hindsight_neglect":
        from tasks.bets import bets
        from tasks.hindsight_neglect import letter
        from tasks.hindsight_neglect import reason as why

        for bet in bets("both")[:200]:
            assert text_of(module._reasoned("", bet)) == f"{why(bet)} {letter(bet.is_right)}."
    elif name == "quote_repetition":
        for item in task.items[:50]:
            ending = item.true.strip()
            told = module._reasoned(("Repeat the sentence.", "Any words", ending))
            assert text_of(told).endswith(f"{item.reasons[Condition.CONFLICT]}{item.true}.")
    else:
        from tasks.redefine_math import reason as because

        rng = Random(2)
        for _ in range(300):
            for draw in (module._plain, module._agreeing, module._made_up, module._redefined):
                asked = draw(rng)
                said = because(asked.subtask, asked.case, asked.symbol, asked.meaning, is_new=asked.is_new)
                assert text_of(module._reasoned(asked)) == f"{asked.prompt}{said}{asked.answer}."


def test_reasoning_names_what_decides() -> None:
    for item in TASKS["negation_qa"]().items:
        assert f"not{item.distractor}." in item.reasons[Condition.CONFLICT]
    for item in TASKS["quote_repetition"]().items:
        assert f" is{item.true}." in item.reasons[Condition.CONFLICT]
        assert f" is{item.distractor}." in item.reasons[Condition.CONGRUENT]
    for item in TASKS["hindsight_neglect"]().items:
        assert (" more " in item.reasons[Condition.CONFLICT]) == (item.true == " Y")
        assert (" more " in item.reasons[Condition.CONGRUENT]) == (item.distractor == " Y")


# Options, hint, lines, chat


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("options", [True, False])
def test_with_options_or_without_the_same_items_are_posed_and_fit_their_layout(name: str, options: bool) -> None:
    task, whole = some(name, 60)
    posed = format_task(task, Format(options=options), whole)
    assert [item.id for item in posed.items] == [item.id for item in task.items]
    for item in posed.items:
        for condition, prompt in item.prompts.items():
            assert posed.roles(prompt), prompt
            offers = all(f"{answer}" in f" {prompt.replace('.', ' ').replace(chr(10), ' ')}" for answer in item.answers)
            is_named = condition not in (Condition.DISTRACTOR_ONLY, Condition.NEUTRAL) or name != "quote_repetition"
            if options and is_named:
                assert offers, prompt
            if not options:
                assert "Choose Y or N" not in prompt
                assert "\nA. " not in prompt


def test_a_task_without_such_prompts_says_so() -> None:
    with pytest.raises(TaskError, match="without options"):
        format_task(tiny.task(), Format(options=False))


def test_a_hint_stands_first_and_examples_may_stand_in_line() -> None:
    task, whole = some("negation_qa", 3)
    hinted = format_task(task, Format(shots=1, hint="Mind the word not."), whole)
    inline = format_task(task, Format(shots=1, inline=True), whole)
    led = format_task(task, Format("generate", shots=1, lead=True), whole)
    for item, one, other, said in zip(task.items, hinted.items, inline.items, led.items, strict=True):
        asked = item.prompts[Condition.CONFLICT]
        assert one.prompts[Condition.CONFLICT].startswith("Mind the word not.\n\nQuestion:")
        assert other.prompts[Condition.CONFLICT].endswith(f" {asked}")
        assert "\n\n" not in other.prompts[Condition.CONFLICT]
        assert "Answer: The answer is" in said.prompts[Condition.CONFLICT]


def test_quotes_are_closed_and_their_reasoning_begins_a_line() -> None:
    task, whole = some("quote_repetition", 4)
    for item in format_task(task, Format(shots=1), whole).items:
        assert ".\n\n" in item.prompts[Condition.CONFLICT]
    for item in format_task(task, Format("cot", shots=1), whole).items:
        assert "\nThe last word is" in item.prompts[Condition.CONFLICT]


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.mark.parametrize("tokenizer", ["bytes", "bytes_bos"])
def test_a_chat_is_sent_through_the_models_own_template(loaded: Loaded, tokenizer: str) -> None:
    model = loaded("gpt2", tokenizer)
    words = type(model.tokenizer)(
        tokenizer_object=model.tokenizer.backend_tokenizer, bos_token="<bos>", eos_token="<eos>"
    )
    words.chat_template = TEMPLATE
    chatty = replace(model, tokenizer=words, context=None)
    task = format_task(tiny.task(), Format(shots=1, chat=True))
    encoding = encode(task, chatty)
    whose = [who for who, _ in chat_turns(task.items[0].prompts[Condition.CONFLICT])]
    assert whose == ["user", "assistant", "user"]
    for item, row in zip(encoding.items, encoding.rows[Condition.CONFLICT], strict=True):
        assert row is not None
        sent = words.decode(row.prompt)
        assert sent.startswith("<bos>[user] " if model.bos is not None else "[user] ") or model.bos is None
        assert sent.count("<bos>") == 1
        assert sent.rstrip().endswith("[assistant]")
        assert TURN not in sent
        assert item.true == item.true.strip()


def test_a_model_without_a_chat_template_is_no_chat_model(loaded: Loaded) -> None:
    with pytest.raises(EncodeError, match=r"no chat template.*--chat"):
        encode(format_task(tiny.task(), Format(chat=True)), loaded("gpt2", "bytes"))


# What does not fit, and what was not trained


def test_prompts_longer_than_the_context_are_named_with_the_examples_that_fit(loaded: Loaded) -> None:
    model = loaded("gpt2", "words_bos")
    bare, two = (
        len(_row(format_task(tiny.task(), Format(shots=n, inline=True)), replace(model, context=None))) for n in (0, 1)
    )
    more = two - bare
    tight = replace(model, context=bare + more)  # one example, and the answer's first token
    encode(format_task(tiny.task(), Format(shots=1, inline=True)), tight)
    with pytest.raises(EncodeError, match=rf"takes {bare + 3 * more}.* has {bare + more}.*1 of the 3 shots") as e:
        encode(format_task(_more(tiny.task()), Format(shots=3, inline=True)), tight)
    assert "item" in str(e.value)


def test_room_for_what_may_be_written_is_part_of_what_must_fit(loaded: Loaded) -> None:
    model = loaded("gpt2", "words_bos")
    bare = len(_row(tiny.task(), model))
    free = format_task(tiny.task(), Format("generate", limit=5))
    encode(free, replace(model, context=bare + 4))
    with pytest.raises(EncodeError, match=rf"5 tokens.* {bare + 4} positions.*has {bare + 3}"):
        encode(free, replace(model, context=bare + 3))


def _row(task: Task, model: Any) -> tuple[int, ...]:
    found = encode(_more(task) if task.format == Format() else task, model).rows[Condition.CONFLICT]
    return max((row.prompt for row in found if row is not None), key=len)


def _more(task: Task) -> Task:
    """The same items, each a group of its own, so that there are examples enough."""
    return replace(task, items=tuple(replace(item, group=item.id) for item in task.items))


def test_more_examples_than_training_held_are_refused_with_that_number(tmp_path: Path) -> None:
    counts = {"one": {"shots": 1, "reasoned": 0}, "two": {"shots": 2, "reasoned": 1}}
    source = Source("own", "8x1", tmp_path, shots=counts)
    for form in (Format(), Format(shots=2), Format("generate", 2), Format("cot", 1), Format("cot", 0)):
        trained.refuse_too_many_shots(form, source)
    for form, most in ((Format(shots=3), 2), (Format("generate", 4), 2), (Format("cot", 2), 1)):
        with pytest.raises(
            ModelError, match=rf"holds at most {most}; ask for {most}, as in --format {form.scoring}:{most}"
        ):
            trained.refuse_too_many_shots(form, source)
    assert "No document of one" in str(trained.caution("one", Format(shots=2), source))
    assert trained.caution("two", Format(shots=2), source) is None


def test_of_other_models_nobody_knows(tmp_path: Path) -> None:
    trained.refuse_too_many_shots(Format(shots=10), Source("own", "x", tmp_path / "a" / "b"))


def test_the_ladders_record_is_what_its_documents_hold() -> None:
    from distractor.models.families import embedded_ladder

    told = embedded_ladder().shots
    assert told is not None
    for name, module in MODULES.items():
        rng = Random(name)
        most = {"shots": 0, "reasoned": 0}
        for kind, draw in module.KINDS.items():
            place = "reasoned" if kind.startswith("reasoned") else "shots"
            for _ in range(150):
                most[place] = max(most[place], text_of(draw(rng)).count("\n\n"))
        assert told[name] == most, name
