"""The accuracy in `conflict` of a model along training, with published accuracies."""

from matplotlib.figure import Figure

from distractor.comparison.result import ComparisonResult
from distractor.comparison.steps import TrainingCurves
from distractor.published.own_accuracy import OwnAccuracy
from distractor.published.own_accuracy import published as draw
from distractor.published.placement import QUANTITY
from distractor.statistics.intervals import Mean


def published(result: ComparisonResult, curves: TrainingCurves) -> Figure:
    """Accuracy in `conflict` over steps with published curves."""
    return draw(own_accuracy(result, curves), f"{result.task.name}, {curves.name} along training")


def own_accuracy(result: ComparisonResult, curves: TrainingCurves) -> OwnAccuracy:
    """The model's accuracy at each step, with a dot for each of several seeds."""
    means = [Mean(*map(float, ends)) for ends in zip(*curves.means(QUANTITY), strict=True)]
    by_seed = curves.curves[QUANTITY].mean(-1)
    dots = [(step, float(mean)) for seed in by_seed for step, mean in zip(curves.steps, seed, strict=True)]
    n_seeds = len(by_seed)
    return OwnAccuracy(
        curves.steps, means, dots if n_seeds > 1 else [], n_seeds, curves.interval_name, result.references
    )
