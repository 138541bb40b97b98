"""Runs code without the rights of the superuser, who may write read-only files."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from small_ladder import in_child

CAPABILITY_VERSION = 0x20080522


def as_ordinary_user(action: Callable[[], object]) -> int:
    """Run `action` in a copy of this process that must respect permissions; return its exit status."""

    def run() -> None:
        if os.geteuid() == 0:
            header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
            assert ctypes.CDLL(None).capset(header, none) == 0
        status = action()
        if isinstance(status, int) and status:
            os._exit(status)

    return in_child(run)


def make_read_only(folder: Path) -> None:
    """Take the right to write away from a folder and all that is in it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
