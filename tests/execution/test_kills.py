"""`kill -9` at random moments, of a worker or of the command: nothing is lost, and a rerun gives the same bytes."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from killing import Command, kill, wait_for
from misbehaving import Slow
from test_workers import CPU, cells, sources

from distractor.execution.workers import Workers
from distractor.scoring.requests import missing
from distractor.scoring.store import Store
from distractor.scratch import PREFIX

WORDS = ["ablate", "--task", "negation_qa", "--items", "24", "--device", "cpu", "--figures", "none"]
MODELS = [f"--models=ladder/{size}/seed{seed}" for size in ("2x1", "8x1") for seed in (780, 781)]
KILLS = 20


RUN = """
from pathlib import Path
from test_kills import asked
from distractor.execution.workers import Workers
from distractor.scoring.store import Store
from distractor.scratch import PREFIX
Workers(2)(asked(Path()), Store(Path("cells")))
"""


def asked(notes: Path) -> list[Slow]:
    """Eight results of each of three models."""
    return [Slow(source, CPU, notes, name=str(number)) for source in sources() for number in range(8)]


def computed(notes: Path) -> Counter[str]:
    return Counter((notes / "log").read_text(encoding="utf-8").splitlines())


def test_killed_workers_are_replaced_and_what_they_finished_is_not_computed_again(tmp_path: Path) -> None:
    chance, said = random.Random(0), list[str]()

    def kill_some() -> None:
        for _ in range(3):
            time.sleep(chance.uniform(0.1, 0.5))
            while not (found := workers_that_run(os.getpid())):
                time.sleep(0.01)
            with suppress(psutil.NoSuchProcess):
                chance.choice(found).kill()

    killing = threading.Thread(target=kill_some)
    killing.start()
    Workers(2, said.append)(asked(tmp_path), Store(tmp_path / "cells"))
    killing.join()
    assert not missing(asked(tmp_path), Store(tmp_path / "cells"))
    assert 1 <= len(said) <= 3
    assert len(computed(tmp_path)) == 24
    assert sum(computed(tmp_path).values()) <= 24 + len(said)  # a result may be lost while it is written


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, with a short path, because sockets in it must have one."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_workers_end_with_a_killed_process_and_the_next_one_goes_on_where_it_was(
    tmp_path: Path, temporary: Path
) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary)}
    store, chance = Store(tmp_path / "cells"), random.Random(1)
    for wanted in (chance.randrange(1, 20), 25):
        process = subprocess.Popen([sys.executable, "-c", RUN], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
        while process.poll() is None and len(cells(store)) < wanted:
            time.sleep(0.01)
        if process.poll() is None:
            kill(process)
        for left in temporary.glob(f"{PREFIX}*"):
            os.utime(left, (0, 0))
    _, said = process.communicate()
    assert not said
    assert not [*temporary.glob("pymp*"), *temporary.glob(f"{PREFIX}*")], "the second process deletes what is left"
    assert (process.returncode, len(cells(store))) == (0, 24), said
    assert sum(computed(tmp_path).values()) <= 24 + 2  # one of each worker may be lost while it is written


def workers_that_run(command: int) -> list[psutil.Process]:
    """The workers of a command: what its server has started."""
    with suppress(psutil.NoSuchProcess):
        servers = psutil.Process(command).children()
        return [worker for server in servers for worker in server.children()]
    return []


def workers_of(folder: Path) -> Command:
    return Command(folder, *WORDS, *MODELS, "--workers", "2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command with workers, never killed."""
    folder = tmp_path_factory.mktemp("kills")
    alone, whole = Command(folder / "alone", *WORDS, *MODELS, "--workers", "1"), workers_of(folder / "whole")
    alone.run()
    whole.run()
    assert whole.cells() == alone.cells() != {}
    assert whole.output()["results.parquet"] == alone.output()["results.parquet"]
    return whole


def finish(command: Command, expected: Command) -> None:
    """Run a killed command again: it computes nothing that was finished, and gives the same bytes."""
    known = command.inodes()
    said = command.run()
    assert command.cells() == expected.cells()
    assert command.inodes().items() >= known.items()
    assert command.output() == expected.output()
    assert not known or f"Read {len(known)} result" in said
    assert ("forward passes on" in said) == (len(known) < len(expected.cells()))


@pytest.mark.slow
def test_a_command_goes_on_when_a_worker_is_killed(whole: Command, tmp_path: Path) -> None:
    hit = 0
    for number in range(KILLS):
        chance = random.Random(number)
        command = workers_of(tmp_path / str(number))
        process = command.start()
        while not workers_that_run(process.pid) and process.poll() is None:
            time.sleep(0.01)
        wait_for(command, process, chance, len(whole.cells()))
        known = command.inodes()
        with suppress(psutil.NoSuchProcess, IndexError):  # it has just ended
            chance.choice(workers_that_run(process.pid)).kill()
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        hit += "SIGKILL" in said
        assert command.cells() == whole.cells()
        assert command.output() == whole.output()
        assert command.inodes().items() >= known.items()
    assert hit >= KILLS // 2  # in the others, the worker was free


@pytest.mark.slow
def test_a_killed_command_leaves_no_process_and_its_rerun_computes_only_what_is_missing(
    whole: Command, tmp_path: Path
) -> None:
    killed = 0
    for number in range(KILLS):
        command = workers_of(tmp_path / str(number // 3))
        known = command.inodes()
        process = command.start()
        wait_for(command, process, random.Random(number), len(whole.cells()))
        is_late = process.poll() is not None
        killed += not is_late
        process.communicate() if is_late else kill(process)
        assert command.cells().items() <= whole.cells().items()
        assert command.inodes().items() >= known.items()
        if number % 3 == 2 or number == KILLS - 1:
            finish(command, whole)
    assert killed >= KILLS // 2
