"""What a command prints, as blocks of its page: the same titles, tables and sentences."""

from collections.abc import Iterator

from rich.console import Group
from rich.text import Text

from distractor.runs.page.blocks import Block, Sentences, Table
from distractor.runs.tables import FittedTable

LONG = 40  # characters of a cell from which on a column is wide enough for sentences


def as_blocks(printed: Group | Text, *, folded: bool = False) -> Iterator[Block]:
    """Printed tables, each with its bold title and the first sentence below it as its note, and all other sentences.

    With `folded`, all sentences below a table are its note.
    """
    title, table, texts = "", None, list[str]()
    for part in printed.renderables if isinstance(printed, Group) else [printed]:
        is_title = isinstance(part, Text) and part.style == "bold"
        if is_title or (isinstance(part, FittedTable) and table is not None):
            yield from _blocks(title, table, texts, folded=folded)
            title, table, texts = "", None, []
        if isinstance(part, FittedTable):
            if texts:
                yield Sentences(tuple(texts))
            table, texts = part, []
        elif is_title:
            title = str(part)
        elif str(part):
            texts.append(str(part))
    yield from _blocks(title, table, texts, folded=folded)


def _blocks(title: str, table: FittedTable | None, texts: list[str], *, folded: bool) -> Iterator[Block]:
    if table is None:
        texts = [title, *texts] if title else texts
        if texts:
            yield Sentences(tuple(texts))
        return
    notes = len(texts) if folded else 1
    yield Table(
        title,
        table.headings,
        list(_named(table.rows)),
        numbers=table.numbers,
        sentences=frozenset(i for i in table.texts if any(len(row[i]) > LONG for row in table.rows)),
        note=" ".join(texts[:notes]),
        folded=folded,
    )
    if texts[notes:]:
        yield Sentences(tuple(texts[notes:]), is_list=True)


def _named(rows: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Rows whose first cell is never empty: in print, an empty one means the same as above."""
    name = ""
    for first, *others in rows:
        name = first or name
        yield (name, *others)
