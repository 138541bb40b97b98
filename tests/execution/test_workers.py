"""Workers give the bytes that one process gives; what may pass is tried again, and nothing finished is lost."""

import gc
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from misbehaving import Fine, FullDisk, Hungry, Killed, Wrong

from distractor.execution.here import Here
from distractor.execution.retries import UnitsError
from distractor.execution.unit import units_of
from distractor.execution.workers import Workers, workers
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.progress import count_run
from distractor.scoring.requests import executing, missing
from distractor.scoring.settings import Settings, threads_of
from distractor.scoring.store import Store
from distractor.scoring.sweep import score_requests, sweep
from distractor.work import Step, Work, follow
from tasks.find import find_task

CPU = Settings(device="cpu")
EXECUTORS = pytest.mark.parametrize("make", [Here, lambda say: Workers(2, say)], ids=["here", "workers"])


def sources() -> list[Source]:
    return list(find_models(["ladder/2x1/seed780", "ladder/2x1/seed781", "ladder/8x1/seed780"], task="negation_qa"))


def cells(store: Store) -> dict[str, str]:
    """The hash of each file in a store."""
    return {
        str(path.relative_to(store.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.folder.rglob("*.parquet")
    }


def lines(notes: Path) -> list[str]:
    return (notes / "log").read_text(encoding="utf-8").splitlines()


def test_workers_give_the_bytes_of_one_process_and_count_what_they_computed(tmp_path: Path) -> None:
    task = find_task("negation_qa", None, 12)
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    with count_run() as counted_alone:
        expected = sweep(task, sources(), alone, CPU)
    steps = [Step(source.name, c, 100, 1000, 12) for source in sources() for c in task.conditions]
    with count_run() as counted, executing(Workers(2)), follow(Work(steps)) as work:
        found = sweep(task, sources(), together, CPU)
    assert cells(together) == cells(alone) != {}
    assert [one.log_probs.tobytes() for one in found] == [one.log_probs.tobytes() for one in expected]
    assert (counted.forward_passes, counted.tokens) == (counted_alone.forward_passes, counted_alone.tokens)
    assert counted.cache_hits == 0
    assert not work.left
    assert set(work.seconds_of) == {source.name for source in sources()}


def test_the_bytes_of_a_result_do_not_depend_on_what_is_stored_already(tmp_path: Path) -> None:
    task, together, singly = find_task("negation_qa", None, 12), Store(tmp_path / "a"), Store(tmp_path / "b")
    sweep(task, sources()[:1], together, CPU)
    for condition in reversed(task.conditions):
        sweep(task, sources()[:1], singly, CPU, only=[condition])
    assert cells(singly) == cells(together)


def test_a_command_that_finds_everything_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, store = find_task("negation_qa", None, 12), Store(tmp_path)
    sweep(task, sources(), store, CPU)
    monkeypatch.setattr("distractor.execution.workers.get_context", lambda _: pytest.fail("a process was started"))
    with executing(Workers(2)):
        sweep(task, sources(), store, CPU)


def test_a_killed_worker_is_replaced_and_its_unit_computed_again(tmp_path: Path) -> None:
    said: list[str] = []
    requests = [Killed(source, CPU, tmp_path, times=1) for source in sources()[:2]]
    Workers(2, said.append)(requests, Store(tmp_path / "cells"))
    assert not missing(requests, Store(tmp_path / "cells"))
    assert sorted(lines(tmp_path)).count(f"computed {sources()[0].name} fine") == 1
    assert len(said) == 2
    assert all("SIGKILL" in line and "Trying again (1 of 2)" in line for line in said)


def test_free_workers_compute_further_units_even_if_one_was_killed_meanwhile(tmp_path: Path) -> None:
    several = Workers(2, lambda _: None)
    store = Store(tmp_path / "cells")
    several([Fine(source, CPU, tmp_path) for source in sources()], store)
    assert len(several.idle) == 2
    kept = [worker.process.pid for worker in several.idle]
    os.kill(kept[0], signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid) for pid in kept[:1] if psutil.pid_exists(pid)], timeout=5)
    again = [Fine(source, CPU, tmp_path, name="again") for source in sources()]
    several(again, store)
    assert not missing(again, store)
    left = [worker.process.pid for worker in several.idle]
    assert kept[1] in left
    del several  # closes the connections that keep them alive
    gc.collect()
    assert not psutil.wait_procs([psutil.Process(pid) for pid in left if psutil.pid_exists(pid)], timeout=10)[1]


def test_a_worker_that_is_killed_three_times_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    bad, good = (cls(source, CPU, tmp_path) for cls, source in zip((Killed, Fine), sources(), strict=False))
    requests = [Killed(bad.source, CPU, tmp_path, times=9), good]
    with pytest.raises(UnitsError, match="SIGKILL") as caught:
        Workers(2, lambda _: None)(requests, Store(tmp_path / "cells"))
    assert [request for request, _ in caught.value.failed] == requests[:1]
    assert missing(requests, Store(tmp_path / "cells")) == requests[:1]


