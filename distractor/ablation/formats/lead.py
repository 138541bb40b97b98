"""The first sentences about several prompt formats: whether they are fairly compared, and where results differ."""

from collections.abc import Iterator, Sequence

from distractor.ablation.bare import without_examples
from distractor.ablation.formats.curve import FormatCurve, FormatResult
from distractor.numbers import number
from distractor.text.task import Condition


def lead(results: Sequence[FormatResult], curves: Sequence[FormatCurve]) -> Iterator[str]:
    """Whether the numbers of worked examples differ, then the shapes over size, then accuracy in the largest models."""
    if len({curve.form.shots for curve in curves}) > 1:
        shots = ", ".join(f"{curve.form.label} {curve.form.shots}" for curve in curves)
        yield f"Caution: the formats differ in the number of worked examples ({shots}), which alone can change the result."
    of = "over size, of preference (rank) or of the distractor share (written)"
    if len({curve.label for curve in curves}) > 1:
        shapes = "; ".join(f"{curve.form.label}: {curve.label}" for curve in curves)
        yield f"The label of the shape {of} differs between formats: {shapes}."
    else:
        yield f"The shape {of} is the same in every format: {curves[0].label}."
    yield f"Accuracy in conflict of the largest models ({curves[0].names[-1]}): {'; '.join(_accuracies(results, curves))}."


def _accuracies(results: Sequence[FormatResult], curves: Sequence[FormatCurve]) -> Iterator[str]:
    for curve in curves:
        mean = curve.accuracy[Condition.CONFLICT][-1]
        yield f"{curve.form.label} {number(mean.mean) if mean else 'unknown'}"
    bare = [found.bare for result in results if (found := without_examples(result))]
    if bare and all(curve.form.shots for curve in curves):
        yield f"ranked without worked examples {number(bare[0])}"
