"""Finds the runs below a folder, and says which of them are unfinished or damaged."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distractor.runs.folder import PAGE

INSIDE = ("manifest.json", "summary.json")  # a folder with one of these is a run
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class FoundRun:
    """The folder of a run with its manifest and summary. `problem` says what is wrong with it, in a few words."""

    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def command(self) -> str:
        """The command that made the run; empty if it is not known."""
        words = self.manifest.get("command")
        return str(words[1]) if isinstance(words, list) and len(words) > 1 else ""

    @property
    def date(self) -> str:
        """The day of the run (UTC), if its manifest names it."""
        return str(self.manifest.get("date") or "–")

    @property
    def has_page(self) -> bool:
        """Whether the folder has a page."""
        return (self.path / PAGE).is_file()


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return any((folder / name).is_file() for name in INSIDE)


def find_runs(folder: Path) -> Iterator[FoundRun]:
    """Every run in a folder and below it, by path. Raises OSError if the folder cannot be listed."""

    def stop(error: OSError) -> None:
        raise error

    for name, below, _ in os.walk(folder, onerror=stop):
        below[:] = sorted(each for each in below if not each.startswith("."))
        if is_run(path := Path(name)):
            below.clear()
            yield read_run(path)


def read_run(path: Path) -> FoundRun:
    """The run in a folder."""
    manifest, problem = _read(path / "manifest.json")
    if problem:
        return FoundRun(path, problem=f"damaged: {problem}")
    if not isinstance(words := manifest.get("command"), list) or len(words) < 2:
        return FoundRun(path, problem="damaged: manifest.json names no command")
    if not (path / "summary.json").exists():
        return FoundRun(path, manifest, problem=UNFINISHED)
    summary, problem = _read(path / "summary.json")
    problem = problem or _changed(path, summary)
    return FoundRun(path, manifest, summary, problem and f"damaged: {problem}")


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """A JSON object and an empty text, or nothing and why it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, f"{path.name} is missing"
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        return {}, f"{path.name} cannot be read ({reason})"
    return (content, "") if isinstance(content, dict) else ({}, f"{path.name} holds no JSON object")


def _changed(path: Path, summary: Mapping[str, Any]) -> str:
    """What is wrong with the table of results, whose hash a summary may hold."""
    table = path / "results.parquet"
    if "results_sha256" not in summary:
        return ""
    try:
        changed = hashlib.sha256(table.read_bytes()).hexdigest() != summary["results_sha256"]
    except OSError as error:
        return f"{table.name} cannot be read ({error.strerror})"
    return f"{table.name} differs from the hash in summary.json" if changed else ""
