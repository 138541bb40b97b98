"""Computes units on a Ray cluster. Results travel back as bytes, so machines need no shared disk."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distractor.errors import ModelError, TaskError
from distractor.execution.attempt import LOST, MEMORY, Outcome, Trouble, attempt
from distractor.execution.retries import Attempts
from distractor.execution.travel import received, to_send
from distractor.execution.unit import Unit, units_of
from distractor.files import replace_file
from distractor.models.device import pick_device
from distractor.models.families import find_models
from distractor.models.source import NO_FAMILY, Source
from distractor.progress import record_counts
from distractor.scoring.requests import Request, missing, stored_files
from distractor.scoring.settings import count_processors
from distractor.scoring.store import Store
from distractor.version import __version__
from distractor.work import Work, present_work

LOCAL = "local"
SECONDS = 20  # to reach the head of a cluster

Cells = Mapping[str, bytes]
"""The content of results by their paths in the store's folder."""


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
        remote, attempts = ray.remote(max_retries=0)(compute_remotely), Attempts(self.say)
        work = present_work() or Work(())
        largest = {
            name: max(node["Resources"].get(name, 0) for node in ray.nodes()) for name in ("CPU", "memory", "GPU")
        }
        running: dict[Any, Unit] = {}

        def begin(unit: Unit) -> None:
            needed = {"CPU": unit.threads, "memory": unit.memory, "GPU": int(_is_on_gpu(unit))}
            for name, count in needed.items():
                if count > largest[name]:
                    raise ModelError(
                        f"{unit.name} needs {count:,} of {name}, but no node of the Ray cluster has more than "
                        f"{largest[name]:,.0f}; add a larger node, or use fewer --threads"
                    )
            steps = [step for step in work.left if step.model in (unit.name, "")]
            options = {"num_cpus": needed["CPU"], "memory": needed["memory"], "num_gpus": needed["GPU"]}
            sent = to_send((with_fixed_device(unit), unit.source.fingerprint(), steps, known_cells(unit, store)))
            running[remote.options(**options).remote(__version__, *sent)] = unit

        for unit in units:
            begin(unit)
        work.parallel = max(1, len(ray.nodes()))
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            unit = running.pop(done)
            outcome, cells, messages = _result(ray, done, unit)
            for path, content in cells.items():
                replace_file(store.folder / path, content)
            for what, *values in messages:
                (work.at if what == "at" else work.did)(*values)
            outcome.counter.counted = {store.folder / path for path in cells}
            record_counts(outcome.counter)
            if (again := attempts.again(unit, outcome.troubles)) is not None:
                begin(again)  # type: ignore[arg-type]
        work.parallel = 1
        attempts.raise_failures({})


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
    _check_reachable(address)
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # ray raises errors of several libraries
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(
            f"cannot join the Ray cluster at {address} ({reason}); check its version and `ray status`"
        ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Raise ModelError at once if nothing listens at `host:port`."""
    import socket

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


def _result(ray: Any, done: Any, unit: Unit) -> "tuple[Outcome, Cells, list[tuple[Any, ...]]]":
    """Outcome, new results and progress of a unit; a lost worker is an outcome, too."""
    try:
        result: tuple[Outcome, Cells, list[tuple[Any, ...]]] = received(*ray.get(done))
        return result
    except ray.exceptions.OutOfMemoryError as error:
        kind, reason = MEMORY, error
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.RaySystemError) as error:
        kind, reason = LOST, error
    except ray.exceptions.RayTaskError as error:
        kind, reason = "", error.cause if isinstance(getattr(error, "cause", None), Exception) else error
    text = str(reason).strip().partition("\n")[0]
    from distractor.progress import RunCounter

    return Outcome(RunCounter(), (Trouble(kind, ModelError(f"{unit.name}: its Ray worker failed ({text})")),)), {}, []


def compute_remotely(version: str, files: Sequence[Path], content: bytes) -> tuple[list[Path], bytes]:
    """Compute a unit in a folder of its own on a node, and send outcome, new results and progress."""
    if version != __version__:
        raise RuntimeError(f"this node has distractor {__version__}, but {version} started the study")
    unit, fingerprint, steps, cells = received(files, content)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for path, cell in cells.items():
            replace_file(store.folder / path, cell)
        messages: list[tuple[Any, ...]] = []
        outcome = attempt(unit.with_source(at_hand(unit.source, fingerprint)), store, steps, messages.append)
        kept = [path for path in store.folder.rglob("*.parquet") if str(path.relative_to(folder)) not in cells]
        new = {str(path.relative_to(folder)): path.read_bytes() for path in kept}
    return to_send((outcome, new, [message for message in messages if message[0] == "did"]))


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
