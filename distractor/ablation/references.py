"""The published curves of a run of `distractor ablate`, beside its accuracy in `conflict`."""

from distractor.ablation.ablate import AblationResult
from distractor.ablation.written.answers import WrittenResult
from distractor.published.placement import References, beside

Result = AblationResult | WrittenResult


def references(result: Result) -> References:
    """The published curves of a run, beside its accuracy in `conflict`."""
    return beside(result.task, int(result.complete.sum()), result.published)
