"""`tasks check` finds planted faults, and hardly ever warns about a sound task."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import small_ladder
from distractor.models import families
from distractor.models.families import find_models
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.soundness.findings import Finding, text_findings
from distractor.soundness.models import model_findings
from distractor.soundness.surface import surface_findings
from distractor.text.task import Condition, Item, Task
from small_ladder import type_in
from tasks import TASKS

WORDS = [
    a + b for a in ("ka", "lo", "mi", "tu", "re", "po", "sa", "ne") for b in ("ban", "dol", "fir", "gus", "hem", "jit")
]
COLOURS = {"A": "red", "B": "blue"}
TEMPLATES = (
    ("{name} is {cue} {thing}. Is {name} {thing}? A. {first} B. {second} Answer:", "not", "truly"),
    ("Question: which word does {name} {cue} like, with {thing}?\nA. {first}\nB. {second}\nAnswer:", "never", "always"),
)


def letters(seed: int, items: int = 120, name: str = "letters") -> Task:
    """A sound task with the answers A and B: a question in one of two templates, and a pair of words."""
    random, made = Random(seed), []
    template, cue, other = TEMPLATES[seed % len(TEMPLATES)]
    for k in range(items):
        person, thing, first, second = random.sample(WORDS, 4)
        slots = {"name": f"{person}{k // 2}", "thing": thing, "first": first, "second": second}
        prompts = {
            Condition.CONFLICT: template.format(cue=cue, **slots),
            Condition.CONGRUENT: template.format(cue=other, **slots),
        }
        answers = (" A", " B") if k % 2 else (" B", " A")
        made.append(Item(f"{name}/{k}", f"g{k // 2}", *answers, prompts))
    return Task(name, "?", tuple(made), "made for a test")


def words(seed: int, items: int = 120) -> Task:
    """A sound task with open answers, which the prompt names in random order."""
    random, made = Random(seed), []
    for k in range(items):
        true, distractor, person, thing = random.sample(WORDS, 4)
        named = random.sample([true, distractor], 2)
        text = f"{person}{k // 3} has {named[0]} or {named[1]} at {thing}{k}. Which?"
        prompts = {Condition.CONFLICT: f"Not so. {text}", Condition.CONGRUENT: f"Very so. {text}"}
        made.append(Item(f"w/{k}", f"g{k // 3}", f" {true}", f" {distractor}", prompts))
    return Task("words", "?", tuple(made), "made for a test")


def warnings(task: Task) -> list[Finding]:
    return [finding for finding in (*text_findings(task), *surface_findings(task)) if finding.warning]


def test_twenty_sound_tasks_get_at_most_one_warning() -> None:
    sound = [*(letters(seed) for seed in range(10)), *(words(seed) for seed in range(10))]
    found = [finding for task in sound for finding in warnings(task)]
    assert len(found) <= 1, found


@pytest.mark.parametrize("name", TASKS)
def test_the_built_in_tasks_are_sound(name: str) -> None:
    assert not warnings(TASKS[name]())


def changed(task: Task, change: Callable[[int, Item], Item]) -> Task:
    return replace(task, items=tuple(change(k, item) for k, item in enumerate(task.items)))


def prompts(item: Item, change: Callable[[str], str], *conditions: Condition) -> Item:
    asked = conditions or tuple(item.prompts)
    return replace(item, prompts={c: change(text) if c in asked else text for c, text in item.prompts.items()})


def mostly_b(k: int, item: Item) -> Item:
    return replace(item, true=" B", distractor=" A") if k % 10 < 8 else replace(item, true=" A", distractor=" B")


def given_away(_: int, item: Item) -> Item:
    """The prompt holds a word if the answer that is right in `conflict` is A, and another word in `congruent`."""
    return replace(
        item,
        prompts={
            condition: f"{'Surely' if (item.true == ' A') == (condition is Condition.CONFLICT) else 'Well'}, {text}"
            for condition, text in item.prompts.items()
        },
    )


def longer_answer(_: int, item: Item) -> Item:
    return replace(item, true=f"{item.true}ish and more")


def named_first(k: int, item: Item) -> Item:
    first = f"{item.true.strip()} or {item.distractor.strip()}"
    return replace(item, prompts={c: f"{c} {k}: {first}, which is it, {k * 7919}?" for c in item.prompts})


PLANTED: Sequence[tuple[str, Callable[[], Task]]] = (
    ("size", lambda: letters(0, 20)),
    ("right answers", lambda: changed(letters(0), mostly_b)),
    ("guessed from words", lambda: changed(letters(0), given_away)),
    ("guessed from character n-grams", lambda: changed(letters(0), given_away)),
    ("guessed from length", lambda: changed(words(0), longer_answer)),
    ("right answer longer", lambda: changed(words(0), longer_answer)),
    ("right answer named first", lambda: changed(words(0), named_first)),
    ("repeated items", lambda: replace(letters(0), items=(*letters(0).items, *_copies(letters(0).items[:10])))),
    (
        "contradictions",
        lambda: replace(
            letters(0),
            items=(
                *letters(0).items,
                *(replace(i, true=i.distractor, distractor=i.true) for i in _copies(letters(0).items[:10])),
            ),
        ),
    ),
    (
        "congruent: as conflict",
        lambda: changed(
            letters(0),
            lambda k, item: (
                replace(item, prompts=dict.fromkeys(item.prompts, item.prompts[Condition.CONFLICT])) if k < 3 else item
            ),
        ),
    ),
    (
        "congruent: equal length",
        lambda: changed(letters(0), lambda _, i: prompts(i, lambda t: f"By all means, {t}", Condition.CONGRUENT)),
    ),
    (
        "near-identical across groups",
        lambda: replace(
            letters(0),
            items=(
                *letters(0).items,
                *(prompts(item, lambda t: t.replace(". Is ", ". Was ")) for item in _copies(letters(0).items[:10])),
            ),
        ),
    ),
)


def _copies(items: Sequence[Item]) -> list[Item]:
    return [replace(item, id=f"{item.id}/again", group=f"{item.group}/again") for item in items]


@pytest.mark.parametrize(("check", "make"), PLANTED, ids=[check for check, _ in PLANTED])
def test_planted_faults_are_found(check: str, make: Callable[[], Task]) -> None:
    assert check in [finding.check for finding in warnings(make())]


def test_a_rule_that_only_conflict_shows_is_no_surface_cue() -> None:
    """In `conflict` alone, the right answer is always the opposite of the distractor's; `congruent` balances this."""
    task = changed(
        letters(0),
        lambda _, i: prompts(i, lambda text: f"{text} It is {COLOURS[i.distractor.strip()]}."),
    )
    assert not warnings(task)
    alone = replace(
        task, items=tuple(replace(i, prompts={Condition.CONFLICT: i.prompts[Condition.CONFLICT]}) for i in task.items)
    )
    assert "guessed from words" in [finding.check for finding in warnings(alone)]


