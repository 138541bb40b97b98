"""The terminal: streams that can print any text, and the one message of an error."""

import codecs
import io
import os
import sys
import unicodedata
from contextlib import suppress

import typer

from distractor.errors import DistractorError
from distractor.names import printable

ASCII = {"–": "-", "−": "-", "×": "x", "…": "...", "δ": "delta", "≤": "<=", "≥": ">=", "→": "->", "“": '"', "”": '"'}
"""Signs of our own texts for terminals that cannot print them."""


def accept_any_text() -> None:
    """Let stdout and stderr replace what their encoding lacks; an ASCII locale shows – as -, and é as e."""
    codecs.register_error("distractor.ascii", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="distractor.ascii")


def say(text: str, *, err: bool = False, bold: bool = False) -> None:
    """Print a line. Without a file, typer would write UTF-8 to a terminal that cannot show it."""
    typer.secho(printable(text), file=sys.stderr if err else sys.stdout, bold=bold or None)


def print_error(error: BaseException) -> None:
    """Print one message on stderr. If stdout cannot be written, drop what it still holds.

    A reader such as `head` that closes the pipe is no error, so it gets no message.
    """
    if isinstance(error, OSError) and error.filename is None:
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return
    with suppress(OSError):
        typer.secho("Error: ", fg="red", bold=True, file=sys.stderr, nl=False)
        say(_message(error), err=True)


def _message(error: BaseException) -> str:
    if isinstance(error, DistractorError):
        return str(error)
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else f"the output cannot be written ({reason})"
    if isinstance(error, RecursionError):
        return "a file is nested too deeply; give one that is nested less"
    return "not enough memory; use fewer items, a smaller model or a smaller --batch-size"


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    plain = (
        ASCII.get(sign) or unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() for sign in signs
    )
    return "".join(text or "?" for text in plain), error.end