@EXECUTORS
def test_full_memory_is_tried_again_with_smaller_batches(
    make: Callable[[Callable[[str], None]], Here | Workers], tmp_path: Path
) -> None:
    for most, expected in ((8, ["None", "8"]), (1, ["None", "8", "1"])):
        notes = tmp_path / str(most)
        notes.mkdir()
        requests = [Hungry(sources()[0], CPU, notes, most=most), Fine(sources()[0], CPU, notes, name="after")]
        make(lambda _: None)(requests, Store(notes / "cells"))
        assert [line.removeprefix("batches of ") for line in lines(notes) if "batches" in line] == expected
    notes = tmp_path / "never"
    notes.mkdir()
    hungry = [Hungry(sources()[0], CPU, notes, most=0)]
    with pytest.raises(UnitsError, match=r"CUDA out of memory.*--batch-size"):
        make(lambda _: None)(hungry, Store(notes / "cells"))


@EXECUTORS
def test_a_full_disk_may_pass_and_an_error_of_the_model_does_not(
    make: Callable[[Callable[[str], None]], Here | Workers], tmp_path: Path
) -> None:
    first, second, third = sources()
    requests = [
        FullDisk(first, CPU, tmp_path, times=2),
        Wrong(second, CPU, tmp_path),
        Fine(second, CPU, tmp_path, name="after"),
        FullDisk(third, CPU, tmp_path, times=3),
    ]
    with pytest.raises(UnitsError) as caught:
        make(lambda _: None)(requests, Store(tmp_path / "cells"))
    assert {type(request).__name__: str(error) for request, error in caught.value.failed} == {
        "Wrong": f"{second.name}: the weights hold NaN",
        "FullDisk": f"{third.name}: No space left on device; check the disks of results, of temporary files and of models",
    }
    assert {type(request).__name__ for request in missing(requests, Store(tmp_path / "cells"))} == {"Wrong", "FullDisk"}


def test_a_model_is_one_unit_whatever_it_is_asked_and_the_largest_begins_first() -> None:
    asked = [
        request
        for name in ("negation_qa", "quote_repetition")
        for request in score_requests(find_task(name, None, 4), sources(), CPU)
    ]
    units = units_of(asked)
    assert [len(unit.requests) for unit in units] == [2, 2, 2]
    assert units[0].source.model == "8x1"


def test_small_models_run_side_by_side_and_a_large_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distractor.execution.workers.count_processors", lambda: 4)
    monkeypatch.setattr("distractor.scoring.settings.count_processors", lambda: 4)
    small = units_of(score_requests(find_task("negation_qa", None, 4), sources(), CPU))
    large = units_of([Fine(Source("f", "large", Path("x"), n_params=7_000_000_000), CPU, Path())])
    assert threads_of(small[0].source, CPU) == 1
    assert threads_of(large[0].source, CPU) == 4
    several = Workers(4)
    assert several.fit(small)
    assert several.fit(large)
    assert not several.fit([*large, small[0]])
    assert not Workers(2).fit(small)
    assert not Workers(4, memory=small[0].memory).fit(small[:2])
    assert Workers(4, gpus=(0, 1)).fit([*large, small[0]])
    assert not Workers(4, gpus=(0, 1)).fit(small)


def test_one_model_at_a_time_or_little_work_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(line: str) -> None:
        """Nothing is said."""

    assert isinstance(workers(1, CPU, say), Here)
    assert isinstance(workers(None, Settings(device_map="auto"), say), Here)
    automatic = workers(None, CPU, say)
    assert isinstance(automatic, Workers)
    task = find_task("negation_qa", None, 4)
    monkeypatch.setattr("distractor.execution.workers.get_context", lambda _: pytest.fail("a process was started"))
    with executing(automatic), follow(Work([Step(source.name, "conflict", 100, 1000) for source in sources()])):
        sweep(task, sources(), Store(tmp_path), CPU)
    assert len(cells(Store(tmp_path))) == 3 * len(task.conditions)


@pytest.mark.slow
def test_a_script_without_a_main_guard_can_use_workers(tmp_path: Path) -> None:
    """Processes that are started afresh would otherwise run the script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from test_workers import *\n"
        "print('begun')\n"
        "task = find_task('negation_qa', None, 4)\n"
        "with executing(Workers(2)):\n"
        "    print(len(sweep(task, sources(), Store(Path('cells')), CPU)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["begun", "3"], done.stderr


@pytest.mark.slow
def test_workers_end_with_a_killed_command_and_the_rerun_computes_only_what_is_missing(tmp_path: Path) -> None:
    words = ["ablate", "--task", "negation_qa", "--items", "60", "--models", "ladder/2x1", "--models", "ladder/16x2"]
    command = [sys.executable, "-m", "distractor", *words, "--workers", "2"]

    def run(folder: str) -> subprocess.CompletedProcess[str]:
        out = ["--store", str(tmp_path / folder), "--out", str(tmp_path / f"{folder}-out")]
        return subprocess.run([*command, *out], capture_output=True, text=True, timeout=300, check=True)

    run("whole")
    expected = cells(Store(tmp_path / "whole"))
    out = ["--store", str(tmp_path / "killed"), "--out", str(tmp_path / "killed-out")]
    process = subprocess.Popen([*command, *out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(cells(Store(tmp_path / "killed"))) < 12:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert len(gone) >= 2
    assert not alive
    before = cells(Store(tmp_path / "killed"))
    assert 12 <= len(before) < len(expected)
    again = run("killed")
    assert cells(Store(tmp_path / "killed")) == expected
    assert f"Read {len(before)} results from the cache" in again.stderr
