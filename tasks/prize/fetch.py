"""Official files from the organisers' public datasets: fetched, put into the release's form, verified, and only then kept.

The only place in this room that touches the network.
"""

import csv
import hashlib
import http.client
import io
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from distractor import __version__
from distractor.errors import TaskError, nearest
from distractor.files import write_bytes
from distractor.models import hub

from ..rows import COLUMNS, parse_classes
from . import official_of
from .release import ADDRESS, FILES, Official, cache_folder, identify, written

SECONDS = 10.0
"""How long a server that was reached may say nothing."""

SECONDS_IN_ALL = 120.0
LARGEST = 64 * 2**20
"""Bytes of an answer: four times the largest official file."""

KINDS = (".jsonl", ".json", ".csv", ".parquet")
"""The kinds of file that rows are looked for in, the likeliest first."""


def get(task: str, folder: Path | None = None, *, offline: bool = False) -> tuple[Path, str]:
    """Put the official file of a task into `folder` (default: the user's cache folder); the file, and where it is from.

    A file that is there and verified is not fetched again. One that is not is moved aside: under its final name a file is
    official to the byte, or there is none.

    Raises:
        TaskError: there is no public copy, the network is forbidden or away, or what came is not the official file.
        StoreError: the file cannot be written.

    """
    official = official_of(task)
    folder = folder or cache_folder()
    path = folder / official.file
    if path.is_file() and identify(path) == official:
        return path, "was there already"
    if official.hub is None:
        with_copy = [one.name for one in FILES if one.hub]
        raise TaskError(
            f"no public dataset of {official.name} is known ({nearest(task, with_copy)}); {_by_hand(official, folder)}"
        )
    address = f"{hub.endpoint()}/datasets/{official.hub}"
    if urlsplit(address).scheme not in ("http", "https"):
        raise TaskError(f"HF_ENDPOINT is {hub.endpoint()!r}; wanted is an address that begins with https://")
    if offline or hub.is_forbidden():
        raise TaskError(
            f"{official.file} is not in {folder}, and fetching it was forbidden (--offline or HF_HUB_OFFLINE); "
            f"{_by_hand(official, folder)}"
        )
    if not hub.is_reachable():
        raise TaskError(f"{address} cannot be reached: connect, or {_by_hand(official, folder)}")
    if path.is_file():
        try:
            path.replace(path.with_name(f"{path.name}.not-official"))
        except OSError as error:
            raise TaskError(f"{path} is not official and cannot be moved aside ({error.strerror})") from error
    content, origin = _fetch(official, address, folder)
    write_bytes(path, content)
    return path, origin


def _fetch(official: Official, address: str, folder: Path) -> tuple[bytes, str]:
    """The official bytes, and which file of the dataset they are from."""
    deadline = time.monotonic() + SECONDS_IN_ALL
    told = []
    for name in _files(official, deadline):
        origin = f"{address}/resolve/main/{quote(name)}"
        content = _read(origin, deadline)
        for candidate in (content, *_rewritten(official, name, content)):
            if hashlib.sha256(candidate).hexdigest() == official.sha256:
                return candidate, origin
        told.append(f"{name}: {len(content):,} bytes with SHA-256 {hashlib.sha256(content).hexdigest()[:12]}…")
    why = "it still has the version of round 1, which was changed for the release; " if official.is_updated else ""
    raise TaskError(
        f"the copy at {address} is not the official {official.file} ({'; '.join(told) or 'no file with rows'}), and its rows "
        f"in the release's form are not either (wanted {official.sha256[:12]}…); nothing was kept; "
        f"{why}{_by_hand(official, folder)}"
    )


def _files(official: Official, deadline: float) -> list[str]:
    """The files of the dataset that may hold rows."""
    address = f"{hub.endpoint()}/api/datasets/{official.hub}"
    content = _read(address, deadline)
    try:
        names = [one["rfilename"] for one in json.loads(content)["siblings"]]
        kinds = {name: PurePosixPath(name).suffix.lower() for name in names}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TaskError(
            f"{address} does not answer as the hub does: no list of files came; look at HF_ENDPOINT"
        ) from error
    return sorted((name for name in names if kinds[name] in KINDS), key=lambda name: KINDS.index(kinds[name]))


def _read(address: str, deadline: float) -> bytes:
    """All that is to be had at an address.

    Raises:
        TaskError: it cannot be had whole.

    """
    content = bytearray()
    try:
        with urlopen(Request(address, headers={"User-Agent": f"distractor/{__version__}"}), timeout=SECONDS) as answer:
            while part := answer.read1(2**16):
                content += part
                if len(content) > LARGEST:
                    raise TaskError(f"{address} sends more than {LARGEST:,} bytes, which no official file has")
                if time.monotonic() > deadline:
                    raise TaskError(f"{address} sends too slowly; nothing was kept, try again")
            missing = answer.length
    except HTTPError as error:
        raise TaskError(f"{address} answers {error.code} ({error.reason}); nothing was kept") from error
    except (URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else str(error) or type(error).__name__
        raise TaskError(f"{address} cannot be read ({reason}); nothing was kept, try again") from error
    if missing:
        raise TaskError(
            f"{address} was cut off: {missing:,} of {len(content) + missing:,} bytes are missing; nothing was kept, try again"
        )
    return bytes(content)


def _rewritten(official: Official, name: str, content: bytes) -> Iterator[bytes]:
    """The rows of a copy in the release's form; nothing where they are no rows of ours."""
    try:
        rows = _rows(name, content)
        told = [_released(official, row) for row in rows]
    except (ValueError, KeyError, TypeError, OSError, RecursionError, csv.Error):
        return
    yield from written(told)


def _rows(name: str, content: bytes) -> Sequence[dict[str, Any]]:
    kind = PurePosixPath(name).suffix.lower()
    if kind == ".parquet":
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
        return rows
    text = content.decode("utf-8-sig")
    if kind == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    if text.lstrip().startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _released(official: Official, row: dict[str, Any]) -> dict[str, Any]:
    """One row with the release's columns; in round 1, where a copy says nothing of it, all were of part 1."""
    prompt, classes, answer = (row[name] for name in COLUMNS)
    listed = parse_classes(classes) if isinstance(classes, str) else [str(name) for name in classes]
    if listed is None or not isinstance(prompt, str):
        raise ValueError("no row of a classification file")
    return {
        "prompt": prompt,
        "classes": str(listed),
        "answer_index": int(answer),
        "round": int(row.get("round") or official.round),
        "part": int(row.get("part") or 1),
    }


def _by_hand(official: Official, folder: Path) -> str:
    return f"take {official.file} from {ADDRESS} and put it in {folder}"
