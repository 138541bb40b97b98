"""Says in a line how many items a task has: under each condition, with more than two answers, and left out."""

from collections import Counter

from distractor.text.task import Task


def counts(task: Task) -> str:
    """The number of items under each condition, what they do not allow, and how many rows or answers are left out."""
    count = Counter(condition for item in task.items for condition in item.prompts)
    items = f"{len(task.items):,} items ({', '.join(f'{c} {count[c]:,}' for c in task.conditions)})"
    more = sum(item.more_answers > 0 for item in task.items)
    return "; ".join(
        [
            items,
            *([task.limits] if task.limits else []),
            *([f"{more:,} with more than two answers"] if more else []),
            *(f"{len(names):,} left out: {reason}" for reason, names in task.left_out.items()),
        ]
    )
