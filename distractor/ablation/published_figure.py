"""The figure of a run's accuracy in `conflict` with published accuracies, and the section of its page."""

from matplotlib.figure import Figure

from distractor.ablation.references import Result, references
from distractor.published.own_accuracy import OwnAccuracy, page_blocks
from distractor.published.own_accuracy import published as draw
from distractor.published.placement import QUANTITY
from distractor.runs.page.blocks import Section
from distractor.text.format import Format
from distractor.text.task import Condition

CONFLICT = Condition.CONFLICT


def published(result: Result) -> Figure:
    """Accuracy in `conflict` over size with published curves."""
    form = f", {result.task.format.label}" if result.task.format != Format() else ""
    model = f" in {result.sources[0].name}" if len(result.sizes) == 1 else ""
    return draw(_own(result), f"{result.task.name}{form}{model}")


def section(result: Result) -> list[Section]:
    """The section of a page; none without published curves."""
    if not result.published:
        return []
    return [Section("published", "Published accuracies", tuple(page_blocks(_own(result))))]


def _own(result: Result) -> OwnAccuracy:
    sizes = list(result.n_params)
    dots = [
        (size, mean.mean)
        for size, models in zip(sizes, result.sizes, strict=True)
        for model in models
        if len(models) > 1 and (mean := result.mean([model], QUANTITY, CONFLICT))
    ]
    means = [result.mean(models, QUANTITY, CONFLICT) for models in result.sizes]
    return OwnAccuracy(sizes, means, dots, len(result.sizes[0]), result.interval_name, references(result))