def test_few_groups_have_no_surface_check() -> None:
    task = letters(0, 6)
    assert [finding.found for finding in surface_findings(task)] == ["needs at least 5 groups"]


@pytest.fixture
def ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("ladder")
def test_models_show_constant_answers_and_items_that_all_answer_alike(tmp_path: Path) -> None:
    task, sources = small_ladder.task(), find_models(["ladder"], task="negation_qa")
    found = {
        finding.check: finding
        for finding in model_findings(task, sources, Store(tmp_path / "cells"), Settings(device="cpu"))
    }
    assert found["congruent: dropped by a tokenizer"].found == "none"
    assert "constant answers" in found
    assert "items that all models answer alike" in found


@pytest.mark.usefixtures("ladder")
def test_the_command_prints_a_table_and_warns_by_its_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(("tasks", "check", "negation_qa")) == 0
    assert "negation_qa: no warning in" in capsys.readouterr().out
    rows = [
        {"prompt": f"Is it {word}? Answer:", "classes": "[' A', ' B']", "answer_index": 0, "condition": "conflict"}
        for word in WORDS[:40]
    ]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert type_in(("tasks", "check", "mine.jsonl", "--json")) == 1
    findings = {each["check"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    assert "a model that always gives it has this accuracy" in findings["right answers"]["warning"]
    assert type_in(("tasks", "check", "none.jsonl")) == 2
    assert type_in(("tasks", "check", "negation_q")) == 2
