"""Formats items for the terminal: the prompt under every condition, with the differing words marked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from distractor.names import printable
from distractor.runs import colours
from distractor.text.task import Answer, Condition, Item, Task

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

TRUE_CUE, DISTRACTOR_CUE, OTHER_DIFFERENCE = f"bold {colours.TRUE}", f"bold {colours.DISTRACTOR}", "bold"

CUE_STYLES = {Condition.CONGRUENT: TRUE_CUE, Condition.DISTRACTOR_SWAPPED: DISTRACTOR_CUE}
"""Style of the words in which an aligned condition differs from `conflict`. In `conflict`, cues have the same style."""

ANSWER_NAMES = {Answer.TRUE: "true", Answer.DISTRACTOR: "distractor's"}

CONDITION_WIDTH = 18
LEAST_PROMPT = 24  # narrower prompts are printed below their conditions

TOKEN = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")
"""The units of the comparison: words, punctuation marks and the space between them."""


def summary_lines(task: Task) -> Iterator[str]:
    """Yield lines with a task's size, source, conditions and cautions."""
    groups = len({item.group for item in task.items})
    yield f"{len(task.items):,} items in {groups:,} groups, from {task.source}"
    yield f"conditions: {', '.join(task.conditions)}"
    yield from task.cautions


def item_table(task: Task, item: Item) -> Group:
    """One item under all its conditions, each with its right answer."""
    true, distractor = (printable(answer).strip() for answer in item.answers)
    title = Text.assemble(
        (printable(item.id), "bold"), f": the true answer is {true}, the distractor's is {distractor}"
    )
    rows = [
        (condition.value, _right_answer(task, item, condition), marked(item, condition))
        for condition in Condition
        if condition in item.prompts
    ]
    return Group(title, _Conditions(rows))


@dataclass(frozen=True)
class _Conditions:
    """A row for each condition: its name, the right answer and the prompt; below each other in a narrow terminal."""

    rows: list[tuple[str, Text, Text]]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        right = max(len("right answer"), *(answer.cell_len for _, answer, _ in self.rows))
        if options.max_width < CONDITION_WIDTH + right + LEAST_PROMPT + 4:
            for name, answer, prompt in self.rows:
                yield Text.assemble((name, "bold"), ", right answer: ", answer)
                yield Padding(prompt, (0, 0, 0, 2))
            return
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for heading, width in (("condition", CONDITION_WIDTH), ("right answer", right), ("prompt", None)):
            table.add_column(heading, min_width=width, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        yield table


def legend() -> Text:
    """Explain the colours."""
    return Text.assemble(
        "In colour: ", ("the true cue", TRUE_CUE), ", ", ("the distractor's cue", DISTRACTOR_CUE),
        "; ", ("bold", OTHER_DIFFERENCE), ": other words that conflict does not have.",
    )  # fmt: skip


def marked(item: Item, condition: Condition) -> Text:
    """The prompt, with the words that differ from `conflict` marked; `conflict` is compared with the aligned prompts."""
    prompt = item.prompts[condition]
    text = Text(printable(prompt))
    if condition is Condition.CONFLICT:
        comparisons = [(item.prompts[c], style) for c, style in CUE_STYLES.items() if c in item.prompts]
    else:
        comparisons = [(item.prompts[Condition.CONFLICT], CUE_STYLES.get(condition, OTHER_DIFFERENCE))]
    for compared, style in comparisons:
        for start, end in differing(prompt, compared):
            text.stylize(style, start, end)
    return text


def differing(text: str, compared: str) -> Iterator[tuple[int, int]]:
    """Yield the spans (start, end) of `text` that differ from `compared`, without space at their ends.

    >>> text = "The capital of France is not"
    >>> [text[a:b] for a, b in differing(text, "The capital of Italy is not")]
    ['France']
    """
    tokens = list(TOKEN.finditer(text))
    matcher = SequenceMatcher(None, [token[0] for token in tokens], TOKEN.findall(compared), autojunk=False)
    for kind, first, last, _, _ in matcher.get_opcodes():
        words = [token for token in tokens[first:last] if not token[0].isspace()]
        if kind != "equal" and words:
            yield words[0].start(), words[-1].end()


def _right_answer(task: Task, item: Item, condition: Condition) -> Text:
    right = task.right.get(condition)
    if right is None:
        return Text("none")
    return Text(f"{printable(item.answers[right]).strip()} ({ANSWER_NAMES[right]})")
