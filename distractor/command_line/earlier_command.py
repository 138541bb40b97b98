"""The command of an earlier run, from its manifest: its words, and its pages written again from stored results."""

import io
import json
import shlex
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from distractor.command_line.registration import inner_commands
from distractor.errors import DistractorError, StoreError

WITH_PAGES = ("ablate", "attribute", "compare", "shape")


def command_words(path: Path, dropped: Mapping[str, int]) -> list[str]:
    """The words of a manifest's command, without the program and the `dropped` options (how many words follow each).

    Raises:
        StoreError: the file is no manifest of a run.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        _, *words = content["command"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{path} is no manifest of a run ({type(error).__name__}); name the manifest.json in a run's folder"
        ) from error
    kept: list[str] = []
    words = list(map(str, words))
    while words:
        name, _, value = (word := words.pop(0)).partition("=")
        if name not in dropped:
            kept.append(word)
        elif not value:
            del words[: dropped[name]]
    return kept


def write_pages_again(folder: Path, store: Path | None = None) -> list[Path]:
    """Write the pages of a finished run again, from stored results, and return their paths. No model is loaded.

    `store` is the folder of the stored results, by default that of the command.

    Raises:
        StoreError: a result is not stored, or a number would change.
    """
    from typer.main import get_command

    from distractor.command_line.main import app
    from distractor.runs.page_folder import only_pages
    from distractor.scoring.store import only_stored

    words = command_words(folder / "manifest.json", {"--out": 1, "--json": 0, **({"--store": 1} if store else {})})
    if not words or words[0] not in WITH_PAGES:
        raise StoreError(f"{folder}: its command is none of {', '.join(WITH_PAGES)}, so it has no page")
    more = ["--json", "--out", str(folder)]
    if words[0] != "shape":
        more += ["--offline", *(["--store", str(store)] if store else [])]
    try:
        with only_stored(), inner_commands(), redirect_stdout(io.StringIO()), only_pages(folder) as pages:
            _run(get_command(app), [*words, *more])
    except (DistractorError, OSError) as error:
        earlier = shlex.join(["distractor", *command_words(folder / "manifest.json", {})])
        raise StoreError(
            f"{folder}: the page cannot be written from stored results: {str(error).rstrip('.')}. To compute it again, where "
            f"the command was started: {earlier}"
        ) from error
    return pages


def _run(program: Any, words: list[str]) -> None:
    """Run the command line in this process. Raises StoreError if it refuses the words."""
    try:
        program.main(words, prog_name="distractor")
    except SystemExit as end:
        if end.code:
            raise StoreError("this version does not accept the options of its command") from end
