"""What a task refuses, what it can be cut into, and what its fingerprint knows."""

from dataclasses import replace

import pytest

import tiny
from distractor.errors import TaskError, nearest
from distractor.text.task import Answer, Condition, Item, Task


def other(task: Task, **changes: object) -> Task:
    """The task with its first item changed."""
    return replace(task, items=(replace(task.items[0], **changes), *task.items[1:]))


def test_an_item_with_two_equal_answers_is_refused() -> None:
    with pytest.raises(TaskError, match="item x: the true and the distractor answer are both ' A'"):
        Item("x", "g", " A", " A", {Condition.CONFLICT: "?"})


def test_an_item_without_a_conflict_prompt_is_refused() -> None:
    with pytest.raises(TaskError, match="item x has no prompt for conflict"):
        Item("x", "g", " A", " B", {Condition.NEUTRAL: "?"})


def test_a_task_without_items_or_with_two_of_the_same_name_is_refused() -> None:
    task = tiny.task()
    with pytest.raises(TaskError, match="has no items"):
        replace(task, items=())
    with pytest.raises(TaskError, match="two items called 'Paris>Rome'"):
        replace(task, items=(task.items[0], task.items[0]))


def test_take_gives_the_first_items_and_at_most_all() -> None:
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
    assert other(task, **changes).fingerprint() != task.fingerprint()


def test_the_fingerprint_changes_with_layout_right_answers_and_order_and_with_nothing_else() -> None:
    task = tiny.task()
    changed = [
        replace(task, name="another"),
        replace(task, layout=None),
        replace(task, right={**task.right, Condition.DISTRACTOR_SWAPPED: Answer.DISTRACTOR}),
        replace(task, items=task.items[::-1]),
        task.take(3),
    ]
    assert len({task.fingerprint(), *(one.fingerprint() for one in changed)}) == 6
    assert replace(task, source="elsewhere").fingerprint() == task.fingerprint() == tiny.task().fingerprint()


def test_conditions_are_those_that_any_item_has_in_their_own_order() -> None:
    task = tiny.task()
    assert Condition.TRUE_ONLY not in task.conditions
    assert list(task.conditions) == [c for c in Condition if c in task.items[0].prompts]
    more = other(task, prompts={**task.items[0].prompts, Condition.TRUE_ONLY: "Say"})
    assert more.conditions == tuple(Condition)


def test_roles_are_spans_of_the_prompt_and_nothing_where_the_layout_does_not_fit() -> None:
    task = tiny.task()
    prompt = "Not Paris. Say:"
    assert {role: prompt[a:b] for role, (a, b) in task.roles(prompt).items()} == {
        "cue": "Not",
        "named": "Paris",
        "slot": ":",
    }
    assert task.roles("something else") == replace(task, layout=None).roles(prompt) == {}


def test_the_nearest_name_is_offered_and_else_all_of_them() -> None:
    assert nearest("negation", ["negation_qa", "hindsight"]) == "did you mean negation_qa?"
    assert nearest("xyz", ["b", "a"]) == "there is: a, b"
