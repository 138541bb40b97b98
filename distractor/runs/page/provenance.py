"""The last section of every page: the command, versions and hashes from the manifest, and the files of the run."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from distractor.runs.page.blocks import Facts, Files, Section

ONE_BY_ONE = ("command", "versions", "task", "models", "formats", "files")


def provenance(manifest: Mapping[str, Any], files: Mapping[str, str]) -> tuple[Section, ...]:
    """The section that says where the numbers come from; none without a manifest, as then there is no run folder.

    `files` are paths inside the run folder and what they hold.
    """
    if not manifest:
        return ()
    facts = {"command": shlex.join(["distractor", *manifest["command"][1:]])} | dict(_tasks(manifest["task"]))
    facts |= {
        name: _text(value) for name, value in manifest.items() if name not in ONE_BY_ONE and value not in (None, [])
    }
    versions = {name: str(version) for name, version in manifest["versions"].items()}
    hashes = {
        "model": {model["name"]: model["hash"] for model in manifest.get("models", ())},
        "file": {file["name"]: file["sha256"] for file in manifest.get("files", ())},
    }
    folded = (
        Facts(
            of_kind,
            folded=f"SHA-256 of {f'the {kind}' if len(of_kind) == 1 else f'each of the {len(of_kind):,} {kind}s'}",
        )
        for kind, of_kind in hashes.items()
        if of_kind
    )
    blocks = (Facts(facts), Facts(versions, folded="Versions"), *folded, Files(dict(files)))
    return (Section("source", "Command, versions, hashes", blocks),)


def _tasks(tasks: Any) -> Iterator[tuple[str, str]]:
    """The facts of one task or of several; of a task that is only known by name, its name."""
    several = tasks if isinstance(tasks, list) else [tasks]
    for task in several:
        if isinstance(task, Mapping):
            name = f" {task['name']}" if len(several) > 1 else ""
            yield f"task{name}", f"{task['name']}, {task['items']} items from {task['source']}"
            yield f"hash of the task{name}", task["hash"]
        elif task:
            yield "task", str(task)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_text(inner)}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
