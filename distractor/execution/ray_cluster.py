"""Computes units on a Ray cluster. Results travel back as bytes, so machines need no shared disk."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from distractor.errors import DistractorError, ModelError, TaskError
from distractor.execution.attempt import LOST, MEMORY, Outcome, Trouble, attempt, disk_trouble
from distractor.execution.retries import Attempts
from distractor.execution.travel import received, to_send
from distractor.execution.unit import Unit, units_of
from distractor.files import replace_file
from distractor.models.device import pick_device
from distractor.models.families import find_models
from distractor.models.source import NO_FAMILY, Source
from distractor.progress import RunCounter, record_computed, record_counts
from distractor.scoring.lazy_model import Encodings, keeping_encodings
from distractor.scoring.requests import Request, missing, stored_files
from distractor.scoring.settings import count_processors
from distractor.scoring.store import Store
from distractor.scratch import scratch_folder
from distractor.version import __version__
from distractor.work import Step, Work, present_work

LOCAL = "local"
SECONDS = 20  # to reach the head of a cluster
CHECK = 10  # seconds after which nodes are looked at again


@dataclass(frozen=True)
class RayCluster:
    """Computes requests on the cluster whose head is at `address`, or with `local` on this machine.

    A unit gets as many CPUs, and as much memory, as its model needs; and one GPU if it runs on GPUs. `say` prints a line.
    """

    address: str
    say: Callable[[str], None] = print

    def __call__(self, requests: Sequence[Request], store: Store) -> None:
        """Compute requests. Raises `UnitsError`, after all other units."""
        if units := units_of(missing(requests, store)):
            self._compute(units, store)

    def _compute(self, units: Sequence[Unit], store: Store) -> None:
        ray = connect(self.address)
        remote, attempts = ray.remote(max_retries=0, num_returns="streaming")(compute_remotely), Attempts(self.say)
        work, waiting = present_work() or Work(()), deque[Any](units)
        running: dict[Any, Unit] = {}  # by the stream of what a unit sends
        while waiting or running:
            while waiting:
                unit = waiting.popleft()
                if (error := _too_large(unit, ray)) is not None:
                    attempts.again(unit, _for_all(unit, error))
                    continue
                steps = [step for step in work.left if step.model in (unit.name, "")]
                sent = to_send((with_fixed_device(unit), unit.source.fingerprint(), steps, known_cells(unit, store)))
                needed = {"num_cpus": unit.threads, "memory": unit.memory, "num_gpus": int(_is_on_gpu(unit))}
                running[remote.options(**needed).remote(__version__, *sent)] = unit
            work.parallel = max(1, len(_nodes(ray)))
            ready, others = ray.wait(list(running), num_returns=1, timeout=CHECK) if running else ([], [])
            for stream in ready:
                unit = running[stream]
                end = _hear(ray, stream, unit, store, work)
                if end is not None:
                    del running[stream]
                    record_counts(end.counter)
                    if (again := attempts.again(unit, end.troubles)) is not None:
                        waiting.append(again)
            for stream in [each for each in others if not ready and _too_large(running[each], ray)]:  # its node is gone
                ray.cancel(stream, force=True)
                waiting.append(running.pop(stream))
        work.parallel = 1
        attempts.raise_failures({})


def _nodes(ray: Any) -> list[Any]:
    return [node for node in ray.nodes() if node["Alive"]]


def _too_large(unit: Unit, ray: Any) -> ModelError | None:
    """What to do about a unit that no node can compute; None if one can."""
    for name, count in {"CPU": unit.threads, "memory": unit.memory, "GPU": int(_is_on_gpu(unit))}.items():
        largest = max((node["Resources"].get(name, 0) for node in _nodes(ray)), default=0)
        if count > largest:
            return ModelError(
                f"{unit.name} needs {count:,} of {name}, but no node of the Ray cluster has more than {largest:,.0f}; add a "
                "larger node, or use fewer --threads"
            )
    return None


def _for_all(unit: Unit, error: DistractorError, kind: str = "") -> tuple[Trouble, ...]:
    """The trouble of all requests of a unit."""
    return tuple(Trouble(kind, error, index) for index in range(1 if kind else len(unit.requests)))


def connect(address: str) -> Any:
    """The library, connected to a cluster. Raises ModelError if it is not installed, or if the cluster does not answer."""
    try:
        import ray
    except ImportError as error:
        raise ModelError("--ray needs the package ray; install it with: pip install 'distractor[ray]'") from error
    if ray.is_initialized():
        return ray
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        ray.init(address=LOCAL, num_cpus=count_processors(), include_dashboard=False, **quiet)
        return ray
    check_reachable(address)
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # ray raises errors of several libraries
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"cannot join the Ray cluster at {address} ({reason}); check its version and `ray status`"
        ) from error
    return ray


def check_reachable(address: str) -> None:
    """Check that something listens at `host:port`. Raises TaskError for another address, and ModelError if nothing does."""
    import socket

    if address == LOCAL:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise TaskError(f"--ray is {address!r}; write {LOCAL}, or the host:port of a head, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS).close()
    except OSError as error:
        raise ModelError(f"no Ray head answers at {address} ({error}); start one with: ray start --head") from error


def _is_on_gpu(unit: Unit) -> bool:
    return pick_device(unit.settings.device).startswith("cuda")


def with_fixed_device(unit: Unit) -> Unit:
    """The unit with this machine's device and number of threads: results depend on both, and nodes may differ."""
    settings = replace(unit.settings, device=pick_device(unit.settings.device), threads=unit.threads)
    return unit.with_settings(settings)


