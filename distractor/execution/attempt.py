"""One attempt to compute a unit: it reports progress, and ends with counts or with what went wrong."""

import errno
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from distractor.errors import DistractorError, ModelError, StoreError
from distractor.execution.unit import Computable
from distractor.models.machine_memory import is_memory_full
from distractor.progress import RunCounter, count_run
from distractor.scoring.requests import missing
from distractor.scoring.settings import keeping_model
from distractor.scoring.store import Store
from distractor.work import Event, Step, Work, follow

EVERY = 0.5  # the least seconds between two reports of a result's share

Report = Callable[[tuple[Any, ...]], None]
"""Sends ("at", model, what, share) or ("did", model, what, seconds), the arguments of the methods of `Work`."""

LOST, MEMORY, DISK = "lost", "memory", "disk"
"""Troubles that may not come again: the process is gone, memory or the disk was full."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)


@dataclass(frozen=True)
class Trouble:
    """Why a request was not computed. `kind` says whether it may be computed at the next attempt; empty: it never will.

    `error` is what a command raises, and `request` the index of the request in its unit.
    """

    kind: str
    error: DistractorError
    request: int = 0


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. After a trouble that may not come again, the unit has not gone on.

    `values` are what its requests returned, if the unit `returns` them.
    """

    counter: RunCounter
    troubles: tuple[Trouble, ...] = ()
    values: tuple[Any, ...] = ()


def attempt(unit: Computable, store: Store, steps: Sequence[Step] = (), report: Report | None = None) -> Outcome:
    """Compute what a unit's requests lack in the store. A request that fails for good does not end the others.

    With `report`, this process works for another one: `steps` are those of the model, for progress.
    """
    troubles, values = list[Trouble](), list[Any]()
    following = nullcontext() if report is None else follow(_Reporter(steps, report))
    with count_run() as counter, following, keeping_model():
        for index, request in enumerate(unit.requests):
            try:
                value = request.compute(store)
                values += [value] * unit.returns
            except (DistractorError, MemoryError, RuntimeError, OSError) as error:
                if isinstance(error, DistractorError) and not unit.returns and not missing([request], store):
                    continue  # the store says why this result cannot exist, and reading it raises the error
                troubles.append(_trouble(unit.name, error, index))
                if troubles[-1].kind:
                    break
    return Outcome(counter, tuple(troubles), tuple(values))


def _trouble(name: str, error: Exception, index: int) -> Trouble:
    text = str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, DistractorError):
        cause = error.__cause__
        is_disk = isinstance(error, StoreError) and isinstance(cause, OSError) and cause.errno in DISK_ERRORS
        error.__cause__ = None  # it may not travel to another process
        return Trouble(DISK if is_disk else "", error, index)
    if is_memory_full(error):
        advice = "use a smaller --batch-size, another --dtype, or a larger machine"
        return Trouble(MEMORY, ModelError(f"{name}: {text}; {advice}"), index)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return disk_trouble(name, error, index)
    raise error


def disk_trouble(name: str, error: OSError, index: int = 0) -> Trouble:
    """What an error of a disk means for the unit of this name."""
    where = f"{error.filename}: " if error.filename else ""
    text = f"{name}: {where}{error.strerror or error}; check the disks of results, of temporary files and of models"
    return Trouble(DISK if error.errno in DISK_ERRORS else "", StoreError(text), index)


class _Reporter(Work):
    """Reports each result that is computed in this process."""

    def __init__(self, steps: Sequence[Step], report: Report) -> None:
        super().__init__(steps, self._tell)
        self._report, self._last = report, 0.0

    def _tell(self, work: Work, event: Event) -> None:
        now = time.monotonic()
        if event == "progress" and now - self._last >= EVERY:
            self._last = now
            self._report(("at", self.model, self.what, self.share))

    def end(self, *, is_done: bool = True) -> None:
        """The present result is done, or it cannot be computed."""
        if is_done and self._running is not None:
            self._report(("did", self.model, self.what, self.clock() - self._running))
        super().end(is_done=is_done)
