"""Ray nodes on loopback, which a test starts and ends."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

WITHOUT_TOKEN = {"RAY_AUTH_MODE": "disabled"}  # a token would have to be set up on each node


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
        """Kill the processes whose command names the folder, and all that they started."""
        found: set[psutil.Process] = set()
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in process.info["cmdline"] or []):
                with suppress(psutil.Error):
                    found |= {process, *process.children(recursive=True)}
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A head on loopback. Its folder has a short path, because sockets in it must have one."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="ray")))
    try:
        yield made
    finally:
        made.end()
