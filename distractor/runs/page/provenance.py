"""The last section of every page: the command, versions and hashes from the manifest, and the files of the run."""

import shlex
from collections.abc import Mapping
from typing import Any

from distractor.runs.page.blocks import Facts, Files, Section

ONE_BY_ONE = ("command", "versions", "task", "models", "formats")


def provenance(manifest: Mapping[str, Any], files: Mapping[str, str]) -> tuple[Section, ...]:
    """The section that says where the numbers come from; none without a manifest, as then there is no run folder.

    `files` are paths inside the run folder and what they hold.
    """
    if not manifest:
        return ()
    tasks = manifest["task"] if isinstance(manifest["task"], list) else [manifest["task"]]
    facts = {"command": shlex.join(["distractor", *manifest["command"][1:]])}
    for task in tasks:
        name = f" {task['name']}" if len(tasks) > 1 else ""
        facts |= {
            f"task{name}": f"{task['name']}, {task['items']} items from {task['source']}",
            f"hash of the task{name}": task["hash"],
        }
    facts |= {
        name: _text(value) for name, value in manifest.items() if name not in ONE_BY_ONE and value not in (None, [])
    }
    versions = {name: str(version) for name, version in manifest["versions"].items()}
    models = {model["name"]: model["hash"] for model in manifest["models"]}
    count = len(models)
    blocks = (
        Facts(facts),
        Facts(versions, folded="Versions"),
        Facts(models, folded=f"SHA-256 of {'the model' if count == 1 else f'each of the {count:,} models'}"),
        Files(dict(files)),
    )
    return (Section("source", "Command, versions, hashes", blocks),)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_text(inner)}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
