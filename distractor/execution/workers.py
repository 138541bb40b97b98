"""Computes units in processes on this machine: small models side by side, a large one alone, one on each GPU."""

import os
import signal
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.util import Finalize, get_temp_dir
from typing import Any

from distractor.errors import ModelError
from distractor.execution.attempt import LOST, Trouble, attempt
from distractor.execution.here import Here
from distractor.execution.retries import Attempts
from distractor.execution.travel import received, to_send
from distractor.execution.unit import Computable, units_of
from distractor.models.device import pick_device
from distractor.models.machine_memory import free_machine_bytes
from distractor.progress import record_counts
from distractor.scoring.lazy_model import keeping_encodings
from distractor.scoring.requests import Request, missing
from distractor.scoring.settings import Settings, count_processors
from distractor.scoring.store import Store
from distractor.scratch import scratch_folder
from distractor.work import Work, present_work

METHOD = "forkserver" if sys.platform == "linux" else "spawn"
PRELOADED = "distractor.execution.preload"
MEMORY_SHARE = 0.8  # of the free memory
LONGEST = 65  # characters of a folder that holds sockets: the path of one has at most 107
WORTHWHILE = 2e11  # tokens × parameters; less is done before the first processes have started


@dataclass(eq=False)
class _Worker:
    """A process that computes units, one after the other.

    `unit` is the present one, `gpu` the device that it uses. The process ends when `alive` is closed.
    """

    process: Any
    connection: Connection
    alive: Connection
    gpu: int | None
    unit: Computable | None = None

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.alive.close()


@dataclass(frozen=True)
class Workers:
    """Computes requests in at most `count` processes, which together use at most `memory` bytes. `say` prints a line.

    With `gpus`, each process uses one of them. `stop_at_first` gives up all units when one fails. With `if_worthwhile`,
    requests that are faster in this process are computed here. `draws_here` says that this process draws figures afterwards.
    """

    count: int
    say: Callable[[str], None] = print
    stop_at_first: bool = False
    gpus: tuple[int, ...] = ()
    memory: int | None = None
    if_worthwhile: bool = False
    draws_here: bool = True
    idle: list[_Worker] = field(default_factory=list, compare=False, repr=False)  # they end with this process

    def __call__(self, requests: Sequence[Request], store: Store) -> None:
        """Compute requests. Raises `UnitsError`, after all other units."""
        units = units_of(missing(requests, store))
        if not units:
            return
        if not self.if_worthwhile or self._is_worthwhile(units):
            self.run(units, store)
        else:
            Here(self.say, self.stop_at_first)(requests, store)

    def prepare(self) -> None:
        """Begin to start processes, which takes some seconds. This process can go on meanwhile."""
        if METHOD == "forkserver":
            from multiprocessing.forkserver import ensure_running  # not on Windows

            get_context(METHOD).set_forkserver_preload([PRELOADED])
            ensure_running()

    def run(self, units: Sequence[Computable], store: Store) -> dict[Computable, tuple[Any, ...]]:
        """Compute units, and give what they return. Raises `UnitsError`, after all of them."""
        self.prepare()
        pool = _Pool(self, list(units), store)
        try:
            pool.run()
        finally:
            pool.end()
        pool.attempts.raise_failures(pool.values)
        return pool.values

    def _is_worthwhile(self, units: Sequence[Computable]) -> bool:
        """Whether two units fit side by side, and take longer than it takes to start processes."""
        names, left = {unit.name for unit in units}, (present_work() or Work(())).left
        work = sum(step.work for step in left if step.model in names or not step.model)
        is_quick = bool(self.idle or self.gpus)
        return self.fit(units[-2:]) and len(units) > 1 and (is_quick or work >= WORTHWHILE)

    def fit(self, units: Sequence[Computable]) -> bool:
        """Whether units can run side by side; a single one always can."""
        if len(units) < 2:
            return True
        if len(units) > self.count:
            return False
        if self.gpus:
            return len(units) <= len(self.gpus)
        threads, memory = (sum(numbers) for numbers in zip(*((u.threads, u.memory) for u in units), strict=True))
        return threads <= count_processors() and (self.memory is None or memory <= self.memory)


def workers(
    count: int | None,
    settings: Settings,
    say: Callable[[str], None],
    *,
    stop_at_first: bool = True,
    always: bool = False,
) -> Workers | Here:
    """The executor of this machine for at most `count` models at a time.

    None as `count`: as many as processors, memory and GPUs allow, if that is faster, or `always`.
    """
    here = Here(say, stop_at_first)
    if count == 1 or settings.device_map is not None:
        return here
    device = pick_device(settings.device)
    gpus: tuple[int, ...] = ()
    if device == "cuda":
        import torch

        gpus = tuple(range(torch.cuda.device_count()))
    if count is None and (device.partition(":")[0] != "cpu" and len(gpus) < 2):
        return here
    most = count or (len(gpus) if gpus else count_processors())
    is_choice = count is None and not always
    return Workers(most, say, stop_at_first, gpus, _memory(), if_worthwhile=is_choice, draws_here=not always)


