"""The manifest of a run: command, versions, settings, and hashes of the task and the models."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.models.source import Source
from distractor.scoring.keys import SCORER
from distractor.scoring.settings import Settings
from distractor.text.task import Task
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
        "command": [Path(command[0]).name, *command[1:]],
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
        "probe": repr(probe) if probe else None,
    }
