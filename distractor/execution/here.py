"""Computes units in this process, one after the other, with the same retries as in others."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from distractor.execution.attempt import attempt
from distractor.execution.retries import Attempts
from distractor.execution.unit import Computable, grouped
from distractor.progress import record_counts
from distractor.scoring.lazy_model import keeping_encodings
from distractor.scoring.requests import Request, missing
from distractor.scoring.store import Store


@dataclass(frozen=True)
class Here:
    """Computes requests in this process. `say` prints a line for the user.

    `stop_at_first` gives up all units when one fails.
    """

    say: Callable[[str], None] = print
    stop_at_first: bool = False

    def __call__(self, requests: Sequence[Request], store: Store) -> None:
        """Compute requests. Raises `UnitsError`, after all other units."""
        self.run(grouped(missing(requests, store)), store)

    def run(self, units: Sequence[Computable], store: Store) -> dict[Computable, tuple[Any, ...]]:
        """Compute units, and give what they return. Raises `UnitsError`, after all of them."""
        waiting, values, attempts = deque(units), dict[Computable, tuple[Any, ...]](), Attempts(self.say)
        with keeping_encodings():
            while waiting and not (attempts.failed and self.stop_at_first):
                unit = waiting.popleft()
                outcome = attempt(unit, store)
                record_counts(outcome.counter)
                values[unit] = outcome.values
                if (again := attempts.again(unit, outcome.troubles)) is not None:
                    waiting.append(again)
        attempts.raise_failures(values)
        return values