def _memory() -> int:
    """The bytes of memory that units may use together."""
    return round(MEMORY_SHARE * free_machine_bytes())


class _Pool:
    """The units that wait, and the processes."""

    def __init__(self, workers: Workers, units: list[Computable], store: Store) -> None:
        self.options, self.store = workers, store
        self.workers: list[_Worker] = [workers.idle.pop() for _ in range(len(workers.idle))]
        self.attempts = Attempts(workers.say)
        self.context: Any = get_context(METHOD)
        self.work = present_work() or Work(())
        self.steps = list(self.work.left)
        work = defaultdict[str, float](float)  # tokens × parameters, by model
        for step in self.steps:
            work[step.model] += step.work
        self.waiting = sorted(units, key=lambda unit: -work[unit.name])  # then no long unit begins late
        self.values: dict[Computable, tuple[Any, ...]] = {}

    def run(self) -> None:
        """Compute all units."""
        if self.options.draws_here:
            threading.Thread(target=_import_meanwhile, daemon=True).start()
        self.work.parallel = max(1, min(self.options.count, len(self.waiting)))
        while self._start():
            for connection in wait([each.connection for each in self.workers if each.unit]):
                self._hear(next(each for each in self.workers if each.connection is connection))
            if self.attempts.failed and self.options.stop_at_first:
                return

    def end(self) -> None:
        """Keep the processes that are free for further units, and end the others."""
        self.work.parallel = 1
        for each in self.workers:
            if each.unit is None:
                self.options.idle.append(each)
            else:
                each.end()

    def _start(self) -> bool:
        """Start each waiting unit that fits beside the running ones. False if no unit is left."""
        for unit in list(self.waiting):
            if self._fits(unit):
                self.waiting.remove(unit)
                worker = next((each for each in self.workers if each.unit is None), None) or self._new_worker()
                self._give(worker, unit)
        return any(each.unit for each in self.workers)

    def _fits(self, unit: Computable) -> bool:
        return self.options.fit([unit, *(each.unit for each in self.workers if each.unit)])

    def _new_worker(self) -> _Worker:
        (ours, theirs), (alive, lifeline) = self.context.Pipe(), self.context.Pipe()
        used = {each.gpu for each in self.workers}
        gpu = next((gpu for gpu in self.options.gpus if gpu not in used), None)
        _own_sockets()
        process = self.context.Process(target=compute_units, args=(theirs, lifeline, gpu), daemon=True)
        with _without_main():
            process.start()
        theirs.close()
        lifeline.close()
        worker = _Worker(process, ours, alive, gpu)
        self.workers.append(worker)
        return worker

    def _give(self, worker: _Worker, unit: Computable) -> None:
        worker.unit = unit
        steps = [step for step in self.steps if step.model in (unit.name, "")]
        with suppress(OSError):  # a process that is gone is noticed when its answer is awaited
            worker.connection.send(to_send((unit, self.store, steps)))

    def _hear(self, worker: _Worker) -> None:
        """Take one message of a process, or note that it is gone."""
        unit = worker.unit
        assert unit is not None
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self.workers.remove(worker)
            worker.end()
            code = worker.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            lost = f"{unit.name}: its process ended without a result ({how})"
            self._ended(unit, (Trouble(LOST, ModelError(lost)),))
            return
        if isinstance(message[0], str):
            what, *values = message
            (self.work.at if what == "at" else self.work.did)(*values)
            return
        worker.unit = None
        outcome = received(*message)
        record_counts(outcome.counter)
        self.values[unit] = outcome.values
        self._ended(unit, outcome.troubles)

    def _ended(self, unit: Computable, troubles: tuple[Trouble, ...]) -> None:
        if (again := self.attempts.again(unit, troubles)) is not None:
            self.waiting.append(again)


@cache
def _own_sockets() -> ExitStack:
    """Let multiprocessing keep its sockets in a folder that later commands delete if this process is killed."""
    opened = ExitStack()
    Finalize(None, opened.close, exitpriority=-200)  # after multiprocessing has deleted its own folder there
    folder, before = opened.enter_context(scratch_folder()), tempfile.tempdir
    if len(str(folder)) <= LONGEST:
        tempfile.tempdir = str(folder)
        try:
            get_temp_dir()
        finally:
            tempfile.tempdir = before
    return opened


def _import_meanwhile() -> None:
    """Import what this process needs for results, while others compute them."""
    import matplotlib.figure  # noqa: F401
    import pandas as pd  # noqa: F401
    import scipy.stats  # noqa: F401


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes that do not run the user's script again: they need nothing of it."""
    main = sys.modules["__main__"]
    spec, file = main.__spec__, main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def compute_units(connection: Connection, lifeline: Connection, gpu: int | None) -> None:
    """Compute the units that arrive, and send progress and outcomes. This is what a process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    with keeping_encodings(), suppress(EOFError, OSError):  # the command has ended
        while True:
            unit, store, steps = received(*connection.recv())
            connection.send(to_send(attempt(unit, store, steps, connection.send)))


def _end_with(lifeline: Connection) -> None:
    """End this process when the one that started it is gone, even if that was killed."""
    with suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(1)
