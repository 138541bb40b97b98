"""Commands that are killed at random moments."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from test_workers import cells

from distractor.scoring.store import Store

OUTPUT = ("results.parquet", "summary.json", "report.html")


class Command:
    """A command with its results in `folder`; `variables` are of its environment."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        self.folder, self.store = folder, Store(folder / "cells")
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **variables}
        self.words = [sys.executable, "-m", "distractor", *words, "--store", "cells", "--out", "out"]

    def start(self) -> "subprocess.Popen[str]":
        self.folder.mkdir(exist_ok=True)
        quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
        return subprocess.Popen(self.words, cwd=self.folder, env=self.environment, text=True, stdout=quiet, stderr=pipe)

    def run(self, most: float = 300) -> str:
        """Run it to its end, and give what it says. It takes at most this number of seconds."""
        process = self.start()
        _, said = process.communicate(timeout=most)
        assert process.returncode == 0, said
        return said

    def cells(self) -> dict[str, str]:
        return cells(self.store)

    def inodes(self) -> dict[str, int]:
        """A file that is written again gets another inode."""
        return {name: (self.store.folder / name).stat().st_ino for name in self.cells()}

    def output(self) -> dict[str, bytes]:
        return {name: (self.folder / "out" / name).read_bytes() for name in OUTPUT}


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kill a command, and see all that it started end."""
    started = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive


def wait_for(command: Command, process: "subprocess.Popen[str]", chance: random.Random, most: int) -> None:
    """Wait until a random number of results is stored, and a moment longer; or until the process has ended."""
    known = len(command.cells())
    wanted = chance.randint(known, most)
    while process.poll() is None and len(command.cells()) < wanted:
        time.sleep(0.01)
    with suppress(subprocess.TimeoutExpired):
        process.wait(chance.uniform(0, 0.2 if wanted > known else 5))
