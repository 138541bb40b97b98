"""Requests for the results of one model. An executor may compute them in other processes before they are read.

Results in the store are the only thing that an executor returns, so a command gives the same numbers with any of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

from distractor.errors import DistractorError, StoreError
from distractor.models.source import Source
from distractor.progress import count_run
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store, is_only_stored, only_stored
from distractor.work import Work, follow


@runtime_checkable
class Request(Protocol):
    """Results of one model that a command needs. It is a frozen dataclass that can be pickled."""

    @property
    def source(self) -> Source:
        """The model."""

    @property
    def settings(self) -> Settings:
        """How the model is run."""

    def compute(self, store: Store) -> object:
        """Compute what the store lacks, and keep it there. Raises DistractorError as the command does."""


@runtime_checkable
class Execute(Protocol):
    """Computes requests. If it returns, every result is in the store, or will be computed here when it is read."""

    def __call__(self, requests: Sequence[Request], store: Store) -> None:
        """Compute them. Raises PartDone if the command shall end because of what is missing."""


_execute: ContextVar[Execute | None] = ContextVar("execute", default=None)


@contextmanager
def executing(execute: Execute | None) -> Iterator[None]:
    """Let `execute` compute the requests of this block, unless an outer block has an executor.

    None: each result is computed here, when it is read.
    """
    token = _execute.set(_execute.get() or execute)
    try:
        yield
    finally:
        _execute.reset(token)


class PartDone(Exception):  # noqa: N818  # no error: a command ends here because its part is done
    """Raised by an executor that computes a part of what a command needs. The message says what is done."""


def compute_first(requests: Sequence[Request], store: Store) -> None:
    """Let the executor of this block compute what the store lacks. Without one, results are computed when they are read."""
    execute = _execute.get()
    if execute is not None and requests and not is_only_stored():
        execute(requests, store)


def end_of_computing() -> None:
    """Say that a command has all its results. Raises PartDone if the executor is there for a part of them only."""
    if getattr(_execute.get(), "is_partial", False):
        raise PartDone("Every result is stored. Run the command without --shard for its tables, figures and page.")


def missing(requests: Sequence[Request], store: Store) -> list[Request]:
    """The requests whose results are not all in the store."""
    return [request for request in requests if stored_files(request, store) is None]


def stored_files(request: Request, store: Store, *, partly: bool = False) -> list[str] | None:
    """The paths of a request's results. None if one is missing or damaged; if `partly`, those before the first such one.

    That a result cannot exist is stored, too.
    """
    with count_run() as counter, follow(Work(())), only_stored():
        try:
            request.compute(store)
        except StoreError:
            if not partly:
                return None
        except DistractorError:
            pass
    return [str(path) for path in counter.counted]
