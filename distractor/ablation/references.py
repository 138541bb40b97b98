"""The published curves of a run of `distractor ablate`, beside its accuracy in `conflict`."""

from distractor.ablation.ablate import AblationResult
from distractor.ablation.written.answers import WrittenResult
from distractor.published.placement import Items, OwnCurve, References
from distractor.text.task import Condition, Task

Result = AblationResult | WrittenResult


def references(result: Result) -> References:
    """The published curves of a run, beside its accuracy in `conflict`."""
    own = OwnCurve(
        condition=Condition.CONFLICT.value,
        form=result.task.format,
        items=_items(result.task),
        n_items=int(result.complete.sum()),
    )
    return References(own, result.published)


def _items(task: Task) -> Items:
    """Whether the items in `conflict` are the prize's; the name of a variant, whose prompts differ, has a dot."""
    return "other" if not task.official else "changed" if "." in task.name else "official"
