"""Carries out a study in rounds: every command goes as far as its results are known, then what they need is computed.

So a model that several commands need is loaded once a round, and commands finish side by side.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from distractor.errors import DistractorError, StoreError
from distractor.execution.here import Here
from distractor.execution.retries import UnitsError
from distractor.scoring.requests import Execute, PartDone, Request, executing, missing
from distractor.scoring.store import Store
from distractor.study.study_file import StudyRun
from distractor.work import Step, Work, present_work

MEMORY = 700_000_000  # bytes of a process that draws figures


@dataclass(frozen=True)
class Needed:
    """What a command needs before it can go on: requests, and all steps of the command that are not done."""

    requests: tuple[Request, ...]
    steps: tuple[Step, ...]


class _Collector:
    """Ends a command that needs results that the store lacks, and keeps what it needs.

    If `is_partial`, a command also ends when it has all results, and writes nothing.
    """

    def __init__(self, *, is_partial: bool) -> None:
        self.needed: Needed | None = None
        self.is_partial = is_partial

    def __call__(self, requests: Sequence[Request], store: Store) -> None:
        if left := missing(requests, store):
            asked = requests if self.is_partial else left  # shards are dealt over all requests
            self.needed = Needed(tuple(asked), tuple((present_work() or Work(())).left))
            raise PartDone("")


@dataclass(frozen=True)
class Advance:
    """Runs a command as far as its results are stored: to its end, or until it needs others. `start` runs its words."""

    words: tuple[str, ...]
    start: Callable[[Sequence[str]], None]
    writes: bool = True

    def compute(self, store: Store) -> Needed | None:
        """What the command needs; None if it has finished. Raises DistractorError as the command does."""
        collector = _Collector(is_partial=not self.writes)
        try:
            with executing(collector):
                self.start(self.words)
        except PartDone:
            return collector.needed
        return None


@dataclass(frozen=True, eq=False)
class AdvanceUnit:
    """An `Advance` as a unit of work."""

    name: str
    requests: tuple[Advance, ...]
    threads: ClassVar[int] = 1
    memory: ClassVar[int] = MEMORY
    returns: ClassVar[bool] = True

    def with_smaller_batches(self, batch_size: int) -> "AdvanceUnit":
        """The same: it runs no model."""
        return self


@runtime_checkable
class Executor(Execute, Protocol):
    """Computes requests and other units, as `Workers` does."""

    def run(self, units: Sequence[Any], store: Store) -> dict[Any, tuple[Any, ...]]:
        """Compute units, and give what they return. Raises `UnitsError`, after all of them."""


@dataclass
class Progress:
    """What a study has done: the runs that finished, and why others failed."""

    finished: list[StudyRun] = field(default_factory=list)
    failed: dict[StudyRun, DistractorError] = field(default_factory=dict)


def advance(
    runs: Sequence[StudyRun],
    start: Callable[[Sequence[str]], None],
    here: Executor,
    store: Store,
    progress: Progress,
    *,
    writes: bool = True,
) -> dict[StudyRun, Needed]:
    """Run commands as far as their results are stored; give what the unfinished ones need.

    Unless it `writes`, a command ends when all its results are stored.
    """
    units = {run: AdvanceUnit(run.name, (Advance(run.words, start, writes),)) for run in runs}
    errors: dict[int, DistractorError] = {}
    values: Mapping[Any, tuple[Any, ...]]
    try:
        values = here.run(list(units.values()), store)
    except UnitsError as error:
        values, errors = error.values, {id(request): each for request, each in error.failed}
    needed: dict[StudyRun, Needed] = {}
    for run, unit in units.items():
        if (reason := errors.get(id(unit.requests[0]))) is not None:
            progress.failed[run] = reason
        elif (wants := values[unit][0]) is None:
            progress.finished.append(run)
        else:
            needed[run] = wants
    return needed


def carry_out(
    runs: Sequence[StudyRun],
    start: Callable[[Sequence[str]], None],
    here: Executor,
    execute: Execute,
    store: Store,
    following: Callable[[Sequence[Step]], AbstractContextManager[object]],
) -> Progress:
    """Carry out the runs of a study. `here` runs commands, `execute` computes what they need.

    `following` shows the progress of steps in its block.

    Raises:
        PartDone: `execute` computes a part only.
    """
    progress, last = Progress(), dict[StudyRun, Needed]()
    writes = not getattr(execute, "is_partial", False)
    needed = advance(runs, start, Here(), store, progress, writes=False)  # quick, while processes start
    if writes and progress.finished:
        complete, progress.finished = progress.finished, []
        needed |= advance(complete, start, here, store, progress)
    while needed:
        for run in [run for run, wants in needed.items() if run in last and _same(wants, last[run])]:
            progress.failed[run] = StoreError(
                f"{run.name}: results that were computed are not found in {store.folder}; check that folder"
            )
            del needed[run]
        with following([step for wants in needed.values() for step in wants.steps]):
            try:
                execute([request for wants in needed.values() for request in wants.requests], store)
            except UnitsError as error:
                errors = {id(request): each for request, each in error.failed}
                for run, wants in list(needed.items()):
                    if reasons := [errors[id(request)] for request in wants.requests if id(request) in errors]:
                        progress.failed[run] = reasons[0]
                        del needed[run]
        last = needed
        needed = advance(list(needed), start, here, store, progress, writes=writes)
    return progress


def _same(wants: Needed, before: Needed) -> bool:
    """Whether a command needs the same as before."""
    kinds = [[(type(request), request.source) for request in each.requests] for each in (wants, before)]
    return kinds[0] == kinds[1] and len(wants.steps) >= len(before.steps)
