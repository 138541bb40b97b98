"""The published curves of a run of `distractor ablate`, beside its accuracy in `conflict`."""

from distractor.ablation.ablate import AblationResult
from distractor.ablation.written.answers import WrittenResult
from distractor.published.curves import official_name
from distractor.published.placement import Items, OwnCurve, References
from distractor.text.task import Condition

Result = AblationResult | WrittenResult


def references(result: Result) -> References:
    """The published curves of a run, beside its accuracy in `conflict`."""
    own = OwnCurve(
        condition=Condition.CONFLICT.value,
        form=result.task.format,
        items=_items(result),
        n_items=int(result.complete.sum()),
    )
    return References(own, result.published)


def _items(result: Result) -> Items:
    """Whether the items in `conflict` are the prize's; the name of a variant, whose prompts differ, has a dot."""
    task = result.task
    if {official_name(task.official)} != {curve.task for curve in result.published}:
        return "other"
    return "changed" if "." in task.name else "official"
