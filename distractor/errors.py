"""Errors that a user can fix. Each message says what was expected, what was found, and what to do."""

from collections.abc import Iterable


class DistractorError(Exception):
    """An error that the user can fix. The command line prints it without a traceback and exits with status 2."""


class TaskError(DistractorError):
    """A task, an item or a data file is invalid."""


class ProbeError(DistractorError):
    """A probe or its reading does not meet the contract of probes."""


class TableError(DistractorError):
    """A file with rows (a table, JSON Lines, a log) cannot be read."""


class ModelError(DistractorError):
    """A model cannot be found, loaded, trusted or edited."""


class EncodeError(DistractorError):
    """A prompt or an answer cannot be tokenized correctly."""


class SingleTokenError(EncodeError):
    """An item's answers begin with other tokens under one condition than under another."""


class StoreError(DistractorError):
    """Results cannot be written or read."""


class ScalingError(DistractorError):
    """A curve over size cannot be judged from these values."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the most similar known names, or all of them."""
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"available: {', '.join(names)}"


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
