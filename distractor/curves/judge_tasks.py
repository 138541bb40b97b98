"""Judges the curves of several tasks, with p-values adjusted over the tasks (Holm 1979)."""

from collections.abc import Callable
from dataclasses import dataclass

from distractor.curves.curve_file import Curves
from distractor.curves.judge_curve import JudgedCurve
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve
from distractor.statistics.sign_flips import holm
from distractor.statistics.standard_errors import ALPHA


@dataclass(frozen=True, eq=False)
class JudgedTasks:
    """The judgement of each task, and why other tasks are left out."""

    judged: tuple[JudgedCurve, ...]
    left_out: tuple[str, ...] = ()

    @property
    def p(self) -> list[float]:
        """The p-value of each task's turn, from its weaker leg."""
        shapes = [judged.shape.as_dict() for judged in self.judged]
        return [max(shape["p_left"], shape["p_right"]) for shape in shapes]

    @property
    def p_over_tasks(self) -> list[float]:
        """The same, adjusted over the tasks."""
        return holm(self.p)

    @property
    def turns_over_tasks(self) -> list[bool]:
        """Whether each task's label is a turn that stays significant over the tasks."""
        return [
            judged.shape.label in ("U-shaped", "inverted-U") and p <= ALPHA
            for judged, p in zip(self.judged, self.p_over_tasks, strict=True)
        ]


def judge_tasks(curves: Curves, judge: Callable[[Curve], JudgedCurve]) -> JudgedTasks:
    """Judge each curve. A curve that cannot be judged is left out, unless it is the only one (ScalingError)."""
    judged, left_out, errors = [], list(curves.left_out), []
    for curve in curves.curves:
        try:
            judged.append(judge(curve))
        except ScalingError as error:
            errors.append(error)
            left_out.append(f"{curve.task}: {error}")
    if not judged:
        raise errors[0]
    return JudgedTasks(tuple(judged), tuple(left_out))
