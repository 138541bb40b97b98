"""Tasks refuse invalid items, and their fingerprint covers everything that a model sees."""

from dataclasses import replace

import pytest

import tiny
from distractor.errors import TaskError, nearest
from distractor.text.task import Answer, Condition, Item, Task

pytestmark = pytest.mark.quick


def with_first_item(task: Task, **changes: object) -> Task:
    """Return the task with changes to its first item."""
    return replace(task, items=(replace(task.items[0], **changes), *task.items[1:]))


def test_invalid_items_and_tasks_are_refused() -> None:
    with pytest.raises(TaskError, match=r"item x: .* both ' A'"):
        Item("x", "g", " A", " A", {Condition.CONFLICT: "?"})
    with pytest.raises(TaskError, match=r"item x .* conflict"):
        Item("x", "g", " A", " B", {Condition.NEUTRAL: "?"})
    task = tiny.task()
    with pytest.raises(TaskError, match="no items"):
        replace(task, items=())
    with pytest.raises(TaskError, match="'Paris>Rome'"):
        replace(task, items=(task.items[0], task.items[0]))


def test_answers_that_are_not_scored_are_counted_in_a_caution() -> None:
    task = replace(tiny.task().take(4), caution="A caution.")
    assert task.cautions == ("A caution.",)
    with_more = with_first_item(task, more_answers=3)
    assert with_more.fingerprint() == task.fingerprint()
    first, more = with_more.cautions
    assert first == "A caution."
    assert more.startswith("1 of 4 items have more than two answers (up to 5): ")
    assert more.endswith("lost coverage.")
    assert replace(with_more, items=with_more.items[1:]).cautions == ("A caution.",)


def test_take_returns_the_first_items_and_at_most_all() -> None:
    task = tiny.task()
    assert task.take(3).items == task.items[:3]
    assert task.take(10_000) == task
    with pytest.raises(TaskError, match="asked for 0 items"):
        task.take(0)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "another"},
        {"group": "another"},
        {"true": " another"},
        {"distractor": " another"},
        {"rewordings": {}},
        *({"prompts": {**tiny.task().items[0].prompts, condition: "another"}} for condition in Condition),
    ],
)
def test_the_fingerprint_changes_with_every_text(changes: dict[str, object]) -> None:
    task = tiny.task()
    assert with_first_item(task, **changes).fingerprint() != task.fingerprint()


def test_the_fingerprint_changes_with_layout_right_answers_and_order_but_not_with_the_source() -> None:
    task = tiny.task()
    changed = [
        replace(task, name="another"),
        replace(task, layout=None),
        replace(task, right={**task.right, Condition.DISTRACTOR_SWAPPED: Answer.DISTRACTOR}),
        replace(task, items=task.items[::-1]),
        task.take(3),
    ]
    assert len({task.fingerprint(), *(variant.fingerprint() for variant in changed)}) == 6
    assert replace(task, source="other").fingerprint() == task.fingerprint() == tiny.task().fingerprint()


def test_conditions_are_those_of_any_item_in_a_fixed_order() -> None:
    task = tiny.task()
    assert Condition.TRUE_ONLY not in task.conditions
    assert list(task.conditions) == [c for c in Condition if c in task.items[0].prompts]
    more = with_first_item(task, prompts={**task.items[0].prompts, Condition.TRUE_ONLY: "Say"})
    assert more.conditions == tuple(Condition)


def test_roles_are_spans_of_the_prompt_and_empty_without_a_matching_layout() -> None:
    task = tiny.task()
    prompt = "Not Paris. Say:"
    assert {role: prompt[a:b] for role, (a, b) in task.roles(prompt).items()} == {
        "cue": "Not",
        "named": "Paris",
        "slot": ":",
    }
    assert task.roles("something else") == replace(task, layout=None).roles(prompt) == {}


def test_the_nearest_name_is_suggested_or_all_names() -> None:
    assert nearest("negation", ["negation_qa", "hindsight"]) == "did you mean negation_qa?"
    assert nearest("xyz", ["b", "a"]) == "available: a, b"


def test_conditions_are_looked_up_once_for_all_items() -> None:
    looked_up = 0

    class Prompts(dict[Condition, str]):
        def __contains__(self, condition: object) -> bool:
            nonlocal looked_up
            looked_up += 1
            return super().__contains__(condition)

    task = tiny.task()
    task = replace(task, items=tuple(replace(item, prompts=Prompts(item.prompts)) for item in task.items))
    once = task.conditions
    counted = looked_up
    assert [task.conditions for _ in range(100)] == [once] * 100
    assert looked_up == counted
