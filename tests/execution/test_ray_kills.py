"""`kill -9` at random moments under Ray, of a node or of the command: a rerun gives the same bytes, nothing is done twice."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from killing import Command, kill, wait_for
from ray_nodes import WITHOUT_TOKEN, Cluster, running_cluster

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
KILLS = 20
WORDS = ["ablate", "--task", "negation_qa", "--items", "24", "--device", "cpu", "--figures", "none"]
MODELS = [f"--models=ladder/{size}/seed{seed}" for size in ("2x1", "8x1") for seed in (780, 781)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The results without Ray."""
    alone = Command(tmp_path_factory.mktemp("kills") / "alone", *WORDS, *MODELS, "--workers", "1")
    alone.run()
    return alone.cells()


def on(cluster: Cluster, folder: Path) -> Command:
    return Command(folder, *WORDS, *MODELS, "--ray", cluster.address, **WITHOUT_TOKEN)


def test_a_command_goes_on_when_a_node_is_killed(
    cluster: Cluster, expected: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hit = 0
    for number in range(KILLS):
        raylets = cluster.add_node()
        command = on(cluster, tmp_path / str(number))
        process = command.start()
        wait_for(command, process, random.Random(number), len(expected))
        known = command.inodes()
        for raylet in raylets:
            raylet.kill()
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        hit += "its Ray worker failed" in said
        assert command.cells() == expected
        assert command.inodes().items() >= known.items()
    assert hit >= KILLS // 4  # in the others, the node had nothing to do


def test_workers_end_with_a_killed_command_and_the_rerun_computes_only_what_is_missing(
    cluster: Cluster, expected: dict[str, str], tmp_path: Path
) -> None:
    cluster.add_node()
    killed = 0
    for number in range(KILLS):
        command = on(cluster, tmp_path / str(number // 4))
        known = command.inodes()
        process = command.start()
        wait_for(command, process, random.Random(number), len(expected))
        is_late = process.poll() is not None
        killed += not is_late
        process.communicate() if is_late else kill(process)
        ended = time.monotonic() + 30
        while [each for each in psutil.process_iter() if "compute_remotely" in each.name()]:
            assert time.monotonic() < ended, "a worker goes on after its command was killed"
            time.sleep(0.1)
        assert command.cells().items() <= expected.items()
        assert command.inodes().items() >= known.items()
        if number % 4 == 3:
            known = command.inodes()
            said = command.run()
            assert command.cells() == expected
            assert command.inodes().items() >= known.items()
            assert not known or f"Read {len(known)} result" in said
    assert killed >= KILLS // 2
