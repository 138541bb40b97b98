"""Remembers the results of slow statistics between runs, so that a repeated run computes none and imports no scipy.

A result is found by the code of this package and by the arguments; both are hashed. All results of a run are in one file.
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, is_dataclass
from functools import cache, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from distractor.files import replace_file

P = ParamSpec("P")
R = TypeVar("R")
Results = dict[str, Any]  # by hash

ARRAYS = frozenset({"_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype"})  # what numpy needs to read an array
HASH_BYTES = 32


@dataclass
class Memory:
    """The results that are known from earlier runs, and those that this run used or computed."""

    known: Results
    used: Results = field(default_factory=dict)


_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Take the result of a pure function from the file of `remembering`, if one is open and has it."""

    @wraps(function)
    def recall(*args: P.args, **kwargs: P.kwargs) -> R:
        memory = _memory.get()
        if memory is None:
            return function(*args, **kwargs)
        try:
            called = pickle.dumps((function.__module__, function.__qualname__, args, sorted(kwargs.items())))
        except (pickle.PicklingError, TypeError, AttributeError):
            return function(*args, **kwargs)
        key = hashlib.sha256(_code() + called).hexdigest()
        if key not in memory.used:
            memory.used[key] = memory.known[key] if key in memory.known else function(*args, **kwargs)
        return memory.used[key]

    return recall


@contextmanager
def remembering(path: Path) -> Iterator[None]:
    """Use the results in a file, and write it again if this block needs others. A file that cannot be read or written is
    ignored.
    """
    memory = Memory(_read(path))
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)
    if memory.used.keys() != memory.known.keys():
        with suppress(OSError, pickle.PicklingError, TypeError, AttributeError):
            content = pickle.dumps(memory.used)
            replace_file(path, hashlib.sha256(content).digest() + content)


def _read(path: Path) -> Results:
    """The results in a file; none if it is missing, damaged, or holds anything but numbers and dataclasses of ours."""
    try:
        raw = path.read_bytes()
        content = raw[HASH_BYTES:]
        if hashlib.sha256(content).digest() != raw[:HASH_BYTES]:
            return {}
        results = _Reader(io.BytesIO(content)).load()
    except Exception:  # a file of another version may raise any error
        return {}
    return results if isinstance(results, dict) else {}


class _Reader(pickle.Unpickler):
    """Reads arrays, and dataclasses and named tuples of this package; refuses everything else, which could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "numpy" and name in ARRAYS:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.partition(".")[0] == "distractor" else None
        if isinstance(found, type) and (is_dataclass(found) or issubclass(found, tuple)):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no result")


@cache
def _code() -> bytes:
    """Hash of the code of this package and of the libraries that compute."""
    digest = hashlib.sha256("".join(map(version, ("numpy", "scipy"))).encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()
