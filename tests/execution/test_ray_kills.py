"""`kill -9` at random moments under Ray, of a node or of the command: a rerun gives the same bytes, nothing is done twice."""

import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from killing import Command, kill, wait_for
from ray_nodes import WITHOUT_TOKEN, Cluster, running_cluster

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
KILLS = 20
WORDS = ["ablate", "--task", "negation_qa", "--items", "24", "--device", "cpu", "--figures", "none"]
MODELS = [f"--models=ladder/{size}/seed{seed}" for size in ("2x1", "8x1") for seed in range(780, 784)]


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


def computing(raylets: Sequence[psutil.Process] = ()) -> list[psutil.Process]:
    """The processes of Ray that compute a unit, or those of some nodes."""
    found = [
        each for each in psutil.process_iter(["cmdline"]) if "compute_remotely" in " ".join(each.info["cmdline"] or [])
    ]
    nodes = [raylet.pid for raylet in raylets]
    with suppress(psutil.NoSuchProcess):
        return [each for each in found if not nodes or each.ppid() in nodes]
    return []


def on(cluster: Cluster, folder: Path) -> Command:
    return Command(folder, *WORDS, *MODELS, "--ray", cluster.address, **WITHOUT_TOKEN)


def test_a_command_goes_on_when_a_node_is_killed(cluster: Cluster, expected: dict[str, str], tmp_path: Path) -> None:
    hit, chance = 0, random.Random(0)
    for number in range(KILLS):
        raylets = cluster.add_node()
        command = on(cluster, tmp_path / str(number))
        process = command.start()
        while process.poll() is None and not computing(raylets):
            time.sleep(0.05)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 8))
        known = command.inodes()
        for raylet in raylets:
            raylet.kill()
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        hit += "its Ray worker failed" in said
        assert command.cells() == expected
        assert command.inodes().items() >= known.items()
    assert hit >= KILLS // 3  # in the others, the node had nothing to do any more


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
        while computing():
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
