"""Errors for the person who made them: what was wanted, what came, what can be done. Caught once, at the door."""

from collections.abc import Iterable


class DistractorError(Exception):
    """Anything that a user can put right; the command line prints it without a traceback, exit status 2."""


class TaskError(DistractorError):
    """A task, an item or a data file is not what it should be."""


class TableError(DistractorError):
    """A file with rows (a table, JSON Lines, a log) cannot be read."""


class ModelError(DistractorError):
    """A model cannot be found, loaded, trusted or written to."""


class EncodeError(DistractorError):
    """A prompt or an answer cannot be turned into tokens that mean what they should."""


class StoreError(DistractorError):
    """Results cannot be written or read where the user wants them."""


class ScalingError(DistractorError):
    """A curve cannot be judged from the values that came."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The part of an error message that says what there is, with the likeliest first: `did you mean …?`."""
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"there is: {', '.join(names)}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
