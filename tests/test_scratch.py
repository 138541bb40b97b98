"""Temporary folders go when their process is killed, and one process owns a folder."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from distractor.scratch import PREFIX, YOUNG, owning, scratch_folder

HOLD = """
import sys, time
from distractor.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def make_old(folder: Path) -> None:
    os.utime(folder, (time.time() - YOUNG - 9,) * 2)


def test_folders_of_killed_processes_are_deleted_and_those_of_running_ones_kept(place: Path) -> None:
    held: list[Path] = []
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, text=True, env=environment)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        held.append(Path(process.stdout.readline().strip()))
        (held[-1] / "cell").write_bytes(b"result")
        make_old(held[-1])
    killed, runs = processes
    killed.kill()
    killed.communicate()
    other = place / "distractor-results"
    other.mkdir()
    make_old(other)
    with scratch_folder() as folder:
        assert folder.is_dir()
        assert not held[0].exists()
        assert (held[1] / "cell").exists()
        assert other.exists()
    runs.communicate("")
    assert [path.name for path in place.iterdir()] == [other.name]


def test_a_new_folder_is_not_deleted_before_its_process_owns_it(place: Path) -> None:
    young = place / f"{PREFIX}young"
    young.mkdir()
    with scratch_folder():
        assert young.exists()
    make_old(young)
    with scratch_folder():
        assert not young.exists()


def test_one_process_owns_a_folder_until_its_block_ends(tmp_path: Path) -> None:
    with owning(tmp_path) as first:
        assert first
        with owning(tmp_path) as second:
            assert not second
    with owning(tmp_path) as third:
        assert third
    with owning(tmp_path / "not there") as unknown:
        assert unknown
