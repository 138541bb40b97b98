"""Downloads official files from the organisers' public datasets, converts them to the release's form and verifies them.

This is the only module of the tasks that uses the network.
"""

import hashlib
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from distractor.errors import TableError, TaskError, nearest
from distractor.files import write_bytes
from distractor.models import hub
from distractor.text.rows import parse_rows
from distractor.version import __version__

from ..rows import COLUMNS, parse_classes
from . import official_of
from .release import ADDRESS, FILES, ReleaseFile, cache_folder, encodings, identify

SECONDS = 10.0  # timeout in seconds for a server that sends nothing
TOTAL_SECONDS = 120.0
LARGEST = 64 * 2**20  # maximum size of a download in bytes: four times the largest official file
KINDS = (".jsonl", ".json", ".csv", ".parquet")  # suffixes of files that may contain rows, the most likely first


def get(task: str, folder: Path | None = None, *, offline: bool = False) -> tuple[Path, str]:
    """Save the official file of a task in `folder` (default: the user's cache folder); return its path and origin.

    A verified file is not downloaded again, and an unverified file of that name is renamed. So under its final name a
    file always equals the official one.

    Raises:
        TaskError: there is no public copy, the network is forbidden or unavailable, or the copy is not the official file.
        StoreError: the file cannot be written.
    """
    official = official_of(task)
    folder = folder or cache_folder()
    path = folder / official.file
    if path.is_file() and identify(path) == official:
        return path, "already there"
    if official.hub is None:
        with_copy = [file.name for file in FILES if file.hub]
        raise TaskError(
            f"{official.name} has no public dataset ({nearest(task, with_copy)}); {_by_hand(official, folder)}"
        )
    address = f"{hub.endpoint()}/datasets/{official.hub}"
    if urlsplit(address).scheme not in ("http", "https"):
        raise TaskError(f"HF_ENDPOINT is {hub.endpoint()!r}; use an address that begins with https://")
    if offline or hub.is_forbidden():
        raise TaskError(
            f"{official.file} is not in {folder}, and --offline or HF_HUB_OFFLINE forbids downloading it; "
            f"{_by_hand(official, folder)}"
        )
    if not hub.is_reachable():
        raise TaskError(f"{address} cannot be reached; connect to the network, or {_by_hand(official, folder)}")
    if path.is_file():
        try:
            path.replace(path.with_name(f"{path.name}.not-official"))
        except OSError as error:
            raise TaskError(f"{path} is not official and cannot be renamed ({error.strerror})") from error
    content, origin = _fetch(official, address, folder)
    write_bytes(path, content)
    return path, origin


def _fetch(official: ReleaseFile, address: str, folder: Path) -> tuple[bytes, str]:
    """Return the official bytes and the address of their file."""
    deadline = time.monotonic() + TOTAL_SECONDS
    differing = []
    for name in _files(official, deadline):
        origin = f"{address}/resolve/main/{quote(name)}"
        content = _read(origin, deadline)
        for candidate in (content, *_converted(official, name, content)):
            if hashlib.sha256(candidate).hexdigest() == official.sha256:
                return candidate, origin
        differing.append(f"{name}: {len(content):,} bytes with SHA-256 {hashlib.sha256(content).hexdigest()[:12]}…")
    why = "it has the version of round 1, which changed for the release; " if official.is_updated else ""
    raise TaskError(
        f"the copy at {address} is not the official {official.file} ({'; '.join(differing) or 'no file with rows'}), and "
        f"its rows in the release's form are not either (expected {official.sha256[:12]}…); nothing was saved; "
        f"{why}{_by_hand(official, folder)}"
    )


def _files(official: ReleaseFile, deadline: float) -> list[str]:
    """List the files of the dataset that may contain rows."""
    address = f"{hub.endpoint()}/api/datasets/{official.hub}"
    content = _read(address, deadline)
    try:
        names = [entry["rfilename"] for entry in json.loads(content)["siblings"]]
        kinds = {name: PurePosixPath(name).suffix.lower() for name in names}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TaskError(f"{address} sends no list of files, as the hub does; check HF_ENDPOINT") from error
    return sorted((name for name in names if kinds[name] in KINDS), key=lambda name: KINDS.index(kinds[name]))


def _read(address: str, deadline: float) -> bytes:
    """Download everything at an address.

    Raises:
        TaskError: the download fails or is incomplete.
    """
    content = bytearray()
    try:
        with urlopen(Request(address, headers={"User-Agent": f"distractor/{__version__}"}), timeout=SECONDS) as answer:
            while part := answer.read1(2**16):
                content += part
                if len(content) > LARGEST:
                    raise TaskError(f"{address} sends more than {LARGEST:,} bytes, which no official file has")
                if time.monotonic() > deadline:
                    raise TaskError(f"{address} sends too slowly; nothing was saved, try again")
            missing = answer.length
    except HTTPError as error:
        raise TaskError(f"{address} answers {error.code} ({error.reason}); nothing was saved") from error
    except (URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else str(error) or type(error).__name__
        raise TaskError(f"{address} cannot be read ({reason}); nothing was saved, try again") from error
    if missing:
        raise TaskError(
            f"{address} ended early: {missing:,} of {len(content) + missing:,} bytes are missing; nothing was saved"
        )
    return bytes(content)


def _converted(official: ReleaseFile, name: str, content: bytes) -> Iterator[bytes]:
    """Yield the rows of a copy in the release's form; nothing if the copy has other rows."""
    try:
        records = [_in_release_form(official, row.cells) for row in parse_rows(Path(name), content)]
    except (TableError, ValueError, KeyError, TypeError):
        return
    yield from encodings(records)


def _in_release_form(official: ReleaseFile, row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row to the release's columns; rows without a part belong to part 1."""
    prompt, classes, answer = (row[name] for name in COLUMNS)
    listed = parse_classes(classes) if isinstance(classes, str) else [str(name) for name in classes]
    if listed is None or not isinstance(prompt, str):
        raise ValueError("not a row of a classification file")
    return {
        "prompt": prompt,
        "classes": str(listed),
        "answer_index": int(answer),
        "round": int(row.get("round") or official.round),
        "part": int(row.get("part") or 1),
    }


def _by_hand(official: ReleaseFile, folder: Path) -> str:
    return f"get {official.file} from {ADDRESS} and save it in {folder}"
