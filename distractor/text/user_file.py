"""Runs a user's Python file and returns a name in it, `path.py:NAME`; its errors become one message with the line."""

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from distractor.errors import DistractorError, TaskError, nearest

IN_PYTHON = re.compile(r"(?P<path>.+\.py):(?P<name>\w+)")
_hashes: dict[str, str] = {}  # the SHA-256 of each file that ran, by the name of its module


def code_hash(module: str) -> str:
    """The hash of the user's file that ran as `module`; empty for any other module."""
    return _hashes.get(module, "")


def files_that_ran() -> list[Path]:
    """The users' files that ran in this process. Another process runs them again before it gets their objects."""
    return [Path(file) for name in _hashes if (file := getattr(sys.modules.get(name), "__file__", None))]


def run_again(files: Sequence[Path]) -> None:
    """Run users' files that ran in another process. Raises TaskError, with the line, if one fails."""
    for path in files:
        with _importable_neighbours(path), _errors_with_line(path, TaskError):
            _run(path)


@contextmanager
def user_value(
    name: str, error: type[DistractorError], is_candidate: Callable[[Any, ModuleType], bool], kinds: str
) -> Iterator[Any]:
    """Yield the value of `path.py:NAME`; errors of the file that are raised in the block also name its line.

    The file runs under a unique module name, so it may be called `tasks.py`. It can import modules of its folder. If the
    name does not exist, the message suggests names whose value `is_candidate`; `kinds` says what these are.

    Raises:
        error: the file or the name does not exist, or the file fails.
    """
    match = IN_PYTHON.fullmatch(name)
    if match is None:
        raise error(f"{name!r} is not a name in a Python file; write path.py:NAME")
    path = Path(match["path"]).expanduser()
    if not path.is_file():
        raise error(f"there is no file {path}; write path.py:NAME")
    with _importable_neighbours(path), _errors_with_line(path, error):
        module = _run(path)
        if not hasattr(module, match["name"]):
            known = [known for known, value in vars(module).items() if is_candidate(value, module)]
            hint = nearest(match["name"], known) if known else f"it has no {kinds}"
            raise error(f"{path} has no {match['name']!r}: {hint}")
        yield getattr(module, match["name"])


@contextmanager
def user_code(module: str, kind: type[DistractorError]) -> Iterator[None]:
    """Turn errors of a user's file, which ran as `module`, into one message with the line; leave those of other modules."""
    file = getattr(sys.modules.get(module), "__file__", None) if module in _hashes else None
    with nullcontext() if file is None else _errors_with_line(Path(file), kind):
        yield


@contextmanager
def _importable_neighbours(path: Path) -> Iterator[None]:
    """Make modules in the file's folder importable, after all others, so that they hide no installed module."""
    folder = str(path.resolve().parent)
    sys.path.append(folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the last entry is this one, unless the file removed it
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


@contextmanager
def _errors_with_line(path: Path, kind: type[DistractorError]) -> Iterator[None]:
    """Turn any error in the user's file into one message with its line."""
    try:
        yield
    except DistractorError:
        raise
    except (Exception, SystemExit) as error:
        line = _line_in(path, error)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise kind(f"{path}{f', line {line}' if line else ''}: {text}") from error


def _line_in(path: Path, error: BaseException) -> int | None:
    """The last line of the file that ran before the error."""
    if isinstance(error, SyntaxError):
        return error.lineno
    frames = reversed(list(traceback.walk_tb(error.__traceback__)))
    return next((line for frame, line in frames if Path(frame.f_code.co_filename) == path.resolve()), None)


def _run(path: Path) -> ModuleType:
    """Run the file as a module with a unique name."""
    file = path.resolve()
    name = f"_own_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("the file cannot run as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _hashes[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return module
