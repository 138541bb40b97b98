"""Which units are tried again: a unit with a trouble that may not come again, at most twice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from distractor.errors import DistractorError
from distractor.execution.attempt import MEMORY, Trouble
from distractor.execution.unit import Computable

RETRIES = 2
BATCH_SIZES = (8, 1)  # prompts in a batch after memory was full once, and twice


class UnitsError(DistractorError):
    """Some requests could not be computed: `failed` holds each with its error. The message is that of the first.

    `values` are what the other units return.
    """

    def __init__(self, failed: list[tuple[Any, DistractorError]], values: Mapping[Computable, tuple[Any, ...]]) -> None:
        self.failed, self.values = failed, values
        texts = list(dict.fromkeys(str(error) for _, error in failed))
        super().__init__(texts[0] + f" ({len(texts) - 1} more failed)" * (len(texts) > 1))


@dataclass
class Attempts:
    """How often each unit was tried, and the requests that are given up."""

    say: Callable[[str], None]
    failed: list[tuple[Any, DistractorError]] = field(default_factory=list)
    _tried: dict[Computable, tuple[int, Computable]] = field(default_factory=dict)

    def again(self, unit: Computable, troubles: "tuple[Trouble, ...]") -> Computable | None:
        """Note the troubles of an attempt. Returns the unit as it is tried next; None if it is done or given up."""
        tried, first = self._tried.pop(unit, (0, unit))
        passing = [trouble for trouble in troubles if trouble.kind]
        if passing and tried < RETRIES:
            following = unit.with_smaller_batches(BATCH_SIZES[tried]) if passing[0].kind == MEMORY else unit
            self._tried[following] = tried + 1, first
            self.say(f"{passing[0].error}. Trying again ({tried + 1} of {RETRIES}).")
            return following
        self.failed += [(first.requests[trouble.request], trouble.error) for trouble in troubles]
        if passing:  # those after it were not computed
            self.failed += [(request, passing[0].error) for request in first.requests[passing[0].request + 1 :]]
        return None

    def raise_failures(self, values: Mapping[Computable, tuple[Any, ...]]) -> None:
        """Raise what went wrong, if anything did. `values` are what the other units return."""
        if self.failed:
            raise UnitsError(self.failed, values)
