"""The shelf of tasks: what can be asked, by name."""

from collections.abc import Callable

from distractor.task import Task

from . import negation_qa

__all__ = ["TASKS"]

TASKS: dict[str, Callable[[], Task]] = {"negation_qa": negation_qa.negation_qa}
