"""The user's copies of official files: the folders that are searched, and the size and SHA-256 of a file."""

import hashlib
import os
from pathlib import Path

from distractor.errors import TaskError


def folders(cache: Path) -> tuple[Path, ...]:
    """The folders to search: DISTRACTOR_DATA, then the cache folder."""
    data = os.environ.get("DISTRACTOR_DATA")
    return *((Path(data).expanduser(),) if data else ()), cache


def cache_folder(source: str) -> Path:
    """The folder in the user's cache for the files of a source."""
    import platformdirs

    return platformdirs.user_cache_path("distractor", appauthor=False) / source


def find(file: str, places: tuple[Path, ...]) -> Path | None:
    """Return the path of a file in the first folder that contains it."""
    return next((folder / file for folder in places if (folder / file).is_file()), None)


def hash_of(path: Path) -> tuple[int, str]:
    """Return size in bytes and SHA-256.

    Raises:
        TaskError: the file does not exist, or cannot be read.
    """
    if not path.is_file():
        raise TaskError(f"there is no file {path}; give your copy of an official file")
    try:
        with path.open("rb") as file:
            return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
