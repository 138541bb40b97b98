"""Requests that go wrong: workers import this file to compute them."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from distractor.errors import ModelError
from distractor.models.source import Source
from distractor.scoring.settings import Settings
from distractor.scoring.store import Cell, Store


def key_of(name: str) -> dict[str, str]:
    return {"made_by": "tests", "name": name}


@dataclass(frozen=True)
class Fine:
    """Computes one cell and notes each time that it does."""

    source: Source
    settings: Settings
    notes: Path
    name: str = "fine"

    def compute(self, store: Store) -> Cell:
        return store.get_or_compute(key_of(f"{self.source.name} {self.name}"), lambda: None, self._cell)

    def _cell(self) -> Cell:
        self.goes_wrong()
        self.note(f"computed {self.source.name} {self.name}")
        return Cell(pa.table({"value": [1.0]}), {"n_params": 1})

    def note(self, text: str) -> int:
        """Append a line, and give the number of such lines."""
        with (self.notes / "log").open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        return (self.notes / "log").read_text(encoding="utf-8").splitlines().count(text)

    def goes_wrong(self) -> None:
        """Nothing does."""


@dataclass(frozen=True)
class Slow(Fine):
    """Takes a while."""

    def goes_wrong(self) -> None:
        time.sleep(0.1)


@dataclass(frozen=True)
class Killed(Fine):
    """Its process is killed `times` times."""

    times: int = 1

    def goes_wrong(self) -> None:
        if self.note(f"killed {self.source.name}") <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Hungry(Fine):
    """Memory is full unless batches are small."""

    most: int = 8

    def goes_wrong(self) -> None:
        self.note(f"batches of {self.settings.batch_size}")
        if self.settings.batch_size is None or self.settings.batch_size > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")


@dataclass(frozen=True)
class FullDisk(Fine):
    """The disk is full `times` times."""

    times: int = 1

    def goes_wrong(self) -> None:
        if self.note(f"disk {self.source.name}") <= self.times:
            raise OSError(28, "No space left on device")


@dataclass(frozen=True)
class Wrong(Fine):
    """Never works."""

    def goes_wrong(self) -> None:
        raise ModelError(f"{self.source.name}: the weights hold NaN")
