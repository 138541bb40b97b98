"""What a page is made of. Each block is plain content; a template of the same name in `templates/` shows it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from distractor.runs.page.drawing import Drawing

Answered = Literal["yes", "no", "unclear"]


@dataclass(frozen=True)
class AnswerCell:
    """A cell of a table with an answer, which decides its colour."""

    text: str
    answered: Answered


@dataclass(frozen=True)
class LinkCell:
    """A cell of a table that leads to a file: `href` is a path beside the page, as it stands in a link."""

    text: str
    href: str


@dataclass(frozen=True)
class SizeCell:
    """A cell of a table that is sorted by a number."""

    text: str
    value: float


Cell = AnswerCell | LinkCell | SizeCell | str


@dataclass(frozen=True)
class Block:
    """A piece of a section. `template` names the file that shows it."""

    template: ClassVar[str]


@dataclass(frozen=True)
class Sentences(Block):
    """Paragraphs, or a list of them."""

    template = "sentences.html"
    texts: tuple[str, ...]
    is_list: bool = False


@dataclass(frozen=True)
class Figure(Block):
    """Drawings side by side, below each other in a narrow window, with one caption: what a reader should see."""

    template = "figure.html"
    title: str
    drawings: tuple[Drawing, ...]
    caption: str


@dataclass(frozen=True)
class Table(Block):
    """A table whose first column names its rows.

    Columns in `numbers` (by index) are set to the right, those in `sentences` are wide enough for text. With `folded`, only
    the caption shows until a reader opens it. With `sortable`, a reader can sort it by each column.
    """

    template = "table.html"
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: frozenset[int] = frozenset()
    sentences: frozenset[int] = frozenset()
    note: str = ""
    folded: bool = False
    sortable: bool = False


@dataclass(frozen=True)
class Posed:
    """An item under one condition: the prompt, the right answer, and for each size the probability of both answers."""

    condition: str
    prompt: str
    right: str
    probabilities: tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True)
class ShownItem(Block):
    """One item with both answers under every condition, and why it is shown."""

    template = "shown_item.html"
    title: str
    why: str
    true: str
    distractor: str
    sizes: tuple[str, ...]
    posed: tuple[Posed, ...]


@dataclass(frozen=True)
class ItemRow:
    """One item in the table of all items. `values` are numbers or texts, one a column; `marks` are names of filters."""

    item: str
    group: str
    text: str
    true: str
    distractor: str
    values: tuple[float | str, ...]
    marks: frozenset[str]


@dataclass(frozen=True)
class ItemTable(Block):
    """All items, which a reader can sort and filter. `columns` name the values, `filters` are marks and their meaning.

    `in_all` counts the items of the run. A table may have fewer rows; then `first` says which.
    """

    template = "item_table.html"
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[ItemRow]
    filters: dict[str, str]
    in_all: int
    first: str = "with the lowest gap"
    file: str = "results.parquet"
    note: str = ""

    @property
    def groups(self) -> list[str]:
        """The groups of the rows, to choose one; none if each row has its own."""
        groups = {row.group for row in self.rows}
        return sorted(groups) if 1 < len(groups) < len(self.rows) else []


@dataclass(frozen=True)
class Quotation(Block):
    """A paragraph to quote, with its references."""

    template = "quotation.html"
    text: str
    bibtex: str


@dataclass(frozen=True)
class Facts(Block):
    """Names and values, which a reader may have to copy. With `folded`, only that title shows until a reader opens it."""

    template = "facts.html"
    facts: dict[str, str]
    folded: str = ""


@dataclass(frozen=True)
class Files(Block):
    """Files of the run's folder, by path, and what they hold."""

    template = "files.html"
    files: dict[str, str]


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; `id` is its place in links."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    intro: str = ""


@dataclass(frozen=True)
class Page:
    """One run: its title, the verdict in a word and in sentences, what it is evidence for, and the sections in order."""

    title: str
    about: str
    label: str
    sentences: tuple[str, ...]
    evidence: str
    warnings: int = 0
    sections: tuple[Section, ...] = field(default=())
