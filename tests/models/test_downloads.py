"""`--delete-downloads`: weights are downloaded when a model is loaded, deleted when its results are stored, and not again."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiny
from distractor.errors import ModelError
from distractor.models import downloads
from distractor.models.downloads import Weights, fetch
from fake_hub import Hub, serving

CHILD = """
import json, sys
from small_ladder import type_in
for words in json.loads(sys.argv[1]):
    print(type_in(words), flush=True)
"""
TASK = "import tiny\nTASK = tiny.task()\n"
STEPS = ("step1", "step2", "step3")


@dataclass
class Place:
    """A working folder with a hub and a cache."""

    folder: Path
    hub: Hub

    @property
    def cache(self) -> Path:
        return self.folder / "hf" / "hub"

    @property
    def env(self) -> dict[str, str]:
        tests = Path(tiny.__file__).parent
        return {
            **os.environ,
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": self.hub.address,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)]),
        }

    def start(self, *commands: Sequence[str], **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps(commands)],
            cwd=self.folder, env=self.env | env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *commands: Sequence[str], **env: str) -> None:
        output, _ = self.start(*commands, **env).communicate()
        statuses = [line for line in output.splitlines() if line in {"0", "1", "2"}]
        assert statuses == ["0"] * len(commands), output

    def ablate(self, *more: str, steps: Sequence[str] = STEPS, out: str = "out") -> list[str]:
        models = [word for step in steps for word in ("--models", f"owner/tiny@{step}")]
        return ["ablate", "--task", "task.py:TASK", *models, "--no-knockout", "--out", out, *more]

    def weights(self) -> set[str]:
        """The revisions whose weights are in the cache."""
        commits = {self.hub.commit("owner/tiny", step): step for step in STEPS}
        return {commits[path.parent.name] for path in self.cache.glob("*/snapshots/*/*.safetensors")}

    def blobs(self) -> int:
        """The bytes of weights in the cache."""
        digests = {hashlib.sha256(_weights(folder).read_bytes()).hexdigest() for folder in self.hub.revisions.values()}
        return sum(path.stat().st_size for path in self.cache.glob("*/blobs/*") if path.name[:64] in digests)

    def cells(self, store: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / store).rglob("*.parquet")}


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    folders = {}
    for seed, step in enumerate(STEPS):
        folders["owner/tiny", step] = tmp_path / "models" / step
        tiny.save(folders["owner/tiny", step], tiny.ARCHITECTURES["llama"], tiny.byte_level(), seed=seed)
    (tmp_path / "task.py").write_text(TASK)
    with serving(Hub(folders)) as hub:
        yield Place(tmp_path, hub)


def test_a_checkpoint_is_on_disk_only_while_its_results_are_computed(place: Place) -> None:
    most: list[int] = []
    place.hub.before = lambda commit: most.append(place.blobs())
    deleting = place.ablate("--delete-downloads", "--store", "cells")
    place.run(deleting)
    assert len(place.hub.downloads) == len(STEPS)
    assert most == [0, 0, 0], "other weights were on disk"
    assert place.blobs() == 0
    assert place.weights() == set()
    assert not list((place.folder / "cells" / "downloads").glob("*.note"))

    # A run without the option gives the same bytes, and its downloads stay.
    place.run(place.ablate("--store", "others", out="other"))
    assert place.weights() == set(STEPS)
    assert place.cells("cells") == place.cells("others")


def test_stored_results_need_no_download_and_no_network(place: Place) -> None:
    deleting = place.ablate("--delete-downloads", "--store", "cells")
    place.run(deleting)
    place.run(
        deleting,
        place.ablate("--delete-downloads", "--store", "cells", "--offline", out="again"),
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    summaries = [json.loads((place.folder / out / "summary.json").read_text()) for out in ("out", "again")]
    assert summaries[0]["models"] == summaries[1]["models"]
    assert len(place.hub.downloads) == len(STEPS)


def test_only_what_the_command_downloaded_is_deleted(place: Place) -> None:
    _weights(place.hub.revisions["owner/tiny", "step2"]).write_bytes(
        _weights(place.hub.revisions["owner/tiny", "step1"]).read_bytes()
    )
    (place.hub.revisions["owner/tiny", "step2"] / "note.json").write_text("{}")  # another model, with the same weights
    place.run(
        place.ablate("--store", "first", steps=["step1"], out="first"),
        place.ablate("--delete-downloads", "--store", "cells"),
    )
    assert place.weights() == {"step1"}
    assert place.blobs() == _weights(place.hub.revisions["owner/tiny", "step1"]).stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("command", ["workers", "study", "knockout"])
def test_every_way_to_compute_deletes(place: Place, command: str) -> None:
    (place.folder / "study.toml").write_text(
        'tasks = ["task.py:TASK"]\nmodels = ["owner/tiny@step1", "owner/tiny@step2"]\n'
        'commands = ["ablate", "attribute"]\n[options]\ndelete-downloads = true\n[attribute]\nprobe = ["logit_lens"]\n'
    )
    words = {
        "workers": place.ablate("--delete-downloads", "--workers", "2"),
        "study": ["study", "study.toml", "--workers", "2"],
        "knockout": [word for word in place.ablate("--delete-downloads") if word != "--no-knockout"],
    }[command]
    place.run(words)
    assert place.hub.downloads
    assert place.weights() == set()
    assert place.blobs() == 0
    assert not list((place.folder / "runs/.cells/downloads").glob("*.note"))


def test_the_next_command_deletes_what_a_killed_one_left(place: Place) -> None:
    def hang(commit: str) -> None:
        if commit == place.hub.commit("owner/tiny", "step2"):
            time.sleep(600)

    def left() -> list[Path]:
        return list((place.folder / "cells" / "downloads").glob("*.note"))

    place.hub.before = hang
    killed = place.start(place.ablate("--delete-downloads", "--store", "cells"))
    commit = place.hub.commit("owner/tiny", "step2")
    while not any(json.loads(note.read_text())["commit"] == commit for note in left()):
        assert killed.poll() is None, killed.stdout and killed.stdout.read()
        time.sleep(0.1)
    time.sleep(0.5)
    killed.kill()
    killed.communicate()
    assert left()
    place.hub.before = lambda commit: None
    place.run(place.ablate("--delete-downloads", "--store", "cells"))
    assert not left()
    assert place.blobs() == 0
    assert not list(place.cache.glob("*/blobs/*.incomplete"))
    assert place.hub.downloads.count(place.hub.commit("owner/tiny", "step1")) == 1, "a stored result was computed again"


def test_a_repository_without_weights_is_refused(place: Place) -> None:
    _weights(place.hub.revisions["owner/tiny", "step1"]).unlink()
    output, _ = place.start(place.ablate("--delete-downloads", steps=["step1"])).communicate()
    assert "has no weights that transformers loads" in output
    assert output.splitlines()[-1] == "2"


@pytest.mark.quick
@pytest.mark.parametrize("may_download", [False, True])
def test_deleted_weights_are_not_downloaded_again_offline(tmp_path: Path, may_download: bool) -> None:
    files = (("model.safetensors", "0" * 64, 1),)
    weights = Weights("owner/tiny", "0" * 40, tmp_path, files, tmp_path / "ledger", may_download)
    with pytest.raises(ModelError, match=r"owner/tiny@0+: its weights were deleted, and downloads are forbidden"):
        fetch(weights)


@pytest.mark.quick
def test_the_last_process_that_uses_a_download_deletes_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--owner--tiny" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"0")
    weights = Weights("owner/tiny", "0" * 40, folder, (("model.safetensors", "0" * 64, 1),), tmp_path / "ledger")
    downloads._note(weights)
    content = json.loads(next((tmp_path / "ledger").glob("*.note")).read_text())
    other = tmp_path / "ledger" / "other.note"
    other.write_text(json.dumps(content | {"pid": os.getppid()}))
    downloads.delete_used()
    assert weights.are_here, "another process uses it"
    other.write_text(json.dumps(content | {"pid": 2**22 + 1, "host": "another machine"}))
    downloads.delete_left(tmp_path / "ledger")
    assert weights.are_here, "a process of another machine may use it"
    os.utime(other, (0, 0))
    downloads.delete_left(tmp_path / "ledger")
    assert not weights.are_here
    assert not list((tmp_path / "ledger").iterdir())
