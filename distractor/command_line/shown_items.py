"""How an item is posed, for a person to read: its prompt under every condition, with the words that differ marked."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from rich.console import Group
from rich.table import Table
from rich.text import Text

from distractor.text.task import Answer, Condition, Item, Task

TRUE_CUE, DISTRACTOR_CUE, OTHERWISE = "bold cyan", "bold yellow", "bold"


MARKS = {Condition.CONGRUENT: TRUE_CUE, Condition.DISTRACTOR_SWAPPED: DISTRACTOR_CUE}
"""In which style words stand that differ from `conflict`; the cues have the same one in `conflict` itself."""


NAMES = {Answer.TRUE: "true", Answer.DISTRACTOR: "distractor's"}


PIECE = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")
"""What is compared: words, signs and the space between them."""


def about(task: Task) -> Iterator[str]:
    """What a task is, in lines: name, question, how much there is of it, its conditions."""
    groups = len({item.group for item in task.items})
    yield f"{len(task.items):,} items in {groups:,} groups, from {task.source}"
    yield f"conditions: {', '.join(task.conditions)}"


def posed(task: Task, item: Item) -> Group:
    """One item under all its conditions, the right answer beside each."""
    true, distractor = (_shown(answer).strip() for answer in item.answers)
    title = Text.assemble((_shown(item.id), "bold"), f": the true answer is {true}, the distractor's is {distractor}")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name, width in (("condition", 18), ("right answer", None), ("prompt", None)):
        table.add_column(name, min_width=width)
    for condition in (c for c in Condition if c in item.prompts):
        table.add_row(condition.value, _right(task, item, condition), marked(item, condition))
    return Group(title, table)


def legend() -> Text:
    """What the colours say."""
    return Text.assemble(
        "In colour: ", ("the true cue", TRUE_CUE), ", ", ("the distractor's cue", DISTRACTOR_CUE),
        "; ", ("bold", OTHERWISE), ": what else is not in conflict.",
    )  # fmt: skip


def marked(item: Item, condition: Condition) -> Text:
    """The prompt; what differs from `conflict` is marked, and in `conflict` what differs from the aligned prompts."""
    prompt = item.prompts[condition]
    shown = Text(_shown(prompt))
    if condition is Condition.CONFLICT:
        against = [(item.prompts[c], style) for c, style in MARKS.items() if c in item.prompts]
    else:
        against = [(item.prompts[Condition.CONFLICT], MARKS.get(condition, OTHERWISE))]
    for other, style in against:
        for first, last in differing(prompt, other):
            shown.stylize(style, first, last)
    return shown


def differing(text: str, other: str) -> Iterator[tuple[int, int]]:
    """Where `text` has what `other` has not: first character and one past the last, space at the ends left out.

    >>> text = "The capital of France is not"
    >>> [text[a:b] for a, b in differing(text, "The capital of Italy is not")]
    ['France']
    """
    pieces = list(PIECE.finditer(text))
    compared = SequenceMatcher(None, [piece[0] for piece in pieces], PIECE.findall(other), autojunk=False)
    for kind, begin, end, _, _ in compared.get_opcodes():
        found = pieces[begin:end]
        while found and found[0][0].isspace():
            found = found[1:]
        while found and found[-1][0].isspace():
            found = found[:-1]
        if kind != "equal" and found:
            yield found[0].start(), found[-1].end()


def _right(task: Task, item: Item, condition: Condition) -> Text:
    right = task.right.get(condition)
    if right is None:
        return Text("none")
    return Text(f"{_shown(item.answers[right]).strip()} ({NAMES[right]})")


def _shown(text: str) -> str:
    """The text without what would move the cursor or change the terminal; a file may hold anything."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)