def known_cells(unit: Unit, store: Store) -> dict[str, bytes]:
    """The results that a unit's requests use and that are stored already."""
    cells: dict[str, bytes] = {}
    for request in unit.requests:
        for path in stored_files(request, store, partly=True) or ():
            cells[str(Path(path).relative_to(store.folder))] = Path(path).read_bytes()
    return cells


def _hear(ray: Any, stream: Any, unit: Unit, store: Store, work: Work) -> Outcome | None:
    """Take what a unit sent next, and keep its new results; the outcome if it has ended, also if its worker is lost."""
    try:
        (what, *values), cells = received(*ray.get(next(stream)))
    except (ray.exceptions.RayError, StopIteration) as error:
        return Outcome(RunCounter(), _troubles(ray, unit, error))
    try:
        for path, content in cells.items():
            replace_file(store.folder / path, content)
            record_computed(store.folder / path)
    except OSError as error:
        ray.cancel(stream, force=True)
        return Outcome(RunCounter(), (disk_trouble(unit.name, error),))
    if what in ("at", "did"):
        (work.at if what == "at" else work.did)(*values)
        return None
    (outcome,) = values
    outcome.counter.counted = set()  # by their names on that node
    ended: Outcome = outcome
    return ended


def _troubles(ray: Any, unit: Unit, error: Exception) -> tuple[Trouble, ...]:
    """What an error of Ray means for a unit."""
    cause = getattr(error, "cause", None)
    reason = cause if isinstance(cause, Exception) else error
    if isinstance(reason, OSError):
        return (disk_trouble(unit.name, reason),)
    text = str(reason).strip().partition("\n")[0] or "it ended without a result"
    failed = (
        reason if isinstance(reason, DistractorError) else ModelError(f"{unit.name}: its Ray worker failed ({text})")
    )
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return _for_all(unit, failed, MEMORY)
    return _for_all(unit, failed, "" if isinstance(error, ray.exceptions.RayTaskError) else LOST)


def compute_remotely(version: str, files: Sequence[Path], content: bytes) -> Iterator[tuple[list[Path], bytes]]:
    """Compute a unit in a folder of its own on a node. Sends progress and the outcome, with the results that are new."""
    if version != __version__:
        raise ModelError(
            f"a node has distractor {__version__}, but {version} started the command; install the same version"
        )
    unit, fingerprint, steps, cells = received(files, content)
    unit = unit.with_source(at_hand(unit.source, fingerprint))
    with scratch_folder() as folder:
        store, sent = Store(folder), set(cells)
        for path, cell in cells.items():
            replace_file(folder / path, cell)
        messages: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=_attempt, args=(unit, store, steps, messages.put), daemon=True).start()
        while True:
            message = messages.get()
            if isinstance(message, BaseException):
                raise message
            new = {}
            if message[0] != "at":
                names = {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")} - sent
                new = {name: (folder / name).read_bytes() for name in sorted(names)}
                sent |= names
            yield to_send((message, new))
            if message[0] == "ended":
                return


_encodings: Encodings = {}  # of all units of this process


def _attempt(unit: Unit, store: Store, steps: Sequence[Step], tell: Callable[[Any], None]) -> None:
    """Compute a unit; `tell` gets its progress, and then the outcome or what was raised."""
    try:
        with keeping_encodings(_encodings):
            tell(("ended", attempt(unit, store, steps, tell)))
    except BaseException as error:
        tell(error)


def at_hand(source: Source, fingerprint: str) -> Source:
    """The model on this machine: in the same folder, or found by its name.

    Raises:
        ModelError: it is not here, or it is another model.
    """
    if (
        source.is_missing
        and source.family == NO_FAMILY
        and "/" in source.model
        and not Path(source.model).is_absolute()
    ):
        (source,) = find_models([source.model])
    elif source.is_missing and source.family != NO_FAMILY:
        (source,) = find_models([source.name])
    if source.is_missing:
        raise ModelError(
            f"{source.name} is not on this node; put its folder {source.folder} on every node, or use a hub id"
        )
    if source.fingerprint() != fingerprint:
        raise ModelError(f"{source.name} on this node is another model than where the command was started")
    return source
