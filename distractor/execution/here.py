"""Computes units in this process, one after the other, with the same retries as in others."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distractor.execution.attempt import attempt
from distractor.execution.retries import Attempts
from distractor.execution.unit import Computable, units_of
from distractor.progress import record_counts
from distractor.scoring.lazy_model import keeping_encodings
from distractor.scoring.requests import Request, missing
from distractor.scoring.store import Store
from distractor.work import Work, present_work


@dataclass(frozen=True)
class Here:
    """Computes requests in this process. `say` prints a line for the user."""

    say: Callable[[str], None] = print

    def __call__(self, requests: Sequence[Request], store: Store) -> None:
        """Compute requests. Raises `UnitsError`, after all other units."""
        self.run(units_of(missing(requests, store)), store)

    def run(self, units: Sequence[Computable], store: Store) -> dict[Computable, tuple[Any, ...]]:
        """Compute units, and give what they return. Raises `UnitsError`, after all of them."""
        waiting, values, attempts = deque(units), dict[Computable, tuple[Any, ...]](), Attempts(self.say)
        work = present_work() or Work(())
        with keeping_encodings():
            while waiting:
                unit = waiting.popleft()
                steps = [step for step in work.left if step.model in (unit.name, "")]
                outcome = attempt(unit, store, steps, lambda message: getattr(work, message[0])(*message[1:]))
                record_counts(outcome.counter)
                values[unit] = outcome.values
                if (again := attempts.again(unit, outcome.troubles)) is not None:
                    waiting.append(again)
        attempts.raise_failures(values)
        return values
