"""The manifest of a run: command, date, machine, versions, settings, and hashes of the task and the models."""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.models.site import Site
from distractor.models.source import Source
from distractor.scoring.keys import SCORER
from distractor.scoring.settings import Settings
from distractor.text.task import Task
from distractor.text.user_file import code_hash
from distractor.version import __version__

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


def run_manifest(
    task: Task, sources: Sequence[Source], settings: Settings, probe: "Probe | None", command: Sequence[str]
) -> dict[str, Any]:
    """Describe a run before anything is computed."""
    from importlib.metadata import version

    libraries = ("torch", "transformers", "transformer-lens", "numpy", "scipy", "pyarrow")
    return {
        **origin(command, settings.identity()["device"]),
        "versions": {"distractor": __version__, **{name: version(name) for name in libraries}},
        "task": {"name": task.name, "items": len(task.items), "source": task.source, "hash": task.fingerprint()},
        "models": [{"name": source.name, "hash": source.fingerprint()} for source in sources],
        "seeds": sorted({source.seed for source in sources if source.seed is not None}),
        **task.format.as_dict(),
        "scorer": SCORER,
        "bos": settings.bos,
        "self_check": settings.self_check,
        "device_map": settings.device_map,
        **settings.identity(),
        **({"mixed_families": True} if settings.mixed_families else {}),
        "probe": plain_settings(probe) if probe else None,
    }


def origin(command: Sequence[str], device: str = "cpu") -> dict[str, Any]:
    """The command, the date (UTC), the machine, and the commit of this package if it runs from a git checkout."""
    return {
        "command": [Path(command[0]).name, *command[1:]],
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "python": platform.python_version(),
            "os": platform.platform(),
            "processor": _processor(),
            **({"gpu": _gpu(device)} if device.startswith("cuda") else {}),
        },
        "commit": _commit(),
    }


def plain_settings(settings: Any) -> dict[str, Any]:
    """The settings of a probe, or of another dataclass, as plain values; for a user's class also the hash of its file."""
    code = code_hash(type(settings).__module__)
    return {"class": type(settings).__name__, **_plain_fields(settings), **({"file": code} if code else {})}


def _plain_fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, Site):
        return _plain_fields(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return value if value is None or type(value) in (bool, int, float, str) else str(value)


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _gpu(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device)


@cache
def _commit() -> str | None:
    """The commit of this package's checkout, with `-dirty` if files changed since; None outside a checkout."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    git = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
