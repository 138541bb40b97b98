"""A Ray cluster gives the bytes of one process, and brings results back without a shared disk."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from misbehaving import Hungry, Killed, Wrong
from test_workers import CPU, cells, sources

from distractor.errors import ModelError, TaskError
from distractor.execution.ray_cluster import RayCluster, at_hand
from distractor.execution.retries import UnitsError
from distractor.models.source import Source
from distractor.progress import count_run
from distractor.scoring.requests import executing, missing
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from tasks.find import find_task

ray = pytest.importorskip("ray")
TASK = find_task("negation_qa", None, 8)
WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled"}  # a token would have to be set up on each node


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray on this machine, ended with the test."""
    for name, value in WITHOUT_TOKEN.items():
        monkeypatch.setenv(name, value)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    monkeypatch.setenv("PYTHONPATH", path)
    yield
    ray.shutdown()


def test_a_cluster_gives_the_bytes_of_one_process(tmp_path: Path, local: None) -> None:
    alone, remote = Store(tmp_path / "alone"), Store(tmp_path / "remote")
    expected = sweep(TASK, sources()[:2], alone, CPU)
    with executing(RayCluster("local")), count_run() as counted:
        found = sweep(TASK, sources()[:2], remote, CPU)
    assert cells(remote) == cells(alone) != {}
    assert [one.log_probs.tobytes() for one in found] == [one.log_probs.tobytes() for one in expected]
    assert counted.forward_passes > 0
    assert counted.cache_hits == 0


@pytest.mark.slow
def test_what_may_pass_is_tried_again_on_a_cluster(tmp_path: Path, local: None) -> None:
    store = Store(tmp_path / "cells")
    hungry = Hungry(sources()[0], CPU, tmp_path)
    killed = Killed(sources()[1], CPU, tmp_path, times=2)
    wrong = Wrong(sources()[2], CPU, tmp_path)
    with pytest.raises(UnitsError, match="the weights hold NaN") as caught:
        RayCluster("local", lambda _: None)([hungry, killed, wrong], store)
    assert [type(request) for request, _ in caught.value.failed] == [Wrong]
    assert missing([hungry, killed, wrong], store) == [wrong]
    assert "batches of 8" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("nowhere", TaskError, "write local, or the host:port of a head"),
        ("127.0.0.1:9", ModelError, "no Ray head answers at 127.0.0.1:9"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_message(
    address: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with executing(RayCluster(address)), pytest.raises(error, match=message):
        sweep(TASK, sources(), Store(tmp_path), CPU)


def test_a_model_that_is_not_on_the_node_or_differs_there_is_refused(tmp_path: Path) -> None:
    source = sources()[0]
    assert at_hand(source, source.fingerprint()) == source
    with pytest.raises(ModelError, match="another model"):
        at_hand(source, "0" * 64)
    moved = Source(source.family, source.model, tmp_path / "gone", seed=source.seed, n_params=source.n_params)
    assert at_hand(moved, source.fingerprint()).folder == source.folder
    with pytest.raises(ModelError, match="put its folder"):
        at_hand(Source("models", str(tmp_path / "own"), tmp_path / "own"), "")


def start(*words: str) -> None:
    """Start a Ray node in the background, on loopback."""
    environment = {**os.environ, **WITHOUT_TOKEN, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, "--disable-usage-stats", "--num-gpus", "0"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


class Cluster:
    """A head with one CPU, and further nodes, on loopback; `end` kills all their processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        head = ("--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={folder}")
        start(*head, "--node-ip-address=127.0.0.1", "--num-cpus=1")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def add_node(self) -> list[psutil.Process]:
        """Add a node with one CPU, and give its processes."""
        known = {process.pid for process in psutil.process_iter()}
        start(f"--address={self.address}", "--node-ip-address=127.0.0.1", "--num-cpus=1")
        return [process for process in psutil.process_iter() if process.pid not in known and "raylet" in process.name()]

    def end(self) -> None:
        """Kill the processes whose command names the folder; those that they started end with them."""
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in process.info["cmdline"] or []):
                with suppress(psutil.Error):
                    process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head on loopback. Its folder has a short path, because sockets in it must have one."""
    for name, value in WITHOUT_TOKEN.items():
        monkeypatch.setenv(name, value)
    made = Cluster(Path(tempfile.mkdtemp(prefix="ray")))
    yield made
    made.end()


def study(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start the study of two tasks in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "study.toml").write_text(
        'tasks = ["negation_qa", "quote_repetition"]\nitems = 120\n[options]\nfigures = "none"\n'
    )
    environment = {**os.environ, **WITHOUT_TOKEN, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "distractor", "study", "study.toml", *words]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_a_study_runs_on_two_nodes_and_survives_the_death_of_one(cluster: Cluster, tmp_path: Path) -> None:
    whole = study(tmp_path / "whole", "--workers", "1")
    assert whole.wait(900) == 0, whole.stderr
    expected = cells(Store(tmp_path / "whole" / "runs" / ".cells"))
    begun = time.monotonic()
    one = study(tmp_path / "one", "--ray", cluster.address)
    assert one.wait(900) == 0
    with_one = time.monotonic() - begun
    cluster.add_node()
    begun = time.monotonic()
    two = study(tmp_path / "two", "--ray", cluster.address)
    assert two.wait(900) == 0
    with_two = time.monotonic() - begun
    raylets = cluster.add_node()
    killed = study(tmp_path / "killed", "--ray", cluster.address)
    folder = tmp_path / "killed" / "runs" / ".cells"
    while len(cells(Store(folder))) < len(expected) // 5:
        time.sleep(0.2)
    for process in raylets:
        os.kill(process.pid, signal.SIGKILL)
    assert killed.wait(900) == 0
    for name in ("one", "two", "killed"):
        assert cells(Store(tmp_path / name / "runs" / ".cells")) == expected
    assert with_one / with_two > 1.5
