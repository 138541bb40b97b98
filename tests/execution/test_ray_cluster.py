"""A Ray cluster gives the bytes of one process, and brings results back without a shared disk."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Command
from misbehaving import FullDisk, Hungry, Killed, Wrong
from ray_nodes import WITHOUT_TOKEN, Cluster, running_cluster
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
STUDY = """
tasks = ["negation_qa", "quote_repetition", "hindsight_neglect", "redefine_math"]
formats = ["rank", {format = "rank", shots = 1}]
items = 300
options = {figures = "none"}
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


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
    full = FullDisk(sources()[1], CPU, tmp_path, times=1, name="full")
    wrong = Wrong(sources()[2], CPU, tmp_path)
    with pytest.raises(UnitsError, match="the weights hold NaN") as caught:
        RayCluster("local", lambda _: None)([hungry, killed, full, wrong], store)
    assert [type(request) for request, _ in caught.value.failed] == [Wrong]
    assert missing([hungry, killed, full, wrong], store) == [wrong]
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


@pytest.mark.slow
def test_a_study_is_faster_on_two_nodes_than_on_one_and_gives_the_same_bytes(cluster: Cluster, tmp_path: Path) -> None:
    seconds, studies = {}, {}
    on_ray = ["--ray", cluster.address]
    for name, words in {"here": ["--workers", "1"], "one": on_ray, "two": on_ray}.items():
        if name == "two":
            cluster.add_node()
        studies[name] = Command(tmp_path / name, "study", "study.toml", *words, **WITHOUT_TOKEN)
        studies[name].folder.mkdir()
        (studies[name].folder / "study.toml").write_text(STUDY)
        begun = time.monotonic()
        studies[name].run(900)
        seconds[name] = round(time.monotonic() - begun, 1)
    (tmp_path / "seconds.json").write_text(json.dumps(seconds))
    assert studies["here"].cells() == studies["one"].cells() == studies["two"].cells() != {}
    assert seconds["one"] / seconds["two"] >= 1.5, seconds
