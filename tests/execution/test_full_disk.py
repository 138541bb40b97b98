"""A disk that is full: one message, nothing half-written, and the command goes on when there is space again."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can mount a small disk"),
]
WORDS = ["--task", "negation_qa", "--items", "24", "--device", "cpu", "--figures", "none"]
MODELS = [f"--models=ladder/{size}/seed{seed}" for size in ("2x1", "8x1") for seed in (780, 781)]
RAY = {"RAY_AUTH_MODE": "disabled"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with space for a few results."""
    folder = tmp_path / "small"
    (folder / "cells").mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder / "cells")]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("a disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder / "cells")], check=True)


@pytest.mark.parametrize("words", [["--workers", "1"], ["--workers", "2"], ["--ray", "local"]], ids=" ".join)
def test_a_full_disk_is_one_message_and_the_rerun_computes_the_rest(
    words: list[str], disk: Path, tmp_path: Path
) -> None:
    if "--ray" in words:
        pytest.importorskip("ray")
    whole = Command(tmp_path / "whole", "ablate", *WORDS, *MODELS)
    whole.run()
    full = Command(disk, "ablate", *WORDS, *MODELS, *words, **RAY)
    process = full.start()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert said.count("Error: ") == 1
    assert "No space left on device" in said.rpartition("Error: ")[2]
    assert full.cells().items() < whole.cells().items()
    assert full.cells()
    assert not [*disk.rglob("*.part")]
    known = full.inodes()
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk / "cells")], check=True)
    full.run()
    assert full.cells() == whole.cells()
    assert full.inodes().items() >= known.items()
