"""The built-in tasks by name."""

from collections.abc import Callable

from distractor.text.task import Task

from . import hindsight_neglect, negation_qa, quote_repetition, redefine_math

__all__ = ["TASKS"]

TASKS: dict[str, Callable[..., Task]] = {
    "negation_qa": negation_qa.negation_qa,
    "hindsight_neglect": hindsight_neglect.hindsight_neglect,
    "quote_repetition": quote_repetition.quote_repetition,
    "redefine_math": redefine_math.redefine_math,
}
"""{name: function that makes the task}: `TASKS["negation_qa"](seed=0)`."""
