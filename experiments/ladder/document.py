"""Documents of the training corpus: one question and its answer, or several in a row."""

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple


class Turn(NamedTuple):
    """Given text and the answer that follows it. The loss weights answers more than given text."""

    given: str
    answer: str = ""


Document = tuple[Turn, ...]
"""One or several turns, in reading order. The text of a document is the concatenation of its turns."""

Kinds = Mapping[str, Callable[[Random], Document]]
"""The kinds of document of one task: each function draws a document of its kind."""


def text_of(document: Document) -> str:
    """The text of a document, without the tokens for its beginning and end."""
    return "".join(given + answer for given, answer in document)


def in_a_row(documents: list[Document]) -> Document:
    """Join documents into one, with an empty line between them, like examples before a question."""
    first, *rest = documents
    return first + tuple(
        turn._replace(given=f"\n\n{turn.given}") if position == 0 else turn
        for document in rest
        for position, turn in enumerate(document)
    )
