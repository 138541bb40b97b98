"""Computes the share of one task of a job array: `--shard 0/3` to `2/3` over a shared store."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from distractor.errors import TaskError
from distractor.execution.unit import Unit, units_of
from distractor.numbers import counted
from distractor.scoring.requests import Execute, PartDone, Request, missing
from distractor.scoring.store import Store

MOST = 10_000  # shards


@dataclass(frozen=True)
class Shard:
    """Shard `index`, from 0, of `count`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`, such as `0/3`. Raises TaskError for anything else."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None:
            raise TaskError(f"--shard is {text!r}; write number/count, such as 0/3")
        shard = cls(int(match[1]), int(match[2]))
        if not 1 <= shard.count <= MOST or shard.index >= shard.count:
            raise TaskError(
                f"--shard is {text!r}; the count is 1 to {MOST:,}, and numbers run from 0 to the count minus 1"
            )
        return shard

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def share(self, units: Sequence[Unit]) -> list[Unit]:
        """The units of this shard. They depend on the names and sizes of all models alone, not on what is stored."""
        ordered = sorted(units, key=lambda unit: (-unit.n_params, unit.source.name))
        return ordered[self.index :: self.count]


@dataclass(frozen=True)
class ShardExecutor:
    """Computes the share of `shard` with `execute`, and ends the command if other shards are not done."""

    shard: Shard
    execute: Execute
    is_partial: ClassVar[bool] = True

    def __call__(self, requests: Sequence[Request], store: Store) -> None:
        """Compute the share. Raises PartDone if results of other shards are missing."""
        units = self.shard.share(units_of(requests))
        own = [request for unit in units for request in unit.requests]
        self.execute(own, store)
        left = units_of(missing(requests, store))
        done = f"Shard {self.shard} is done: {counted(len(units), 'model')}."
        if left:
            raise PartDone(
                f"{done} Results of {counted(len(left), 'model')} of other shards are missing. When all shards are done, run "
                "them again for what depends on all results, or run the command without --shard."
            )
