"""Counts the forward passes and cache hits of a command, which prints them when it ends."""

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from distractor.work import record_tokens


@dataclass
class RunCounter:
    """Forward passes, their tokens and seconds; cache hits; damaged results.

    `notes` are sentences for the user; `counted` holds the names of results that were computed or counted as a cache
    hit.
    """

    forward_passes: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cache_hits: int = 0
    damaged: int = 0
    notes: list[str] = field(default_factory=list)
    counted: set[Hashable] = field(default_factory=set)

    @property
    def sentences(self) -> list[str]:
        """The counts and notes as sentences for the user; each note appears once."""
        lines = []
        if self.forward_passes:
            rate = self.tokens / max(self.seconds, 1e-9)
            lines.append(
                f"Ran {self.forward_passes:,} forward passes on {self.tokens:,} tokens in {self.seconds:.1f} s "
                f"({rate:,.0f} tokens per second)."
            )
        if self.cache_hits:
            lines.append(f"Read {self.cache_hits:,} result{'s' * (self.cache_hits > 1)} from the cache.")
        if self.damaged:
            were = "results in the cache were" if self.damaged > 1 else "result in the cache was"
            lines.append(f"{self.damaged:,} {were} damaged and computed again.")
        return lines + list(dict.fromkeys(self.notes))


_current: ContextVar[RunCounter | None] = ContextVar("counter", default=None)


@contextmanager
def count_run() -> Iterator[RunCounter]:
    """Count everything that is recorded in this block."""
    counter = RunCounter()
    token = _current.set(counter)
    try:
        yield counter
    finally:
        _current.reset(token)


@contextmanager
def time_computation() -> Iterator[RunCounter]:
    """Time this block and count its forward passes alone, then add both to the counter of the run."""
    started = time.perf_counter()
    with count_run() as counter:
        yield counter
    counter.seconds = time.perf_counter() - started
    record_counts(counter)


def record_counts(other: RunCounter) -> None:
    """Add the counts of another block or process to those of the run."""
    if counter := _current.get():
        counter.cache_hits += other.cache_hits
        counter.forward_passes += other.forward_passes
        counter.tokens += other.tokens
        counter.seconds += other.seconds
        counter.damaged += other.damaged
        counter.notes += other.notes
        counter.counted |= other.counted


def record_forward_pass(tokens: int, share: float = 1.0) -> None:
    """Record one forward pass over this number of tokens, through a share of the model; a backward pass counts as two."""
    record_tokens(tokens * share)
    if counter := _current.get():
        counter.forward_passes += 1
        counter.tokens += tokens


def record_computed(result: Hashable) -> None:
    """Record that a result was computed in this run, so that reading it later is not a cache hit."""
    if counter := _current.get():
        counter.counted.add(result)


def record_cache_hit(result: Hashable) -> None:
    """Record a cache hit; a result counts once, and only if it is not new."""
    if (counter := _current.get()) and result not in counter.counted:
        counter.counted.add(result)
        counter.cache_hits += 1


def record_damaged() -> None:
    """Record that a result in the cache is damaged and is computed again."""
    if counter := _current.get():
        counter.damaged += 1


def record_note(sentence: str) -> None:
    """Record a sentence for the user about how results were computed."""
    if counter := _current.get():
        counter.notes.append(sentence)
