"""Official files of the Inverse Scaling Prize: read from the user's copy, with our conditions derived by rule.

Their text stays out of this repository, as the organisers wish. McKenzie et al. 2023 (arXiv 2306.09479), CC BY 4.0.
"""

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distractor.errors import TaskError
from distractor.task import Condition, Item, Task, nearest

from .negation_qa import AFFIRMING


@dataclass(frozen=True)
class Official:
    """An official file: its name, size in bytes and SHA-256, as in the release of March 2023."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Row:
    """One line of a classification file: its number from 0, the prompt, the classes and which is right."""

    index: int
    prompt: str
    classes: tuple[str, ...]
    answer: int


OFFICIAL = {
    "negation_qa": Official(
        "neqa_classification.jsonl", 84_046, "50ca9dca517dcd7fcdbb6d7f750fbbdade2142c0ac2da2bd196dc27464b464e6"
    ),
}
"""The official file of each task that is read here."""

COLUMNS = ("prompt", "classes", "answer_index")
"""What is read of each row."""

NEGATION = re.compile(r" not\b|n't")
# An affirming word is the cue only where no negation follows: some questions have one of their own.
AFFIRMED = rf"(?:{'|'.join(AFFIRMING)})\b(?![^\n]* not\b|[^\n]*n't)"
LAYOUT = (
    rf".*?\nQuestion: (?:(?P<before>.*?)(?P<cue> not\b|n't|{AFFIRMED})(?P<after>.*?)|(?P<question>.*?))"
    r"\nA\. (?P<first>.*?)\nB\. (?P<second>.*?)\nAnswer(?P<slot>:)"
)


def read(task: str, path: Path) -> Task:
    """The official file of `task` under our conditions.

    Raises:
        TaskError: the task has no official file here, or `path` is not that file; the first bad line is named.

    """
    if task not in OFFICIAL:
        raise TaskError(f"no official file is read for the task {task!r}: {nearest(task, OFFICIAL)}")
    rows = read_rows(path)
    check(task, path)
    return negated(rows, source=f"{path.name} (official release)")


def check(task: str, path: Path) -> None:
    """Make sure that `path` is the official file of `task`, to the byte.

    Raises:
        TaskError: it is not; says how it differs.

    """
    wanted, content = OFFICIAL[task], path.read_bytes()
    came = hashlib.sha256(content).hexdigest()
    if came != wanted.sha256:
        raise TaskError(
            f"{path} is not the official {wanted.file}: {len(content):,} bytes with SHA-256 {came[:12]}…, wanted "
            f"{wanted.bytes:,} bytes with {wanted.sha256[:12]}…; take the file of the release, unchanged"
        )


def read_rows(path: Path) -> list[Row]:
    """The rows of a classification file: JSON lines with `prompt`, `classes` (a list in a string) and `answer_index`.

    Raises:
        TaskError: the file cannot be read or a line is not such a row; file and line (from 1) are named.

    """
    if not path.is_file():
        raise TaskError(f"there is no file {path}; wanted is the user's own copy of an official file of the prize")
    try:
        # Not by splitlines(): a string may hold characters at which only Python breaks lines.
        *lines, last = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} cannot be read as UTF-8 text ({error}); wanted are JSON lines") from error
    lines += [last] if last else []
    if not lines:
        raise TaskError(f"{path} is empty; wanted are JSON lines with the columns {', '.join(COLUMNS)}")
    return [_row(index, line, f"{path}, line {index + 1}") for index, line in enumerate(lines)]


def _row(index: int, line: str, where: str) -> Row:
    try:
        told: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{where}: no JSON ({error}); wanted is one object a line") from error
    missing = [name for name in COLUMNS if not isinstance(told, dict) or name not in told]
    if missing:
        raise TaskError(f"{where}: missing: {', '.join(missing)}; wanted are the columns {', '.join(COLUMNS)}")
    prompt, classes, answer = (told[name] for name in COLUMNS)
    if not isinstance(prompt, str) or not prompt:
        raise TaskError(f"{where}: prompt is {prompt!r}; wanted is a text")
    try:
        listed = ast.literal_eval(classes)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise TaskError(f"{where}: classes is {classes!r}; wanted is a list in a string, \"[' A', ' B']\"")
    if len(listed) != 2 or len(set(listed)) != 2:
        raise TaskError(f"{where}: classes is {classes!r}; two different ones are wanted")
    if type(answer) is not int or answer not in (0, 1):
        raise TaskError(f"{where}: answer_index is {answer!r}; 0 or 1 is wanted")
    return Row(index, prompt, tuple(listed), answer)


def negated(rows: list[Row], source: str) -> Task:
    """NeQA (Zhou and Zhang): the row is `conflict`; without the negation it is `distractor_only`.

    In `congruent` an affirming word stands in the negation's place (`isn't` becomes `is indeed`). Rows with no
    negation or several in the question are left out and named: in two of the official rows the generator put a
    contraction inside a word.
    """
    items, left_out = [], []
    for row in rows:
        head, _, question = row.prompt.partition("Question: ")
        question, _, options = question.partition("\nA. ")
        if len(NEGATION.findall(question)) != 1 or not re.fullmatch(LAYOUT, row.prompt, flags=re.DOTALL):
            left_out.append(f"row {row.index}")
            continue

        def ask(cue: str, head: str = head, question: str = question, options: str = options) -> str:
            return f"{head}Question: {NEGATION.sub(cue, question)}\nA. {options}"

        affirmed, *reworded = (ask(cue) for cue in AFFIRMING)
        items.append(
            Item(
                id=f"neqa/{row.index}",
                group=f"neqa/{row.index}",
                true=row.classes[row.answer],
                distractor=row.classes[1 - row.answer],
                prompts={
                    Condition.CONFLICT: row.prompt,
                    Condition.CONGRUENT: affirmed,
                    Condition.DISTRACTOR_ONLY: ask(""),
                },
                rewordings={Condition.CONGRUENT: tuple(reworded)},
            )
        )
    return Task(
        name="negation_qa",
        question="Is a negated question answered as if there were no negation?",
        items=tuple(items),
        source=source,
        layout=LAYOUT,
        left_out={"not exactly one negation in the question": tuple(left_out)} if left_out else {},
    )
