"""What the ladder reads: a document is one question and its answer, or several in a row."""

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple


class Turn(NamedTuple):
    """What is told and what is answered, which the loss may weigh more; both continue the text as they are."""

    told: str
    answered: str = ""


Document = tuple[Turn, ...]
"""One turn or several, in the order in which they are read."""

Kinds = Mapping[str, Callable[[Random], Document]]
"""The kinds of document of one task: each draws one anew."""


def text_of(document: Document) -> str:
    """The document as it is read, without its beginning and end."""
    return "".join(told + answered for told, answered in document)


def in_a_row(documents: list[Document]) -> Document:
    """Several as one, with an empty line before each but the first, as shots stand before a question."""
    first, *rest = documents
    return first + tuple(
        turn._replace(told=f"\n\n{turn.told}") if place == 0 else turn
        for document in rest
        for place, turn in enumerate(document)
    )
