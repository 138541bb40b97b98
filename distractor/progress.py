"""What a command did, to be told at its end: what went through models, and what was on disk already."""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Work:
    """Forward passes and their tokens, seconds spent on them, results had from disk, and the passes that these had cost.

    `remarks` are sentences about how it was done; `known` are the results that were computed, or had, by their names.
    """

    passes: int = 0
    tokens: int = 0
    seconds: float = 0.0
    from_disk: int = 0
    saved: int = 0
    remarks: list[str] = field(default_factory=list)
    known: set[Hashable] = field(default_factory=set)

    @property
    def sentences(self) -> list[str]:
        """What was done, in words."""
        told = []
        if self.passes:
            told.append(
                f"{self.passes:,} forward passes, {self.tokens:,} tokens in {self.seconds:.1f} s: "
                f"{self.tokens / max(self.seconds, 1e-9):,.0f} tokens a second."
            )
        if self.from_disk:
            cost = f", which saved {self.saved:,} forward passes" if self.saved else ""
            told.append(f"{self.from_disk:,} {'results were' if self.from_disk > 1 else 'result was'} on disk{cost}.")
        return told + list(dict.fromkeys(self.remarks))


_current: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def counted() -> Iterator[Work]:
    """Count what is done within."""
    work = Work()
    token = _current.set(work)
    try:
        yield work
    finally:
        _current.reset(token)


@contextmanager
def computing() -> Iterator[Work]:
    """Take the time of what is computed within; what is yielded counts this alone."""
    here, outer = Work(), _current.get()
    token = _current.set(here)
    started = time.perf_counter()
    try:
        yield here
    finally:
        here.seconds = time.perf_counter() - started
        _current.reset(token)
        if outer is not None:
            outer.passes += here.passes
            outer.tokens += here.tokens
            outer.seconds += here.seconds
            outer.remarks += here.remarks


def passed(tokens: int) -> None:
    """A forward pass of so many tokens was made."""
    if work := _current.get():
        work.passes += 1
        work.tokens += tokens


def computed(result: Hashable) -> None:
    """A result was computed: where it is read again later, nothing is saved by that."""
    if work := _current.get():
        work.known.add(result)


def from_disk(passes: int, result: Hashable = None) -> None:
    """A result was had from disk, which had cost so many passes; one that has a name counts once, and not if it is new."""
    if (work := _current.get()) and (result is None or result not in work.known):
        work.known.add(result)
        work.from_disk += 1
        work.saved += passes


def remark(sentence: str) -> None:
    """Something about how it is done is to be told, once."""
    if work := _current.get():
        work.remarks.append(sentence)


Advance = Callable[[str], None]
"""Told after each cell, with the model's name."""
