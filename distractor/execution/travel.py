"""Sends objects to other processes, with the users' files that define them."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distractor.text.user_file import files_that_ran, run_again


def to_send(value: Any) -> tuple[list[Path], bytes]:
    """A value for another process, with the users' files whose objects it may hold."""
    return files_that_ran(), pickle.dumps(value)


def received(files: Sequence[Path], content: bytes) -> Any:
    """The value that another process sent. Raises TaskError if a user's file fails here."""
    run_again([file for file in files if file not in files_that_ran()])
    return pickle.loads(content)
