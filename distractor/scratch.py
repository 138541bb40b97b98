"""Temporary folders that are deleted even if their process is killed, and folders that one process owns."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "distractor-scratch-"
YOUNG = 60.0  # seconds in which a new folder may not be owned yet


@contextmanager
def owning(folder: Path) -> Iterator[bool]:
    """Own a folder in this block, or until this process is killed. False if another process owns it.

    Where the system or a network file system has no such locks, it is True.
    """
    try:
        import fcntl

        opened = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield True
        return
    try:
        is_own = True
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_own = False
        except OSError:
            pass
        yield is_own
    finally:
        os.close(opened)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for this block. Those of processes that were killed are deleted first."""
    _delete_left()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with owning(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _delete_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            stat = folder.lstat()
            is_of_user = not hasattr(os, "getuid") or stat.st_uid == os.getuid()
            if is_of_user and time.time() - stat.st_mtime > YOUNG:
                with owning(folder) as is_free:
                    if is_free:
                        shutil.rmtree(folder)
